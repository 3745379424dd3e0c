"""The field of tokens that say how surely something touches them, as a model that was trained to align does.

Such a token is no mean over its area: a pore and a stain both make it 1. The field is a robust mean of the tokens along
the motion, in which each point takes the tokens that it lies in, whole, so that what is smaller than a token keeps its
score. A point of the defect lies in a touched token in every frame; a point beside it does so in some frames only, the
fewer the farther away it is.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from vidconcept.temporal.pooling import Canvas, Observation, View
from vidconcept.temporal.regularize import EnergySettings, add_all, add_products, average_robustly, weigh_presence


def compute_touched_field(
    observations: Sequence[Observation],
    canvas: Canvas,
    settings: EnergySettings,
    smear: tuple[int, int] | None = None,
) -> np.ndarray:
    """The field of one concept on the canvas, `(rows + 2m, cols + 2m)` float32 in [0, 1].

    observations: with views of all their frames, on all points of the canvas. Its form is the mean over these frames,
    its height that of the middle frames alone, which a defect that is in sight of a token for one frame reaches too.
    smear: as `measure_smear` tells it, which is the same for all concepts.
    """
    weights = [weigh_presence(o) for o in observations]
    height = average_robustly([o.sample_view(o.middle, cv2.INTER_NEAREST) for o in observations], weights, settings)
    if max(float(o.tokens.max()) for o in observations) <= settings.active:
        return height  # An empty concept costs no more than this mean.
    form = average_robustly([_average_over_frames(o) for o in observations], weights, settings)
    return round_steps(form, height, canvas.per_token, smear or measure_smear([o.views for o in observations], canvas))


def measure_smear(views: Sequence[Sequence[View]], canvas: Canvas) -> tuple[int, int]:
    """How far most points move along y and x while a latent step lasts, in cells. views: of each step's frames."""
    y, x = np.median([_find_way(each[0], each[-1]) for each in views], axis=0) * canvas.per_token
    return int(y), int(x)


def _average_over_frames(observation: Observation) -> np.ndarray:
    """Mean of an observation's tokens over its frames, each where it sees the point."""
    weights = [view.weight for view in observation.views]
    values = [observation.sample_view(view, cv2.INTER_NEAREST) for view in observation.views]
    return add_products(values, weights) / add_all(weights)


def _find_way(first: View, last: View) -> tuple[float, float]:
    """How far most points move from one frame to another, along y and x, in tokens."""
    return float(np.median(np.abs(last.y - first.y))), float(np.median(np.abs(last.x - first.x)))


def round_steps(form: np.ndarray, height: np.ndarray, per_token: int, smear: tuple[int, int] = (0, 0)) -> np.ndarray:
    """A field `(row, col)` of this form whose steps are smooth, and whose peaks are as high as those of `height`.

    per_token: cells of the field per side of a token. smear: cells along y and x over which the height of a peak is
    spread. Within a token and the smear of a peak the smoothed form is raised to it.
    """
    smooth = cv2.GaussianBlur(form, (0, 0), per_token / 2, borderType=cv2.BORDER_REPLICATE)
    around = np.ones([2 * (per_token + cells) + 1 for cells in smear], np.uint8)
    highest = cv2.dilate(height, around)
    return np.minimum(smooth * highest / np.maximum(cv2.dilate(smooth, around), 1e-6), highest)
