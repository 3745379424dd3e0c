"""`vidconcept.Session`: frames are pushed, events come back, by the same stages as `track`."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import finalize

import numpy as np

from vidconcept.errors import UsageError
from vidconcept.files import take_path
from vidconcept.live.engine import Engine, count_lag_frames
from vidconcept.live.events import EventWatch, LiveEvent
from vidconcept.live.holes import HoleFinder
from vidconcept.live.rarity import RunningRarity
from vidconcept.live.setup import OF_RECORDINGS, OF_VIDEO, TIME_BASE, load_settled, plan_live, settle_live
from vidconcept.live.turns import Turns
from vidconcept.pipelines.findings import make_tracker
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan
from vidconcept.pipelines.recordings import split_recordings
from vidconcept.types import Frame, TrackMask
from vidconcept.words import split_words

log = logging.getLogger(__name__)
# Called with index and time in seconds of a frame, and its tracks under provisional ids.
OnFrame = Callable[[int, float, list[TrackMask]], None]


class Session:
    """Tracks concepts through frames as they come; a context manager.

        with vidconcept.Session(concepts=["scratch", "dent"]) as session:
            for frame, time_s in camera:
                for event in session.push(frame, time_s):
                    print(event.state, event.event)
        print(session.rest)                        # events that became certain at the end

    concepts: names, or one string with commas between them. settings: any key of `TrackSettings`, except those for
    recordings. rarity "auto" compares with the footage so far, of which the session keeps a limited number of tokens;
    see `rarity_says`. on_frame: called with the tracks and masks of each frame, `lag_frames` after it was pushed; the
    session waits for it, so it can neither `push` nor `close`.
    The model is loaded at once. Memory does not grow with the number of frames. A session that is dropped without
    `close` frees what it holds, and its last events are lost; one that `on_frame` refers to stays.

    Raises a `VidconceptError` subclass: UsageError, InputError, ModelError. Use it from one thread at a time.
    """

    def __init__(
        self,
        concepts: str | Sequence[str] = (),
        *,
        config: str | Path | None = None,
        monitor: Monitor | None = None,
        on_frame: OnFrame | None = None,
        **settings: Any,
    ) -> None:
        overrides = {"concepts": split_words(concepts), **settings}
        monitor = monitor or Monitor(warn=log.warning)
        refused = (*OF_RECORDINGS, *OF_VIDEO)
        self._settled = settle_live(overrides, take_path(config, "config") if config else None, refused)
        self._model = load_settled(self._settled, monitor)
        self._on_frame = on_frame
        self._plan: Plan | None = None
        self._rarity: RunningRarity | None = None
        self._turns: Turns[Frame, LiveEvent] | None = None
        self._holes = HoleFinder()
        self._frames = 0
        self._latest_s = -math.inf
        self._is_closed = False
        self.rest: list[LiveEvent] = []

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._abandon()
        self.close()

    def push(self, frame: np.ndarray, time_s: float) -> list[LiveEvent]:
        """Give the next frame; returns the events that became certain with it.

        frame: `(h, w, 3)` uint8 RGB, all of one size; it is not changed and may be reused afterwards. time_s: when it
        was taken, in seconds from any origin, increasing. No track continues across a hole in time (several times the
        usual step). Raises UsageError for anything else, after `close`, and when `on_frame` calls it. After any other
        error, and when interrupted, the session is closed.
        """
        image, time_s = self._checked(frame, time_s)
        is_hole = self._frames > 0 and self._holes.step(time_s - self._latest_s)
        if self._plan is None:
            self._plan = plan_live(self._settled, image.shape[1], image.shape[0])
        index, self._frames, self._latest_s = self._frames, self._frames + 1, time_s
        pts = round(time_s / TIME_BASE)
        try:
            if self._turns is None:
                self._turns = self._begin(self._plan)
            return self._turns.give(Frame(index, pts, time_s, image.copy(), is_hole))
        except BaseException:
            self._abandon()
            raise

    def close(self) -> list[LiveEvent]:
        """End the session; returns the events that become certain by this, also kept as `rest`. May be called twice.

        Raises UsageError when `on_frame` calls it.
        """
        self._refuse_on_frame()
        if not self._is_closed and self._turns is not None:
            self._is_closed = True
            try:
                self.rest = self._turns.end()
            except BaseException:
                self._abandon()
                raise
        self._is_closed = True
        return self.rest

    @property
    def lag_frames(self) -> int:
        """Number of further frames until the tracks of a frame are known; 0 before the first frame."""
        return 0 if self._plan is None else count_lag_frames(self._plan)

    @property
    def rarity_says(self) -> str:
        """A note on rarity: that it is off, or has nothing to compare with yet; otherwise ""."""
        if self._settled.settings.rarity == "off":
            return "rarity is off: what looks the same all over the footage may be a finding"
        return "" if self._rarity is None else self._rarity.evidence.describe()

    def _abandon(self) -> None:
        """Close without a result, and wait for what is being worked on: a thread left in the model aborts Python."""
        self._is_closed = True
        if self._turns is not None:
            self._turns.abandon()

    def _refuse_on_frame(self) -> None:
        if self._turns is not None and self._turns.is_at_work:
            raise UsageError(
                "`on_frame` cannot push or close: the session waits for it. Next: note there what is to be done, and "
                "do it when `push` has returned"
            )

    def _begin(self, plan: Plan) -> Turns[Frame, LiveEvent]:
        if plan.settings.rarity != "off":
            self._rarity = RunningRarity(plan)
        turns = Turns(partial(_find_events, Engine(plan, self._model, self._rarity), self._on_frame))
        # A session dropped without `close` takes its threads along. Nobody waits: they are idle, or Python ends.
        finalize(self, turns.abandon, wait=False).atexit = False
        return turns

    def _checked(self, frame: np.ndarray, time_s: float) -> tuple[np.ndarray, float]:
        self._refuse_on_frame()
        if self._is_closed:
            raise UsageError("the session is closed. Next: open another one")
        try:
            image, is_finite, time_s = np.asarray(frame), math.isfinite(time_s), float(time_s)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"not a frame and its time: {error}. Next: an array (h, w, 3) of uint8, and seconds as a number"
            ) from error
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise UsageError(
                f"a frame is an array (h, w, 3) of uint8, RGB; got {image.shape} of {image.dtype}. "
                "Next: convert it, e.g. cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)"
            )
        if self._plan is not None:
            size, given = (self._plan.info.width_px, self._plan.info.height_px), (image.shape[1], image.shape[0])
            if size != given:
                raise UsageError(
                    f"a frame of {given[0]}x{given[1]} after frames of {size[0]}x{size[1]}. Next: resize it, or close "
                    "this session and open another one"
                )
        if not is_finite or time_s <= self._latest_s:
            raise UsageError(
                f"time_s = {time_s} after {self._latest_s}: times are seconds that rise from frame to frame. "
                "Next: the time of capture, from a clock that is not set back, e.g. time.monotonic()"
            )
        return image, time_s


def _find_events(engine: Engine, on_frame: OnFrame | None, frames: Iterator[Frame]) -> Iterator[LiveEvent]:
    """The work of a session, which knows nothing of the session itself: else neither could be let go of."""
    tracker = make_tracker(engine.plan)
    watch = EventWatch(tracker.linker)
    for scored, tracks in engine.track(split_recordings(frames), tracker):
        if on_frame is not None:
            on_frame(scored.ref.index, scored.ref.time_s, tracks)
        yield from watch.look()
    yield from watch.look(at_end=True)
