"""One long strip of a line: parts on a bed, their surfaces, furniture and defects, with the truth painted alongside.

The strip is painted once; the camera then looks at it through a moving window.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from vidconcept.linecam import heldout
from vidconcept.linecam.defects import EDGE_DEFECTS, PAINTERS, Ground, Painter, Patch
from vidconcept.linecam.textures import Rng, belt, octaves, smooth_noise, surface
from vidconcept.linecam.vocabulary import CLASS_ID, DEFECTS


@dataclass(slots=True)
class Strip:
    """A painted strip. luminance `(h, w)` float32, about 0..1; chroma `(h, w, 3)` RGB multipliers, None for monochrome.

    classes `(h, w)` uint8 numbers of `vocabulary.CONCEPTS`; instances `(h, w)` uint16, 0 where there is no defect;
    concepts: instance number -> concept.
    """

    luminance: np.ndarray
    chroma: np.ndarray | None
    classes: np.ndarray
    instances: np.ndarray
    concepts: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where parts are: coverage `(h, w)` float32 in 0..1, part number `(h, w)` int32 (0 is bed), and edge points with
    outward normals, `(n, 4)` float32 rows x, y, nx, ny."""

    coverage: np.ndarray
    part: np.ndarray
    edges: np.ndarray
    count: int


def _fill(canvas: np.ndarray, part: np.ndarray, polygon: np.ndarray, number: int) -> None:
    points = np.round(polygon * 16).astype(np.int32)
    cv2.fillPoly(canvas, [points], 255, cv2.LINE_AA, 4)
    cv2.fillPoly(part, [points], number, cv2.LINE_8, 4)


def _polygon_edges(polygon: np.ndarray, spacing_px: float) -> np.ndarray:
    """Edge points with outward normals of a polygon `(n, 2)` whose centre lies inside."""
    following = np.roll(polygon, -1, 0)
    centre = polygon.mean(0)
    rows = []
    for a, b in zip(polygon, following, strict=True):
        length = np.hypot(*(b - a))
        normal = np.array([b[1] - a[1], a[0] - b[0]]) / max(length, 1e-6)
        normal = normal if np.dot(normal, (a + b) / 2 - centre) > 0 else -normal
        for u in np.arange(0.5, max(1.0, length / spacing_px)) / max(1.0, length / spacing_px):
            rows.append((*(a + u * (b - a)), *normal))
    return np.array(rows, np.float32)


def row_layout(rng: Rng, height: int, width: int, scale: float) -> Layout:
    """Parts side by side, as high as the frame or nearly, with gaps between them."""
    canvas, part = np.zeros((height, width), np.uint8), np.zeros((height, width), np.int32)
    inset = rng.uniform(-12, 30) * scale if rng.random() < 0.7 else rng.uniform(30, 80) * scale
    mean_width, gap = rng.uniform(70, 320) * scale, rng.uniform(2, 46) * scale
    regular, wave = rng.random() < 0.5, rng.uniform(0, 2.5) * scale * (rng.random() < 0.6)
    x, number, edges = -rng.uniform(0, mean_width), 0, []
    while x < width:
        number += 1
        part_width = mean_width * (1 if regular else rng.uniform(0.6, 1.4))
        top, bottom = inset + rng.normal(0, 3) * scale, height - inset + rng.normal(0, 3) * scale
        y = np.linspace(top, bottom, 12)
        tilt, bow = rng.normal(0, 0.006, 2), rng.normal(0, wave, 2)
        left = x + (y - height / 2) * tilt[0] + bow[0] * np.sin(np.pi * (y - top) / (bottom - top))
        right = x + part_width + (y - height / 2) * tilt[1] + bow[1] * np.sin(np.pi * (y - top) / (bottom - top))
        polygon = np.concatenate([np.stack([left, y], 1), np.stack([right, y], 1)[::-1]]).astype(np.float32)
        _fill(canvas, part, polygon, number)
        edges.append(_polygon_edges(polygon, 12 * scale))
        x += part_width + gap * (1 if regular else rng.uniform(0.5, 1.6))
    return Layout(canvas / np.float32(255), part, np.concatenate(edges), number)


