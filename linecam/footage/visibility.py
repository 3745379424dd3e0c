"""Which defects can be seen in a film: the truth counts those alone, as a person who labels it would.

A defect is compared with the same film without it, free of noise. It can be seen where the difference stands out of the
noise and of the surface's own texture.
"""

import cv2
import numpy as np

# Side of the square in which the difference is summed, and of the one in which texture is measured; pixels.
_WINDOW_PX, _TEXTURE_PX = 9, 21
# Root of the summed squares of the difference, in deviations of noise and texture. By eye: what reaches less is hard
# to find even when one knows where it is.
LEAST_CONTRAST = 12.0
# Largest difference within the window, in 8-bit levels.
LEAST_LEVELS = 8.0
# What of a defect lies within such a square about a visible place of it counts too: the floor of a dent; pixels.
_SIDE_PX = 25


def mark_visible(with_defects: np.ndarray, without: np.ndarray, noise: float, instances: np.ndarray) -> np.ndarray:
    """Where a defect can be seen, `(h, w)` bool.

    with_defects, without: `(h, w)` float32, in 8-bit levels, free of noise. noise: `Sensor.noise`, which grows with
    the level. instances: `(h, w)` integers, 0 where there is no defect.
    """
    difference = with_defects - without
    fine = without - cv2.blur(without, (_WINDOW_PX, _WINDOW_PX))
    texture = cv2.blur(fine * fine, (_TEXTURE_PX, _TEXTURE_PX))
    variance = noise * noise * (0.25 + np.minimum(without, 255) / 160) + texture + 0.5
    energy = cv2.boxFilter(difference * difference, -1, (_WINDOW_PX, _WINDOW_PX), normalize=False)
    largest = cv2.dilate(np.abs(difference), np.ones((3, 3), np.uint8))
    seen = (energy > LEAST_CONTRAST**2 * variance) & (largest > LEAST_LEVELS)
    out = np.zeros(seen.shape, bool)
    for number in np.unique(instances[seen & (instances > 0)]):
        own = instances == number
        x, y, width, height = cv2.boundingRect(own.astype(np.uint8))
        box = (slice(y, y + height), slice(x, x + width))
        surroundings = cv2.dilate((own & seen)[box].astype(np.uint8), np.ones((_SIDE_PX, _SIDE_PX), np.uint8)) > 0
        out[box] |= surroundings & own[box]
    return out
