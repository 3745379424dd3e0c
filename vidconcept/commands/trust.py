"""Commands that say how far the findings can be trusted: evaluate, stress, explain."""

from __future__ import annotations

import json
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
    parse_words,
    refuse_unlabelled,
)
from vidconcept.errors import UsageError
from vidconcept.manifest import read_manifest
from vidconcept.ownership import check_apart, check_output


def evaluate(
    dataset: Annotated[
        Path, typer.Argument(help="A folder or JSON file; docs/reference/data-sets.md lists the formats.")
    ],
    concepts: Concepts = None,
    format: Format = None,
    split: Split = None,
    rename: Rename = None,
    limit: Annotated[int | None, typer.Option(min=1, help="use this many clips, evenly spread")] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            metavar="AXIS,…",
            help="ways to compare: layers,timestep,timesteps (averaged),method,reduce,noise-samples,background,sinks",
        ),
    ] = None,
    windows: Annotated[int | None, typer.Option(min=1, help="for --sweep: read this many windows of each clip")] = None,
    timesteps: Annotated[
        str | None, typer.Option(metavar="N,…", help="for --sweep: timesteps to compare [20,250,500,750]")
    ] = None,
    setting: Setting = None,
    config: Config = None,
    out: Annotated[Path | None, typer.Option(help="folder of report and maps [<dataset>.evaluation]")] = None,
    as_json: Json = False,
) -> None:
    """Measure the findings against a labelled data set: a table, a JSON file and a Markdown report."""
    from vidconcept.commands.terminal import open_monitor, print_rows
    from vidconcept.pipelines.evaluate import evaluate as run_evaluation
    from vidconcept.pipelines.evaluate import thin_out
    from vidconcept.pipelines.out import choose_out
    from vidconcept.pipelines.workspace import Workspace, open_dataset
    from vidconcept.writers.reports.evaluation import (
        list_event_rows,
        list_figure_rows,
        list_rarity_rows,
        replace_nan,
        write_report,
    )
    from vidconcept.writers.reports.folder import check_report

    if sweep is None and (windows is not None or timesteps is not None):
        name = "--windows" if windows is not None else "--timesteps"
        raise UsageError(f"{name} is only for --sweep. Next: leave it out, or give the axes to compare")
    times = _timesteps("20,250,500,750" if timesteps is None else timesteps)
    given = parse_settings(concepts, setting)
    data = thin_out(open_dataset(dataset, format, split, parse_renames(rename), given, config), limit)
    folder = out or choose_out(dataset, "evaluation")
    check_report(folder, "evaluation" if sweep is None else "sweep")
    if sweep is not None:
        _run_sweep(data, given, parse_words(sweep), times, folder, windows, config, as_json)
        return
    with open_monitor() as monitor:
        result = run_evaluation(data, given, Workspace(folder, monitor, config))
    content = result.to_json()
    report = write_report(folder, content, result.total, format_command_line())
    if as_json:
        typer.echo(json.dumps(replace_nan({"report": str(report), **content}), ensure_ascii=False))
        return
    print_rows("events, with 95 % intervals", list_event_rows(content["figures"]))
    if len(content["by_rarity"]) > 1:
        told = [(f"rarity {mode}", f"{found} found, {alarms} false a minute, AP {ap}")
                for mode, found, _, alarms, ap in list_rarity_rows(content["by_rarity"])]  # fmt: skip
        print_rows("with and without rarity", told)
    print_rows("measures", list_figure_rows(content["figures"]))
    print_rows("files", [("report", str(report))])


def _timesteps(text: str) -> list[int]:
    try:
        times = [int(part) for part in parse_words(text)]
    except ValueError:
        times = [-1]
    if not times or any(not 0 <= t < 1000 for t in times):
        raise UsageError(f"--timesteps {text!r} does not fit. Next: give whole numbers from 0 to 999, e.g. 20,250,500")
    return times


def _run_sweep(
    data: Any,
    settings: dict[str, Any],
    axes: list[str],
    timesteps: list[int],
    out: Path,
    windows: int | None,
    config: Path | None,
    as_json: bool,
) -> None:
    from vidconcept.commands.terminal import open_monitor, print_rows
    from vidconcept.pipelines.sweep import sweep
    from vidconcept.pipelines.workspace import Workspace
    from vidconcept.writers.reports.evaluation import format_number, replace_nan
    from vidconcept.writers.reports.sweep import write_sweep

    with open_monitor() as monitor:
        result = sweep(data, settings, axes, Workspace(out, monitor, config), windows=windows, timesteps=timesteps)
    content = write_sweep(out, result, format_command_line())
    if as_json:
        typer.echo(json.dumps(replace_nan({"report": str(out / "sweep.md"), **content}), ensure_ascii=False))
        return
    best = [
        (
            f"{r['method']}, layers {r['layers_name']}, t {'+'.join(map(str, r['averaged'] or [r['timestep']]))}, "
            f"{r['reduce']}, {r['draws']} draw(s)"
            + (f", without {', '.join(r['left_out'])}" if r["left_out"] else "")
            + (f", sinks {', '.join(r['sinks'])}" if r["sinks"] else ""),
            r,
        )
        for r in content["readings"][:10]
    ]
    rows = [
        (
            name,
            f"AP {format_number(r['mean_ap'])}, mIoU {format_number(r['mean_iou'])}, "
            f"leakage {format_number(r['mean_leakage'])}",
        )
        for name, r in best
    ]
    print_rows("best readings, means over concepts", rows)
    print_rows("the paper's claims", [("-", line) for line in content["claims"]] or [("-", "no axis to tell")])
    print_rows("files", [("report", str(out / "sweep.md"))])