def objects_layout(rng: Rng, height: int, width: int, scale: float) -> Layout:
    """Separate parts lying on a belt: plates, discs, rings, hexagons, bars."""
    canvas, part = np.zeros((height, width), np.uint8), np.zeros((height, width), np.int32)
    kind = rng.choice(["plate", "disc", "ring", "hexagon", "bar"])
    size = rng.uniform(60, 230) * scale
    pitch_x, rows = size * rng.uniform(1.08, 1.7), max(1, int(height / (size * 1.15)))
    number, edges = 0, []
    for row in range(rows):
        for column in range(int(width / pitch_x) + 2):
            number += 1
            cx = (column + 0.5 * (row % 2) * (rng.random() < 0.5)) * pitch_x + rng.normal(0, 0.04 * size)
            cy = (row + 0.5) * height / rows + rng.normal(0, 0.04 * size)
            corners = {"plate": 4, "bar": 4, "hexagon": 6}.get(kind, 40)
            angle = np.arange(corners) * 2 * np.pi / corners + (np.pi / 4 if corners == 4 else rng.uniform(0, 1))
            radii = np.array([0.5, 0.2 if kind == "bar" else 0.45]) * size * (1.35 if corners == 4 else 1.0)
            turn = rng.normal(0, 0.12)
            circle = np.stack([np.cos(angle), np.sin(angle)], 1) * radii
            polygon = circle @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + (cx, cy)
            _fill(canvas, part, polygon.astype(np.float32), number)
            edges.append(_polygon_edges(polygon, 12 * scale))
            if kind == "ring":
                inner = (polygon - (cx, cy)) * rng.uniform(0.25, 0.6) + (cx, cy)
                cv2.fillPoly(canvas, [np.round(inner * 16).astype(np.int32)], 0, cv2.LINE_AA, 4)
                cv2.fillPoly(part, [np.round(inner * 16).astype(np.int32)], 0, cv2.LINE_8, 4)
    return Layout(canvas / np.float32(255), part, np.concatenate(edges), number)


def coil_layout(rng: Rng, height: int, width: int, scale: float) -> Layout:
    """One endless part: strip, sheet or web; its two edges may be in sight."""
    coverage, part = np.ones((height, width), np.float32), np.ones((height, width), np.int32)
    edges = np.zeros((0, 4), np.float32)
    if rng.random() < 0.35:
        inset = int(rng.uniform(6, 50) * scale)
        for rows, y, normal in ((slice(0, inset), inset, -1.0), (slice(height - inset, height), height - inset, 1.0)):
            coverage[rows], part[rows] = 0, 0
            x = np.arange(0, width, 12 * scale, dtype=np.float32)
            edges = np.concatenate([edges, np.stack([x, 0 * x + y, 0 * x, 0 * x + normal], 1)])
    return Layout(coverage, part, edges, 1)


def cogs_layout(rng: Rng, height: int, width: int, scale: float) -> Layout:
    """Separate toothed or lobed parts: the shape of the held-out styles."""
    canvas, part = np.zeros((height, width), np.uint8), np.zeros((height, width), np.int32)
    size = rng.uniform(130, 260) * scale
    edges, number = [], 0
    for cx in np.arange(rng.uniform(0, size), width + size, size * rng.uniform(1.05, 1.4)):
        for cy in np.arange(size * 0.4, height + size * 0.3, size * 1.15):
            number += 1
            polygon = heldout.cog_outline(rng, size) + np.float32([cx, cy])
            _fill(canvas, part, polygon, number)
            edges.append(_polygon_edges(polygon[::4], 12 * scale))
    return Layout(canvas / np.float32(255), part, np.concatenate(edges), number)


LAYOUTS = {"row": row_layout, "objects": objects_layout, "coil": coil_layout, "cogs": cogs_layout}


def _shape_parts(rng: Rng, layout: Layout, scale: float) -> np.ndarray:
    """Gain `(h, w)` from the parts' form: curvature, chamfers, bright or dark edge lines, differing parts."""
    height, width = layout.part.shape
    inside = (layout.part > 0).astype(np.uint8)
    # Without a bed the distance is unbounded.
    depth = np.minimum(cv2.distanceTransform(inside, cv2.DIST_L2, 3), 1e4)
    gain = np.ones((height, width), np.float32)
    for _ in range(int(rng.integers(0, 3))):
        band, edge = rng.uniform(1.5, 14) * scale, rng.uniform(0, 10) * scale
        gain *= 1 + rng.uniform(-0.45, 0.6) * np.clip(1.2 - np.abs(depth - edge - band / 2) / (band / 2), 0, 1)
    if rng.random() < 0.5:
        gain *= 1 - rng.uniform(0.2, 0.75) * np.exp(-depth / (rng.uniform(8, 50) * scale))
    if rng.random() < 0.5:
        gain *= 1 + rng.uniform(0.2, 0.9) * np.exp(-depth / (rng.uniform(0.8, 2.0) * scale)) * inside
    levels = np.exp(rng.normal(0, rng.uniform(0.02, 0.28), layout.count + 1)).astype(np.float32)
    levels[0] = 1
    return gain * levels[layout.part]


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
    return gain


