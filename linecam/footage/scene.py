"""One long strip of a line: parts on a bed, their surfaces, furniture and defects, with the truth painted alongside.

The strip is painted once; the camera then looks at it through a moving window.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from linecam.footage import heldout
from linecam.footage.forms import shade_parts
from linecam.footage.furniture import bolt, printed_mark
from linecam.footage.layouts import LAYOUTS
from linecam.footage.marks import faint_marks
from linecam.footage.outlines import shaped_layout
from linecam.footage.photos import Photographs
from vidconcept.painting.defects import PAINTERS
from vidconcept.painting.kinds import CLASS_ID, IGNORE
from vidconcept.painting.patches import Patch
from vidconcept.painting.strip import Layout, Strip, add_defects, describe_ground, paste
from vidconcept.painting.textures import Rng, belt, log_uniform, mottle, octaves, surface


def _relief(rng: Rng, layout: Layout, scale: float) -> np.ndarray:
    """Gain of made features that are no defects: grooves, steps, ribs, seams, tool marks, faint long lines."""
    height, width = layout.part.shape
    gain = np.ones((height, width), np.float32)
    for _ in range(int(rng.choice([0, 0, 0, 0, 1, 2]))):
        line = np.zeros((height, width), np.uint8)
        vertical = rng.random() < 0.5
        pitch, start = rng.uniform(40, 220) * scale, rng.uniform(0, 120) * scale
        limit = width if vertical else height
        for at in np.arange(start, limit, pitch) if rng.random() < 0.4 else (rng.uniform(0, limit),):
            ends = ((at, 0), (at, height)) if vertical else ((0, at), (width, at))
            points = np.round(np.array(ends) * 16).astype(np.int32)
            cv2.line(line, points[0], points[1], 255, max(1, round(rng.uniform(0.6, 5) * scale)), cv2.LINE_AA, 4)
        mark = line.astype(np.float32) / 255
        if rng.random() < 0.5:
            mark -= np.roll(mark, max(1, round(2 * scale)), 1 if vertical else 0) * rng.uniform(0.3, 1.0)
        gain += mark * rng.uniform(-0.4, 0.4)
    return gain * faint_marks(rng, height, width, scale)


def add_traces(rng: Rng, strip: Strip, layout: Layout, count: int, scale: float) -> None:
    """Marks of a defect's form that are too faint to be one: good surface, and labelled as such."""
    height, width = strip.classes.shape
    on_part = layout.part > 0
    for _ in range(count):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        if not on_part[y, x]:
            continue
        ground = describe_ground(strip, x, y, scale, 0.0)
        patch = PAINTERS[str(rng.choice(["scratch", "stain", "dent", "crack", "hole"]))](rng, ground)
        if not patch.mask.any():
            continue
        change = np.abs(ground.mean * (patch.gain - 1) + patch.add)[patch.mask].mean()
        # On a smooth surface even a tenth of the local deviation would show.
        level = min(rng.uniform(0.05, 0.2) * ground.deviation, rng.uniform(0.008, 0.025) * ground.mean)
        share = level / max(float(change), 1e-6)
        faint = Patch(1 + (patch.gain - 1) * min(share, 1.0), patch.add * min(share, 1.0), patch.mask)
        paste(strip, faint, x, y, on_part, None, 0)


def _furnish(rng: Rng, strip: Strip, layout: Layout, scale: float) -> None:
    """Bolts, printed marks and unlabelled dust on the parts."""
    height, width = strip.classes.shape
    area = height * width / (scale * scale) / 65536
    on_part = layout.part > 0
    for name, painter, share in (("bolt", bolt, 0.3), ("label", printed_mark, 0.35)):
        if rng.random() > share:
            continue
        for _ in range(max(1, int(area * rng.uniform(1, 4)))):
            x, y = int(rng.integers(width)), int(rng.integers(height))
            if on_part[y, x]:
                patch = painter(rng, scale, describe_ground(strip, x, y, scale, 0.0).mean)
                paste(strip, patch, x, y, on_part, CLASS_ID[name], 0)
    if rng.random() < 0.4:
        for _ in range(int(area * rng.uniform(2, 40))):
            x, y, r = int(rng.integers(1, width - 1)), int(rng.integers(1, height - 1)), int(rng.random() < 0.3)
            strip.luminance[y : y + 1 + r, x : x + 1 + r] *= rng.uniform(0.75, 1.4)


