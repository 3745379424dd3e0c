"""From a stream of latent steps and the frames they cover to scores of every frame, with bounded look-ahead."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

import numpy as np

from vidconcept.errors import VidconceptError
from vidconcept.registry import load_entry
from vidconcept.temporal.motion import Motion
from vidconcept.temporal.parameters import SmoothSettings
from vidconcept.temporal.sampling import grid_points
from vidconcept.temporal.smoothers import SMOOTHERS
from vidconcept.temporal.stream import find_reach, gather_neighbourhoods, join_steps, split_stretches
from vidconcept.types import FrameScores, LatentMaps

# How far scores may lie outside of [0, 1]: sums of float32 do.
ROUNDING = 1e-4


def smooth(
    latents: Iterable[LatentMaps],
    frames: Iterable[np.ndarray],
    *,
    method: str = "energy",
    settings: SmoothSettings | None = None,
    between: int = 0,
    known: dict[int, Motion] | None = None,
) -> Iterator[FrameScores]:
    """Scores of every frame that the latent steps cover, in order.

    frames: working images `(h, w, 3)` uint8 RGB by position from 0, all of one size, covering what the map grid covers.
    Both streams are pulled as needed; at most `past_steps + ahead_steps + 1` latent steps of maps and `ahead_steps + 1`
    of frames are held. between: where the latent steps leave frames out, these are scored too, from the steps around
    them, up to so many at once, and say that they are interpolated; the method must follow the motion. known: motions
    by position that need not be measured again; it may fill as `latents` is read, and those used are taken out.

    Scores come as `(concept, h, w)` float32 in [0, 1]; `reset` marks the first frame after a scene cut, across which
    nothing is carried. Raises ValueError for an unknown method, and for one that does not follow the motion where that
    is needed; VidconceptError where the method gives other scores than those.
    """
    settings = settings or SmoothSettings()
    if method not in SMOOTHERS:
        raise ValueError(f"method is one of {', '.join(SMOOTHERS)}, got {method!r}")
    if between and not SMOOTHERS[method].follows_motion:
        raise ValueError(f"{method = } does not follow the motion, and frames between windows need that")
    score_stretch = load_entry(SMOOTHERS[method].function)
    joined = join_steps(latents, frames, between=between, keep_images=SMOOTHERS[method].needs_pictures, known=known)
    for steps, index in gather_neighbourhoods(joined, settings.past_steps, settings.ahead_steps):
        here = steps[index]
        motions = {p: m for step in steps for p, m in step.motions.items()}
        for stretch in split_stretches(here):
            low, high = find_reach(motions, stretch)
            steps_nearby = [s for s in steps if s.maps.last >= low and s.maps.first <= high]
            scores = score_stretch(steps_nearby, steps_nearby.index(here), stretch, motions, settings)
            shape = (len(here.maps.scores), *here.size)
            for position, frame_scores in _check_scores(method, stretch, scores, shape):
                motion = motions.get(position)
                yield FrameScores(
                    position,
                    here.maps.origin,
                    frame_scores,
                    reset=motion is not None and motion.cut,
                    flow=None if motion is None or motion.cut else _measure_displacement(motion, here.size),
                )
        here.images.clear()


def _check_scores(
    method: str, stretch: Sequence[int], scores: Iterable[np.ndarray], shape: tuple[int, ...]
) -> Iterator[tuple[int, np.ndarray]]:
    """Each position of the stretch with its scores. Raises VidconceptError for what no method may yield."""
    for position, found in zip_longest(stretch, scores):
        trouble = "one more frame behind it" if position is None else _find_trouble(found, shape)
        at = stretch[-1] if position is None else position
        if trouble:
            raise VidconceptError(
                f"smoothing method {method}, position {at}: {trouble}, where float32 {shape} in [0, 1] is due. "
                "Next: correct the method, or `smooth=energy`"
            )
        yield at, found


def _find_trouble(scores: np.ndarray | None, shape: tuple[int, ...]) -> str:
    """What is wrong with the scores of a frame; empty where they are as they must be."""
    if scores is None:
        return "no scores"
    if scores.shape != shape or scores.dtype != np.float32:
        return f"{scores.dtype} {scores.shape}"
    low, high = (scores.min(), scores.max()) if scores.size else (0, 0)
    return "" if low >= -ROUNDING and high <= 1 + ROUNDING else f"scores from {low:g} to {high:g}"


def _measure_displacement(motion: Motion, size: tuple[int, int]) -> np.ndarray:
    """Displacement from the previous frame to this one in working pixels, on an eighth of the working grid."""
    h, w = size
    points = grid_points(max(1, h // 8), max(1, w // 8))
    return ((motion.targets(points) - points) * np.array([w, h], np.float32)).astype(np.float32)
