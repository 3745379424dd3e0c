"""Silence of workers is counted from their last progress, by time in which the batch looked."""

from pathlib import Path

import pytest

from vidconcept.fleet.footage import Film
from vidconcept.fleet.stalls import PATIENCE_S, Stalls, allow_s

FILM = Film(Path("/x/a.mp4"))


class Clock:
    """Time that a test sets."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def look(stalls: Stalls, clock: Clock, seconds: float, step_s: float = 1.0) -> list[tuple[int, float]]:
    """Look every step, so long."""
    found = []
    for _ in range(round(seconds / step_s)):
        clock.now_s += step_s
        found = stalls.find()
    return found


def test_progress_ends_the_silence_and_repeating_it_does_not(clock):
    stalls = Stalls(10.0, clock)
    stalls.find()
    stalls.starts(0, FILM)
    stalls.starts(1, FILM)
    assert not look(stalls, clock, 9)
    stalls.progressed(0, "reading maps", 5)
    assert [slot for slot, _ in look(stalls, clock, 1)] == [1]
    stalls.ends(1)
    assert not look(stalls, clock, 8)
    stalls.progressed(0, "reading maps", 5)
    assert look(stalls, clock, 1) == [(0, 10.0)]


def test_a_batch_that_was_stopped_itself_blames_nobody(clock):
    stalls = Stalls(60.0, clock)
    stalls.starts(0, FILM)
    stalls.find()
    clock.now_s += 36_000.0
    assert not stalls.find()
    clock.now_s -= 40_000.0
    assert not stalls.find()
    assert look(stalls, clock, 50) == [(0, 60.0)]


def test_a_large_film_may_be_silent_for_longer(tmp_path):
    small, large = tmp_path / "small.mp4", tmp_path / "large.mp4"
    small.touch()
    with open(large, "wb") as file:
        file.truncate(7_200_000_000)
    assert allow_s(small) == PATIENCE_S
    assert allow_s(large) == PATIENCE_S + 7200.0
    assert allow_s(tmp_path / "gone.mp4") == PATIENCE_S
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in "ab":
        (pictures / f"{name}.png").write_bytes(bytes(1_000_000))
    assert allow_s(pictures) == PATIENCE_S + 2.0
