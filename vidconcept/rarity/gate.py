"""What rarity does to a score: one formula."""

import numpy as np

# What is as usual as can be keeps this share of its score. Chosen on generated footage (docs/explanation/rarity.md).
LEAST = 0.3
# Where half of the rest is kept, in units of the usual distance, and how steep the way up is.
MIDDLE, WIDTH = 1.0, 0.1


def gate(rarity: np.ndarray, *, least: float = LEAST, middle: float = MIDDLE, width: float = WIDTH) -> np.ndarray:
    """The share of a score that stays: `least + (1 - least) / (1 + exp(-(rarity - middle) / width))`, float32.

    rarity: distance over the 95th percentile of the footage's own distances.
    """
    steep = np.clip((np.asarray(rarity, np.float64) - middle) / width, -30, 30)
    return (least + (1 - least) / (1 + np.exp(-steep))).astype(np.float32)
