"""The presets in `configs/`: what is known of a model, and the settings it runs best with."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from vidconcept.errors import UsageError
from vidconcept.files import read_toml, validate
from vidconcept.setting_layers import Layer
from vidconcept.wording import suggest_word

# What some languages and programs put between the words of a list.
_MARKS = "[;；、，/／]"


class Preset(BaseModel):
    """One TOML of `configs/`.

    source: hub id, or "embedded" for the model that the package carries. revision: commit of the hub that is pinned;
    None: what is there. vocabulary: canonical word -> all words that
    mean it, for a model with a closed vocabulary; empty for a model that takes any words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    revision: Annotated[str, Field(pattern="^[0-9a-f]{40}$")] | None = None
    licence: str
    summary: str
    download_gb: Annotated[float, Field(ge=0)]
    memory_gb: Annotated[float, Field(ge=0)]
    settings: dict[str, Any] = Field(default={}, repr=False)
    vocabulary: dict[str, list[str]] = Field(default={}, repr=False)

    @classmethod
    def read(cls, path: Path) -> Preset:
        """Read a TOML with tables `[model]`, `[settings]` and, for a closed vocabulary, `[vocabulary]`.

        Raises InputError for what is none.
        """
        tables = validate(_Tables, read_toml(path), path)
        return validate(
            cls, tables.model | {"settings": tables.settings, "vocabulary": tables.vocabulary}, path, "model"
        )

    @property
    def spelled(self) -> str:
        """As it is asked for: the name, with the commit where one is pinned."""
        return self.name if self.revision is None else f"{self.name}@{self.revision}"

    @property
    def layer(self) -> Layer:
        return Layer(f"preset {self.name}", self.settings)

    def translate(self, word: str) -> str:
        """The trained word that a user's word stands for. Raises UsageError for a word outside a closed vocabulary."""
        if not self.vocabulary:
            return word
        table = {_fold(alias): main for main, aliases in self.vocabulary.items() for alias in [main, *aliases]}
        found = table.get(_fold(word))
        if found is None and (parts := _split_known(word, table)):
            raise UsageError(
                f"model {self.name} does not know {word!r}; a comma separates concepts. Next: {','.join(parts)!r}"
            )
        if found is None:
            raise UsageError(
                f"model {self.name} does not know {word!r}{suggest_word(_fold(word), table)}. It knows: "
                f"{', '.join(self.vocabulary)}. "
                "Next: take one of these, or for any other word `model=cogvideox-2b` (very slow without a GPU)"
            )
        return found


class _Tables(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: dict[str, Any]
    settings: dict[str, Any] = {}
    vocabulary: dict[str, list[str]] = {}


def _fold(word: str) -> str:
    """A word without case and without the ways that Unicode has to write one letter."""
    return unicodedata.normalize("NFKC", word).strip().casefold()


def _split_known(word: str, table: Mapping[str, str]) -> list[str]:
    """The words between other marks than a comma, or else between blanks; empty where one of them is not known.

    table: folded words that are known.
    """
    for marks in (_MARKS, rf"{_MARKS}|\s"):
        parts = [part.strip() for part in re.split(marks, word) if part.strip()]
        if all(_fold(part) in table for part in parts):
            return parts
    return []


def presets() -> dict[str, Preset]:
    """All presets by name, the embedded model first."""
    folder = Path(str(resources.files("vidconcept.configs")))
    found = sorted(
        map(Preset.read, folder.glob("*.toml")), key=lambda preset: (preset.source != "embedded", preset.name)
    )
    return {preset.name: preset for preset in found}