def _paste(
    strip: Strip, patch: Patch, x: int, y: int, allowed: np.ndarray | None, class_id: int, instance: int
) -> bool:
    """Apply a patch centred at x, y where `allowed`; false when none of its mask falls on the strip."""
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
    strip.classes[place][mask] = class_id
    strip.instances[place][mask] = instance
    return True


def local_ground(strip: Strip, x: int, y: int, scale: float, bed: float) -> Ground:
    """What a painter may know of the place."""
    reach = max(4, int(9 * scale))
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
) -> None:
    """Paint `count` defects at random places that suit them, each one an instance. kinds: which; None draws a few."""
    names = [name for name in kinds or DEFECTS if name in painters and (len(layout.edges) or name not in EDGE_DEFECTS)]
    if kinds is None:
        # Real footage repeats one fault; a scene shows one to four kinds.
        names = list(rng.choice(names, min(len(names), int(rng.integers(1, 5))), replace=False))
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
            ground = local_ground(strip, int(ex - nx * 14 * scale), int(ey - ny * 14 * scale), scale, bed)
        elif not on_part[y, x]:
            continue
        else:
            ground = local_ground(strip, x, y, scale, bed)
        patch = painters[name](rng, ground)
        turned = Patch(
            *(np.rot90(a, turn) for a in (patch.gain, patch.add, patch.mask)),
            patch.tint,
            None if patch.alpha is None else np.rot90(patch.alpha, turn),
        )
        instance = len(strip.concepts) + 1
        # A burr may stand out over the bed; nothing else leaves the part that it is on.
        allowed = around if name == "fray" else on_part if name == "chip" else layout.part == layout.part[y, x]
        if _paste(strip, turned, x, y, allowed, CLASS_ID[name], instance):
            strip.concepts[instance] = name


def _bolt(rng: Rng, scale: float, mean: float) -> Patch:
    radius = rng.uniform(6, 24) * scale
    reach = int(radius * 1.3) + 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    distance, angle = np.hypot(x, y), np.arctan2(y, x)
    head = radius * (1 - 0.06 * np.cos(6 * angle)) if rng.random() < 0.5 else radius
    alpha = np.clip(head - distance + 0.5, 0, 1)
    face = (
        mean * rng.uniform(0.5, 1.8) * (1 + rng.uniform(-0.5, 0.5) * x / radius + rng.uniform(-0.5, 0.5) * y / radius)
    )
    face *= 1 + rng.uniform(-0.4, 0.7) * np.exp(-(((distance - 0.85 * radius) / (0.09 * radius + 0.5)) ** 2))
    turn = rng.uniform(0, np.pi)
    u, v = x * np.cos(turn) + y * np.sin(turn), -x * np.sin(turn) + y * np.cos(turn)
    slot = {
        0: (np.abs(u) < 0.14 * radius) & (np.abs(v) < 0.75 * radius),
        1: ((np.abs(u) < 0.12 * radius) | (np.abs(v) < 0.12 * radius)) & (distance < 0.6 * radius),
        2: np.maximum(np.abs(u), np.abs(0.5 * u) + np.abs(0.87 * v)) < 0.42 * radius,
        3: np.zeros_like(u, bool),
    }[int(rng.integers(4))]
    face = np.where(cv2.GaussianBlur(slot.astype(np.float32), (0, 0), 0.6) > 0.5, face * rng.uniform(0.1, 0.5), face)
    shade = 1 - 0.4 * np.exp(-np.maximum(distance - radius, 0) / (0.12 * radius)) * (distance > radius)
    return Patch(((1 - alpha) * shade).astype(np.float32), (alpha * face).astype(np.float32), alpha > 0.4)


