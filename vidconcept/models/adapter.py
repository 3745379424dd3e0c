"""The seam between this tool and a family of models: what a family must offer, and which there are.

A new family is a module with an adapter and an entry in `ADAPTERS`; nothing else names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vidconcept.attention.method_names import REFUSED
from vidconcept.errors import ModelError
from vidconcept.models.cogvideox_folder import CogVideoXAdapter
from vidconcept.models.configs import PipelineIndex, read_config
from vidconcept.models.families import FLOW_ADAPTERS
from vidconcept.models.layout import ModelLayout
from vidconcept.settings import TrackSettings


class Model(Protocol):
    """A loaded model whose words are encoded.

    engine: how it runs (`dtype`, `device`, ...), for `run.json`. step: frames per token in time. pitch_px: pixels of
    the model's picture per token. word_tokens: sub-words of each word, in the order of the logits.
    """

    @property
    def step(self) -> int: ...

    @property
    def pitch_px(self) -> int: ...

    @property
    def settings(self) -> TrackSettings: ...

    @property
    def engine(self) -> Mapping[str, Any]: ...

    @property
    def word_tokens(self) -> Sequence[int]: ...

    def logits(
        self, frames: np.ndarray, draw: int = 0, methods: Sequence[Any] = ("concept-attention",)
    ) -> dict[str, np.ndarray]:
        """One forward pass over a window `(t, h, w, 3)` uint8, t = 1 + n*step, with the noise of number `draw`.

        Returns for each method `(layer, sub-word, video token)` float32 before any softmax, the layers those of the
        settings, the tokens ordered (time, row, column). Raises ModelError where nothing could be found in them.
        """
        ...

    def described(self, frames: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Logits of the settings' method for each noise draw, as of `logits`, and what tokens look like.

        The latter are features `(n, row, col, dim)` float32 of each frame (n = t) or of each latent step (n = t_lat),
        of any number of channels, in which surface that looks alike is near; rarity is measured in them.
        """
        ...

    def with_settings(self, settings: TrackSettings) -> Model:
        """The same weights and words, read with other settings."""
        ...


class Adapter(Protocol):
    """A family of models. All but `load` look at configuration files only, and are quick."""

    def read_layout(self, folder: Path) -> ModelLayout:
        """Raises ModelError when a configuration is missing or makes no sense."""
        ...

    def base_preset(self, folder: Path) -> str:
        """The name of the preset for a folder that has none of its own; `folder` may not be there yet."""
        ...

    def trained_settings(self, folder: Path, base: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of such a folder that differ from its preset's, `base`."""
        ...

    def load(self, folder: Path, settings: TrackSettings, words: Sequence[str], report: Callable[[str], None]) -> Model:
        """words: every word in the softmax. report: told of every fallback. Raises ModelError; no network."""
        ...


# By the class that `model_index.json` names as the transformer.
ADAPTERS: dict[str, Adapter] = {"CogVideoXTransformer3DModel": CogVideoXAdapter(), **FLOW_ADAPTERS}


def choose_adapter(folder: Path) -> Adapter:
    """The adapter of a pipeline folder; for one that is not here yet, and so says nothing, the first.

    Raises ModelError for a transformer of another family.
    """
    path = folder / "model_index.json"
    if not path.is_file():
        return next(iter(ADAPTERS.values()))
    name = read_config(path, PipelineIndex).transformer[1]
    if name in REFUSED:
        raise ModelError(
            f"{path} names the transformer {name!r}, which cannot be read: {REFUSED[name]}. "
            "Next: another `model`, see vidconcept models"
        )
    if name not in ADAPTERS:
        raise ModelError(
            f"{path} names the transformer {name!r}; this tool reads {', '.join(ADAPTERS)}. "
            "Next: another `model`, see vidconcept models"
        )
    return ADAPTERS[name]


def read_layout(folder: Path) -> ModelLayout:
    """Raises ModelError when a configuration is missing or makes no sense."""
    return choose_adapter(folder).read_layout(folder)
