"""Packets on one line of time: clocks that count round, and recordings that were glued together in one file."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median_low

import av
import av.audio.stream
import av.container
import av.packet
import av.video.stream

# A backward step beyond this is a new recording glued on, not a disorder within one.
GLUED_S = 1
# One beyond this is, where another stream says so.
MAYBE_GLUED_S = 0.2
# A forward step beyond this is taken for a damaged timestamp, if the next one steps back again.
SPIKE_S = 10
# A clock that counts round goes on within so much; else it is another clock.
ROUND_S = 60
# No codec shows a picture more than so many places after it is stored, or before.
MOST_REORDERED = 17
# Packets of a new recording among which its first picture is looked for.
MOST_HELD = 32
# Formats whose clocks count round, by the bits that they count with.
_CLOCK_BITS = {"mpegts": 33, "mpeg": 33, "flv": 32}


def read_pts(coded: av.VideoFrame | av.packet.Packet) -> int | None:
    """The file's own timestamp: containers without presentation times (AVI) give only the decoding time."""
    return coded.pts if coded.pts is not None else coded.dts


def describe_jump(back_s: float) -> str:
    """How a jump back in time is told."""
    return f"time jumps back by {back_s:.3f} s; continued from the frame before"


@dataclass(frozen=True, slots=True)
class Join:
    """Where another recording begins. begins: the timestamp of its first picture after the shift, in the time base.

    own_s: the same by its own clock. shift_s: what its own times are moved by. back_s: how far its clock is behind the
    end of what came before.
    """

    begins: int
    own_s: Fraction
    shift_s: Fraction
    back_s: float


class Joiner:
    """Moves the timestamps of packets so that a recording that was glued on follows the one before.

    What else is wrong with timestamps is left as it is. joins: those that were passed so far. find_shift: what a
    recording is to be moved by that begins at so many seconds by its own clock, and whose clock is so many seconds
    behind; if it gives None, no other recording begins. Without it, one begins one usual step after the highest
    timestamp before.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.video.stream.VideoStream | av.audio.stream.AudioStream,
        find_shift: Callable[[Fraction, float], Fraction | None] | None = None,
    ) -> None:
        self.joins: list[Join] = []
        self._find_shift = find_shift
        self._tick_s = Fraction(stream.time_base or Fraction(1, 90_000))
        self._second = max(1, round(1 / self._tick_s))
        self._least = round((GLUED_S if find_shift is None else MAYBE_GLUED_S) * self._second)
        self._round = 1 << _CLOCK_BITS.get(container.format.name, 63)
        self._shift = 0
        self._order: int | None = None
        self._order_before: int | None = None
        self._recent = deque[int](maxlen=MOST_REORDERED)

    def join(self, packets: Iterable[av.packet.Packet]) -> Iterator[av.packet.Packet]:
        """The packets, in their order. A few are held back where time jumps back."""
        held: list[av.packet.Packet] = []
        for packet in packets:
            if held and not (packet.size and self._may_show_earlier(held, packet)):
                yield from self._release(held, packet)
                held = []
            if packet.size and (held or self._jumps_back(packet)):
                held.append(packet)
            else:
                yield self._move(packet)
        if held:
            yield from self._release(held, None)

    def _may_show_earlier(self, held: list[av.packet.Packet], packet: av.packet.Packet) -> bool:
        """Whether a picture that is shown before the first of these may be this or come after it."""
        first_pts, first, order = read_pts(held[0]), _read_order(held[0]), _read_order(packet)
        if first_pts is None or first is None or order is None:
            return len(held) < MOST_HELD
        return len(held) < MOST_HELD and first - self._least <= order < first_pts

    def _jumps_back(self, packet: av.packet.Packet) -> bool:
        """Whether another recording may begin; a clock that counted round is set right here."""
        order, last = _read_order(packet), self._order
        if order is None or last is None:
            return False
        step = order + self._shift - last
        if abs(step) > self._round // 2:
            turns = round(step / self._round)
            if abs(step - turns * self._round) < ROUND_S * self._second:
                self._shift -= turns * self._round
                return False
        if step >= -self._least or self._returns(order + self._shift):
            return False
        pts = read_pts(packet)
        usual, top = self._measure_end()
        # The order of storage alone is no proof: some of the decoding times are guessed by the library.
        return pts is not None and top - pts - self._shift > max(self._least, MOST_REORDERED * usual)

    def _returns(self, order: int) -> bool:
        """Whether a single time lay far ahead, and this is back before it."""
        before, last = self._order_before, self._order
        return before is not None and last is not None and last - before > SPIKE_S * self._second and order > before

    def _measure_end(self) -> tuple[int, int]:
        """The usual step, and the highest of the latest timestamps, without a single one far ahead."""
        stamps = sorted(set(self._recent))
        if len(stamps) > 2 and stamps[-1] - stamps[-2] > SPIKE_S * self._second:
            stamps.pop()
        steps = [after - before for before, after in pairwise(stamps)]
        return median_low(steps) if steps else max(1, self._second // 25), stamps[-1]

    def _release(self, held: list[av.packet.Packet], following: av.packet.Packet | None) -> Iterator[av.packet.Packet]:
        """Packets from a jump back on: of a new recording, unless the first of them alone was early."""
        second = held[1] if len(held) > 1 else following
        order = None if second is None else _read_order(second)
        if order is None or order + self._shift < (self._order or 0) - self._least:
            self._begin([pts for packet in held if (pts := read_pts(packet)) is not None])
        for packet in held:
            yield self._move(packet)

    def _begin(self, stamps: list[int]) -> None:
        usual, top = self._measure_end()
        first = min(stamps)
        own_s, back_s = first * self._tick_s, float((top - self._shift - first) * self._tick_s)
        shift_s = (top + usual - first) * self._tick_s
        if self._find_shift is not None:
            shift_s = self._find_shift(own_s, back_s)
        if shift_s is None:
            return
        self._shift = round(shift_s / self._tick_s)
        self.joins.append(Join(first + self._shift, own_s, shift_s, back_s))
        self._recent.clear()

    def _move(self, packet: av.packet.Packet) -> av.packet.Packet:
        if self._shift:
            packet.pts = None if packet.pts is None else packet.pts + self._shift
            packet.dts = None if packet.dts is None else packet.dts + self._shift
        order, pts = _read_order(packet), read_pts(packet)
        if order is not None and pts is not None:
            self._order_before, self._order = self._order, order
            self._recent.append(pts)
        return packet


def _read_order(packet: av.packet.Packet) -> int | None:
    """What rises from packet to packet."""
    return packet.dts if packet.dts is not None else packet.pts
