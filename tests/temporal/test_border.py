"""Where the surface stands, what has left the picture, or has not entered it, is not shown at its border."""

import numpy as np
import pytest

from tests.temporal.test_smooth import latents_of, moving_line
from vidconcept.temporal.smooth import smooth

SPEED_PX, PITCH_PX = 8, 16


def touched(masks: np.ndarray) -> list[np.ndarray]:
    """What a model gives that says how surely something touches a token: `(1, row, col)` for each latent step."""
    n, h, w = masks.shape
    cells = masks.reshape(n, h // PITCH_PX, PITCH_PX, w // PITCH_PX, PITCH_PX).any((2, 4)).astype(np.float32)
    return [cells[[0]], *(cells[k : k + 4].mean(0, keepdims=True) for k in range(1, n, 4))]


@pytest.mark.parametrize("leaves", [True, False])
def test_a_line_that_stops_ends_what_is_not_in_view(leaves):
    images, masks = moving_line(80, SPEED_PX)
    seen = np.flatnonzero(masks.any((1, 2)))
    # The line stands for 40 frames right after the scratch has left, or right before it enters.
    stop = seen[-1] + 1 if leaves else seen[0] - 1
    order = [*range(stop), *[stop] * 40] if leaves else [*[stop] * 40, *range(stop, 80)]
    rng = np.random.default_rng(0)
    frames = [np.clip(images[k] + rng.normal(0, 0.7, images[k].shape), 0, 255).astype(np.uint8) for k in order]
    shown = masks[order]
    out = list(smooth(latents_of(touched(shown), len(order)), frames, method="flow"))
    peaks = np.array([frame.scores.max() for frame in out])
    in_view = shown.any((1, 2))
    standing = np.array([k == stop for k in order])
    assert peaks[in_view].max() > 0.8
    # Of a latent step that is partly of the moving line, some may be left.
    away = standing & ~np.convolve(in_view | ~standing, np.ones(9), "same").astype(bool)
    assert away.sum() > 25
    assert peaks[away].max() < 0.1
