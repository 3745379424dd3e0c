"""Defects painted on a picture of parts, with the truth painted alongside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from vidconcept.painting.defects import EDGE_DEFECTS, PAINTERS, Painter
from vidconcept.painting.kinds import CLASS_ID, DEFECTS
from vidconcept.painting.patches import Ground, Patch
from vidconcept.painting.textures import Rng


@dataclass(frozen=True, slots=True)
class Layout:
    """Where parts are: coverage `(h, w)` float32 in 0..1, part number `(h, w)` int32 (0 is bed), and edge points with
    outward normals, `(n, 4)` float32 rows x, y, nx, ny."""

    coverage: np.ndarray
    part: np.ndarray
    edges: np.ndarray
    count: int


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


def paste(
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
        if paste(strip, turned, x, y, allowed, CLASS_ID[name], instance):
            strip.concepts[instance] = name
