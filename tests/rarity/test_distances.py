"""Rarity on a line that is made up of numbers: what is unusual, what is not, and when nothing can be said."""

import numpy as np
import pytest

from vidconcept.rarity.distances import Neighbours, Queries, Rarity, accept_all
from vidconcept.rarity.features import pool_scales
from vidconcept.rarity.gate import LEAST, gate
from vidconcept.rarity.memory import Memory

ROWS, COLS, DIM, STEPS, SPEED = 12, 16, 24, 60, 0.1
ODD = np.linspace(2.0, 4.0, DIM)


def surface(seed: int = 0) -> np.ndarray:
    """Features of a strip of good surface, `(row, place, dim)`: noise, and a bolt every 20 places."""
    width = int(STEPS * SPEED * COLS) + COLS + 8
    strip = np.random.default_rng(seed).normal(0, 1, (ROWS, width, DIM))
    strip[5, ::20] += 6.0
    return strip


def film(strip: np.ndarray, speed: float = SPEED, high: tuple[tuple[int, int], ...] = ()) -> Memory:
    """The memory of a film along the strip. high: row and place of what scores high."""
    memory = Memory(tokens=1536)
    for step in range(STEPS):
        left = round(step * speed * COLS)
        memory.travel(step, np.array([-speed, 0.0]) if step else np.zeros(2), cut=False)
        seen = pool_scales(strip[:, left : left + COLS])
        best = np.zeros((ROWS, COLS))
        best[5, (np.arange(left, left + COLS) % 20) == 0] = 0.6
        for row, place in high:
            if left <= place < left + COLS:
                best[row, place - left] = 0.9
        chosen, sought = memory.choose_tokens(step, best.ravel())
        memory.add(step, step, seen.reshape(-1, 3, DIM)[chosen], sought)
    return memory


def ask(memory: Memory, strip: np.ndarray, row: int, place: int, speed: float = SPEED) -> Rarity:
    """How unusual a place is in the frame that has it in the middle."""
    step = int(np.clip(round((place - COLS / 2) / (SPEED * COLS)), 0, STEPS - 1))
    left = round(step * speed * COLS)
    seen = pool_scales(strip[:, left : left + COLS])
    at = np.array([[(place - left + 0.5) / COLS, (row + 0.5) / ROWS]])
    return Neighbours(memory, memory.motion.shows_other_surface).measure(
        Queries(seen[row, place - left][None], at, np.array([step]))
    )


def test_good_surface_and_what_every_part_has_are_usual_and_one_odd_place_is_not():
    strip = surface()
    strip[8, 50] += ODD
    memory = film(strip, high=((8, 50),))
    odd, plain, bolt = (ask(memory, strip, row, place).value[0] for row, place in ((8, 50), (3, 50), (5, 60)))
    assert odd > 1.5
    assert plain < 1.2
    assert bolt < 0.7 * odd, "a bolt that fires on every part"


def test_a_defect_on_one_part_in_ten_stays_rare_and_one_on_every_part_does_not():
    few, every = surface(1), surface(1)
    few[8, 50] += ODD
    few[8, 100] += ODD
    places = range(10, every.shape[1], 10)
    for place in places:
        every[8, place] += ODD
    rare = ask(film(few, high=((8, 50), (8, 100))), few, 8, 50).value[0]
    usual = ask(film(every, high=tuple((8, place) for place in places)), every, 8, 50).value[0]
    assert rare > 1.4
    assert usual < 1.2


def test_a_broad_stain_of_like_parts_is_seen_as_a_whole():
    strip = surface(2)
    strip[2:10, 46:56] += 0.9  # less than the noise of a single token
    value = ask(film(strip), strip, 5, 51).value[0]
    assert value > 1.5


def test_without_other_surface_nothing_is_said():
    strip = surface(3)
    still = film(strip, speed=0.0)
    found = ask(still, strip, 8, 8, speed=0.0)
    assert not found.known[0]


def test_good_parts_of_another_film_are_all_evidence():
    good, strip = surface(4), surface(5)
    strip[8, 10] += ODD
    memory = film(good)
    usual = Neighbours(memory, memory.motion.shows_other_surface, share=0.0).usual
    neighbours = Neighbours(memory, accept_all, usual=usual, share=0.0)
    seen = pool_scales(strip[:, :COLS])
    vectors = np.stack([seen[8, 10], seen[3, 10]])
    places = np.full((2, 2), 0.5)
    odd, plain = neighbours.measure(Queries(vectors, places, np.zeros(2, int))).value
    assert odd > 1.4
    assert plain < 1.2


def test_the_gate_is_the_formula_that_its_text_states():
    values = np.array([0.0, 0.9, 1.0, 1.3, 50.0])
    kept = gate(values, least=0.2, middle=1.0, width=0.1)
    assert kept == pytest.approx([0.2, 0.2 + 0.8 / (1 + np.e), 0.6, 0.2 + 0.8 / (1 + np.exp(-3.0)), 1.0], abs=1e-4)
    assert gate(np.array([0.0]))[0] == pytest.approx(LEAST, abs=1e-3)
