"""The command that sets thresholds: from good footage, or from masks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from vidconcept.commands.options import (
    Concepts,
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
from vidconcept.files import shorten_name
from vidconcept.ownership import check_output


def calibrate(
    footage: Annotated[
        list[Path] | None, typer.Argument(help="Good footage: videos in which nothing is wrong.")
    ] = None,
    labelled: Annotated[Path | None, typer.Option(help="a data set with masks instead of good footage")] = None,
    format: Format = None,
    split: Split = None,
    rename: Rename = None,
    concepts: Concepts = None,
    false_alarms: Annotated[
        str | None, typer.Option(metavar="N/hour", help="target rate of false alarms: 1/hour, 2/day, 0.1/min [1/hour]")
    ] = None,
    adapt: Annotated[
        bool | None,
        typer.Option("--adapt/--no-adapt", help="learn the surface too, with defects painted on it [adapt]"),
    ] = None,
    setting: Setting = None,
    config: Config = None,
    out: Annotated[
        Path | None, typer.Option(help="TOML file to write, for track --config [<footage>.calibration.toml]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Set thresholds for a target rate of false alarms from good footage, or with masks choose how maps are read."""
    if labelled is not None and footage:
        raise UsageError(
            "good footage and `labelled` are two ways to calibrate. Next: give one of them; then track with the file "
            "that fits the line better"
        )
    if labelled is None and not footage:
        raise UsageError(
            "nothing to calibrate on. "
            "Next: give good footage, e.g. vidconcept calibrate good.mp4, or --labelled DATASET"
        )
    if labelled is not None:
        if false_alarms is not None:
            raise UsageError(
                "--false-alarms is only for good footage, and with masks thresholds are chosen by events found. "
                "Next: leave it out"
            )
        if adapt is not None:
            raise UsageError("--adapt and --no-adapt are only for good footage. Next: leave them out")
        from vidconcept.pipelines.workspace import open_dataset

        given = parse_settings(concepts, setting)
        data = open_dataset(labelled, format, split, parse_renames(rename), given, config)
        _calibrate_labelled(labelled, data, given, config, out, as_json)
        return
    assert footage
    refuse_unlabelled("a video", format=format, split=split, rename=rename)
    from vidconcept.commands.terminal import open_monitor, print_rows
    from vidconcept.evaluation.alarms import describe_choice
    from vidconcept.models.line_head_file import name_line_head
    from vidconcept.pipelines.calibrate import calibrate_good
    from vidconcept.pipelines.workspace import Workspace
    from vidconcept.rarity.good_parts import name_memory
    from vidconcept.writers.reports.evaluation import replace_nan

    target = parse_rate("1/hour" if false_alarms is None else false_alarms)
    path = out or footage[0].absolute().parent / f"{shorten_name(footage[0].stem)}.calibration.toml"
    for written in (path, name_memory(path), name_line_head(path)):
        check_output(written, [*footage, *([config] if config else [])])
    with open_monitor() as monitor:
        workspace = Workspace(path.with_suffix(".maps"), monitor, config)
        result = calibrate_good(footage, parse_settings(concepts, setting), target, workspace, adapt=adapt is not False)
    promises = describe_choice(result.choice)
    provenance = {**result.provenance, "command": format_command_line()}
    replace(result, provenance=provenance).save(path)
    if as_json:
        content = {"config": str(path), "thresholds": result.choice.thresholds, "says": promises, **provenance}
        typer.echo(json.dumps(replace_nan(content), ensure_ascii=False))
        return
    print_rows("thresholds", [(name, f"{value:g}") for name, value in result.choice.thresholds.items()])
    print_rows("what this promises", [("-", line) for line in promises])
    files = [("config", str(path))]
    if result.good_parts is not None:
        files.append(("memory", f"{name_memory(path)}: what good parts look like; keep it beside the config"))
    if result.line_head is not None:
        files.append(("head", f"{name_line_head(path)}: what the model learnt of this surface; keep it there, too"))
    print_rows("use it", [*files, ("then", f"vidconcept track VIDEO --config {path}")])


def _calibrate_labelled(
    labelled: Path, data: Any, settings: dict[str, Any], config: Path | None, out: Path | None, as_json: bool
) -> None:
    from vidconcept.commands.terminal import open_monitor, print_rows
    from vidconcept.pipelines.calibrate import write_toml
    from vidconcept.pipelines.calibrate_labelled import calibrate_labelled
    from vidconcept.pipelines.workspace import Workspace
    from vidconcept.writers.reports.evaluation import replace_nan

    path = out or labelled.absolute().parent / f"{shorten_name(labelled.stem)}.calibration.toml"
    check_output(path, [labelled, *([config] if config else [])])
    with open_monitor() as monitor:
        found = calibrate_labelled(data, settings, Workspace(path.with_suffix(".maps"), monitor, config))
    facts = {key: value for key, value in found.provenance.items() if key != "reading"} | {
        "command": format_command_line()
    }
    write_toml(path, found.keys, found.thresholds, {}, facts, found.says)
    if as_json:
        content = {"config": str(path), "thresholds": found.thresholds, "says": found.says, **facts}
        typer.echo(json.dumps(replace_nan(content), ensure_ascii=False))
        return
    print_rows("what was chosen, and why", [("-", line) for line in found.says])
    print_rows("use it", [("config", str(path)), ("then", f"vidconcept track VIDEO --config {path}")])


def parse_rate(text: str) -> float:
    """A rate like 1/hour, 20/h, 2/day or 0.1/min as a number an hour. Raises UsageError for anything else."""
    units = {"hour": 1.0, "h": 1.0, "day": 1 / 24, "d": 1 / 24, "min": 60.0, "minute": 60.0, "shift": 1 / 8}
    count, _, unit = text.partition("/")
    try:
        rate = float(count) * units[unit.strip().lower() or "hour"]
    except (ValueError, KeyError):
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise UsageError(f"--false-alarms {text!r} is not a rate above 0. Next: give one like 1/hour, 2/day or 0.1/min")
    return rate


def register(app: typer.Typer) -> None:
    """Add the command of this module to the application."""
    app.command()(calibrate)
