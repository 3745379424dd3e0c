"""Commands on a file and on this machine: `probe`, `models`, `doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from vidconcept.commands.options import Json
from vidconcept.files import MAX_MEGAPIXELS

models_app = typer.Typer(help="List the models: what they need, and whether their weights are on this machine.")


def probe(
    source: Annotated[str, typer.Argument(help="A video, a folder of images, or a pattern like img_%04d.png.")],
    fps: Annotated[float | None, typer.Option(help="frame rate of images or of a raw stream")] = None,
    bits: Annotated[
        int | None,
        typer.Option(min=8, max=16, help="bits used in 16-bit pictures, e.g. 12; default: found from the pictures"),
    ] = None,
    stream: Annotated[int | None, typer.Option(min=0, help="examine this video stream of the file")] = None,
    max_megapixels: Annotated[float, typer.Option(min=0, help="refuse larger pictures")] = MAX_MEGAPIXELS,
    decode: Annotated[
        bool, typer.Option("--decode", metavar="", help="also decode every picture, to find damage inside them")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what a file is, and whether its timestamps can be trusted."""
    from vidconcept.commands.terminal import print_rows
    from vidconcept.video.probe import examine
    from vidconcept.video.reading import Reading

    reading = Reading(bits=bits, stream=stream, max_megapixels=max_megapixels)
    report = examine(source, fps, decode=decode, reading=reading)
    if as_json:
        typer.echo(json.dumps(asdict(report), default=str, ensure_ascii=False))
        return
    print_rows(str(source), report.list_rows())


@models_app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    as_json: Json = False,
) -> None:
    """List the models: what they need, and whether their weights are on this machine."""
    if context.invoked_subcommand:
        return
    from vidconcept.commands.doctor import list_models
    from vidconcept.commands.terminal import print_rows

    states = list_models()
    if as_json:
        table = [
            {"name": s.preset.name, "source": s.preset.source, "licence": s.preset.licence, "fits": s.fits}
            | {"download_gb": s.preset.download_gb, "memory_gb": s.preset.memory_gb, "path": s.path and str(s.path)}
            | {"problem": s.problem, "estimates_gb": s.estimates_gb}
            for s in states
        ]
        typer.echo(json.dumps({"models": table}, ensure_ascii=False))
        return
    for state in states:
        here = f"here: {state.path}" if state.path else state.problem
        print_rows(
            state.preset.name,
            [
                ("what", state.preset.summary),
                ("licence", state.preset.licence),
                ("machine", state.fits),
                ("weights", here),
            ],
        )


@models_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A preset's name or a hub id.")],
    as_json: Json = False,
) -> None:
    """Download a model's weights, with progress; an interrupted download continues where it stopped.

    NAME@COMMIT fetches one commit of the hub. Every file is compared with the digest that the hub has of it.
    """
    from vidconcept.commands.terminal import err
    from vidconcept.models.folder import fetch as fetch_weights
    from vidconcept.models.folder import find_preset
    from vidconcept.models.pinned import revision_of

    preset = find_preset(name)
    path = fetch_weights(preset)
    revision = revision_of(path)
    if as_json:
        typer.echo(json.dumps({"name": name, "path": str(path), "revision": revision}, ensure_ascii=False))
        return
    typer.echo(path)
    if revision is not None and preset.revision is None:
        err.print(f"pin this commit: --set model={preset.name}@{revision}", style="dim", soft_wrap=True)


def doctor(as_json: Json = False) -> None:
    """Show what this machine can run: codecs, GPU, memory, weights on disk."""
    from vidconcept.commands.doctor import describe_machine, list_models
    from vidconcept.commands.terminal import print_rows

    rows = describe_machine()
    states = [(s.preset.name, ("here" if s.path else s.problem) + f"; {s.fits}") for s in list_models()]
    if as_json:
        typer.echo(json.dumps({"machine": dict(rows), "models": dict(states)}, ensure_ascii=False))
        return
    print_rows("this machine", rows)
    print_rows("models", states)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the application."""
    app.command()(probe)
    app.add_typer(models_app, name="models")
    app.command()(doctor)
