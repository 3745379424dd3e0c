"""What a forward pass leaves behind: logits of each method and layer, and attention outputs where asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from vidconcept.attention.method_names import METHODS

# Whether attention outputs are kept: of no layer, of every one that is read, or of the last one alone.
Vectors = bool | Literal["last"]
_RUN_INSIDE = "run the transformer inside the context first, and not by a function that torch.compile made"


@dataclass
class Recorder:
    """Filled by the forward pass that runs inside `concept_attention`.

    Each pass begins without the records of the one before, so after one that fails half-way records are missing.

    `logits[method]`: `(layer, batch, concept token, video token)` float32, before any softmax.
    `concept_vectors`, `video_vectors`: `(layer, batch, token, dim)` attention outputs before `to_out`, in the model's
    dtype, only with `vectors=True`. Layers come in ascending order, as in `layers`. `last_video_vectors`:
    `(batch, token, dim)` of the last of them, also with `vectors="last"`. Each raises RuntimeError until there is a
    record of it.
    """

    layers: tuple[int, ...]
    _rows: dict[str, dict[int, Tensor]] = field(default_factory=dict, repr=False)

    def _clear(self) -> None:
        self._rows.clear()

    def _put(self, name: str, layer: int, value: Tensor) -> None:
        self._rows.setdefault(name, {})[layer] = value

    def _stack(self, name: str, layers: Sequence[int]) -> Tensor:
        rows = self._rows.get(name, {})
        missing = [layer for layer in layers if layer not in rows]
        if missing:
            asked = "" if name in METHODS else ", with `vectors=True`"
            raise RuntimeError(f"no {name} recorded for layers {missing}. Next: {_RUN_INSIDE}{asked}")
        return torch.stack([rows[layer] for layer in layers])

    @classmethod
    def join(cls, recorders: Sequence[Recorder]) -> Recorder:
        """Records of several frames, each read by itself, as of one window: their tokens follow each other."""
        joined = cls(recorders[0].layers)
        for name, rows in recorders[0]._rows.items():
            axis = -1 if name in METHODS else 1
            for layer in rows:
                joined._put(name, layer, torch.cat([one._rows[name][layer] for one in recorders], dim=axis))
        return joined

    @property
    def logits(self) -> dict[str, Tensor]:
        recorded = [name for name in METHODS if name in self._rows]
        if not recorded:
            raise RuntimeError(f"no logits recorded. Next: {_RUN_INSIDE}")
        return {name: self._stack(name, self.layers) for name in recorded}

    @property
    def concept_vectors(self) -> Tensor:
        return self._stack("concept vectors", self.layers)

    @property
    def video_vectors(self) -> Tensor:
        return self._stack("video vectors", self.layers)

    @property
    def last_video_vectors(self) -> Tensor:
        return self._stack("video vectors", self.layers[-1:])[0]
