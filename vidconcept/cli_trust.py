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
    return shlex.join(["vidconcept", *sys.argv[1:]])


def evaluate(
    dataset: Annotated[Path, typer.Argument(help="A folder or JSON file; docs/evaluate.md lists the formats.")],
    concepts: Concepts = None,
    format: Annotated[str | None, typer.Option(help="of the data set, when it cannot be guessed")] = None,
    split: Annotated[str, typer.Option(help="split of DAVIS, YouTube-VIS, VSPW")] = "val",
    rename: Annotated[str | None, typer.Option(metavar="THEIRS=YOURS,…", help="their word = the word to ask")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="take this many clips, evenly spread")] = None,
    sweep: Annotated[
        str | None,
        typer.Option(metavar="AXIS,…", help="compare readings: layers,timestep,method,reduce,noise-samples,background"),
    ] = None,
    windows: Annotated[int | None, typer.Option(min=1, help="of a sweep: read this many windows a clip")] = None,
    timesteps: Annotated[str, typer.Option(metavar="N,…", help="of a sweep")] = "20,250,500,750",
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
    from vidconcept.pipelines.track import default_out
    from vidconcept.terminal import monitored, print_rows

    data = thinned(read_dataset(dataset, format, split, _pairs(rename)), limit)
    folder = out or default_out(dataset, "evaluation")
    if sweep is not None:
        axes, times = _words(sweep), _timesteps(timesteps)
        _run_sweep(data, given_settings(concepts, setting), axes, times, folder, windows, config, as_json)
        return
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


