"""Options that several commands share, and what their texts mean."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vidconcept.errors import UsageError
from vidconcept.setting_layers import parse_text
from vidconcept.settings import TrackSettings
from vidconcept.wording import suggest

Concepts = Annotated[str | None, typer.Option("--concepts", metavar="A,B", help="concepts to look for")]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="any setting of track, e.g. --set threshold=0.4; repeatable"),
]
Config = Annotated[Path | None, typer.Option("--config", help="settings from a TOML file")]
Json = Annotated[bool, typer.Option("--json", metavar="", help="print one JSON object on stdout")]
Format = Annotated[str | None, typer.Option("--format", help="format of the data set, if it cannot be recognised")]
Split = Annotated[
    str | None, typer.Option("--split", help="split of a DAVIS, VSPW, YouTube-VIS or COCO data set [val]")
]
Rename = Annotated[
    str | None, typer.Option("--rename", metavar="THEIRS=YOURS,…", help="map a data-set label to a concept")
]


def parse_settings(concepts: str | None, pairs: list[str] | None) -> dict[str, Any]:
    """Settings of the command line. Raises UsageError for a pair that is none, or an unknown key."""
    settings: dict[str, Any] = {}
    for pair in pairs or []:
        key, separator, value = pair.partition("=")
        if not separator:
            raise UsageError(f"--set {pair!r} is not KEY=VALUE. Next: give both, e.g. --set threshold=0.4")
        key = key.strip().replace("-", "_")
        if key not in TrackSettings.model_fields:
            raise UsageError(f"--set: unknown key {key!r}{suggest(key, TrackSettings.model_fields)}. Next: correct it")
        settings[key] = parse_text(key, value)
    return settings | ({} if concepts is None else {"concepts": parse_text("concepts", concepts)})


def format_command_line() -> str:
    return shlex.join(["vidconcept", *sys.argv[1:]])


def parse_words(text: str) -> list[str]:
    """A list separated by commas, without blanks."""
    return [part.strip() for part in text.split(",") if part.strip()]


def parse_renames(text: str | None) -> dict[str, str]:
    """What `--rename` asks for. Raises UsageError for what is no pair."""
    pairs = [part.partition("=") for part in parse_words(text or "")]
    if any(not separator for _, separator, _ in pairs):
        raise UsageError(
            f"--rename {text!r} is not THEIRS=YOURS. Next: give both words, e.g. --rename broken_large=chip"
        )
    return {theirs.strip(): yours.strip() for theirs, _, yours in pairs}


def refuse_more(takes: str, first: str | Path, more: list[str], step: str) -> None:
    """Raises UsageError for arguments beyond the first, and for what looks like an option without its value.

    takes: the command and what it takes, e.g. "track takes one video". step: what to do with several.
    """
    if more and not any(argument.startswith("-") for argument in more):
        raise UsageError(
            f"{takes}, and got {1 + len(more)}: {first}, {', '.join(more[:3])}{', …' if len(more) > 3 else ''}. "
            f"Next: {step}; a name with spaces needs quotes"
        )
    if more:
        option = next(argument for argument in more if argument.startswith("-"))
        raise UsageError(f"no such option: {option}. Next: vidconcept {takes.split()[0]} --help")


def refuse_unlabelled(source: str, **options: object) -> None:
    """Raises UsageError for an option, given by its name, that says nothing of what is no labelled data set."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(f"--{given[0]} is only for labelled data sets, and this is {source}. Next: leave it out")
