"""Pushed frames: the same events as `track` finds in a film of them, as soon as they are sure, in bounded memory."""

import gc
import signal
import sys
import threading
import weakref
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

import vidconcept
from tests.helpers.clips import paint
from tests.helpers.lines import write_line
from tests.helpers.small_runs import SMALL
from vidconcept.live import rarity as live_rarity
from vidconcept.live.turns import Turns
from vidconcept.video.reader import read_frames

# As live footage is read: windows are chosen by motion that is yet to come.
LINE = {"height": 128, "width": 192, "edges": "coarse", "rarity": "off", "stride": 1}


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_line(tmp_path_factory.mktemp("film") / "line.mp4", frames=44, scratched=(1,))


def open_small(tiny_model, **settings) -> vidconcept.Session:
    return vidconcept.Session("scratch,dent", model=str(tiny_model), **{**SMALL, "threshold": 0.01, **settings})


def bare(event):
    """An event without its number, which live counts by another order."""
    return replace(event, event_id=0, tracker_id=0)


def rounded(event):
    """As tables keep it."""
    return replace(
        event, peak_score=round(event.peak_score, 4), start_s=round(event.start_s, 6), end_s=round(event.end_s, 6)
    )


@pytest.mark.slow
def test_pushed_frames_give_the_events_of_a_film_of_them_and_in_time(film, tmp_path):
    told, rows = [], []

    def see(index, time_s, tracks):
        rows.append((index, tracks))

    with vidconcept.Session("scratch", on_frame=see, **LINE) as s:
        for frame in read_frames(film, on_problem=lambda problem: None):
            told += [(frame.index, event) for event in s.push(frame.image, 100.0 + frame.time_s)]
        lag = s.lag_frames
    told += [(frame.index, event) for event in s.rest]
    run = vidconcept.track(film, "scratch", out=tmp_path / "run", **LINE)
    shifted = [replace(bare(e), start_s=100.0 + e.start_s, end_s=100.0 + e.end_s) for e in run.events]
    ended = sorted((bare(e.event) for _, e in told if e.state == "ended"), key=lambda e: e.start_frame)
    assert run.events
    assert [rounded(e) for e in ended] == [rounded(e) for e in shifted]
    assert [index for index, _ in rows] == list(range(44))
    kept = [(t.frame_index, t.rle) for t in run.tracks()]
    assert set(kept) <= {(t.frame_index, t.rle) for _, tracks in rows for t in tracks}
    for at, event in told:
        if event.state == "began":
            assert at - event.event.end_frame <= lag
            assert any(e.state == "ended" and e.event.event_id == event.event.event_id for _, e in told)


@pytest.mark.slow
def test_a_scratch_that_every_part_has_is_no_event_any_more_once_there_is_evidence(tmp_path):
    film = write_line(tmp_path / "every.mp4", frames=110, scratched=tuple(range(20)))
    began = {}
    for rarity in ("off", "auto"):
        with vidconcept.Session("scratch", **{**LINE, "rarity": rarity}) as session:
            told = [e for f in read_frames(film, on_problem=print) for e in session.push(f.image, f.time_s)]
        began[rarity] = [e.event.start_frame for e in told + session.rest if e.state == "began"]
    assert sum(frame > 40 for frame in began["off"]) >= 3
    assert sum(frame > 40 for frame in began["auto"]) <= 1


@pytest.fixture(scope="module")
def session(tiny_model):
    with open_small(tiny_model) as session:
        session.push(paint(0), 1.0)
        yield session


class TestErrors:
    @pytest.mark.parametrize(
        ("frame", "time_s", "says"),
        [
            (np.zeros((128, 192), np.uint8), 2.0, r"got \(128, 192\) of uint8.*Next: convert it"),
            (np.zeros((128, 192, 4), np.uint8), 2.0, r"\(128, 192, 4\)"),
            (np.zeros((128, 192, 3), np.float32), 2.0, "float32"),
            (np.zeros((64, 96, 3), np.uint8), 2.0, "96x64 after frames of 192x128. Next: resize it"),
            (paint(1), 1.0, "time_s = 1.0 after 1.0"),
            (paint(1), 0.5, "time_s = 0.5 after 1.0"),
            (paint(1), float("nan"), "time_s = nan"),
            (paint(1), None, "not a frame and its time: .* Next: an array"),
            (paint(1), "2.0", "not a frame and its time: .* Next: an array"),
            (torch.zeros(128, 192, 3, requires_grad=True), 2.0, "not a frame and its time: .* Next: an array"),
        ],
    )
    def test_what_is_no_next_frame_is_refused_and_the_session_goes_on(self, session, frame, time_s, says):
        with pytest.raises(vidconcept.UsageError, match=says):
            session.push(frame, time_s)

    def test_no_concepts(self):
        for call in (vidconcept.Session, lambda concepts: vidconcept.track("a.mp4", concepts)):
            with pytest.raises(vidconcept.UsageError, match="no concepts given"):
                call(None)

    @pytest.mark.parametrize(
        "setting", [{"start_s": 1.0}, {"fps": 25.0}, {"bits": 12}, {"max_megapixels": 1.0}, {"keep_recurring": (1,)}]
    )
    def test_settings_of_recordings_are_refused(self, tiny_model, setting):
        with pytest.raises(vidconcept.UsageError, match=f"`{next(iter(setting))}.*Next: "):
            open_small(tiny_model, **setting)


