r"""What each preset finds, against what it costs: F1 of events and processor time of `track`.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/quality.py CLIPS:crack,hole,scratch [CLIPS:...] [--svg PLOT.svg]

CLIPS is a data set as `vidconcept evaluate` reads it, followed by the concepts to ask for. Each clip is tracked once
with each preset, as the command does it, all outputs on, in this process; what comes out is measured against the truth.
One JSON object on stdout: for each data set and preset the events, their F1, false alarms a minute, and seconds of
processor time for each second of film, without importing and loading, which a film pays for once. The variable is what
the command sets: threads that spin while they wait would be counted as work.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from vidconcept.evaluation.datasets.read import read_dataset
from vidconcept.evaluation.metrics.events import EventCounts
from vidconcept.models.adapter import Model
from vidconcept.pipelines.evaluate import measure_clip, rename_to_asked
from vidconcept.pipelines.maps import ModelShelf
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan
from vidconcept.pipelines.track import carry_out
from vidconcept.pipelines.workspace import Workspace
from vidconcept.runs import open_run
from vidconcept.tracks.events import measure_footage_s
from vidconcept.writers.reports.svg import draw_lines
from vidconcept.writers.tables import read_frames

PRESETS = ("fast", "balanced", "accurate")


def compute_f1(counts: EventCounts) -> float:
    """Of events: 2·P·R / (P + R), 0 where nothing right was found."""
    right = counts.events - counts.false_events
    if not right or not counts.found:
        return 0.0
    precision, recall = right / counts.events, counts.found / counts.objects
    return 2 * precision * recall / (precision + recall)


def measure_preset(data: Path, concepts: tuple[str, ...], preset: str, shelf: ModelShelf) -> dict[str, Any]:
    """Events of all clips with a preset, and the processor time that tracking them took."""
    dataset = read_dataset(data)
    counts = EventCounts()
    used_s = film_s = loading_s = 0.0

    def get_model(plan: Plan, monitor: Monitor) -> Model:
        nonlocal loading_s
        begun = time.process_time()
        model = shelf(plan, monitor)
        loading_s += time.process_time() - begun
        return model

    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        for number, clip in enumerate(dataset.clips):
            plan = workspace.plan_clip(clip, {"concepts": concepts, "preset": preset})
            clip = rename_to_asked(dataset, plan.settings).clips[number]
            run, _ = open_run(Path(folder) / str(number), plan.facts(), "error", plan.read_paths)
            begun, loading_s = time.process_time(), 0.0
            with run:
                carry_out(plan, run, Monitor(), get_model)
            used_s += time.process_time() - begun - loading_s
            times = {row.frame_index: row.time_s for row in read_frames(run.path / "frames.csv")}
            film_s += measure_footage_s(list(times.values()))
            counts += measure_clip(plan, run, clip, Monitor()).events
            print(f"{data.name} {preset}: {number + 1} of {len(dataset.clips)} clips", file=sys.stderr)
    return {
        "events": counts.events,
        "false_events": counts.false_events,
        "objects": counts.objects,
        "found": counts.found,
        "f1": round(compute_f1(counts), 3),
        "false_alarms_a_minute": round(counts.false_alarms / counts.minutes, 2),
        "processor_s_a_second": round(used_s / film_s, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", metavar="CLIPS:A,B")
    parser.add_argument("--svg", type=Path, help="also draw a plot")
    options = parser.parse_args()
    shelf = ModelShelf()
    rows: dict[str, dict[str, Any]] = {}
    for text in options.data:
        folder, _, words = text.rpartition(":")
        concepts = tuple(words.split(","))
        rows[Path(folder).name] = {name: measure_preset(Path(folder), concepts, name, shelf) for name in PRESETS}
    print(json.dumps(rows, indent=1))
    if options.svg:
        lines = {name: [(row["processor_s_a_second"], row["f1"]) for row in own.values()] for name, own in rows.items()}
        title = "Events found against processor time: fast, balanced, accurate"
        options.svg.write_text(draw_lines(title, lines, "processor seconds a second of film", "F1 of events"), "utf-8")


if __name__ == "__main__":
    main()
