"""What is told of an event while frames come: nothing that the run then does not have."""

from dataclasses import dataclass

import numpy as np
import pytest

from vidconcept.live.events import EventWatch, LiveEvent
from vidconcept.tracks.link import Linker, LinkSettings
from vidconcept.types import Event, Origin, Region

GRID = 48, 64
SIZE = GRID[::-1]


@dataclass(frozen=True)
class Ref:
    index: int

    @property
    def pts(self) -> int:
        return self.index

    @property
    def time_s(self) -> float:
        return self.index / 25


def follow(
    reached: range, seen: range = range(55), frames: int = 100
) -> tuple[list[tuple[int, LiveEvent]], list[Event]]:
    """One mark on the `seen` frames that reaches the threshold on some: what is told and when, and the run's events."""
    settings = LinkSettings(min_area_px=4, min_duration_s=0.12)
    watched, recorded = (Linker(["scratch"], Region(0, 0, *SIZE), SIZE, settings) for _ in range(2))
    watch, told = EventWatch(watched), []
    for k in range(frames):
        mask = np.zeros((1, *GRID), bool)
        mask[0, 10:20, 10:30] = k in seen
        scores = np.where(mask, 0.8 if k in reached else 0.5, 0).astype(np.float32)
        for linker in (watched, recorded):
            linker.step(Ref(k), mask, scores, None, Origin(0, 0), reaches=mask & (k in reached))
        told += [(k, event) for event in watch.look()]
    told += [(frames, event) for event in watch.look(at_end=True)]
    return told, recorded.finish()[0]


@pytest.mark.parametrize("reached", [range(3), range(4), range(7), range(8), range(20, 30), range(60)])
def test_every_event_that_is_told_is_one_of_the_run_and_ends(reached):
    told, events = follow(reached)
    began, ended = ([e.event for _, e in told if e.state == state] for state in ("began", "ended"))
    assert [e.event_id for e in began] == [e.event_id for e in ended]
    assert [(e.start_frame, e.end_frame) for e in ended] == [(e.start_frame, e.end_frame) for e in events]


def test_an_event_is_told_when_nothing_can_undo_it_any_more():
    """After 0.3 s above the threshold, and a short one when it is over."""
    assert [at for at, e in follow(range(20))[0] if e.state == "began"] == [7]
    ((at, _),) = [(at, e) for at, e in follow(range(3), seen=range(6))[0] if e.state == "began"]
    assert 6 <= at <= 20


def test_a_short_one_that_reaches_the_threshold_for_a_quarter_is_told_once_it_is_over():
    told, events = follow(range(20, 22), seen=range(20, 28))
    assert [event.state for _, event in told] == ["began", "ended"]
    assert len(events) == 1