@pytest.mark.parametrize("number_type", [Decimal, Fraction, np.float32])
def test_times_may_be_numbers_of_any_type(tiny_model, number_type):
    with open_small(tiny_model) as session:
        for number in range(8):
            session.push(paint(number), number_type(number))
    assert all(isinstance(told.event.start_s, float) for told in session.rest)


def test_a_closed_session_takes_nothing_and_closes_twice(tiny_model):
    session = open_small(tiny_model)
    for number in range(8):
        session.push(paint(number), number / 25)
    assert session.close() is session.close()
    with pytest.raises(vidconcept.UsageError, match="closed"):
        session.push(paint(9), 1.0)


def test_a_session_that_is_dropped_without_close_leaves_no_thread_and_no_model(tiny_model):
    before = set(threading.enumerate())
    session = open_small(tiny_model)
    for number in range(12):
        session.push(paint(number), number / 25)
    model = weakref.ref(session._model)
    own = set(threading.enumerate()) - before
    assert own
    del session
    gc.collect()
    for thread in own:
        thread.join(60)
    gc.collect()
    assert set(threading.enumerate()) == before
    assert model() is None


def test_nothing_is_followed_across_a_hole_in_time(tiny_model):
    """With a threshold that everything passes, each side of the hole is one event."""
    with open_small(tiny_model, rarity="off", threshold=0.001, min_duration_s=0.0) as session:
        told = [e for n in range(10) for e in session.push(paint(n), n / 25)]
        told += [e for n in range(10) for e in session.push(paint(n), 60 + n / 25)]
    told += session.rest
    assert {e.event.end_s < 1 or e.event.start_s >= 60 for e in told} == {True}
    assert any(e.event.start_s >= 60 for e in told)


def test_the_memory_of_rarity_forgets_and_finds_its_way_after_it(tiny_model, monkeypatch):
    monkeypatch.setattr(live_rarity, "HORIZON_FRAMES", 8)
    with open_small(tiny_model, rarity="auto", threshold=0.001) as session:
        for number in range(50):
            # A hole now and then: parts of the footage are forgotten, too.
            session.push(paint(number), number / 25 + number // 15)
        memory = session._rarity.memory
        assert len(memory.cuts) <= 2 * 8 + SMALL["window_frames"]
        assert len(memory.parts) <= 3
        assert max(position for position, _, _ in memory.steps.values()) < len(memory.cuts)


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
@pytest.mark.parametrize("call", ["push", "close"])
def test_an_interrupt_closes_and_leaves_no_thread(tiny_model, call):
    """A thread that were still in the model would abort Python on its way out."""
    # So many frames that `push` knows the tracks of the first ones, or so few that only `close` does.
    images = [(paint(number), number / 25) for number in range({"push": 40, "close": 3}[call])]
    before, main = set(threading.enumerate()), threading.get_ident()

    def interrupt(index, time_s, tracks):
        if index == 0:
            signal.pthread_kill(main, signal.SIGINT)

    session = open_small(tiny_model, on_frame=interrupt)

    def push_all():
        with session:
            for image, time_s in images:
                session.push(image, time_s)
            assert call == "close"

    # Whoever starts the tests in the background has them ignore the signal.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            push_all()
    finally:
        signal.signal(signal.SIGINT, handler)
    assert set(threading.enumerate()) == before
    with pytest.raises(vidconcept.UsageError, match="closed"):
        session.push(paint(0), 9.0)


@pytest.mark.parametrize("call", ["push", "close"])
def test_on_frame_can_neither_push_nor_close(tiny_model, call):
    refused = []

    def reenter(index, time_s, tracks):
        with pytest.raises(vidconcept.UsageError, match=r"the session waits for it\. Next: ") as error:
            session.close() if call == "close" else session.push(paint(0), 9.0)
        refused.append(error)

    with open_small(tiny_model, on_frame=reenter) as session:
        for number in range(12):
            session.push(paint(number), number / 25)
    assert len(refused) == 12


def test_an_error_before_the_first_item_is_raised_with_it():
    def work(items):
        raise ValueError("no model")
        yield from items

    with pytest.raises(ValueError, match="no model"):
        Turns(work).give(1)


def test_an_error_in_the_work_is_raised_where_the_item_was_given():
    def work(items):
        for item in items:
            yield 10 // item

    turns = Turns(work)
    assert [turns.give(item) for item in (5, 2)] == [[2], [5]]
    with pytest.raises(ZeroDivisionError):
        turns.give(0)
