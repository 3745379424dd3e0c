"""Packets to decoded pictures, past every fault: what cannot be decoded is noted, and decoding goes on.

H.264 and most other decoders conceal damage; such pictures are delivered, and reported. The HEVC decoder leaves
whatever was in memory, so there pictures are left out from a damaged one to the next key frame.
"""

import re
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.error
import av.packet
import av.video.stream

from vidconcept.video.endings import SHORT_LAST, describe_missing, find_broken_end, is_last_picture_short
from vidconcept.video.joins import Joiner, read_pts
from vidconcept.video.problems import ProblemLog
from vidconcept.video.source import read_packets

# Decoders that leave damaged parts of a picture as they found the memory, and keep quiet about it unless asked.
STRICT_CODECS = frozenset({"hevc", "mjpeg"})
# A demuxer that fails so often in a row without a packet has nothing more to give.
MAX_DEMUX_ERRORS = 20
# Packets without a picture are waited for until the end; more of them than this have simply no picture of their own.
MAX_PENDING = 4096
# A tag of the duration may be this much too long by rounding and by what its writer took for the last picture's.
MISSING_S = 0.2


def decode_packets(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, log: ProblemLog, joiner: Joiner
) -> Iterator[av.VideoFrame]:
    """Decoded pictures in presentation order, as stored (no rotation), with timestamps as the joiner leaves them.

    A packet is lost when a later picture arrives and its own did not. Pictures that an edit list hides do not count.
    """
    # One thread: around damage, frame threads drop pictures and slice threads (HEVC) race, differently on every pass.
    stream.codec_context.thread_count = 1
    if stream.codec_context.name in STRICT_CODECS:
        stream.codec_context.options = {"err_detect": "explode"}
    ledger = _Ledger(stream, log, guessed=_has_guessed_pts(container, stream))
    last_two = deque[av.packet.Packet](maxlen=2)
    joins = 0
    for packet in joiner.join(_demux(container, stream, ledger)):
        if len(joiner.joins) > joins:
            # No picture of another recording is built on the pictures of the one before.
            joins = len(joiner.joins)
            yield from _show(_make_flush(stream), ledger)
            stream.codec_context.flush_buffers()
        ledger.note_sent(packet)
        if packet.size:
            last_two.append(packet)
        yield from _show(packet, ledger)
    ledger.note_end()
    if is_last_picture_short(stream.codec_context.name, last_two):
        log.add("cut-off", SHORT_LAST, ledger.index)
    broken = find_broken_end(Path(container.name.removeprefix("file:")), container.format.name)
    if broken is not None:
        log.add("cut-off", broken, ledger.index)
    # The index as the demuxer uses it: without what an edit list hides, unlike the count in the header.
    promised = sum(1 for entry in stream.index_entries if entry.size > 0)
    if ledger.packets < promised:
        log.add("cut-off", describe_missing(promised, ledger.packets), ledger.index)
    missing_s = _read_promised_s(container, stream) - ledger.end_s
    if missing_s > MISSING_S:
        text = f"the header promises {missing_s:.3f} s more of pictures than the file holds: it was cut off"
        log.add("cut-off", text, ledger.index)


