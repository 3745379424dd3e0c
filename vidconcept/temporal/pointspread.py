"""The point spread of a model, from maps whose truth is known: how much blurrier they are than area means."""

import cv2
import numpy as np

# Standard deviations that are tried, in tokens.
CANDIDATES = np.arange(0.0, 2.05, 0.1)


def estimate_spread(scores: np.ndarray, area: np.ndarray) -> float:
    """Standard deviation of the point spread in tokens, for `EnergySettings.spread_tokens`.

    scores: what the model said, `(n, row, col)`. area: the share of each token that is truly the concept, same shape.
    The spread is the one whose blur of `area`, with a gain and an offset of its own, is nearest to the scores. Raises
    ValueError where the truth is empty.
    """
    if scores.shape != area.shape or not area.any():
        raise ValueError(f"a spread needs scores and a truth that is not empty, got {scores.shape = } {area.shape = }")
    errors = np.array([_misfit(scores.ravel(), _blur(area, sigma).ravel()) for sigma in CANDIDATES])
    # The smallest spread that is as good as any: what is narrower than a token can hardly be told from none.
    return float(CANDIDATES[int(np.argmax(errors <= 1.01 * errors.min() + 1e-6))])


def _blur(area: np.ndarray, sigma: float) -> np.ndarray:
    if sigma < 0.05:
        return area.astype(np.float64)
    return np.stack(
        [cv2.GaussianBlur(a.astype(np.float64), (0, 0), sigma, borderType=cv2.BORDER_REFLECT) for a in area]
    )


def _misfit(scores: np.ndarray, predicted: np.ndarray) -> float:
    """Squared error of the best gain and offset, as a share of the scores' variance."""
    return 1.0 - float(np.corrcoef(scores, predicted)[0, 1]) ** 2
