"""Packets to decoded pictures, past every fault: what cannot be decoded is noted, and decoding goes on."""

from collections.abc import Iterator
from fractions import Fraction

import av
import av.container
import av.error
import av.packet
import av.video.stream

from vidconcept.video.problems import ProblemLog

# A demuxer that fails so often in a row without a packet has nothing more to give.
MAX_DEMUX_ERRORS = 20
# Packets without a picture are waited for until the end; more of them than this have simply no picture of their own.
MAX_PENDING = 4096
# Plain, with a timecode in front (M2TS), and with error correction.
TS_PACKET_BYTES = (188, 192, 204)


def decode_packets(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, log: ProblemLog
) -> Iterator[av.VideoFrame]:
    """Decoded pictures in presentation order, as stored (no rotation, no repaired timestamps).

    A packet is lost when a later picture arrives and its own did not. Pictures that an edit list hides do not count.
    """
    # Slices alone: frame threads drop pictures around damage, and not the same ones on every pass.
    stream.codec_context.thread_type = "SLICE"
    lost = _LostPackets(stream.time_base or Fraction(1, 90_000), log)
    index = 0
    for packet in _demux(container, stream, lost):
        lost.sent(packet)
        for frame in _decode(packet, lost):
            lost.shown(raw_pts(frame), index)
            yield frame
            index += 1
    lost.end(index)
    if container.format.name == "mpegts" and all(container.size % length for length in TS_PACKET_BYTES):
        log.add("cut-off", "the transport stream ends in the middle of a packet: it was cut off", index)
    # The index as the demuxer uses it: without what an edit list hides, unlike the count in the header.
    promised = sum(1 for entry in stream.index_entries if entry.size > 0)
    if lost.packets < promised:
        text = f"the index promises {promised} pictures, but the file holds the data of only {lost.packets}"
        log.add("cut-off", f"{text}: it was cut off", index)


def raw_pts(frame: av.VideoFrame) -> int | None:
    """The file's own timestamp: containers without presentation times (AVI) give only the decoding time."""
    return frame.pts if frame.pts is not None else frame.dts


def _demux(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, lost: "_LostPackets"
) -> Iterator[av.packet.Packet]:
    """Packets, the flushing one last. The demuxer is started again after an error: it goes on where it stopped."""
    errors = 0
    while errors < MAX_DEMUX_ERRORS:
        try:
            for packet in container.demux(stream):
                # Only the packet that flushes the decoder has no data.
                if packet.size or packet.dts is not None:
                    errors = 0
                yield packet
            return
        except (av.error.FFmpegError, OSError) as error:
            if errors == 0:
                lost.unreadable(error)
            errors += 1
    yield from _flush_packet(stream)


def _flush_packet(stream: av.video.stream.VideoStream) -> Iterator[av.packet.Packet]:
    packet = av.packet.Packet()
    packet.stream = stream
    yield packet


def _decode(packet: av.packet.Packet, lost: "_LostPackets") -> list[av.VideoFrame]:
    try:
        return packet.decode()  # pyright: ignore[reportReturnType]
    except av.error.EOFError:
        return []
    except av.error.FFmpegError as error:
        lost.failed(packet, error)
        return []


class _LostPackets:
    """Which packets gave no picture: those that a later picture overtakes."""

    def __init__(self, time_base: Fraction, log: ProblemLog) -> None:
        self._time_base = time_base
        self._log = log
        self._pending: set[int] = set()
        self._first: int | None = None
        self._index = 0
        self.packets = 0

    def sent(self, packet: av.packet.Packet) -> None:
        self.packets += bool(packet.size)
        pts = packet.pts if packet.pts is not None else packet.dts
        if pts is not None and packet.size and not packet.is_discard and len(self._pending) < MAX_PENDING:
            self._pending.add(pts)

    def shown(self, pts: int | None, index: int) -> None:
        if pts is None:
            return
        self._pending.discard(pts)
        overtaken = sorted(p for p in self._pending if p < pts)
        if self._first is None:
            self._first = overtaken[0] if overtaken else pts
        for p in overtaken:
            self._note(p, index)
        self._pending.difference_update(overtaken)
        self._index = index + 1

    def end(self, index: int) -> None:
        for pts in sorted(self._pending):
            self._note(pts, index)

    def failed(self, packet: av.packet.Packet, error: Exception) -> None:
        """A packet with a timestamp is counted when a later picture overtakes it; one without is counted here."""
        if packet.pts is None and packet.dts is None:
            self._log.add("undecodable", f"a packet could not be decoded ({_reason(error)}); skipped", self._index)

    def unreadable(self, error: Exception) -> None:
        self._log.add("cut-off", f"the file cannot be read on from here ({_reason(error)})", self._index)

    def _note(self, pts: int, index: int) -> None:
        time_s = None if self._first is None else float((pts - self._first) * self._time_base)
        self._log.add("undecodable", "no picture could be decoded here; skipped", index, time_s)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
