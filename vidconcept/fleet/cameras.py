"""A list of cameras: a CSV with the footage of each, its concepts, region, config and stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vidconcept.errors import UsageError
from vidconcept.files import shorten
from vidconcept.setting_layers import parse_text
from vidconcept.settings import TrackSettings
from vidconcept.wording import suggest
from vidconcept.writers.cells import read_rows, unescape_text

FOOTAGE, CAMERA, CONFIG = "video", "camera", "config"


@dataclass(frozen=True, slots=True)
class Camera:
    """One line of the list. footage: file, folder or pattern; settings: those that the line gives."""

    footage: str
    name: str
    settings: dict[str, Any]
    config: Path | None


def read_cameras(path: Path) -> Iterator[Camera]:
    """The lines of a CSV with the column `video`, and any of `camera`, `config` and the settings of `track`.

    Paths are relative to the file. An empty cell leaves the setting as the call gives it.
    Raises InputError, with the line, for what is damaged or does not fit, UsageError for an unknown column.
    """

    def make(cells: dict[str, str]) -> Camera:
        known = [FOOTAGE, CAMERA, CONFIG, *TrackSettings.model_fields]
        for name in cells:
            if name is None:
                raise ValueError('more cells than columns: put a list of words into quotes, "scratch,dent"')
            if name not in known:
                raise UsageError(
                    f"{path}: unknown column {name!r}{suggest(name, known)}. Next: correct it or take it out"
                )
        texts = {name: unescape_text(cell).strip() for name, cell in cells.items() if cell and cell.strip()}
        if FOOTAGE not in texts:
            raise ValueError(f"no {FOOTAGE} given")
        settings = {key: parse_text(key, text) for key, text in texts.items() if key in TrackSettings.model_fields}
        try:
            TrackSettings(**settings)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{first['loc'][0]} = {shorten(repr(first['input']))}: {first['msg']}") from error
        config = path.parent / texts[CONFIG] if CONFIG in texts else None
        if config is not None and not config.is_file():
            raise ValueError(f"config {config} does not exist")
        return Camera(str(path.parent / texts[FOOTAGE]), texts.get(CAMERA, ""), settings, config)

    yield from read_rows(path, [FOOTAGE], make, what="a list of cameras")
