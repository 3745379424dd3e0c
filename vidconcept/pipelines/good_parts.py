"""What calibration learns of good parts beside thresholds: the memory that `--rarity FILE` compares with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vidconcept.pipelines.rarity import Judge
from vidconcept.rarity.distances import Neighbours, Usual
from vidconcept.rarity.good_parts import join_memories
from vidconcept.rarity.memory import Memory
from vidconcept.runs import RunFolder

# Good footage is judged by the memory of the other blocks of it: by its own it would look better than the next film.
BLOCKS = 4


@dataclass(frozen=True)
class GoodParts:
    """memory: of all the films, one behind the other. usual: distances among good parts.

    judges: for each film, what its tokens are compared with while false alarms are counted.
    """

    memory: Memory = field(repr=False)
    usual: Usual = field(repr=False)
    judges: list[Judge] = field(repr=False)


def learn_good_parts(runs: Sequence[RunFolder]) -> GoodParts | None:
    """From the films' own memories; None where they show too little surface to tell what is usual."""
    memories = [run.load_memory() for run in runs]
    known = [memory for memory in memories if memory is not None]
    if not known or len(known) < len(memories):
        return None
    memory, starts = join_memories(known)
    motion = memory.motion
    usual = Neighbours(memory, motion.shows_other_surface, share=0.0).usual
    if usual is None:
        return None
    total = max(len(memory.cuts), 1)

    def differs_in_block(places: np.ndarray, positions: np.ndarray, others: np.ndarray) -> np.ndarray:
        apart = (positions * BLOCKS // total)[:, None] != (others * BLOCKS // total)[None]
        return apart & motion.shows_other_surface(places, positions, others)

    neighbours = Neighbours(memory, differs_in_block, usual=usual, share=0.0)
    return GoodParts(memory, usual, [Judge(neighbours, start) for start in starts])
