"""Scores of every frame, small and on disk, for the views that draw them in the last pass."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from vidconcept.errors import output_errors

# A heat map is looked at, not measured: 8 bits on a grid of this width are enough.
_WIDTH = 160


class HeatJournal:
    """Frames of scores `(concept, h, w)` in a file, one after the other; a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with output_errors(path):
            self._file = path.open("wb")

    def __enter__(self) -> HeatJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, scores: np.ndarray) -> None:
        concepts, height, width = scores.shape
        size = (min(_WIDTH, width), max(round(height * min(_WIDTH / width, 1)), 1))
        small = np.stack([cv2.resize(s, size, interpolation=cv2.INTER_AREA) for s in scores])
        packed = zlib.compress((small * 255).round().astype(np.uint8).tobytes(), 1)
        with output_errors(self._path):
            self._file.write(struct.pack("<4I", len(packed), concepts, size[1], size[0]) + packed)

    def frames(self) -> Iterator[np.ndarray]:
        """`(concept, h', w')` float32 in [0, 1], in the order they were appended."""
        self._file.flush()
        with self._path.open("rb") as file:
            while header := file.read(16):
                length, *shape = struct.unpack("<4I", header)
                levels = np.frombuffer(zlib.decompress(file.read(length)), np.uint8)
                yield levels.reshape(shape).astype(np.float32) / 255
