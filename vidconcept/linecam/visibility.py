"""Which defects can be seen in a film: the truth counts those alone, as a person who labels it would.

A defect is compared with the same film without it, free of noise. It can be seen where the difference stands out of the
noise and the surface's own texture: in 9×9 pixels, by more than a few times their deviation.
"""

import cv2
import numpy as np

# Side of the square in which the difference is summed, and of the one in which texture is measured; pixels.
_WINDOW_PX, _TEXTURE_PX = 9, 21
# The difference, root of the sum of squares in the window, in deviations of noise and texture. Chosen by eye.
LEAST_CONTRAST = 10.0
# Largest difference within the window, in 8-bit levels.
LEAST_LEVELS = 6.0
# What lies this near to a visible place belongs to it: the floor of a dent, a gap in a scratch; pixels.
_REACH_PX = 12


def visible(with_defects: np.ndarray, without: np.ndarray, noise: float) -> np.ndarray:
    """Where defects can be seen, `(h, w)` bool, and a margin around.

    with_defects, without: `(h, w)` float32, in 8-bit levels, free of noise. noise: `Sensor.noise`, which grows with
    the level.
    """
    difference = with_defects - without
    fine = without - cv2.blur(without, (_WINDOW_PX, _WINDOW_PX))
    texture = cv2.blur(fine * fine, (_TEXTURE_PX, _TEXTURE_PX))
    variance = noise * noise * (0.25 + np.minimum(without, 255) / 160) + texture + 0.5
    energy = cv2.boxFilter(difference * difference, -1, (_WINDOW_PX, _WINDOW_PX), normalize=False)
    largest = cv2.dilate(np.abs(difference), np.ones((3, 3), np.uint8))
    seen = (energy > LEAST_CONTRAST**2 * variance) & (largest > LEAST_LEVELS)
    side = 2 * _REACH_PX + 1
    return cv2.dilate(seen.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
