"""What the first pass keeps for rarity: features of what may become a finding, a memory of the rest, and the motion."""

from __future__ import annotations

import numpy as np

from vidconcept.rarity.features import SCALES, pick_strongest_tokens, pool_scales
from vidconcept.rarity.memory import Described, Memory
from vidconcept.temporal.choose import measure_shift
from vidconcept.temporal.flow import estimate
from vidconcept.temporal.motion import STILL
from vidconcept.temporal.proxy import make_proxy
from vidconcept.temporal.windows import Window
from vidconcept.types import ConceptMaps

# Tokens are described whose score passes this share of the threshold, the strongest of each latent step.
CANDIDATE_SHARE, CANDIDATES = 0.1, 64
# Pieces that reach this share of the threshold are described beside them: single concepts may have a lower one.
PIECE_SHARE = 0.8


def remember_motion(memory: Memory, window: Window) -> None:
    """Take the motion of a window's frames into the memory."""
    if window.start == 0:
        memory.begin_part(window.index, window.frames_before)
    begins, _ = memory.find_part(window.index)
    if window.motions:
        for position, motion in window.motions:
            memory.travel(begins + position, measure_shift(motion), motion.cut)
        return
    before, prior = None, STILL
    for offset in range(window.real_frames):
        position = begins + window.start + offset
        if position < len(memory.cuts) - 1:
            continue
        here = make_proxy(window.frames[offset])
        if before is not None:
            prior = estimate(before, here, prior)
            memory.travel(position, measure_shift(prior), prior.cut)
        before = here


def describe(memory: Memory, maps: ConceptMaps, window: Window, threshold: float) -> Described:
    """What of a window's features is kept: those of its strongest tokens, and some of all for the memory.

    threshold: the plan's `description_threshold`.
    """
    assert maps.features is not None
    scores, positions = maps.scores, maps.positions
    steps = scores.shape[1]
    by_frame = len(maps.features) == len(window.frames)
    begins, first_latent = memory.find_part(window.index)
    tokens, vectors = [], []
    for j, (first, last) in enumerate(positions.tolist()):
        last = min(last, window.start + window.real_frames - 1)
        if first > last:
            break
        if by_frame:
            frames = [(position, position - window.start) for position in range(first, last + 1)]
        else:
            frames = [((first + last) // 2, min(j, len(maps.features) - steps + j))]
        latent = first_latent + -(-int(positions[j, 1]) // maps.step)
        asked = pick_strongest_tokens(scores[:, j], CANDIDATE_SHARE * threshold, CANDIDATES, PIECE_SHARE * threshold)
        wanted = memory.wants(latent)
        for position, index in frames:
            remembered = wanted and position == frames[-1][0]
            if not (len(asked) or remembered):
                continue
            seen = pool_scales(maps.features[index])
            if len(asked):
                at = np.full(len(asked), begins + position)
                tokens.append(np.column_stack([at, np.full(len(asked), j), asked]))
                vectors.append(seen[asked[:, 0], asked[:, 1]].astype(np.float16))
            if remembered:
                chosen, sought = memory.choose_tokens(latent, scores[:, j].max(0).ravel())
                memory.add(latent, begins + position, seen.reshape(-1, *seen.shape[2:])[chosen], sought)
        memory.last_latent = max(memory.last_latent, latent)
    memory.last_window = max(memory.last_window, maps.window_index)
    dim = maps.features.shape[-1]
    none = Described(np.zeros((0, 4), np.int32), np.zeros((0, len(SCALES), dim), np.float16))
    return Described(np.concatenate(tokens), np.concatenate(vectors)) if tokens else none
