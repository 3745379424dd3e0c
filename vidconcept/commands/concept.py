"""Commands that make concepts of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from vidconcept.commands.flags import NamingGroup
from vidconcept.commands.options import (
    Config,
    Format,
    Json,
    Rename,
    Setting,
    Split,
    format_command_line,
    parse_renames,
    parse_settings,
    refuse_unlabelled,
)
from vidconcept.errors import UsageError
from vidconcept.ownership import check_output

group = typer.Typer(
    cls=NamingGroup, help="Make concepts of your own, learnt from a few masks, boxes or verdicts.", no_args_is_help=True
)


@group.callback()
def concept() -> None:
    """Concepts of your own, learnt from a few masks, boxes or verdicts."""


@group.command()
def learn(
    source: Annotated[
        Path, typer.Option("--from", help="a labelled data set, a reviewed run, or a folder of reviewed runs")
    ],
    name: Annotated[str, typer.Option(help="name of the concept, in the data and in later commands")],
    out: Annotated[Path | None, typer.Option(help="the file to write [<name>.safetensors]", show_default=False)] = None,
    word: Annotated[
        str | None,
        typer.Option(metavar="A|B", help="the model's own word for it, only to compare with"),
    ] = None,
    concepts: Annotated[
        str | None,
        typer.Option("--concepts", metavar="A,B", help="other concepts of the data, which must not become worse"),
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, max=64, help="how many tokens to learn")] = 1,
    windows: Annotated[
        int, typer.Option(min=1, help="windows to read of each clip: those that show the most of it")
    ] = 2,
    format: Format = None,
    split: Split = None,
    rename: Rename = None,
    setting: Setting = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Learn a concept that the model has no good word for, and measure by cross-validation how well it is found."""
    from vidconcept.commands.terminal import open_monitor, print_rows
    from vidconcept.pipelines.learn import learn as run_learn
    from vidconcept.pipelines.verdicts import is_reviewed, read_verdicts
    from vidconcept.pipelines.workspace import Workspace, open_dataset
    from vidconcept.words import split_concept
    from vidconcept.writers.reports.evaluation import replace_nan

    if split_concept(name.strip()) != (name, None) or "," in name:
        raise UsageError(
            f"--name {name!r} cannot be the name of a concept. Next: a word without , = @ | or a minus in blanks"
        )
    path = out or Path(f"{name.replace('/', '_')}.safetensors")
    check_output(path, [source, *([config] if config else [])])
    renames, given = parse_renames(rename), parse_settings(concepts, setting)
    if is_reviewed(source):
        refuse_unlabelled("a reviewed run", format=format, split=split)
        data = read_verdicts(source, renames)
    else:
        data = open_dataset(source, format, split, renames, given, config)
    with open_monitor() as monitor, TemporaryDirectory(prefix="vidconcept-") as work:
        workspace = Workspace(Path(work), monitor, config)
        found = run_learn(data, name, given, workspace, word=word, tokens=tokens, windows=windows)
    found.write(path)
    if as_json:
        content = {"file": str(path), "says": found.says, "figures": found.figures, "weights": found.weights}
        typer.echo(json.dumps(replace_nan({**content, "command": format_command_line()}), ensure_ascii=False))
        return
    print_rows("what it is worth", [("-", line) for line in found.says])
    print_rows("use it", [("file", str(path)), ("then", f"vidconcept track VIDEO --concepts {name}@{path}")])


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="concept")
