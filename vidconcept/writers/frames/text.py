"""Text on frames, in any script: OpenCV 5 carries Unicode fonts, so no machine's fonts are asked for."""

from functools import lru_cache

import cv2
import numpy as np

from vidconcept.writers.frames.palette import Rgb

_WEIGHT = 600


@lru_cache(maxsize=1)
def _load_face() -> "cv2.FontFace":
    return cv2.FontFace("sans")


@lru_cache(maxsize=4096)
def text_width_px(text: str, size_px: int) -> int:
    """Width of one line of text."""
    _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), _load_face(), size_px, _WEIGHT)
    return int(width)


def put_text(image: np.ndarray, text: str, x: int, baseline_y: int, size_px: int, colour: Rgb) -> None:
    """Draws one line into `(h, w, 3)` uint8 in place; `x, baseline_y` is where the first letter stands."""
    cv2.putText(image, text, (x, baseline_y), colour, _load_face(), size_px, _WEIGHT)


def fit_text(text: str, size_px: int, width_px: int) -> str:
    """The text on one line, cut with an ellipsis where it is wider than `width_px`."""
    text = " ".join(text.split())
    if text_width_px(text, size_px) <= width_px:
        return text
    while text and text_width_px(text + "…", size_px) > width_px:
        text = text[:-1]
    return text + "…"