def build_strip(
    rng: Rng,
    height: int,
    width: int,
    scale: float,
    defects: float,
    colour: bool,
    style: str,
    layout_name: str | None = None,
    kinds: Sequence[str] | None = None,
    photos: Photographs | None = None,
    shaped: float = 0.0,
    near: float = 0.0,
) -> Strip:
    """Paint a strip of a random line. scale: pixels a feature that is one pixel wide at a 256 px frame height takes.

    defects: how many on average for each 256×256 px (in those units). style: a key of `textures.SURFACES` or
    `heldout.SURFACES`. layout_name: a key of `LAYOUTS`, None draws one. kinds: which defects, None draws a few.
    photos: photographs that a share of the strips lies on, with marks of theirs among the defects. shaped: share of the
    strips whose parts have teeth, notches or rough edges. near: share of the strips whose defects are fewer and larger,
    as seen from close by.
    """
    held_out = style in heldout.SURFACES
    names, shares = (["cogs", "coil"], [0.6, 0.4]) if held_out else (["row", "objects", "coil"], [0.5, 0.2, 0.3])
    if shaped and rng.random() < shaped:
        layout = shaped_layout(rng, height, width, scale)
    else:
        layout = LAYOUTS[layout_name or str(rng.choice(names, p=shares))](rng, height, width, scale)
    base, bed = np.exp(rng.uniform(np.log(0.12), np.log(0.75))), np.exp(rng.uniform(np.log(0.02), np.log(0.5)))
    skin = heldout.SURFACES[style](rng, height, width, scale) if held_out else surface(rng, height, width, scale, style)
    field = np.clip(skin, -4, 4) * np.exp(rng.uniform(np.log(0.015), np.log(0.26)))
    photograph = None
    if photos is not None and rng.random() < photos.share:
        photograph = photos.surface(rng, height, width, scale)
        field = photograph.log_luminance + (rng.random() < 0.3) * 0.5 * field
    face = base * np.exp(field)
    clouds = mottle(rng, height, width, scale) if rng.random() < 0.5 else mottle(rng, width, height, scale).T
    face = face * np.exp(clouds) * shade_parts(rng, layout, scale) * _relief(rng, layout, scale)
    under = bed * np.exp(np.clip(belt(rng, height, width, scale), -3, 3) * rng.uniform(0.01, 0.2))
    if rng.random() < 0.6:
        fall = cv2.GaussianBlur(layout.coverage, (0, 0), rng.uniform(2, 8) * scale)
        under = under * (1 - rng.uniform(0.2, 0.8) * fall)
    luminance = layout.coverage * face + (1 - layout.coverage) * under
    chroma = None
    if colour:
        metal, ground_tint = (1 + rng.normal(0, s, 3).astype(np.float32) for s in (rng.choice([0.02, 0.08, 0.3]), 0.15))
        cover = layout.coverage[..., None]
        if photograph is not None and rng.random() < 0.7:
            metal = photograph.tint
        chroma = np.clip(cover * metal + (1 - cover) * ground_tint, 0.25, 1.8).astype(np.float32)
        if rng.random() < 0.3:
            chroma *= 1 + 0.03 * octaves(rng, height, width, 90 * scale, 2, 0.7)[..., None] * rng.normal(
                0, 1, 3
            ).astype(np.float32)
    narrow = _narrow_bed(layout, scale)
    classes = np.where(layout.part > 0, CLASS_ID["part"], np.where(narrow, CLASS_ID["gap"], CLASS_ID["conveyor"]))
    if photograph is not None:
        classes[photograph.marked & (layout.part > 0)] = IGNORE
    luminance = luminance.astype(np.float32)
    strip = Strip(luminance, luminance, chroma, classes.astype(np.uint8), np.zeros((height, width), np.uint16))
    _furnish(rng, strip, layout, scale)
    area = height * width / (scale * scale) / 65536
    if rng.random() < 0.4:
        add_traces(rng, strip, layout, int(rng.poisson(6 * area)), scale)
    strip.flawless = strip.luminance.copy()
    painters = heldout.PAINTERS if held_out else PAINTERS if photos is None else photos.painters(PAINTERS)
    nearness = log_uniform(rng, 1.2, 3.5) if near and rng.random() < near else 1.0
    count = int(rng.poisson(defects * area / nearness))
    add_defects(rng, strip, layout, count, scale, float(bed), kinds, painters, nearness)
    return strip


def _narrow_bed(layout: Layout, scale: float) -> np.ndarray:
    """Bed that is a gap: closed by a window of 48 px across (in 256 px units)."""
    reach = int(48 * scale)
    bed = (layout.part == 0).astype(np.uint8)
    wide = cv2.morphologyEx(bed, cv2.MORPH_OPEN, np.ones((1, reach), np.uint8), borderType=cv2.BORDER_REPLICATE)
    return (bed > 0) & (wide == 0)
