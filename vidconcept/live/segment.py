"""One stretch of a live source, of one picture size: its frames through all stages, into one recording."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, TypeVar

from vidconcept.errors import OutputError
from vidconcept.live.backlog import Shot
from vidconcept.live.clock import AWAY_S
from vidconcept.live.delays import Delays
from vidconcept.live.engine import Engine
from vidconcept.live.events import EventWatch, LiveEvent
from vidconcept.live.feed import Feed, find_view
from vidconcept.live.rarity import RunningRarity
from vidconcept.live.recording import Recording
from vidconcept.live.setup import TIME_BASE
from vidconcept.models.adapter import Model
from vidconcept.pipelines.findings import make_tracker
from vidconcept.pipelines.plan import Plan
from vidconcept.types import Frame
from vidconcept.video.colour import RgbConverter

Result = TypeVar("Result")


class Segment:
    """See `follow`. delays: takes how long each frame waited. tell_loss: told, once, why the recording cannot be
    written any more and what is kept of it; from then on `recording` is None."""

    def __init__(
        self,
        plan: Plan,
        model: Model,
        rarity: RunningRarity | None,
        recording: Recording | None,
        delays: Delays,
        tell_loss: Callable[[str], None],
        first_event: int,
    ) -> None:
        self.plan, self.recording = plan, recording
        self._model, self._rarity = model, rarity
        self.tracker = make_tracker(plan)
        self.events = EventWatch(self.tracker.linker, first_event, forgets=recording is None)
        self.own_delays = Delays()
        self._delays, self._tell_loss = delays, tell_loss
        self._arrived: deque[float] = deque()
        # When the first frame was taken, in seconds since 1970; see `_follow_clock`.
        self.began_s = 0.0
        # By how much this machine's clock was set since.
        self._set_s = 0.0

    def follow(
        self, feed: Feed, first: Shot, is_due: Callable[[float], bool], after_frame: Callable[[], None]
    ) -> Iterator[tuple[LiveEvent, float]]:
        """Events as they become sure, each with the seconds since the frame arrived by which it did.

        first: of the segment, not taken from the feed yet. is_due: as of `Feed.split_parts`. after_frame: called
        between two frames. Raises ModelError.
        """
        arrived_s, self.began_s = monotonic(), first.seen_s
        # Not kept as a part of the segment: each would hold the other, and with it the recording and its encoder.
        engine = Engine(self.plan, self._model, self._rarity, None if self.recording is None else self._keep_maps)
        for scored, tracks in engine.track(self._parts(feed, first, is_due), self.tracker):
            arrived_s = self._arrived.popleft()
            self._record(lambda own, s=scored, t=tracks: own.append(s, t))
            for event in self.events.look():
                yield event, monotonic() - arrived_s
            for delays in (self._delays, self.own_delays):
                delays.add(monotonic() - arrived_s)
            after_frame()
        for event in self.events.look(at_end=True):
            yield event, monotonic() - arrived_s

    def _parts(self, feed: Feed, first: Shot, is_due: Callable[[float], bool]) -> Iterator[Iterator[Frame]]:
        view, size = find_view(first)
        convert = RgbConverter(view)
        index = 0

        def frames(part: Iterator[Shot]) -> Iterator[Frame]:
            nonlocal index
            for number, shot in enumerate(part):
                after_hole = number == 0 and index > 0
                pts = round((shot.time_s - first.time_s) / TIME_BASE)
                frame = Frame(index, pts, float(pts * TIME_BASE), convert(shot.picture, size)[0], after_hole)
                index += 1
                self._arrived.append(shot.arrived_s)
                self._follow_clock(first, shot, frame.time_s)
                self._record(lambda own, f=frame: own.write(f))
                yield frame

        for part in feed.split_parts(is_due):
            yield frames(part)

    def _follow_clock(self, first: Shot, shot: Shot, time_s: float) -> None:
        """No frame arrives before it was taken: where the first one had waited for its turn, a later one tells since
        when. Without a recording a segment may last for weeks, in which this machine's clock is set; a recording keeps
        to one clock."""
        passed_s = shot.arrived_s - first.arrived_s
        set_s = shot.seen_s - first.seen_s - passed_s
        if self.recording is None and abs(set_s - self._set_s) > AWAY_S:
            self.began_s += set_s - self._set_s
            self._set_s = set_s
        self.began_s = min(self.began_s, first.seen_s + self._set_s + passed_s - time_s)

    def _keep_maps(self, *kept: Any) -> None:
        self._record(lambda own: own.keep_maps(*kept))

    def _record(self, write: Callable[[Recording], Any]) -> None:
        """Events go on where the recording cannot."""
        if self.recording is None:
            return
        try:
            write(self.recording)
        except OutputError as error:
            kept, self.recording = self.recording.give_up(), None
            self._tell_loss(f"{error}; {kept}")
