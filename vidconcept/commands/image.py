"""The command that reads photographs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from vidconcept.commands.options import Concepts, Config, Json, Setting, parse_settings, refuse_more
from vidconcept.errors import ExitCode


class Existing(StrEnum):
    error = "error"
    resume = "resume"
    overwrite = "overwrite"


def image(
    context: typer.Context,
    photo: Annotated[Path, typer.Argument(help="A photo, or a folder of photos.")],
    concepts: Concepts = None,
    setting: Setting = None,
    config: Config = None,
    out: Annotated[
        Path | None, typer.Option(help="folder of the results [<photo>.image, <folder>.images]", show_default=False)
    ] = None,
    existing: Annotated[
        Existing, typer.Option(help="what to do if results exist; resume reads only photos that have none")
    ] = Existing.error,
    as_json: Json = False,
) -> None:
    """Find concepts in photos: for each a heat map, the findings drawn, a mask for each concept, and a JSON file."""
    refuse_more("image takes one photo or a folder of photos", photo, context.args, "give the folder that holds them")
    from vidconcept.commands.terminal import open_monitor, print_rows
    from vidconcept.pipelines.stills import read_stills
    from vidconcept.pipelines.track import choose_out

    folder = out or choose_out(photo, "images" if photo.is_dir() else "image")
    settings = parse_settings(concepts, setting)
    with open_monitor() as monitor:
        results = read_stills(photo, settings, folder, existing.value, monitor, config)
    if as_json:
        rows = [{"folder": str(r.folder), **r.content} if not r.error else {"error": r.error} for r in results]
        rows = [{"photo": str(r.photo.absolute()), **row} for r, row in zip(results, rows, strict=True)]
        typer.echo(json.dumps({"out": str(folder), "photos": rows}, ensure_ascii=False))
    else:
        print_rows("photos", [(r.photo.name, r.error or _summary(r.content)) for r in results])
        print_rows("files", [("folder", str(folder))])
    if any(result.error for result in results):
        raise typer.Exit(ExitCode.SOME_FAILED)


def _summary(content: Mapping[str, Any]) -> str:
    rows = content["concepts"].items()
    return ", ".join(f"{row['findings']} x {name} (highest score {row['score_max']:.2f})" for name, row in rows)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(context_settings={"allow_extra_args": True})(image)