def _has_guessed_pts(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> bool:
    """Whether the demuxer makes the presentation times up, one after the other in the order of decoding.

    AVI stores none. Of H.264, unlike MPEG-4, the type of a picture is not known before it is decoded.
    """
    context = stream.codec_context
    return container.format.name == "avi" and context.name == "h264" and context.has_b_frames


def _read_promised_s(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> float:
    """How long the header says that the pictures last; 0 where it says nothing of them alone."""
    if container.format.name == "flv" and not container.streams.audio:
        return (container.duration or 0) / av.time_base
    # Matroska's tag of this stream, as 00:01:02.040000000.
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d\.\d+)", stream.metadata.get("DURATION", ""))
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else 0.0


def _demux(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, ledger: "_Ledger"
) -> Iterator[av.packet.Packet]:
    """Packets, the flushing one last. The demuxer is started again after an error: it continues where it stopped."""
    errors = 0
    while errors < MAX_DEMUX_ERRORS:
        try:
            for packet in read_packets(container, stream):
                if packet.size:
                    errors = 0
                yield packet
            return
        except (av.error.FFmpegError, OSError) as error:
            if errors == 0:
                ledger.note_unreadable(error)
            errors += 1
    yield _make_flush(stream)


def _make_flush(stream: av.video.stream.VideoStream) -> av.packet.Packet:
    """What makes the decoder give the pictures that it still holds."""
    flush = av.packet.Packet()
    flush.stream = stream
    return flush


def _show(packet: av.packet.Packet, ledger: "_Ledger") -> Iterator[av.VideoFrame]:
    for frame in _decode(packet, ledger):
        ledger.restamp(frame)
        if ledger.take_shown(frame):
            yield frame


def _decode(packet: av.packet.Packet, ledger: "_Ledger") -> list[av.VideoFrame]:
    try:
        return packet.decode()  # pyright: ignore[reportReturnType]
    except av.error.EOFError:
        return []
    except av.error.FFmpegError as error:
        ledger.note_failed(packet, error)
        return []


class _Ledger:
    """Which packets have given their picture, and which pictures are worth showing."""

    def __init__(self, stream: av.video.stream.VideoStream, log: ProblemLog, guessed: bool) -> None:
        self.index = 0
        self.packets = 0
        # When the last packet's picture ends, in the file's own time.
        self.end_s = 0.0
        self._time_base = stream.time_base or Fraction(1, 90_000)
        self._conceals = stream.codec_context.name != "hevc"
        self._guessed = guessed
        self._log = log
        self._first: int | None = None
        self._pending: set[int] = set()
        # Sent after a picture of a later time was shown: time went back, so what is still to be shown does not
        # overtake them.
        self._behind: set[int] = set()
        self._latest: int | None = None
        # Pictures from a failed packet to the next key frame, and those after it that are shown before it.
        self._tainted: set[int] = set()
        self._tainting = False
        self._key: int | None = None

    def note_sent(self, packet: av.packet.Packet) -> None:
        """Count a packet as it goes to the decoder."""
        self.packets += bool(packet.size)
        pts = read_pts(packet)
        if pts is None or not packet.size:
            return
        self.end_s = max(self.end_s, float((pts + (packet.duration or 0)) * self._time_base))
        if packet.is_discard:
            return
        awaited = self._behind if self._latest is not None and pts < self._latest else self._pending
        if len(awaited) < MAX_PENDING:
            awaited.add(pts)
        if self._tainting and packet.is_keyframe:
            self._tainting, self._key = False, pts
        elif self._tainting or (self._key is not None and pts < self._key):
            self._tainted.add(pts)

    def note_failed(self, packet: av.packet.Packet, error: Exception) -> None:
        """A packet with a timestamp is lost when a later picture overtakes it; one without is noted here."""
        pts = read_pts(packet)
        if pts is None or self._guessed:
            self._pending.discard(-1 if pts is None else pts)
            self._log.add(
                "undecodable", f"a packet could not be decoded ({_describe_error(error)}); skipped", self.index
            )
        elif not self._conceals:
            self._tainting = True
            self._tainted.add(pts)

    def restamp(self, frame: av.VideoFrame) -> None:
        """Give a decoded picture the earliest timestamp that no picture had, where timestamps are guessed.

        Pictures come out of the decoder in the order in which they are shown, whatever their packets' guesses.
        """
        if self._guessed and self._pending:
            frame.pts = min(self._pending)

    def take_shown(self, frame: av.VideoFrame) -> bool:
        """Strike off a decoded picture and all that it overtakes; whether to deliver it."""
        pts = read_pts(frame)
        if pts is not None:
            awaited = self._behind if pts in self._behind and pts not in self._pending else self._pending
            overtaken = sorted(p for p in awaited if p < pts)
            if self._first is None:
                self._first = overtaken[0] if overtaken else pts
            for p in overtaken:
                self._report_lost(p, "no picture could be decoded here; skipped")
            awaited.difference_update(overtaken)
            awaited.discard(pts)
            self._latest = pts
            self._tainted.difference_update(overtaken)
            if pts in self._tainted:
                self._tainted.remove(pts)
                self._report_lost(pts, "a damaged picture, or one built on it; skipped up to the next key frame")
                return False
        if frame.is_corrupt:
            text = "the decoder calls this picture damaged; it is used as it is"
            self._log.add("corrupt-frame", text, self.index, self._to_seconds(pts))
        self.index += 1
        return True

    def note_end(self) -> None:
        """Everything has been sent and flushed: what is pending is lost."""
        for pts in sorted(self._pending | self._behind):
            self._report_lost(pts, "no picture could be decoded here; skipped")

    def note_unreadable(self, error: Exception) -> None:
        """The demuxer failed."""
        self._log.add("cut-off", f"the file cannot be read on from here ({_describe_error(error)})", self.index)

    def _report_lost(self, pts: int, text: str) -> None:
        self._log.add("undecodable", text, self.index, self._to_seconds(pts))

    def _to_seconds(self, pts: int | None) -> float | None:
        """None also for what is earlier than the first picture: its place is not known."""
        if pts is None or self._first is None or pts < self._first:
            return None
        return float((pts - self._first) * self._time_base)


def _describe_error(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
