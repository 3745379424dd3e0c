"""The order of films over workers that die, run out of memory, or find a film in other hands."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vidconcept.fleet.footage import Film
from vidconcept.fleet.schedule import Schedule
from vidconcept.fleet.settling import Settling

A, B, C = (Film(Path(f"/x/{name}.mp4")) for name in "abc")


def started(*films, tries=3) -> Schedule:
    schedule = Schedule(tries)
    schedule.add(films)
    return schedule


def test_what_killed_its_worker_is_tried_alone_and_given_up():
    schedule = started(A, B, C)
    assert schedule.next_for(0) == A
    assert schedule.next_for(1) == B
    assert schedule.died(0) == (A, 2)
    assert schedule.next_for(0) == C
    schedule.finished(0)
    # B is at work, so A waits.
    assert schedule.next_for(0) is None
    schedule.finished(1)
    assert schedule.next_for(0) == A
    schedule.add([B])
    # A is alone, so B waits.
    assert schedule.next_for(1) is None
    assert schedule.died(0) == (A, 1)
    assert schedule.next_for(1) == B
    schedule.finished(1)
    assert schedule.next_for(1) == A
    assert schedule.died(1) == (A, 0)
    assert schedule.unfinished == 0


def test_out_of_memory_is_tried_once_more():
    schedule = started(A)
    schedule.next_for(0)
    assert schedule.ran_out_of_memory(0) == (A, True)
    assert schedule.next_for(0) == A
    assert schedule.ran_out_of_memory(0) == (A, False)
    assert schedule.unfinished == 0


def test_a_film_in_other_hands_is_looked_at_again():
    schedule = started(A)
    schedule.next_for(0)
    schedule.busy(0)
    assert schedule.next_for(0) is None
    assert schedule.unfinished == 1
    schedule.free(A)
    assert schedule.next_for(0) == A


def test_a_recording_is_taken_when_it_has_stopped_growing(tmp_path):
    now_s = 0.0
    settling = watched(tmp_path, lambda: now_s)
    film = tmp_path / "a.mp4"
    film.write_bytes(b"1")
    taken = []
    for now_s in range(0, 40, 2):
        if now_s == 8:
            film.write_bytes(b"12")
        taken += [(now_s, found.source) for found in settling.take()]
    assert taken == [(18, film)]
    # Recorded anew under the same name.
    film.write_bytes(b"other")
    for now_s in range(40, 60, 2):
        taken += [(now_s, found.source) for found in settling.take()]
    assert taken[1:] == [(50, film)]


def watched(folder: Path, clock: Callable[[], float], settle_s: float = 10) -> Settling:
    def make_unread(place: Path, reason: str) -> Film:
        return Film(place, unread=reason)

    return Settling([folder], folder / "runs", Film, make_unread, settle_s=settle_s, look_s=1, clock=clock)


def test_an_empty_file_is_taken_late_and_named_until_then(tmp_path):
    """It has not begun; one that never does is told of, as its camera recorded nothing."""
    now_s = 0.0
    settling = watched(tmp_path, lambda: now_s)
    film = tmp_path / "a.mp4"
    film.touch()
    taken, told = [], []
    for now_s in range(70):
        taken += [(now_s, found.source) for found in settling.take()]
        told.append(settling.describe_waiting())
    assert taken == [(60, film)]
    assert told[59] == [f"{film} is empty and was not tracked. Next: run again when it is whole"]
    assert told[60] == []


def test_a_recording_that_still_grows_when_watching_ends_is_named(tmp_path):
    settling = watched(tmp_path, lambda: 0.0)
    (tmp_path / "a.mp4").write_bytes(b"1")
    assert settling.take() == []
    (told,) = settling.describe_waiting()
    assert told.startswith(f"{tmp_path / 'a.mp4'} had not stopped growing and was not tracked. Next: ")


def test_a_link_that_cannot_be_followed_for_a_while_is_told_once(tmp_path):
    now_s = 0.0
    settling = watched(tmp_path, lambda: now_s)
    (tmp_path / "cam1").symlink_to(tmp_path / "nowhere")
    taken = []
    for now_s in range(40):
        taken += [(now_s, found.source, found.unread) for found in settling.take()]
    ((when, place, reason),) = taken
    assert (when, place) == (10, tmp_path / "cam1")
    assert "is a link that cannot be followed: No such file" in reason


def test_a_recording_whose_name_is_not_utf_8_is_told_once(tmp_path):
    now_s = 0.0
    settling = watched(tmp_path, lambda: now_s)
    (tmp_path / os.fsdecode(b"b\xff.mp4")).write_bytes(b"1")
    taken = []
    for now_s in range(40):
        taken += [(now_s, found.source, found.unread) for found in settling.take()]
    ((when, place, reason),) = taken
    assert (when, place) == (10, tmp_path)
    assert "is not UTF-8. Next: rename it" in reason


@pytest.mark.parametrize("year_s", [0.0, 4e9])
def test_times_of_files_that_lie_far_off_delay_nothing(tmp_path, year_s):
    """A camera whose clock was set back, or runs years ahead: what counts is that the file no longer changes."""
    now_s = 0.0
    settling = watched(tmp_path, lambda: now_s)
    film = tmp_path / "a.mp4"
    film.write_bytes(b"1")
    taken = []
    for now_s in range(0, 40, 2):
        if now_s == 4:
            # Of the same size, and older or newer than a moment ago.
            os.utime(film, (year_s, year_s))
        taken += [(now_s, found.source) for found in settling.take()]
    assert taken == [(14, film)]
