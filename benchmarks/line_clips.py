r"""How `track` does on a folder of clips of a line: as it comes, with rarity off, and calibrated on good footage.

    python benchmarks/line_clips.py CLIPS --concepts crack,hole,scratch --good tiles.mp4 --good steel.mp4 --halves

CLIPS is a folder with `clips.json`, `videos/` and `annotations/`. One JSON object on stdout: for each way of deciding
the defects found under their name, those whose event fits in time and place, false alarms a minute with their 95 %
interval, events on clips in which nothing is wrong, and the AP of pixels by concept. `--good`: footage in which nothing
is wrong; thresholds, places and the memory of good parts are learnt on it. `--halves`: learnt on the first half of each
of these videos, and the false events counted on the second. Maps stay in `--work`: another decision needs no model.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidconcept.evaluation.datasets.read import read_dataset
from vidconcept.evaluation.metrics.figures import Figures
from vidconcept.evaluation.statistics import poisson_interval
from vidconcept.pipelines.calibrate import calibrate_good
from vidconcept.pipelines.evaluate import evaluate
from vidconcept.pipelines.findings import make_tracker, score_frames
from vidconcept.pipelines.good_footage import read_footage
from vidconcept.pipelines.rarity import gate_maps
from vidconcept.pipelines.workspace import Workspace
from vidconcept.video.probe import probe
from vidconcept.writers.reports.evaluation import replace_nan


def pick_figures(figures: Figures) -> dict[str, Any]:
    """The figures that a line cares about."""
    summary = figures.summary()
    keys = ("objects", "found", "located", "events", "false_alarms_per_minute", "false_alarms_per_minute_95")
    row = {key: summary["events"].get(key) for key in keys}
    row["by_concept"] = {
        name: {key: counts[key] for key in ("objects", "found", "located", "false_events", "misnamed")}
        for name, counts in summary.get("events_by_concept", {}).items()
    }
    row["events_on_good_clips"] = summary.get("good_footage", {}).get("events", 0)
    row["ap"] = {name: values["average_precision"] for name, values in summary.get("scores", {}).items()}
    return row


def false_events(
    videos: list[Path], settings: Mapping[str, Any], workspace: Workspace, **range_s: float
) -> tuple[int, float]:
    """Events on footage in which nothing is wrong, and its minutes."""
    events, minutes = 0, 0.0
    for video in videos:
        part = read_footage(video, {**settings, **range_s}, workspace)
        tracker = make_tracker(part.plan)
        times = []
        for scored in score_frames(part.plan, gate_maps(part.plan, part.run), workspace.monitor):
            tracker.add(scored)
            times.append(scored.ref.time_s)
        events += len(tracker.finish()[0])
        minutes += (times[-1] - times[0]) / 60
    return events, minutes


def calibrate_on_halves(videos: list[Path], settings: Mapping[str, Any], per_hour: float, work: Path) -> dict[str, Any]:
    """Calibrated on the first half of each good video: false events on the second half, and with the defaults."""
    half_s = min((probe(video).duration_s or 0) for video in videos) / 2
    path = work / "half.toml"
    calibrate_good(videos, {**settings, "end_s": half_s}, per_hour, Workspace(work)).save(path)
    rows = {}
    for name, workspace in (("default", Workspace(work)), ("calibrated", Workspace(work, config=path))):
        events, minutes = false_events(videos, settings, workspace, start_s=half_s)
        rate = {"a_minute": events / minutes, "a_minute_95": poisson_interval(events, minutes)}
        rows[name] = {"false_events": events, "minutes": minutes, **rate}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--concepts", required=True, metavar="A,B")
    parser.add_argument("--good", type=Path, action="append", default=[], help="repeatable")
    parser.add_argument("--halves", action="store_true")
    parser.add_argument("--per-hour", type=float, default=60.0, help="wished false alarms; default one a minute")
    parser.add_argument("--model", default="linecam")
    parser.add_argument("--work", type=Path, help="folder of maps; default CLIPS.line_clips")
    options = parser.parse_args()
    work = options.work or options.clips.absolute().parent / f"{options.clips.name}.line_clips"
    work.mkdir(parents=True, exist_ok=True)
    settings = {"concepts": tuple(options.concepts.split(",")), "model": options.model}
    data = read_dataset(options.clips)
    result = evaluate(data, settings, Workspace(work))
    rows: dict[str, Any] = {f"rarity {mode}": pick_figures(figures) for mode, figures in result.by_rarity.items()}
    if options.good:
        path = work / "line.toml"
        calibrate_good(options.good, settings, options.per_hour, Workspace(work)).save(path)
        rows["calibrated"] = pick_figures(evaluate(data, settings, Workspace(work, config=path)).total)
    if options.good and options.halves:
        rows["good footage, second halves"] = calibrate_on_halves(options.good, settings, options.per_hour, work)
    print(json.dumps(replace_nan(rows), indent=1))


if __name__ == "__main__":
    main()
