"""From what waits in the backlog to parts between two holes in time, and segments of one picture size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic

from vidconcept.holes import hole_length_s
from vidconcept.live.backlog import Backlog, Shot, Sign
from vidconcept.live.holes import HoleFinder
from vidconcept.live.sources import SILENCE_S
from vidconcept.video.orientation import Orientation, orientation

# A part ends when nothing came for so long, or for as long as a hole is with a slow camera: what is known of its last
# frames is told then, not when a frame comes.
QUIET_S = 1.0
POLL_S = 0.2


class Feed:
    """Takes frames out of a backlog. stopped: asked at every wait; what still waits is then left out. before_wait:
    called before every wait, several times a second while no frame comes."""

    def __init__(self, backlog: Backlog, stopped: Callable[[], bool], before_wait: Callable[[], None]) -> None:
        self._backlog = backlog
        self._stopped, self._before_wait = stopped, before_wait
        self._pending: Shot | None = None
        self._holes = HoleFinder()
        self._last_s = 0.0
        self._is_over = False
        self.has_ended = False

    @property
    def usual_step_s(self) -> float | None:
        """Seconds between two frames, None while it is not known."""
        return self._holes.usual_s

    def wait_first(self) -> Shot | None:
        """Waits for the next frame, which begins a segment; None where the source has ended."""
        while self._pending is None and not self.has_ended:
            self._pending = self._shot(self._next())
        if self._pending is not None and self._stopped():
            # No recording of a single frame.
            self._pending = None
            self._backlog.give_back()
        return self._pending

    def split_parts(self, is_due: Callable[[float], bool]) -> Iterator[Iterator[Shot]]:
        """The parts of the segment that `wait_first` gave the beginning of.

        It is over when the picture's size changes or `is_due` says so, asked with the seconds since its first frame.
        """
        first = self._pending
        if first is None:
            return
        self._is_over = False
        begins_s, began_at = first.time_s, monotonic()
        view = orientation(first.picture)
        size = view.compute_size(first.picture)

        def is_other(shot: Shot) -> bool:
            return view.compute_size(shot.picture) != size or is_due(shot.time_s - begins_s)

        while not self._is_over:
            while self._pending is None and not self.has_ended and not self._is_over:
                self._pending = self._shot(self._next())
                if self._pending is None:
                    self._is_over = is_due(monotonic() - began_at)
                else:
                    self._is_over = is_other(self._pending)
            if self._pending is None or self._is_over:
                return
            yield self._part(self._pending, is_other)

    def pass_over(self) -> None:
        """Leave out the frames of the segment that `wait_first` gave the beginning of."""
        for part in self.split_parts(lambda length_s: False):
            for _ in part:
                self._backlog.give_back()

    def _part(self, first: Shot, is_other: Callable[[Shot], bool]) -> Iterator[Shot]:
        self._pending, self._last_s = None, first.time_s
        yield first
        while (shot := self._shot(self._next())) is not None:
            is_hole = self._holes.step(shot.time_s - self._last_s)
            self._last_s = shot.time_s
            self._is_over = is_other(shot)
            if is_hole or self._is_over:
                self._pending = shot
                return
            yield shot

    def _shot(self, item: Shot | Sign) -> Shot | None:
        self.has_ended = item == "end"
        return item if isinstance(item, Shot) else None

    def _next(self) -> Shot | Sign:
        began_at, usual_s = monotonic(), self._holes.usual_s
        # While the usual step is not known, as long as a camera may take for a picture.
        quiet_s = SILENCE_S if usual_s is None else min(max(QUIET_S, hole_length_s(usual_s)), SILENCE_S)
        while True:
            self._before_wait()
            if self._stopped():
                self._backlog.clear()
            item = self._backlog.take(POLL_S)
            if item != "silence" or monotonic() - began_at >= quiet_s:
                return item


def find_view(shot: Shot) -> tuple[Orientation, tuple[int, int]]:
    """How a frame is shown, and its width and height then, made even: the recording has no odd sizes."""
    view = orientation(shot.picture)
    width, height = view.compute_size(shot.picture)
    return view, (width // 2 * 2, height // 2 * 2)
