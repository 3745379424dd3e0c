"""Where parts lie on the bed: rows of parts, separate objects, endless strip."""

import cv2
import numpy as np

from linecam.footage import heldout
from vidconcept.painting.strip import Layout
from vidconcept.painting.textures import Rng


def draw_part(canvas: np.ndarray, part: np.ndarray, polygon: np.ndarray, number: int) -> None:
    """Fill a polygon `(n, 2)` in the coverage, `(h, w)` uint8, and the part numbers; number 0 cuts a hole."""
    points = np.round(polygon * 16).astype(np.int32)
    cv2.fillPoly(canvas, [points], 255 if number else 0, cv2.LINE_AA, 4)
    cv2.fillPoly(part, [points], number, cv2.LINE_8, 4)


def find_edges(polygon: np.ndarray, spacing_px: float) -> np.ndarray:
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
        draw_part(canvas, part, polygon, number)
        edges.append(find_edges(polygon, 12 * scale))
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
            draw_part(canvas, part, polygon.astype(np.float32), number)
            edges.append(find_edges(polygon, 12 * scale))
            if kind == "ring":
                inner = (polygon - (cx, cy)) * rng.uniform(0.25, 0.6) + (cx, cy)
                draw_part(canvas, part, inner, 0)
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
            polygon = heldout.cog_outline(rng, size) + np.array([cx, cy], np.float32)
            draw_part(canvas, part, polygon, number)
            edges.append(find_edges(polygon[::4], 12 * scale))
    return Layout(canvas / np.float32(255), part, np.concatenate(edges), number)


LAYOUTS = {"row": row_layout, "objects": objects_layout, "coil": coil_layout, "cogs": cogs_layout}
