"""What waits between a camera that does not wait and a model that may be slower: bounded, in whole runs of frames."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from threading import Condition
from time import monotonic
from typing import Literal

import av


@dataclass(frozen=True, slots=True)
class Shot:
    """A decoded frame. time_s: since the first one, by `LiveClock`. seen_s: when it arrived, seconds since 1970;
    arrived_s: the same by a clock that is never set.
    """

    picture: av.VideoFrame = field(repr=False)
    time_s: float
    seen_s: float
    arrived_s: float


# What a taker gets instead of a frame: frames are missing here; nothing came in time; nothing comes any more.
Sign = Literal["gap", "silence", "end"]
# Takings that the speed of the taker is measured over; fewer at first, where they took so many seconds.
MEASURED, MEASURED_S = 64, 5.0


class Backlog:
    """Frames on their way from the thread of the camera to that of the model.

    When `capacity` frames wait, the next ones are left out until the taker has caught up: the model then sees runs of
    neighbouring frames with gaps between them, in which motion and windows are whole, rather than every n-th frame.
    waits: have the source wait instead.
    """

    def __init__(self, capacity: int, *, waits: bool = False) -> None:
        self.capacity = capacity
        self.waits = waits
        # unread: wanted by nobody any more.
        self.taken = self.skipped = self.gaps = self.unread = 0
        self._items: deque[Shot | Sign] = deque()
        self._state = Condition()
        self._is_skipping = self._is_closed = self._had_frame = False
        # Seconds that the taker was at work, and whether on a frame or on the end of a run.
        self._busy: deque[tuple[float, bool]] = deque(maxlen=MEASURED)
        self._left_at: float | None = None

    def put(self, shot: Shot) -> None:
        """The next frame of the source."""
        with self._state:
            if self.waits:
                self._state.wait_for(lambda: len(self._items) < self.capacity or self._is_closed)
            if self._is_closed:
                self.unread += 1
                return
            if self._is_skipping and self._items:
                self.skipped += 1
                return
            if len(self._items) >= self.capacity:
                self._is_skipping = True
                self.skipped += 1
                self.gaps += 1
                self._items.append("gap")
                return
            self._is_skipping = False
            self._items.append(shot)
            self._state.notify_all()

    def gap(self) -> None:
        """The source was lost and comes again."""
        with self._state:
            if not self._items or self._items[-1] != "gap":
                self._items.append("gap")
                self._state.notify_all()

    def fit(self, capacity: int) -> None:
        """How many may wait from now on; the newest beyond it are left out, unless the source can wait."""
        with self._state:
            self.capacity = capacity
            beyond = list(islice(self._items, capacity, None))
            late = sum(isinstance(item, Shot) for item in beyond)
            if self.waits or not late:
                return
            for _ in beyond:
                self._items.pop()
            self.skipped += late
            self.gaps += not self._is_skipping
            self._is_skipping = True
            self.gap()

    def close(self) -> None:
        """Nothing more comes; what waits is still taken."""
        with self._state:
            self._is_closed = True
            self._state.notify_all()

    def clear(self) -> None:
        """Nothing more is wanted: what waits is counted as unread."""
        with self._state:
            self.unread += sum(isinstance(item, Shot) for item in self._items)
            self._items.clear()
            self._is_closed = True
            self._state.notify_all()

    def take(self, timeout_s: float) -> Shot | Sign:
        """The next frame, or what there is instead of it."""
        asked_at = monotonic()
        if self._left_at is not None:
            self._busy.append((asked_at - self._left_at, self._had_frame))
            self._left_at = None
        with self._state:
            self._state.wait_for(lambda: bool(self._items) or self._is_closed, timeout_s)
            if self._items:
                item = self._items.popleft()
                self._state.notify_all()
                self._had_frame = isinstance(item, Shot)
                self.taken += self._had_frame
                self._left_at = monotonic()
                return item
            return "end" if self._is_closed else "silence"

    def give_back(self) -> None:
        """The frame taken last is not wanted after all."""
        with self._state:
            self.taken -= 1
            self.unread += 1
            # It says nothing of the taker's speed.
            self._left_at = None

    @property
    def waiting(self) -> int:
        return len(self._items)

    @property
    def rate_fps(self) -> float | None:
        """Frames that the taker gets through in a second when it need not wait; None while it is not known."""
        busy_s = sum(seconds for seconds, _ in self._busy)
        frames = sum(is_frame for _, is_frame in self._busy)
        is_known = len(self._busy) == MEASURED or busy_s >= MEASURED_S
        return frames / busy_s if is_known and busy_s > 0 else None
