"""One long strip of a line: parts on a bed, their surfaces, furniture and defects, with the truth painted alongside.

The strip is painted once; the camera then looks at it through a moving window.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from linecam.footage import heldout
from linecam.footage.defects import EDGE_DEFECTS, PAINTERS, Painter
from linecam.footage.forms import shade_parts
from linecam.footage.furniture import bolt, printed_mark
from linecam.footage.layouts import LAYOUTS, Layout
from linecam.footage.marks import faint_marks
from linecam.footage.outlines import shaped_layout
from linecam.footage.patches import Ground, Patch
from linecam.footage.photos import Photographs
from linecam.footage.textures import Rng, belt, log_uniform, mottle, octaves, surface
from linecam.vocabulary import CLASS_ID, DEFECTS, IGNORE


@dataclass(slots=True)
class Strip:
    """A painted strip. luminance `(h, w)` float32, about 0..1; chroma `(h, w, 3)` RGB multipliers, None for monochrome.

    flawless: the luminance before any defect; classes `(h, w)` uint8 numbers of `vocabulary.CONCEPTS`; instances
    `(h, w)` uint16, 0 where there is no defect; concepts: instance number -> concept.
    """

    luminance: np.ndarray
    flawless: np.ndarray
    chroma: np.ndarray | None
    classes: np.ndarray
    instances: np.ndarray
    concepts: dict[int, str] = field(default_factory=dict)


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


def _paste(
    strip: Strip, patch: Patch, x: int, y: int, allowed: np.ndarray | None, class_id: int | None, instance: int
) -> bool:
    """Apply a patch centred at x, y where `allowed`; false when none of its mask falls on the strip.

    class_id: what the mask becomes; None leaves the truth as it is.
    """
    height, width = patch.mask.shape
    x0, y0 = x - width // 2, y - height // 2
    left, top = max(0, -x0), max(0, -y0)
    right, bottom = min(width, strip.classes.shape[1] - x0), min(height, strip.classes.shape[0] - y0)
    if right <= left or bottom <= top:
        return False
    local = (slice(top, bottom), slice(left, right))
    place = (slice(y0 + top, y0 + bottom), slice(x0 + left, x0 + right))
    inside = np.ones((bottom - top, right - left), bool) if allowed is None else allowed[place]
    mask = patch.mask[local] & inside
    if not mask.any():
        return False
    luminance = strip.luminance[place]
    painted = luminance * patch.gain[local] + patch.add[local]
    strip.luminance[place] = np.where(inside, painted, luminance)
    if strip.chroma is not None and patch.tint is not None and patch.alpha is not None:
        weight = (patch.alpha[local] * inside)[..., None]
        strip.chroma[place] *= 1 + weight * (np.array(patch.tint, np.float32) - 1)
    if class_id is not None:
        strip.classes[place][mask] = class_id
        strip.instances[place][mask] = instance
    return True


def describe_ground(strip: Strip, x: int, y: int, scale: float, bed: float) -> Ground:
    """What a painter may know of the place."""
    reach = max(4, int(9 * scale))
    y, x = (int(np.clip(v, 0, limit - 1)) for v, limit in zip((y, x), strip.luminance.shape, strict=True))
    window = strip.luminance[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
    return Ground(float(window.mean()), float(window.std()), scale, bed)


def add_defects(
    rng: Rng,
    strip: Strip,
    layout: Layout,
    count: int,
    scale: float,
    bed: float,
    kinds: Sequence[str] | None = None,
    painters: Mapping[str, Painter] = PAINTERS,
    nearness: float = 1.0,
) -> None:
    """Paint `count` defects at random places that suit them, each one an instance.

    kinds: which; None draws a few. nearness: how many times as large as usual they are.
    """
    names = [name for name in kinds or DEFECTS if name in painters and (len(layout.edges) or name not in EDGE_DEFECTS)]
    if kinds is None:
        if strip.chroma is None and rng.random() < 0.6:
            # Without colour rust is seldom told from other dark and rough places, and seldom called so.
            names.remove("rust")
        # Real footage repeats one fault; a scene shows one to four kinds.
        names = list(rng.choice(names, min(len(names), int(rng.integers(1, 5))), replace=False))
    if not names:
        return  # Only edge defects were asked for, and no edge is in sight.
    on_part = layout.part > 0
    reach = int(6 * scale)
    around = cv2.dilate(on_part.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    height, width = strip.classes.shape
    for _ in range(count):
        name = str(rng.choice(names))
        x, y, turn = int(rng.integers(width)), int(rng.integers(height)), int(rng.integers(4))
        if name in EDGE_DEFECTS:
            visible = layout.edges[(layout.edges[:, :2] > 0).all(1) & (layout.edges[:, :2] < (width, height)).all(1)]
            if not len(visible):
                continue
            ex, ey, nx, ny = visible[rng.integers(len(visible))]
            # Turn the patch so that its left side, -x, faces outward; the surface is sampled a little inside.
            turn = int(np.argmax([-nx, ny, nx, -ny]))
            x, y = int(ex), int(ey)
            ground = describe_ground(strip, int(ex - nx * 14 * scale), int(ey - ny * 14 * scale), scale, bed)
        else:
            if len(layout.edges) and rng.random() < 0.25:
                # Many faults begin where a part is handled: near its edge.
                ex, ey, nx, ny = layout.edges[rng.integers(len(layout.edges))]
                inward = rng.uniform(1, 18) * scale
                x, y = int(ex - nx * inward), int(ey - ny * inward)
            if not (0 <= x < width and 0 <= y < height and on_part[y, x]):
                continue
            ground = describe_ground(strip, x, y, scale, bed)
        patch = painters[name](rng, replace(ground, scale=scale * nearness))
        gain, add, mask = (np.rot90(a, turn) for a in (patch.gain, patch.add, patch.mask))
        alpha = None if patch.alpha is None else np.rot90(patch.alpha, turn)
        turned = Patch(gain, add, mask, patch.tint, alpha)
        instance = len(strip.concepts) + 1
        # A burr may stand out over the bed; nothing else leaves the part that it is on.
        allowed = around if name == "fray" else on_part if name == "chip" else layout.part == layout.part[y, x]
        if _paste(strip, turned, x, y, allowed, CLASS_ID[name], instance):
            strip.concepts[instance] = name


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
        _paste(strip, faint, x, y, on_part, None, 0)


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
                _paste(strip, patch, x, y, on_part, CLASS_ID[name], 0)
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