def stress(
    source: Annotated[Path, typer.Argument(help="A video, or a labelled data set.")],
    format: Format = None,
    split: Split = None,
    rename: Rename = None,
    concepts: Concepts = None,
    only: Annotated[
        str | None, typer.Option(metavar="NAME,…", help="only these perturbations, e.g. 'sensor noise'")
    ] = None,
    severities: Annotated[str, typer.Option(metavar="N,…", help="severities to test, of 1, 2, 3")] = "1,2,3",
    limit: Annotated[int | None, typer.Option(min=1, help="use this many clips, evenly spread")] = None,
    seed: Annotated[int, typer.Option(min=0, help="random seed of the perturbations")] = 0,
    calibration: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="test with this calibration; the checklist states its age"),
    ] = None,
    setting: Setting = None,
    config: Config = None,
    out: Annotated[Path | None, typer.Option(help="folder of the report [<source>.stress]")] = None,
    as_json: Json = False,
) -> None:
    """Add noise, blur or other light to footage, report which findings are lost, and write a release checklist."""
    from vidconcept.commands.terminal import open_monitor, print_rows
    from vidconcept.evaluation.datasets.dataset import Clip, Dataset
    from vidconcept.evaluation.perturb import PERTURBATIONS, SEVERITIES
    from vidconcept.evaluation.provenance import read_provenance
    from vidconcept.pipelines.evaluate import thin_out
    from vidconcept.pipelines.out import choose_out
    from vidconcept.pipelines.stress import stress as run_stress
    from vidconcept.pipelines.workspace import Workspace, open_dataset
    from vidconcept.writers.reports.evaluation import replace_nan
    from vidconcept.writers.reports.folder import check_report
    from vidconcept.writers.reports.stress import write_checklist, write_stress

    if calibration is not None and config is not None:
        raise UsageError("--calibration and --config are both given, and both are settings. Next: give one of them")
    names = parse_words(only) if only else None
    unknown = [name for name in names or [] if name not in {p.name for p in PERTURBATIONS}]
    if unknown:
        raise UsageError(
            f"--only {unknown[0]!r} is not known. Next: give some of {', '.join(p.name for p in PERTURBATIONS)}"
        )
    if not set(parse_words(severities)) <= {str(s) for s in SEVERITIES} or not parse_words(severities):
        raise UsageError(f"--severities {severities!r} does not fit. Next: give some of 1, 2, 3")
    is_video = source.is_file() and source.suffix.lower() != ".json"
    if is_video:
        refuse_unlabelled("a video", format=format, split=split, rename=rename, limit=limit)
    given, own_config = parse_settings(concepts, setting), config or calibration
    if is_video:
        data = Dataset(source.stem, "video", (Clip(source.stem, source, (), lambda index: None),))
    else:
        data = thin_out(open_dataset(source, format, split, parse_renames(rename), given, own_config), limit)
    folder = out or choose_out(source, "stress")
    check_report(folder, "stress")
    provenance = read_provenance(own_config) if own_config else None
    with open_monitor() as monitor:
        test = run_stress(
            data, given, Workspace(folder, monitor, own_config), names=names,
            severities=[int(s) for s in parse_words(severities)], seed=seed, has_truth=not is_video,
        )  # fmt: skip
    content = write_stress(folder, test, format_command_line())
    checklist = write_checklist(folder, test, provenance)
    if as_json:
        typer.echo(json.dumps(replace_nan({"checklist": str(checklist), **content}), ensure_ascii=False))
        return
    print_rows(f"against {test.against}", [("-", line) for line in content["says"]])
    print_rows("files", [("report", str(folder / "stress.md")), ("checklist", str(checklist))])


def explain(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    event: Annotated[int, typer.Option(help="which event, by its number in events.csv")] = 1,
    out: Annotated[Path | None, typer.Option(help="the picture [RUN/explain_<event>.png]")] = None,
    as_json: Json = False,
) -> None:
    """Show why an event was reported: maps of each layer and word, competing words and scores, as one picture."""
    from vidconcept.commands.terminal import open_monitor, print_rows
    from vidconcept.pipelines.explain import explain as run_explain
    from vidconcept.writers.reports.explanation import write_picture

    path = out or run / f"explain_{event}.png"
    check_apart(run, [path])
    check_output(path, [Path(read_manifest(run)["video"].get("path", ""))])
    with open_monitor() as monitor:
        found = run_explain(run, event, monitor)
    write_picture(path, found)
    if as_json:
        content = {"event": event, "picture": str(path), "says": found.describe(), "scores": found.scores()}
        typer.echo(json.dumps(content | {"by_layer": found.score_layers()}, ensure_ascii=False))
        return
    print_rows(f"event {event}", [("why", found.describe()), ("picture", str(path))])
    print_rows("scores at its peak", [(name, f"{value:.3f}") for name, value in found.scores().items()])


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the application."""
    for command in (evaluate, stress, explain):
        app.command()(command)
