"""Commands that say how far the findings can be trusted: evaluate, calibrate, stress, explain."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vidconcept.errors import UsageError
from vidconcept.settings import TrackSettings, nearest, parse_text

Concepts = Annotated[str | None, typer.Option("--concepts", metavar="A,B", help="concepts to look for")]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="any setting of track, e.g. --set threshold=0.4; repeatable"),
]
Config = Annotated[Path | None, typer.Option("--config", help="settings from a TOML file")]
Json = Annotated[bool, typer.Option("--json", help="one JSON object on stdout")]
Debug = Annotated[bool, typer.Option("--debug", help="tracebacks")]


def given_settings(concepts: str | None, pairs: list[str] | None) -> dict[str, Any]:
    """Settings of the command line. Raises UsageError for a pair that is none, or an unknown key."""
    settings: dict[str, Any] = {}
    for pair in pairs or []:
        key, separator, value = pair.partition("=")
        if not separator:
            raise UsageError(f"--set {pair!r} is no KEY=VALUE, e.g. --set threshold=0.4")
        key = key.strip().replace("-", "_")
        if key not in TrackSettings.model_fields:
            raise UsageError(f"--set: unknown key {key!r}{nearest(key, TrackSettings.model_fields)}")
        settings[key] = parse_text(key, value)
    return settings | ({} if concepts is None else {"concepts": parse_text("concepts", concepts)})


def _command() -> str:
    return " ".join(["vidconcept", *map(shlex.quote, sys.argv[1:])])


def evaluate(
    dataset: Annotated[Path, typer.Argument(help="A folder or JSON file; docs/evaluate.md lists the formats.")],
    concepts: Concepts = None,
    format: Annotated[str | None, typer.Option(help="of the data set, when it cannot be guessed")] = None,
    split: Annotated[str, typer.Option(help="split of DAVIS, YouTube-VIS, VSPW")] = "val",
    rename: Annotated[str | None, typer.Option(metavar="THEIRS=YOURS,…", help="their word = the word to ask")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="take this many clips, evenly spread")] = None,
    setting: Setting = None,
    config: Config = None,
    out: Annotated[Path | None, typer.Option(help="folder of report and maps [<data set>.evaluation]")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure the findings against a data set with truth: a table, a JSON file and a Markdown report."""
    from vidconcept.evaluation.readers import read_dataset
    from vidconcept.evaluation.report import clean, event_rows, figure_rows, write_report
    from vidconcept.pipelines.evaluate import evaluate as run_evaluation
    from vidconcept.pipelines.evaluate import thinned
    from vidconcept.terminal import monitored, print_rows

    data = thinned(read_dataset(dataset, format, split, _pairs(rename)), limit)
    folder = out or dataset.absolute().parent / f"{dataset.stem}.evaluation"
    with monitored() as monitor:
        result = run_evaluation(data, given_settings(concepts, setting), folder, monitor, config=config)
    content = result.to_json()
    report = write_report(folder, content, result.total, _command())
    if as_json:
        typer.echo(json.dumps(clean({"report": str(report), **content}), ensure_ascii=False))
        return
    print_rows("events, with 95 % intervals", event_rows(content["figures"]))
    print_rows("measures", figure_rows(content["figures"]))
    print_rows("files", [("report", str(report))])


def _pairs(text: str | None) -> dict[str, str]:
    pairs = [part.partition("=") for part in (text or "").split(",") if part.strip()]
    if any(not separator for _, separator, _ in pairs):
        raise UsageError(f"--rename {text!r} is no THEIRS=YOURS, e.g. --rename broken_large=chip")
    return {theirs.strip(): yours.strip() for theirs, _, yours in pairs}


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the application."""
    for command in (evaluate,):
        app.command()(command)
