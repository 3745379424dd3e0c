"""The decision of a run: scores become masks, with numbers of its own for each concept and place where it has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import cv2
import numpy as np

from vidconcept.tracks.masks import PIECE_RATIO, MaskSettings, decide, tighten


@dataclass(frozen=True, slots=True)
class FrameMasks:
    """What was decided on one frame, each `(concept, h, w)` bool.

    pieces: what is linked. shown: what of them is the mask. reaches: where in them the threshold is reached.
    """

    pieces: np.ndarray = field(repr=False)
    shown: np.ndarray = field(repr=False)
    reaches: np.ndarray = field(repr=False)


def interpolate_lifts(lifts: Sequence[Sequence[float]], height: int, width: int) -> np.ndarray:
    """Rows of columns that cover the picture, as `(height, width)` float32, bilinear between the places' centres.

    Read-only: the same for every frame, it is kept.
    """
    return _interpolate_lifts(tuple(tuple(row) for row in lifts), height, width)


@lru_cache(maxsize=16)
def _interpolate_lifts(lifts: tuple[tuple[float, ...], ...], height: int, width: int) -> np.ndarray:
    if not lifts or not lifts[0] or len({len(row) for row in lifts}) > 1:
        raise ValueError(f"place lifts are rows of equally many columns, got rows of {[len(row) for row in lifts]}")
    table = cv2.resize(np.array(lifts, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    table.flags.writeable = False
    return table


def subtract_lifts(
    scores: np.ndarray, concepts: Sequence[str], lifts: Mapping[str, Sequence[Sequence[float]]]
) -> np.ndarray:
    """Scores `(concept, h, w)` less what good footage scores at each place, not below 0."""
    if not any(name in lifts for name in concepts):
        return scores
    maps = [
        np.maximum(own - interpolate_lifts(lifts[name], *own.shape), 0.0) if name in lifts else own
        for name, own in zip(concepts, scores, strict=True)
    ]
    return np.stack(maps)


@dataclass(frozen=True)
class Decision:
    """How a run turns scores into masks, made once from its settings.

    concepts: names, in the order of the scores. masks: what holds for all concepts. thresholds: a concept's own high
    level instead of `masks.threshold`. lifts: by how much a concept's scores are lowered at each place of the picture
    before they are judged, because good footage scores high there. hysteresis: the share of the threshold that a piece
    needs; below 1 there are pieces without a place that reaches the threshold, which only belong to a track that
    reaches it on another frame.
    """

    concepts: tuple[str, ...]
    masks: MaskSettings
    thresholds: Mapping[str, float] = field(default_factory=dict)
    lifts: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict, repr=False)
    hysteresis: float = 1.0

    def decide(self, scores: np.ndarray) -> FrameMasks:
        """The masks of one frame, by `masks.decide`. scores: `(concept, h, w)`."""
        pieces, shown, reaches = (np.zeros(scores.shape, bool) for _ in range(3))
        masks = self.masks
        joined = replace(masks, ratio=min(masks.ratio, PIECE_RATIO))
        judged_scores = subtract_lifts(scores, self.concepts, self.lifts)
        for index, (name, judged) in enumerate(zip(self.concepts, judged_scores, strict=True)):
            threshold = self.thresholds.get(name, masks.threshold)
            if float(judged.max(initial=0)) < self.hysteresis * threshold:
                continue
            pieces[index] = decide(judged, settings=replace(joined, threshold=self.hysteresis * threshold))
            tight = masks.ratio > PIECE_RATIO
            shown[index] = tighten(judged, pieces[index], settings=masks) if tight else pieces[index]
            reaches[index] = pieces[index] & (judged >= np.float32(threshold))
        return FrameMasks(pieces, shown, reaches)
