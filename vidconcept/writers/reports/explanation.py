"""The picture of an explanation: the peak frame, and the maps of the strongest words layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vidconcept.evaluation.explanation import Explanation
from vidconcept.geometry import resize
from vidconcept.written import open_own_bytes

TILE_PX, LABEL_PX = 200, 22


def draw_explanation(explanation: Explanation, words: int = 6) -> np.ndarray:
    """One picture `(h, w, 3)` uint8 RGB: the frame, then a row for the combined maps and one for each layer.

    words: columns; the event's word and the strongest rivals at its peak.
    """
    e = explanation
    rivals = [name for name in e.scores() if name != e.words[0]]
    shown = [0, *(e.words.index(name) for name in rivals[: words - 1])]
    h, w = e.image.shape[:2]
    width = TILE_PX
    height = max(1, round(h * width / w))
    head = _add_caption(
        _draw_outline(e.image, e.mask, width * 2, height * 2), f"frame {e.event.peak_frame}, {e.words[0]}"
    )
    scores = _draw_score_list(e, head.shape[0], (len(shown) - 2) * width)
    rows = [np.hstack([head, scores])]
    grids = [("as read", e.combined)]
    grids += [(f"layer {i}{' (read)' if i in e.chosen else ''}", layer) for i, layer in enumerate(e.maps)]
    for name, layer in grids:
        cells = []
        for index in shown:
            tile = _draw_heat(e.image, layer[index], width, height)
            value = layer[index][e.peak_cell]
            cells.append(_add_caption(tile, f"{name}: {e.words[index]} {value:.2f}"))
        rows.append(np.hstack(cells))
    full = max(row.shape[1] for row in rows)
    return np.vstack([_pad_row(row, full) for row in rows])


def _draw_outline(image: np.ndarray, mask: np.ndarray, width: int, height: int) -> np.ndarray:
    small = resize(image, height, width).copy()
    shape = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(shape, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(small, outlines, -1, (255, 140, 0), 2)


def _draw_heat(image: np.ndarray, scores: np.ndarray, width: int, height: int) -> np.ndarray:
    grey = cv2.cvtColor(cv2.cvtColor(resize(image, height, width), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    fine = cv2.resize(scores.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    # By the square root, so that the thin defects, which score 0.1 to 0.3, can be seen beside the part at 0.9.
    shade = np.sqrt(np.clip(fine, 0, 1))
    colours = cv2.applyColorMap((shade * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    weight = (0.25 + 0.6 * shade)[..., None]
    return (grey * (1 - weight) + colours * weight).astype(np.uint8)


def _add_caption(tile: np.ndarray, text: str) -> np.ndarray:
    bar = np.full((LABEL_PX, tile.shape[1], 3), 255, np.uint8)
    return np.vstack([_write_lines(bar, [text]), tile])


def _write_lines(canvas: np.ndarray, texts: Sequence[str]) -> np.ndarray:
    """Lines of text from the top; Unicode, by OpenCV's own font."""
    font: Any = cv2.FontFace("sans")
    for number, text in enumerate(texts):
        at = (6, 16 + number * 20)
        cv2.putText(canvas, text, at, (30, 30, 30), font, 13)
    return canvas


def _draw_score_list(e: Explanation, height: int, width: int) -> np.ndarray:
    lines = [f"event {e.event.event_id}: {e.words[0]}, {e.event.start_s:.2f} s to {e.event.end_s:.2f} s", ""]
    lines += [f"{value:.3f}  {name}" for name, value in e.scores().items()]
    canvas = np.full((height, max(width, 200), 3), 255, np.uint8)
    per_column = max(1, (height - 40) // 20)
    for start in range(2, len(lines), per_column):
        column = canvas[40:, (start // per_column) * 160 :]
        if column.shape[1] > 100:
            column[:] = _write_lines(column.copy(), lines[start : start + per_column])
    return _write_lines(canvas, lines[:1])


def _pad_row(row: np.ndarray, width: int) -> np.ndarray:
    missing = np.full((row.shape[0], width - row.shape[1], 3), 255, np.uint8)
    return np.hstack([row, missing])


def write_picture(path: Path, explanation: Explanation) -> None:
    """Write the picture as PNG. Raises OutputError, also for a file that no command wrote."""
    _, data = cv2.imencode(".png", np.ascontiguousarray(draw_explanation(explanation)[..., ::-1]))
    with open_own_bytes(path) as file:
        file.write(data.tobytes())
