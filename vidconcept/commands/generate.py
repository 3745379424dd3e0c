"""The command that generates a film and tells where its concepts are."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vidconcept.commands.options import Concepts, Config, Json, Setting, parse_settings, parse_words
from vidconcept.errors import UsageError


class Existing(StrEnum):
    error = "error"
    overwrite = "overwrite"


def generate(
    prompt: Annotated[str, typer.Argument(help="What the film is to show.")],
    concepts: Concepts = None,
    negative: Annotated[str, typer.Option(help="what it is not to show")] = "",
    frames: Annotated[
        int | None, typer.Option(min=1, help="number of frames; default: the model's window", show_default=False)
    ] = None,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="number of denoising steps")] = 50,
    read_steps: Annotated[
        str | None,
        typer.Option(metavar="N,N-N", help="denoising steps at which maps are read, counted from 1; default: all"),
    ] = None,
    guidance: Annotated[float, typer.Option(min=0, max=100, help="how closely the film follows the prompt")] = 6.0,
    rate: Annotated[float, typer.Option(min=0.1, max=240, help="frames per second of the film")] = 8.0,
    setting: Setting = None,
    config: Config = None,
    out: Annotated[Path, typer.Option(help="run folder; the film lies beside it, under the same name")] = Path(
        "generated.vidconcept"
    ),
    existing: Annotated[
        Existing, typer.Option(help="what to do if the film or the run folder exists")
    ] = Existing.error,
    as_json: Json = False,
) -> None:
    """Generate a film from a prompt and track concepts in it, with maps that are read during generation."""
    from vidconcept.commands.terminal import open_monitor, print_events
    from vidconcept.commands.terminal import out as stdout
    from vidconcept.pipelines.generate import Wish, generate_run

    video = out.parent / f"{out.name.removesuffix('.vidconcept')}.mp4"
    wish = Wish(frames, steps, guidance, negative, _parse_steps(read_steps), rate)
    with open_monitor() as monitor:
        run = generate_run(prompt, parse_settings(concepts, setting), wish, video, out, existing.value, monitor, config)
    events = run.events
    if as_json:
        content = {"run": str(run.path), "video": str(video), "frames": run.manifest["frames"]}
        content |= {"events": [asdict(event) for event in events], "generated": run.manifest["generated"]}
        typer.echo(json.dumps(content, ensure_ascii=False))
        return
    print_events(events, list(run.manifest["concepts"]))
    stdout.print(f"film: {video}", markup=False)
    stdout.print(f"open {run.path / 'review.html'}", markup=False)


def _parse_steps(text: str | None) -> tuple[int, ...] | None:
    """Numbers and spans like 10,20-30. Raises UsageError."""
    if text is None:
        return None
    found: set[int] = set()
    for part in parse_words(text):
        first, dash, last = part.partition("-")
        try:
            span = range(int(first), int(last if dash else first) + 1)
        except ValueError as error:
            raise UsageError(
                f"--read-steps {text!r}: {part!r} is neither a number nor a range. Next: e.g. --read-steps 10,20-30"
            ) from error
        if not span:
            raise UsageError(
                f"--read-steps {text!r}: {part!r} ends before it begins. Next: give the lower number first"
            )
        found |= set(span)
    return tuple(sorted(found))


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(generate)
