"""The presets in `configs/`: what is known of a model, and the settings it runs best with."""

from __future__ import annotations

import tomllib
import unicodedata
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from vidconcept.errors import UsageError
from vidconcept.settings import Layer, nearest


@dataclass(frozen=True)
class Preset:
    """One TOML of `configs/`.

    source: hub id, or "embedded" for the model that the package carries. vocabulary: canonical word -> all words that
    mean it, for a model with a closed vocabulary; empty for a model that takes any words.
    """

    name: str
    source: str
    licence: str
    summary: str
    download_gb: float
    memory_gb: float
    settings: dict[str, Any] = field(repr=False)
    vocabulary: dict[str, list[str]] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, path: Traversable) -> Preset:
        """Read a TOML with tables `[model]`, `[settings]` and, for a closed vocabulary, `[vocabulary]`."""
        table = tomllib.loads(path.read_text("utf-8"))
        return cls(**table["model"], settings=table.get("settings", {}), vocabulary=table.get("vocabulary", {}))

    @property
    def layer(self) -> Layer:
        return Layer(f"preset {self.name}", self.settings)

    def canonical(self, word: str) -> str:
        """The trained word that a user's word stands for. Raises UsageError for a word outside a closed vocabulary."""
        if not self.vocabulary:
            return word
        table = {_folded(alias): main for main, aliases in self.vocabulary.items() for alias in [main, *aliases]}
        found = table.get(_folded(word))
        if found is None:
            raise UsageError(
                f"model {self.name} does not know {word!r}{nearest(word, table)}. It knows: "
                f"{', '.join(self.vocabulary)}. For any other word take --model cogvideox-2b (needs a GPU)."
            )
        return found


def _folded(word: str) -> str:
    """A word without case and without the ways that Unicode has to write one letter."""
    return unicodedata.normalize("NFKC", word).strip().casefold()


def presets() -> dict[str, Preset]:
    """All presets by name, the embedded model first."""
    tables = [entry for entry in resources.files("vidconcept.configs").iterdir() if entry.name.endswith(".toml")]
    found = sorted(map(Preset.read, tables), key=lambda preset: (preset.source != "embedded", preset.name))
    return {preset.name: preset for preset in found}