def _print(rng: Rng, scale: float, mean: float) -> Patch:
    """A printed or engraved mark: text, a data matrix, a bar code, or a sticker that carries one."""
    cell = max(1, round(rng.uniform(1.5, 3.5) * scale))
    kind = rng.integers(3)
    if kind == 0:
        letters = "".join(rng.choice(list("ABCDEFHKLMNPRSTXZ0123456789-"), int(rng.integers(2, 9))))
        size = rng.uniform(0.3, 1.1) * scale
        thickness = max(1, round(size * rng.uniform(1, 2.4)))
        (width, height), base = cv2.getTextSize(letters, cv2.FONT_HERSHEY_SIMPLEX, size, thickness)
        ink = np.zeros((height + base + 6, width + 8), np.uint8)
        cv2.putText(ink, letters, (4, height + 2), cv2.FONT_HERSHEY_SIMPLEX, size, 255, thickness, cv2.LINE_AA)
        ink = ink.astype(np.float32) / 255
    else:
        cells = (rng.random((14, 14)) < 0.5) if kind == 1 else np.repeat(rng.random((1, 40)) < 0.5, 16, 0)
        ink = np.kron(cells.astype(np.float32), np.ones((cell, cell), np.float32))
    ink = np.pad(ink, max(3, round(4 * scale)))
    mask = cv2.dilate((ink > 0.3).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    tone = rng.uniform(0.1, 0.6) if rng.random() < 0.7 else rng.uniform(1.5, 2.5)
    if rng.random() < 0.35:
        paper = mean * rng.uniform(1.3, 2.5)
        return Patch(np.zeros_like(ink), paper * (1 - 0.8 * ink), np.ones_like(mask))
    return Patch(1 - ink * rng.uniform(0.6, 1.0), ink * tone * mean * rng.uniform(0.3, 1), mask)


def _furnish(rng: Rng, strip: Strip, layout: Layout, scale: float) -> None:
    """Bolts, printed marks and unlabelled dust on the parts."""
    height, width = strip.classes.shape
    area = height * width / (scale * scale) / 65536
    on_part = layout.part > 0
    for name, painter, share in (("bolt", _bolt, 0.3), ("label", _print, 0.35)):
        if rng.random() > share:
            continue
        for _ in range(max(1, int(area * rng.uniform(1, 4)))):
            x, y = int(rng.integers(width)), int(rng.integers(height))
            if on_part[y, x]:
                patch = painter(rng, scale, local_ground(strip, x, y, scale, 0.0).mean)
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
) -> Strip:
    """Paint a strip of a random line. scale: pixels a feature that is one pixel wide at a 256 px frame height takes.

    defects: how many on average for each 256×256 px (in those units). style: a key of `textures.SURFACES` or
    `heldout.SURFACES`. layout_name: a key of `LAYOUTS`, None draws one. kinds: which defects, None draws a few.
    """
    held_out = style in heldout.SURFACES
    names, shares = (["cogs", "coil"], [0.6, 0.4]) if held_out else (["row", "objects", "coil"], [0.5, 0.2, 0.3])
    layout_name = layout_name or str(rng.choice(names, p=shares))
    layout = LAYOUTS[layout_name](rng, height, width, scale)
    base, bed = np.exp(rng.uniform(np.log(0.12), np.log(0.75))), np.exp(rng.uniform(np.log(0.02), np.log(0.5)))
    skin = heldout.SURFACES[style](rng, height, width, scale) if held_out else surface(rng, height, width, scale, style)
    face = base * np.exp(np.clip(skin, -4, 4) * np.exp(rng.uniform(np.log(0.015), np.log(0.26))))
    face = face * _shape_parts(rng, layout, scale) * _relief(rng, layout, scale)
    under = bed * np.exp(np.clip(belt(rng, height, width, scale), -3, 3) * rng.uniform(0.01, 0.2))
    if rng.random() < 0.6:
        fall = cv2.GaussianBlur(layout.coverage, (0, 0), rng.uniform(2, 8) * scale)
        under = under * (1 - rng.uniform(0.2, 0.8) * fall)
    luminance = layout.coverage * face + (1 - layout.coverage) * under
    chroma = None
    if colour:
        metal, ground_tint = (1 + rng.normal(0, s, 3).astype(np.float32) for s in (rng.choice([0.02, 0.08, 0.3]), 0.15))
        cover = layout.coverage[..., None]
        chroma = np.clip(cover * metal + (1 - cover) * ground_tint, 0.25, 1.8).astype(np.float32)
        if rng.random() < 0.3:
            chroma *= 1 + 0.03 * octaves(rng, height, width, 90 * scale, 2, 0.7)[..., None] * rng.normal(
                0, 1, 3
            ).astype(np.float32)
    narrow = _narrow_bed(layout, scale)
    classes = np.where(layout.part > 0, CLASS_ID["part"], np.where(narrow, CLASS_ID["gap"], CLASS_ID["conveyor"]))
    strip = Strip(luminance.astype(np.float32), chroma, classes.astype(np.uint8), np.zeros((height, width), np.uint16))
    _furnish(rng, strip, layout, scale)
    area = height * width / (scale * scale) / 65536
    add_defects(
        rng,
        strip,
        layout,
        int(rng.poisson(defects * area)),
        scale,
        float(bed),
        kinds,
        heldout.PAINTERS if held_out else PAINTERS,
    )
    return strip


def _narrow_bed(layout: Layout, scale: float) -> np.ndarray:
    """Bed that is a gap: closed by a window of 48 px across (in 256 px units)."""
    reach = int(48 * scale)
    bed = (layout.part == 0).astype(np.uint8)
    wide = cv2.morphologyEx(bed, cv2.MORPH_OPEN, np.ones((1, reach), np.uint8), borderType=cv2.BORDER_REPLICATE)
    return (bed > 0) & (wide == 0)


__all__ = ["Layout", "Strip", "add_defects", "build_strip", "local_ground", "smooth_noise"]
