r"""Does calibration keep its promise? Good footage split at random into a calibration half and a held-out half.

    python benchmarks/trust_footage.py good GOOD --minutes 60 --fps 1 --height 192 --width 288
    python benchmarks/trust_footage.py defects DEFECTS --clips 8 --frames 60 --fps 1 --style brushed \
        --height 192 --width 288
    python benchmarks/trust_calibration.py GOOD --defects DEFECTS --splits 5

For each split: thresholds for the wished rate from one half; the alarms that `track`'s own decision and linking then
give on the other half. The promise is of their number there (`inside_promise`). The interval of the rate is narrower:
it holds for the rate of a line that runs on, which half an hour shows only with a chance of its own (`inside_rate`:
about 85 % of splits are to be expected where alarms are single).
On the defect clips: events found with the calibrated thresholds, and with the one global threshold that gives the same
number of alarms on the calibration half. One JSON object on stdout.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from vidconcept.evaluation.alarms import choose, describe_choice
from vidconcept.evaluation.datasets.read import read_dataset
from vidconcept.evaluation.metrics.events import EventCounts
from vidconcept.evaluation.shares import HIGHEST, LOWEST
from vidconcept.pipelines.calibrate import (
    find_candidates,
    find_floors,
    find_usual,
    learn_background,
    score_footage,
)
from vidconcept.pipelines.evaluate import measure_clip, rename_to_asked
from vidconcept.pipelines.findings import make_tracker
from vidconcept.pipelines.good_footage import Footage, read_footage
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.workspace import Workspace

CONCEPTS = ("scratch", "dent", "crack", "hole")


class Held:
    """Scored frames of each video, kept in memory as float16 so that many splits share them."""

    def __init__(self):
        self.frames = {}

    def __call__(self, part: Footage, monitor: Monitor):
        if part.plan.source not in self.frames:
            self.frames[part.plan.source] = [
                replace(f, scores=f.scores.astype(np.float16)) for f in score_footage(part, monitor)
            ]
        return (replace(f, scores=f.scores.astype(np.float32)) for f in self.frames[part.plan.source])


def alarms(part: Footage, thresholds, lifts, held: Held, monitor: Monitor) -> int:
    settings = part.plan.settings.model_copy(update={"thresholds": thresholds, "place_lifts": lifts})
    tracker = make_tracker(replace(part.plan, settings=settings))
    for scored in held(part, monitor):
        tracker.add(scored)
    return len(tracker.finish()[0])


def global_threshold(footage, held, monitor, count: int) -> float:
    """The one threshold for all concepts that leaves `count` candidates on the calibration half."""
    candidates, _ = find_candidates(footage, None, monitor, held)
    ranked = sorted((c.strength for c in candidates), reverse=True)
    return float(np.clip(ranked[count] + 1e-3 if len(ranked) > count else LOWEST, LOWEST, HIGHEST))


def recall(folder: Path, settings: dict, thresholds, lifts, workspace: Workspace) -> EventCounts:
    data = read_dataset(folder)
    total = EventCounts()
    for number in range(len(data.clips)):
        plan = workspace.plan_clip(data.clips[number], settings)
        clip = rename_to_asked(data, plan.settings).clips[number]
        run = workspace.open_clip(plan, clip)
        workspace.compute_maps(plan, run)
        own = plan.settings.model_copy(update={"thresholds": thresholds, "place_lifts": lifts})
        total += measure_clip(replace(plan, settings=own), run, clip, workspace.monitor).events
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("good", type=Path)
    parser.add_argument("--defects", type=Path)
    parser.add_argument("--model", default="linecam")
    parser.add_argument("--height", type=int, default=192, help="model picture")
    parser.add_argument("--width", type=int, default=288)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--per-hour", type=float, default=20)
    parser.add_argument("--work", type=Path, help="folder of maps; default GOOD/maps")
    options = parser.parse_args()
    settings = {"concepts": CONCEPTS, "height": options.height, "width": options.width, "model": options.model}
    workspace, held = Workspace(options.work or options.good / "maps"), Held()
    monitor = workspace.monitor
    videos = sorted(options.good.glob("*.mp4"))
    footage = [read_footage(video, settings, workspace) for video in videos]
    rows, promises = [], []
    for seed in range(options.splits):
        order = np.random.default_rng(seed).permutation(len(footage))
        half = len(footage) // 2
        ours, theirs = [footage[i] for i in order[:half]], [footage[i] for i in order[half:]]
        background = learn_background(ours)
        lifts = background.compute_lifts()
        candidates, hours = find_candidates(ours, background, monitor, held)
        choice = choose(candidates, find_usual(ours[0].plan), hours, options.per_hour, find_floors(ours[0].plan, hours))
        seen = sum(alarms(part, choice.thresholds, lifts, held, monitor) for part in theirs)
        again = sum(alarms(part, choice.thresholds, lifts, held, monitor) for part in ours)
        length = hours * len(theirs) / len(ours)
        low, high = (count * length / hours for count in choice.again_95)
        row = {
            "seed": seed,
            "hours": round(length, 3),
            "expected_alarms": choice.left_out,
            "alarms_on_calibration_half": again,
            "alarms_on_held_out_half": seen,
            "per_hour": round(seen / length, 2),
            "promised_alarms_95": [round(low, 1), round(high, 1)],
            "inside_promise": low <= seen <= high,
            "rate_per_hour_95": [round(v, 2) for v in choice.per_hour_95],
            "inside_rate": choice.per_hour_95[0] <= seen / length <= choice.per_hour_95[1],
            "dispersion": round(choice.dispersion, 2),
            "thresholds": choice.thresholds,
            "places_lifted": {name: int(np.count_nonzero(table)) for name, table in lifts.items()},
        }
        if options.defects is not None:
            level = global_threshold(ours, held, monitor, choice.alarms)
            own = recall(options.defects, settings, choice.thresholds, lifts, workspace)
            other = recall(options.defects, settings, dict.fromkeys(CONCEPTS, level), {}, workspace)
            row["defects"] = {
                "objects": own.objects,
                "found_calibrated": own.found,
                "found_global": other.found,
                "false_events_calibrated": own.false_events,
                "false_events_global": other.false_events,
                "global_threshold": round(level, 4),
            }
        rows.append(row)
        promises = describe_choice(choice)
        print(json.dumps(row), flush=True)
    print(json.dumps({"says": promises, "splits": len(rows)}))


if __name__ == "__main__":
    main()
