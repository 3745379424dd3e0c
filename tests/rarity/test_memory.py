"""The memory of the footage: bounded, even, the same for the same film."""

import numpy as np
import pytest

from vidconcept.rarity.memory import LEAST_A_STEP, Memory

GRID, DIM = 400, 5


def fill(steps: int, tokens: int = 1024) -> Memory:
    memory = Memory(tokens=tokens)
    for latent in range(steps):
        memory.travel(latent, np.array([0.1, 0.0]), cut=False)
        if memory.wants(latent):
            best = np.random.default_rng(1000 + latent).random(GRID)
            chosen, sought = memory.choose_tokens(latent, best)
            vectors = np.zeros((len(chosen), 3, DIM), np.float32)
            vectors[:, 0, 0], vectors[:, 0, 1] = latent, best[chosen]
            memory.add(latent, latent, vectors, sought)
    return memory


@pytest.mark.parametrize("steps", [1, 7, 40, 1000])
def test_it_never_holds_more_than_its_tokens(steps: int):
    assert 0 < fill(steps).count <= 1024


def test_what_it_holds_is_spread_over_the_whole_film():
    memory = fill(1000)
    kept = np.array(sorted(memory.steps))
    assert set(np.diff(kept)) == {memory.every}
    assert kept[0] == 0
    assert kept[-1] > 1000 - 2 * memory.every
    assert {len(vectors) for _, vectors, _ in memory.steps.values()} == {LEAST_A_STEP}


def test_half_of_a_step_are_its_highest_scores():
    memory = fill(1000)
    _, vectors, sought = memory.steps[0]
    best = np.sort(np.random.default_rng(1000).random(GRID))[::-1]
    assert sought.sum() >= LEAST_A_STEP // 2 - 5
    assert vectors[sought, 0, 1].min() >= np.float16(best[LEAST_A_STEP])
    assert vectors[~sought, 0, 1].mean() == pytest.approx(0.5, abs=0.15)


def test_it_comes_back_from_its_tensors_and_goes_on_as_if_nothing_had_been():
    tensors, facts = fill(333).to_tensors()
    again = Memory.from_tensors(tensors, facts)
    once_more, same_facts = again.to_tensors()
    assert facts == same_facts
    for name, values in tensors.items():
        assert np.array_equal(values, once_more[name]), name
    assert not again.wants(10)


def test_motion_that_is_known_is_not_counted_twice():
    memory = fill(5)
    memory.travel(2, np.array([9.0, 9.0]), cut=True)
    assert memory.motion.offsets[-1, 0] == pytest.approx(0.5)
    assert not memory.motion.cuts.any()


def test_what_is_cut_off_before_a_position_counts_from_there():
    memory = fill(100)
    memory.parts = [(0, 0, 0), (3, 40, 40), (7, 90, 90)]
    rest = memory.cut_before(50)
    assert len(rest.cuts) == len(rest.shifts) == 50
    kept = {position - 50 for position, _, _ in memory.steps.values() if position >= 50}
    assert {position for position, _, _ in rest.steps.values()} == kept
    assert all(rest.steps[latent][1] is memory.steps[latent][1] for latent in rest.steps)
    # Windows and latent steps go on as they were counted; the part under way began before.
    assert [rest.find_part(window) for window in (5, 7, 9)] == [(-10, 40), (40, 90), (40, 90)]
    own = memory.cut_before(50, latent=50, window=4)
    assert min(own.steps) == min(latent for latent in memory.steps if latent >= 50) - 50
    assert own.last_latent == memory.last_latent - 50
    rest.travel(50, np.array([0.1, 0.0]), cut=False)
    assert len(rest.cuts) == 51
