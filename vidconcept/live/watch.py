"""`vidconcept watch`: camera -> backlog -> parts -> the stages of `track` -> events as they happen, and recordings."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from vidconcept.errors import OutputError, UsageError
from vidconcept.live.backlog import Backlog, Shot
from vidconcept.live.camera import Camera
from vidconcept.live.delays import Delays
from vidconcept.live.deliverer import Deliverer
from vidconcept.live.engine import count_lag_frames
from vidconcept.live.feed import Feed, find_view
from vidconcept.live.messages import WatchState, describe_event, format_time
from vidconcept.live.rarity import RunningRarity
from vidconcept.live.recording import Recording
from vidconcept.live.segment import Segment
from vidconcept.live.setup import load_settled, plan_live, settle_live
from vidconcept.live.sources import parse_source
from vidconcept.pipelines.live_pass import COUNTED
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan
from vidconcept.pipelines.settle import choose_reading

# A run folder is no longer than this, whatever is asked for: an hour at 25 frames a second.
MOST_FRAMES = 90_000
# Until the speed of the model is known it is taken for that of a usual camera.
USUAL_FPS = 25


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """out: the folder of recordings, None for none. roll_s, roll_bytes: when a recording ends and the next begins.

    max_delay_s: how old a frame may get before its tracks are known; beyond that frames are skipped. duration_s: stop
    after so much time. once: the source's end is the end. skips: false for a source that can wait, such as a pipe.
    input_options: FFmpeg's own. every_s: how often the state is told.
    """

    out: Path | None = None
    roll_s: float = 600.0
    roll_bytes: float = 1e9
    max_delay_s: float = 5.0
    duration_s: float | None = None
    once: bool = False
    skips: bool = True
    input_options: Mapping[str, str] = field(default_factory=dict)
    every_s: float = 10.0


def watch(
    source: str,
    overrides: Mapping[str, Any],
    options: WatchOptions,
    *,
    config: Path | None,
    monitor: Monitor,
    tell: Callable[[dict[str, Any]], None],
    tell_state: Callable[[WatchState], None],
) -> WatchState:
    """Follow a live source until `monitor.stop` says so, or it ends for good; returns how it went.

    tell: takes what happens, one mapping of JSON values each: an event that began or ended, a run folder that is
    whole; also from another thread. tell_state: is called every few seconds. Raises UsageError, InputError, ModelError.
    """
    found = parse_source(source, once=options.once)
    settled = settle_live(overrides, config)
    windows = 2 * settled.settings.window_frames * settled.settings.frame_stride
    capacity = max(windows, int(USUAL_FPS * options.max_delay_s)) if options.skips else windows
    backlog = Backlog(capacity, waits=not options.skips)
    camera = Camera(found, backlog, options.input_options, choose_reading(settled.settings), monitor.warn)
    return Watch(camera, settled, overrides, config, options, monitor, tell, tell_state).run()


class Watch:
    """The state of one `watch`; see there."""

    def __init__(
        self,
        camera: Camera,
        settled: Any,
        overrides: Mapping[str, Any],
        config: Path | None,
        options: WatchOptions,
        monitor: Monitor,
        tell: Callable[[dict[str, Any]], None],
        tell_state: Callable[[WatchState], None],
    ) -> None:
        self._camera, self._backlog = camera, camera.backlog
        self._settled, self._overrides, self._config = settled, overrides, config
        self._options, self._monitor = options, monitor
        self._tell, self._tell_state = tell, tell_state
        self._deliverer = Deliverer(monitor.warn)
        self._lost = 0
        self._delays = Delays()
        self._rarity: RunningRarity | None = None
        self._told_within_s = options.max_delay_s
        self._is_late = self._has_followed = False
        self._counted: dict[str, int] = dict.fromkeys(COUNTED, 0)
        self._next_event = 1
        self._state_told_at = time.monotonic()
        self._began_at = math.inf

    def run(self) -> WatchState:
        feed = Feed(self._backlog, self._is_over, self._tell_state_in_time)
        self._camera.start()
        try:
            self._camera.meet(self._monitor.stop)
            if not self._monitor.stop():
                self._model = load_settled(self._settled, self._monitor)
                self._camera.begin()
                self._began_at = time.monotonic()
                while (first := feed.wait_first()) is not None:
                    self._follow(feed, first)
        finally:
            self._camera.stop()
            self._deliverer.close()
        if self._camera.error is not None:
            raise self._camera.error
        state = self.state()
        self._tell_state(state)
        return state

    def state(self) -> WatchState:
        """The counts by now."""
        backlog, delays = self._backlog, self._delays
        return WatchState(
            source=self._camera.source.name,
            **asdict(self._camera.counts),
            read=backlog.taken,
            skipped=backlog.skipped,
            gaps=backlog.gaps,
            unread=backlog.unread,
            waiting=backlog.waiting,
            events=self._next_event - 1,
            runs=self._deliverer.done,
            runs_failed=self._deliverer.failed + self._lost,
            delay_half_s=delays.quantile(0.5),
            delay_95_s=delays.quantile(0.95),
            delay_longest_s=round(delays.longest_s, 3),
            told_within_s=round(self._told_within_s, 3),
            share_in_time=round(delays.share_within(self._told_within_s), 4),
        )

    def _is_over(self) -> bool:
        asked_s = self._options.duration_s
        return self._monitor.stop() or (asked_s is not None and time.monotonic() - self._began_at >= asked_s)

    def _follow(self, feed: Feed, first: Shot) -> None:
        """The source until the recording is due to roll over, or the size of the picture changes; one that
        `roi` does not fit is an error only at the beginning, as a camera may come back with another size."""
        try:
            plan = plan_live(self._settled, *find_view(first)[1])
        except UsageError as error:
            if not self._has_followed:
                raise
            self._monitor.warn(f"frames are passed over: {error}")
            feed.pass_over()
            return
        self._has_followed = True
        if self._rarity is None and (plan.settings.rarity != "off" or self._options.out is not None):
            self._rarity = RunningRarity(plan)
        recording = self._open_recording(plan, first)
        segment = Segment(plan, self._model, self._rarity, recording, self._delays, self._count_loss, self._next_event)
        after_frame = partial(self._breathe, plan, feed)
        source = self._camera.source.name
        for event, delay_s in segment.follow(feed, first, partial(self._is_due, segment), after_frame):
            self._next_event = segment.events.next_id
            run = None if segment.recording is None else segment.recording.run
            self._tell(describe_event(event, delay_s, segment.began_s, source, run))
        missed = self._count_since_last()
        if segment.recording is not None:
            self._deliver(segment, segment.recording, missed)

    def _open_recording(self, plan: Plan, first: Shot) -> Recording | None:
        if self._options.out is None or self._rarity is None:
            return None
        self._rarity.begin_run()
        try:
            return Recording(self._options.out, first.seen_s, plan, self._rarity, self._model.engine)
        except OutputError as error:
            self._count_loss(str(error))
            return None

    def _count_loss(self, reason: str) -> None:
        """A recording cannot be written, from its beginning or any more."""
        self._lost += 1
        self._monitor.warn(f"{reason}; events continue, and the next recording is tried again")

    def _is_due(self, segment: Segment, length_s: float) -> bool:
        options, recording = self._options, segment.recording
        if options.out is None:
            return False
        if length_s >= 2 * options.roll_s:
            return True
        is_full = recording is not None and (
            recording.frames >= MOST_FRAMES or recording.size_bytes >= options.roll_bytes
        )
        # Another one is still being finished: this one goes on meanwhile.
        return (length_s >= options.roll_s or is_full) and not self._deliverer.is_busy

    def _breathe(self, plan: Plan, feed: Feed) -> None:
        """Between two frames: fit the backlog to the speed of the model."""
        rate = self._backlog.rate_fps
        if rate is not None:
            window = plan.settings.window_frames * plan.settings.frame_stride
            lag_s = count_lag_frames(plan) * max(1 / rate, feed.usual_step_s or 0.0)
            self._backlog.fit(max(window, int(rate * (self._options.max_delay_s - lag_s))))
            self._told_within_s = max(self._options.max_delay_s, lag_s + window / rate)
            if self._told_within_s > 1.1 * self._options.max_delay_s and not self._is_late:
                self._is_late = True
                self._monitor.warn(
                    f"events come up to {self._told_within_s:.1f} s after they were seen, not within "
                    f"{self._options.max_delay_s:g} s: that is what {count_lag_frames(plan)} frames of look-ahead take "
                    "here. Next: a smaller `height` and `width`, `edges=coarse`, a faster machine, or more `max_delay`"
                )

    def _tell_state_in_time(self) -> None:
        """Also while no frame comes."""
        if time.monotonic() - self._state_told_at >= self._options.every_s:
            self._state_told_at = time.monotonic()
            self._tell_state(self.state())

    def _count_since_last(self) -> dict[str, int]:
        """What was missed since the end of the segment before, whether there is a recording of it or not."""
        now = self.state()
        before, self._counted = self._counted, {key: getattr(now, key) for key in COUNTED}
        return {key: count - before[key] for key, count in self._counted.items()}

    def _deliver(self, segment: Segment, recording: Recording, missed: Mapping[str, int]) -> None:
        """Have the run folder finished in the background, and told. missed: how much of each in its time."""
        event_ids = recording.seal(segment.tracker.linker)
        numbers = {number: event_ids[track] for track, number in segment.events.ended.items() if track in event_ids}
        now = self.state()
        facts = {
            "source": now.source,
            "began": format_time(segment.began_s),
            **missed,
            "delay_half_s": segment.own_delays.quantile(0.5),
            "delay_95_s": segment.own_delays.quantile(0.95),
            "delay_longest_s": round(segment.own_delays.longest_s, 3),
            "told_within_s": now.told_within_s,
            "event_ids": numbers,
        }
        # The run is of all windows, as they came.
        overrides = {**self._overrides, "stride": self._settled.settings.frame_stride}

        def work() -> None:
            recording.finish(overrides, self._config, facts, Monitor())
            self._tell(
                {"type": "run", "run": str(recording.run), "frames": recording.frames}
                | {key: facts[key] for key in ("began", "skipped", "event_ids")}
            )

        self._deliverer.take(f"{recording.run} was not finished, its film stays beside it", work)
