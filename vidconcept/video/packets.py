"""Facts that the packets of a video give away without decoding."""

from collections import Counter, deque
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av.error
import av.packet
import numpy as np

from vidconcept.video.clock import Clock
from vidconcept.video.endings import is_last_picture_short
from vidconcept.video.joins import SPIKE_S, Join, Joiner, read_pts
from vidconcept.video.reading import AS_IT_IS, Reading
from vidconcept.video.source import open_video, read_packets

# Decoding times that a library guesses may go back by a few pictures; by more, time itself does.
DISORDER_S = Fraction(1, 5)


@dataclass(frozen=True, slots=True)
class PacketScan:
    """One pass over the packets of the video stream.

    pts: `(n,)` int64 timestamps in the time base, in file order (the decoding time where there is no other), on one
    line of time where recordings are glued together.
    key: `(n,)` bool, key frames. missing: packets without any timestamp. hidden: those that an edit list hides; they
    are not in `pts`. damaged: those that the container calls so. backward_dts: decoding times that do not rise.
    promised: how many pictures the index lists, 0 without one. error: what ended the reading, if not the end.
    may_reorder: what the stream's own header says of the order. ends_short: the last picture is not whole.
    joins: where another recording begins. restarts: positions in `pts` before which the order of pictures starts anew.
    """

    pts: np.ndarray = field(repr=False)
    key: np.ndarray = field(repr=False)
    missing: int
    hidden: int
    damaged: int
    backward_dts: int
    promised: int
    error: str | None
    may_reorder: bool = False
    ends_short: bool = False
    joins: tuple[Join, ...] = ()
    restarts: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        """Packets with data."""
        return len(self.pts) + self.missing + self.hidden

    def has_open_gops(self) -> bool:
        """Whether a picture is stored after a key frame and shown before it: such pictures decode wrongly after a
        seek to that key frame."""
        if not len(self.pts):
            return False
        latest_key = np.maximum.accumulate(np.where(self.key, np.arange(len(self.pts)), 0))
        return bool(np.any(self.pts < self.pts[latest_key]))

    @property
    def reordered(self) -> bool:
        """Whether pictures are shown in another order than they are stored in, or a decoder says that they may be."""
        return self.may_reorder or bool(np.any(np.diff(self.pts) < 0))

    def list_shown(self, time_base: Fraction, rate: Fraction | None) -> np.ndarray:
        """Timestamps in the order in which pictures are shown, as the reader's clock repairs them, which begins with
        that rate. A single one far ahead of all others is left out: its place in the order is not known."""
        spike = SPIKE_S / time_base
        shown = np.concatenate([_sort_shown(part, spike) for part in np.split(self.pts, self.restarts)])
        if np.all(np.diff(shown) > 0):
            return shown
        clock = Clock(time_base, rate)
        following = [*shown[1:].tolist(), None]
        return np.array([clock.stamp(*pair)[0] for pair in zip(shown.tolist(), following, strict=True)], np.int64)

    def is_sound(self) -> bool:
        """Whether the n-th smallest timestamp is the n-th picture, as far as packets can tell."""
        faults = self.missing + self.hidden + self.damaged + self.backward_dts + len(self.joins)
        unique = len(np.unique(self.pts)) == len(self.pts)
        return faults == 0 and self.error is None and unique and self.total >= self.promised


def _sort_shown(pts: np.ndarray, spike: Fraction) -> np.ndarray:
    shown = np.sort(pts)
    # What is stored last may be the last after a hole; if not, the clock finds that out.
    while len(shown) > 2 and shown[-1] - shown[-2] > spike and shown[-1] != pts[-1]:
        shown = shown[:-1]
    return shown


def scan_packets(source: Path, reading: Reading = AS_IT_IS) -> PacketScan:
    """Demux a file once: some 50 bytes of memory a picture. Raises InputError if it cannot be opened."""
    pts: list[int] = []
    key: list[bool] = []
    counts = Counter[str]()
    last_two = deque[av.packet.Packet](maxlen=2)
    last_dts: int | None = None
    restarts: list[int] = []
    joins = 0
    error = None
    with open_video(source, reading.stream, reading.max_megapixels) as (container, stream):
        joiner = Joiner(container, stream)
        disorder = DISORDER_S / Fraction(stream.time_base or Fraction(1, 90_000))
        try:
            for packet in joiner.join(read_packets(container, stream)):
                if not packet.size:
                    continue
                last_two.append(packet)
                counts["damaged"] += packet.is_corrupt
                if packet.is_discard:
                    counts["hidden"] += 1
                    continue
                if len(joiner.joins) > joins:
                    # Another recording may be stored in another order.
                    joins, last_dts = len(joiner.joins), None
                if packet.dts is not None:
                    if last_dts is not None and packet.dts <= last_dts:
                        counts["backward_dts"] += 1
                        if last_dts - packet.dts > disorder:
                            restarts.append(len(pts))
                    last_dts = packet.dts
                stamp = read_pts(packet)
                if stamp is None:
                    counts["missing"] += 1
                    continue
                pts.append(stamp)
                key.append(packet.is_keyframe)
        except (av.error.FFmpegError, OSError) as reason:
            error = str(reason)
        # The index as the demuxer uses it: without what an edit list hides, unlike the count in the header.
        promised = sum(1 for entry in stream.index_entries if entry.size > 0)
        may_reorder = bool(stream.codec_context.has_b_frames)
        ends_short = is_last_picture_short(stream.codec_context.name, last_two)
    return PacketScan(
        pts=np.array(pts, np.int64),
        key=np.array(key, bool),
        missing=counts["missing"],
        hidden=counts["hidden"],
        damaged=counts["damaged"],
        backward_dts=counts["backward_dts"],
        promised=promised,
        error=error,
        may_reorder=may_reorder,
        ends_short=ends_short,
        joins=tuple(joiner.joins),
        restarts=tuple(restarts),
    )
