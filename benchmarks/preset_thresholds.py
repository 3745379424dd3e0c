r"""The embedded preset's thresholds of single concepts, from generated footage with seeds of its own.

    python benchmarks/trust_footage.py lines LINES --minutes 5 --fps 10 --height 256 --width 384 --seed 50000
    python benchmarks/trust_footage.py defects DEFECTS --clips 32 --frames 33 --height 256 --width 384 --seed 50000
    python benchmarks/preset_thresholds.py LINES DEFECTS --out WORK

The rule: each concept takes the level with the best event F1, the events on good footage counted with those on the
defect clips; of equals the higher one. While good footage then gives one false event a minute or more, the concept with
most of them goes up a level. One JSON object on stdout. Maps stay in WORK and are shared with `evaluate --out WORK`.
"""

import argparse
import json
from pathlib import Path

from vidconcept.evaluation.metrics_events import EventCounts
from vidconcept.evaluation.readers import read_dataset
from vidconcept.linecam.vocabulary import DEFECTS
from vidconcept.pipelines.calibrate_labelled import count_events, event_f1
from vidconcept.pipelines.maps import ModelShelf
from vidconcept.pipelines.monitor import Monitor

MOST_FALSE_A_MINUTE = 1.0

Counts = dict[float, dict[str, EventCounts]]


def totals(folder: Path, work: Path, shelf: ModelShelf) -> Counts:
    """Level -> concept -> events over all clips of a `clips.json` folder."""
    clips = count_events(read_dataset(folder), {"concepts": DEFECTS}, work, Monitor(), None, shelf)
    levels = sorted(next(iter(clips.values())))
    return {
        level: {
            name: sum((clip[level].get(name, EventCounts()) for clip in clips.values()), EventCounts())
            for name in DEFECTS
        }
        for level in levels
    }


def choose(good: Counts, defective: Counts) -> dict[str, float]:
    """The rule of the module's text."""
    levels = sorted(good)
    chosen = {
        name: max(levels, key=lambda level: (event_f1(good[level][name] + defective[level][name]), level))
        for name in DEFECTS
    }
    while True:
        false = {name: good[level][name].false_events for name, level in chosen.items()}
        if sum(false.values()) < MOST_FALSE_A_MINUTE * good[levels[0]][DEFECTS[0]].minutes:
            return chosen
        worst = max((name for name in DEFECTS if chosen[name] < levels[-1]), key=lambda name: false[name])
        chosen[worst] = levels[levels.index(chosen[worst]) + 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", type=Path)
    parser.add_argument("defects", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    shelf = ModelShelf()
    good, defective = (totals(folder, options.out, shelf) for folder in (options.lines, options.defects))
    chosen = choose(good, defective)
    rows = {}
    for name, level in chosen.items():
        here = defective[level][name]
        rows[name] = {
            "threshold": level,
            "found": here.found,
            "defects": here.objects,
            "events": here.events,
            "false events": here.false_events,
            "false events on good footage": good[level][name].false_events,
        }
    minutes = good[min(good)][DEFECTS[0]].minutes
    print(json.dumps({"thresholds": chosen, "minutes of good footage": round(minutes, 2), "concepts": rows}, indent=1))


if __name__ == "__main__":
    main()
