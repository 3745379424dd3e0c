"""Events as soon as they are sure: once when nothing that follows can make a track none, once when it is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vidconcept.tracks.events import make_event
from vidconcept.tracks.link import Linker
from vidconcept.types import Event


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """The beginning or the end of an event. state: "began": it is certain that there is an event, and `event` describes
    it so far; "ended": it is over, and `event` is complete. `event.event_id` numbers events in the order in which they
    became certain.
    """

    state: Literal["began", "ended"]
    event: Event


class EventWatch:
    """Looks at a linker after each of its frames. forgets: ended tracks are released, for footage without an end."""

    def __init__(self, linker: Linker, first_id: int = 1, *, forgets: bool = True) -> None:
        self._linker = linker
        self._forgets = forgets
        # Numbers of the events by the provisional id of their track, those under way, and those that are over.
        self._open: dict[int, int] = {}
        self.ended: dict[int, int] = {}
        self.next_id = first_id

    def look(self, *, at_end: bool = False) -> list[LiveEvent]:
        """What has become sure. at_end: there are no more frames, so every track is over."""
        living = set() if at_end else self._linker.living
        told: list[LiveEvent] = []
        gone: list[int] = []
        for track, summary in self._linker.summaries.items():
            if track in self.ended:
                continue
            if track not in self._open and self._linker.is_sure(track, goes_on=track in living, at_end=at_end):
                self._open[track], self.next_id = self.next_id, self.next_id + 1
                told.append(LiveEvent("began", make_event(summary, self._open[track])))
            if track in living:
                continue
            if (number := self._open.pop(track, None)) is not None:
                told.append(LiveEvent("ended", make_event(summary, number)))
                if not self._forgets:
                    self.ended[track] = number
            gone.append(track)
        if self._forgets:
            self._linker.release(gone)
        return told
