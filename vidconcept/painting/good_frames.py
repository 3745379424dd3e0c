"""Defects painted on a frame of a real line, where its parts are told from the bed by the model's own view of it."""

import cv2
import numpy as np

from vidconcept.painting.defects import PAINTERS
from vidconcept.painting.kinds import CLASS_ID, DEFECTS
from vidconcept.painting.strip import Layout, Strip, add_defects
from vidconcept.painting.textures import Rng

# Parts with a smaller side than this, in pixels, are none.
SMALLEST_PX = 9
# Between points of an edge, and from the border of the picture, where a part only seems to end.
SPACING_PX, BORDER_PX = 6, 4
# A frame whose channels differ by less, in grey levels, has no colour.
COLOURLESS = 12


def find_parts(shares: np.ndarray, height: int, width: int) -> Layout:
    """Where parts lie in a frame. shares: of each kind in each cell, `(row, col, kind)`."""
    bed = shares[..., CLASS_ID["conveyor"]] + shares[..., CLASS_ID["gap"]]
    bed = cv2.resize(np.ascontiguousarray(bed, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    part = cv2.morphologyEx((bed < 0.5).astype(np.uint8), cv2.MORPH_OPEN, np.ones((SMALLEST_PX, SMALLEST_PX), np.uint8))
    count, numbers = cv2.connectedComponents(part)
    down, right = np.gradient(cv2.GaussianBlur(part.astype(np.float32), (0, 0), SPACING_PX * 2 / 3))
    edges = []
    for outline in cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
        for x, y in outline[::SPACING_PX, 0]:
            length = np.hypot(right[y, x], down[y, x])
            inside = BORDER_PX <= x < width - BORDER_PX and BORDER_PX <= y < height - BORDER_PX
            if inside and length > 1e-3:
                edges.append((x, y, -right[y, x] / length, -down[y, x] / length))
    return Layout(part.astype(np.float32), numbers, np.array(edges, np.float32).reshape(-1, 4), count - 1)


def paint_defects(rng: Rng, frame: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """A frame `(h, w, 3)` uint8 with a few defects, and the kinds of its pixels, `(h, w)` uint8.

    All that is no defect counts as part. Mostly the defects are of one kind, as on a real line.
    """
    grey = frame.astype(np.float32).mean(2) / 255
    on_part = layout.part > 0
    bed = float(grey[~on_part].mean()) if not on_part.all() else 0.0
    is_grey = np.ptp(frame.astype(np.int16), axis=2).max() < COLOURLESS
    classes, nothing = np.full(grey.shape, CLASS_ID["part"], np.uint8), np.zeros(grey.shape, np.uint16)
    strip = Strip(grey.copy(), grey, None if is_grey else np.ones(frame.shape, np.float32), classes, nothing)
    kinds = [str(rng.choice(DEFECTS))] if rng.random() < 0.7 else None
    nearness = float(np.exp(rng.uniform(-0.2, 0.9)))
    scale = min(grey.shape) / 256
    add_defects(rng, strip, layout, int(rng.integers(1, 7)), scale, bed, kinds, PAINTERS, nearness)
    # As sharp as a camera sees it, whatever it sees.
    change = cv2.GaussianBlur(strip.luminance - grey, (0, 0), float(rng.uniform(0.3, 0.9)))
    lit = (grey > 1 / 255)[..., None]
    painted = np.where(
        lit, frame * ((grey + change) / np.maximum(grey, 1 / 255))[..., None], frame + 255 * change[..., None]
    )
    if strip.chroma is not None:
        painted = painted * strip.chroma
    return np.clip(np.rint(painted), 0, 255).astype(np.uint8), strip.classes
