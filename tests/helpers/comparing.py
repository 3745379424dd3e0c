"""Masks of an export against those of `tracks.csv`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from vidconcept.types import TrackMask

FRAMES = 70
# By (frame index, tracker id).
Masks = dict[tuple[int, int], np.ndarray]
Exporter = Callable[..., Path]


def disjoint(masks: Masks, rows: dict[tuple[int, int], TrackMask]) -> Masks:
    """What remains of each mask where a pixel has one owner, the most confident one."""
    left = {}
    for key, mask in masks.items():
        better = [
            other
            for (frame, tracker_id), other in masks.items()
            if frame == key[0] and tracker_id != key[1] and rows[(frame, tracker_id)].confidence > rows[key].confidence
        ]
        left[key] = mask & ~np.logical_or.reduce(better) if better else mask
    return {key: mask for key, mask in left.items() if mask.any()}


def assert_same(exported: Masks, masks: Masks) -> None:
    assert exported.keys() == masks.keys()
    assert all((exported[key] == masks[key]).all() for key in masks)