def _words(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _timesteps(text: str) -> list[int]:
    try:
        times = [int(part) for part in _words(text)]
    except ValueError:
        times = [-1]
    if not times or any(not 0 <= t < 1000 for t in times):
        raise UsageError(f"--timesteps {text!r}: whole numbers from 0 to 999, e.g. 20,250,500")
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
    from vidconcept.evaluation.report import clean, number
    from vidconcept.evaluation.sweep_report import write_sweep
    from vidconcept.pipelines.sweep import sweep
    from vidconcept.terminal import monitored, print_rows

    with monitored() as monitor:
        result = sweep(data, settings, axes, out, monitor, windows=windows, timesteps=timesteps, config=config)
    content = write_sweep(out, result, _command())
    if as_json:
        typer.echo(json.dumps(clean({"report": str(out / "sweep.md"), **content}), ensure_ascii=False))
        return
    best = [
        (
            f"{r['method']}, layers {r['layers_name']}, t {r['timestep']}, {r['reduce']}, {r['draws']} draw(s)"
            + (f", without {', '.join(r['left_out'])}" if r["left_out"] else ""),
            r,
        )
        for r in content["readings"][:10]
    ]
    rows = [(name, f"AP {number(r['mean_ap'])}, mIoU {number(r['mean_iou'])}") for name, r in best]
    print_rows("best readings, means over concepts", rows)
    print_rows("the paper's claims", [("-", line) for line in content["claims"]] or [("-", "no axis to tell")])
    print_rows("files", [("report", str(out / "sweep.md"))])


def calibrate(
    footage: Annotated[
        list[Path] | None, typer.Argument(help="Good footage: videos in which nothing is wrong.")
    ] = None,
    labelled: Annotated[Path | None, typer.Option(help="a data set with masks instead of good footage")] = None,
    concepts: Concepts = None,
    false_alarms: Annotated[str, typer.Option(metavar="N/hour", help="wished rate: 1/hour, 2/day, 0.1/min")] = "1/hour",
    setting: Setting = None,
    config: Config = None,
    out: Annotated[Path | None, typer.Option(help="TOML for track --config [<footage>.calibration.toml]")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Thresholds for a wished rate of false alarms from good footage, or how to read the maps from masks."""
    if (labelled is None) == (not footage):
        raise UsageError("give good footage, or --labelled with a data set, e.g. vidconcept calibrate good.mp4")
    if labelled is not None:
        _calibrate_labelled(labelled, given_settings(concepts, setting), config, out, as_json)
        return
    assert footage
    from vidconcept.evaluation.alarms import sentences
    from vidconcept.evaluation.report import clean
    from vidconcept.pipelines.calibrate import calibrate_good, write_toml
    from vidconcept.terminal import monitored, print_rows

    target = per_hour(false_alarms)
    path = out or footage[0].absolute().parent / f"{footage[0].stem}.calibration.toml"
    with monitored() as monitor:
        result = calibrate_good(
            footage, given_settings(concepts, setting), target, path.with_suffix(".maps"), monitor, config=config
        )
    told = sentences(result.choice)
    provenance = {**result.provenance, "command": _command()}
    write_toml(path, result.keys, result.choice.thresholds, result.lifts, provenance, told)
    if as_json:
        content = {"config": str(path), "thresholds": result.choice.thresholds, "says": told, **provenance}
        typer.echo(json.dumps(clean(content), ensure_ascii=False))
        return
    print_rows("thresholds", [(name, f"{value:g}") for name, value in result.choice.thresholds.items()])
    print_rows("what this promises", [("-", line) for line in told])
    print_rows("use it", [("config", str(path)), ("then", f"vidconcept track VIDEO --config {path}")])


def _calibrate_labelled(
    labelled: Path, settings: dict[str, Any], config: Path | None, out: Path | None, as_json: bool
) -> None:
    from vidconcept.evaluation.readers import read_dataset
    from vidconcept.evaluation.report import clean
    from vidconcept.pipelines.calibrate import write_toml
    from vidconcept.pipelines.calibrate_labelled import calibrate_labelled
    from vidconcept.terminal import monitored, print_rows

    path = out or labelled.absolute().parent / f"{labelled.stem}.calibration.toml"
    with monitored() as monitor:
        found = calibrate_labelled(read_dataset(labelled), settings, path.with_suffix(".maps"), monitor, config=config)
    facts = {key: value for key, value in found.provenance.items() if key != "reading"} | {"command": _command()}
    write_toml(path, found.keys, found.thresholds, {}, facts, found.says)
    if as_json:
        content = {"config": str(path), "thresholds": found.thresholds, "says": found.says, **facts}
        typer.echo(json.dumps(clean(content), ensure_ascii=False))
        return
    print_rows("what was chosen, and why", [("-", line) for line in found.says])
    print_rows("use it", [("config", str(path)), ("then", f"vidconcept track VIDEO --config {path}")])


def stress(
    source: Annotated[Path, typer.Argument(help="A video, or a data set with truth.")],
    concepts: Concepts = None,
    only: Annotated[str | None, typer.Option(metavar="NAME,…", help="these perturbations, e.g. 'sensor noise'")] = None,
    severities: Annotated[str, typer.Option(metavar="N,…", help="of 1, 2, 3")] = "1,2,3",
    limit: Annotated[int | None, typer.Option(min=1, help="take this many clips, evenly spread")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the perturbations")] = 0,
    calibration: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="for the checklist; its settings, unless --config")
    ] = None,
    setting: Setting = None,
    config: Config = None,
    out: Annotated[Path | None, typer.Option(help="folder of the report [<source>.stress]")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Perturb footage as a plant does, and report which findings are lost; ends in a release checklist."""
    from vidconcept.evaluation.dataset import Clip, Dataset
    from vidconcept.evaluation.perturb import PERTURBATIONS, SEVERITIES
    from vidconcept.evaluation.readers import read_dataset
    from vidconcept.evaluation.report import clean
    from vidconcept.evaluation.stress_report import write_checklist, write_stress
    from vidconcept.pipelines.evaluate import thinned
    from vidconcept.pipelines.stress import stress as run_stress
    from vidconcept.pipelines.track import default_out
    from vidconcept.terminal import monitored, print_rows

    names = _words(only) if only else None
    unknown = [name for name in names or [] if name not in {p.name for p in PERTURBATIONS}]
    if unknown:
        raise UsageError(f"--only {unknown[0]!r} is not known: {', '.join(p.name for p in PERTURBATIONS)}")
    if not set(_words(severities)) <= {str(s) for s in SEVERITIES} or not _words(severities):
        raise UsageError(f"--severities {severities!r}: of 1, 2, 3")
    is_video = source.is_file() and source.suffix.lower() != ".json"
    alone = Dataset(source.stem, "video", (Clip(source.stem, source, (), lambda index: None),))
    data = alone if is_video else thinned(read_dataset(source), limit)
    folder = out or default_out(source, "stress")
    with monitored() as monitor:
        test = run_stress(
            data, given_settings(concepts, setting), folder, monitor, names=names,
            severities=[int(s) for s in _words(severities)], seed=seed, has_truth=not is_video,
            config=config or calibration,
        )  # fmt: skip
    content = write_stress(folder, test, _command())
    checklist = write_checklist(folder, test, calibration or config)
    if as_json:
        typer.echo(json.dumps(clean({"checklist": str(checklist), **content}), ensure_ascii=False))
        return
    print_rows(f"against {test.against}", [("-", line) for line in content["says"]])
    print_rows("files", [("report", str(folder / "stress.md")), ("checklist", str(checklist))])


def explain(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    event: Annotated[int, typer.Option(help="which event, by its number in events.csv")] = 1,
    out: Annotated[Path | None, typer.Option(help="the picture [RUN/explain_<event>.png]")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Why did an event fire: its maps per layer and word, its rivals and scores, as one picture."""
    from vidconcept.pipelines.explain import explain as run_explain
    from vidconcept.pipelines.explain import write_picture
    from vidconcept.terminal import monitored, print_rows

    with monitored() as monitor:
        found = run_explain(run, event, monitor)
    path = out or run / f"explain_{event}.png"
    write_picture(path, found)
    if as_json:
        content = {"event": event, "picture": str(path), "says": found.sentence(), "scores": found.scores()}
        typer.echo(json.dumps(content | {"by_layer": found.by_layer()}, ensure_ascii=False))
        return
    print_rows(f"event {event}", [("why", found.sentence()), ("picture", str(path))])
    print_rows("scores at its peak", [(name, f"{value:.3f}") for name, value in found.scores().items()])


def per_hour(text: str) -> float:
    """A rate like 1/hour, 20/h, 2/day or 0.1/min as a number an hour. Raises UsageError for anything else."""
    units = {"hour": 1.0, "h": 1.0, "day": 1 / 24, "d": 1 / 24, "min": 60.0, "minute": 60.0, "shift": 1 / 8}
    count, _, unit = text.partition("/")
    try:
        rate = float(count) * units[unit.strip().lower() or "hour"]
    except (ValueError, KeyError):
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise UsageError(f"--false-alarms {text!r} is no rate above 0, e.g. 1/hour, 2/day, 0.1/min")
    return rate


def _pairs(text: str | None) -> dict[str, str]:
    pairs = [part.partition("=") for part in (text or "").split(",") if part.strip()]
    if any(not separator for _, separator, _ in pairs):
        raise UsageError(f"--rename {text!r} is no THEIRS=YOURS, e.g. --rename broken_large=chip")
    return {theirs.strip(): yours.strip() for theirs, _, yours in pairs}


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the application."""
    for command in (evaluate, calibrate, stress, explain):
        app.command()(command)
