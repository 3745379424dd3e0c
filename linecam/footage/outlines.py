"""Good parts whose outline is not smooth: teeth, lobes, slots, notches, rounded corners, sheared and cast edges.

A model that has only seen straight edges calls every tooth a chip and every rough edge a fray. All parts of a line have
the same design, and what all of them have is no defect.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from linecam.footage.layouts import draw_part, find_edges
from vidconcept.painting.strip import Layout
from vidconcept.painting.textures import Rng, log_uniform, smooth_noise

# Steps round an outline.
STEPS = 720


def shaped_layout(rng: Rng, height: int, width: int, scale: float) -> Layout:
    """Separate parts of one design on a belt, or parts as high as the frame with a profile along their sides."""
    return (_shaped_objects if rng.random() < 0.55 else _shaped_row)(rng, height, width, scale)


def _wave(rng: Rng, phase: np.ndarray) -> np.ndarray:
    """A regular profile in -1..1 of a phase in turns: trapezes, saw teeth, lobes or narrow slots."""
    kind, u = rng.choice(["trapeze", "saw", "lobe", "slot"]), phase % 1.0
    if kind == "lobe":
        return np.abs(np.sin(np.pi * u)) * 2 - 1
    if kind == "saw":
        top = rng.uniform(0.1, 0.9)
        return np.where(u < top, u / top, (1 - u) / (1 - top)) * 2 - 1
    if kind == "slot":
        share, flank = rng.uniform(0.7, 0.92), 0.03
    else:
        share, flank = rng.uniform(0.3, 0.7), rng.uniform(0.05, 0.2)
    return np.clip(1 - 2 * (np.abs(u - 0.5) - share / 2) / flank, -1, 1)


@dataclass(frozen=True, slots=True)
class _Edge:
    """How much a sheared or cast edge deviates, and the length of its grain, in pixels."""

    deviation_px: float
    grain_px: float

    @classmethod
    def draw(cls, rng: Rng, scale: float) -> "_Edge":
        """Half of the designs have clean edges."""
        rough = rng.random() < 0.5
        return cls(rough * log_uniform(rng, 0.3, 2.0) * scale, log_uniform(rng, 1.5, 30) * scale)

    def deviate(self, rng: Rng, length_px: float, count: int) -> np.ndarray:
        """Deviation at `count` points along a length."""
        return self.deviation_px * smooth_noise(rng, 2, count, 1.0, self.grain_px * count / length_px)[0]


def _round_outline(rng: Rng, size_px: float) -> np.ndarray:
    """Radii `(STEPS,)` in pixels of a design about its centre: a disc, a polygon with round corners or a cast body."""
    angle = np.linspace(0, 2 * np.pi, STEPS, endpoint=False)
    body = rng.choice(["disc", "polygon", "cast"], p=[0.5, 0.25, 0.25])
    radius = np.ones(STEPS)
    if body == "polygon":
        corners = int(rng.integers(3, 9))
        radius = np.cos(np.pi / corners) / np.cos((angle + np.pi / corners) % (2 * np.pi / corners) - np.pi / corners)
        radius = cv2.blur(np.tile(radius, 3)[None], (int(rng.uniform(1, 60)), 1))[0, STEPS : 2 * STEPS]
    elif body == "cast":
        for order in range(2, 7):
            radius = radius + rng.normal(0, 0.12 / order) * np.cos(order * angle + rng.uniform(0, 6))
    if rng.random() < 0.75:
        teeth = int(log_uniform(rng, 3, 60))
        depth = rng.uniform(0.02, min(0.16, 2.5 / teeth))
        radius = radius + depth * _wave(rng, angle / (2 * np.pi) * teeth)
    if rng.random() < 0.3:
        # A keyway, a flat or a few notches.
        for at in rng.uniform(0, 2 * np.pi, int(rng.integers(1, 4))):
            away = np.abs((angle - at + np.pi) % (2 * np.pi) - np.pi)
            radius = radius - rng.uniform(0.05, 0.25) * np.clip(1 - (away / rng.uniform(0.05, 0.3)) ** 8, 0, 1)
    return radius * size_px / 2


def _shaped_objects(rng: Rng, height: int, width: int, scale: float) -> Layout:
    canvas, part = np.zeros((height, width), np.uint8), np.zeros((height, width), np.int32)
    size = log_uniform(rng, 60, 280) * scale
    radius, stretch = _round_outline(rng, size), rng.uniform(0.6, 1.0)
    hole = rng.uniform(0.12, 0.5) if rng.random() < 0.3 else 0.0
    pitch, rows = size * rng.uniform(1.1, 1.6), max(1, int(height / (size * 1.15)))
    shift, free, edge = rng.random() < 0.5, rng.random() < 0.5, _Edge.draw(rng, scale)
    angle = np.linspace(0, 2 * np.pi, STEPS, endpoint=False)
    number, edges = 0, []
    for row in range(rows):
        for column in range(int(width / pitch) + 2):
            number += 1
            # Parts that lie as they fell, or nearly as in a fixture.
            turn = rng.uniform(0, 2 * np.pi) if free else rng.normal(0, 0.05)
            own = radius + edge.deviate(rng, np.pi * size, STEPS)
            middle = np.array([(column + 0.5 * (row % 2) * shift) * pitch, (row + 0.5) * height / rows])
            middle = middle + rng.normal(0, 0.03 * size, 2)
            outline = np.stack([np.cos(angle), stretch * np.sin(angle)], 1) * own[:, None]
            outline = outline @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + middle
            draw_part(canvas, part, outline, number)
            edges.append(find_edges(outline[::4], 12 * scale))
            if hole:
                inner = np.stack([np.cos(angle), np.sin(angle)], 1) * hole * size / 2 * stretch + middle
                draw_part(canvas, part, inner, 0)
    return Layout(canvas / np.float32(255), part, np.concatenate(edges), number)


def _side(rng: Rng, length_px: float, count: int, scale: float) -> np.ndarray:
    """Offsets in pixels, inward positive, of one side of a design at `count` points: teeth, notches, round corners."""
    at = np.linspace(0, length_px, count)
    side = np.zeros(count)
    if rng.random() < 0.4:
        pitch = log_uniform(rng, 6, 90) * scale
        side += rng.uniform(0.08, 0.3) * min(pitch, 60 * scale) * (1 + _wave(rng, at / pitch + rng.random()))
    if rng.random() < 0.3:
        for centre in rng.uniform(0, length_px, int(rng.integers(1, 4))):
            half = log_uniform(rng, 3, 30) * scale
            power = rng.choice([2, 8])
            side += log_uniform(rng, 3, 25) * scale * np.clip(1 - (np.abs(at - centre) / half) ** power, 0, 1)
    if rng.random() < 0.5:
        reach = log_uniform(rng, 3, 40) * scale
        to_end = np.clip(np.minimum(at, length_px - at) / reach, 0, 1)
        cut = 1 - to_end if rng.random() < 0.4 else 1 - np.sqrt(1 - (1 - to_end) ** 2)
        side += reach * cut
    return side


def _shaped_row(rng: Rng, height: int, width: int, scale: float) -> Layout:
    canvas, part = np.zeros((height, width), np.uint8), np.zeros((height, width), np.int32)
    inset = rng.uniform(-12, 40) * scale
    length = height - 2 * inset
    part_width, gap = rng.uniform(60, 320) * scale, rng.uniform(2, 46) * scale
    count = max(16, int(length / max(scale, 0.5)))
    sides = [_side(rng, length, count, scale) for _ in range(2)]
    if rng.random() < 0.4:
        sides[1] = sides[0]
    sides = [np.minimum(side, 0.45 * part_width) for side in sides]
    edge = _Edge.draw(rng, scale)
    x, number, edges = -rng.uniform(0, part_width), 0, []
    while x < width:
        number += 1
        y = np.linspace(inset, height - inset, count) + rng.normal(0, 1.5) * scale
        left, right = (
            side + edge.deviate(rng, length, count) + rng.normal(0, 0.004) * (y - height / 2) for side in sides
        )
        outline = np.concatenate([np.stack([x + left, y], 1), np.stack([x + part_width - right, y], 1)[::-1]])
        draw_part(canvas, part, outline, number)
        edges.append(find_edges(outline[::3], 12 * scale))
        x += part_width + gap
    return Layout(canvas / np.float32(255), part, np.concatenate(edges), number)
