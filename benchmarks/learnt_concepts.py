"""How well the embedded model learns a concept that it was never told, against its own trained word.

    python benchmarks/learnt_concepts.py WORK [--kinds crack stain] [--clips 5] [--tokens 1]

Each kind of defect in turn is kept out of the words. From masked clips of it a vector is learnt as `concept learn` does
from a random start; then vector and word are compared on other clips. Prints one JSON object: for each kind the average
precision of tokens (`ap`), that of the trained word (`ap_word`), their ratio, and the chance level.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from linecam.footage.clips import HELD_OUT_SEED, SEED_RANGE, write_folder
from vidconcept.evaluation.datasets.read import read_dataset
from vidconcept.evaluation.metrics.scores import Curves
from vidconcept.models.teaching import observe, scores_of
from vidconcept.painting.kinds import DEFECTS
from vidconcept.pipelines.evaluate import rename_to_asked
from vidconcept.pipelines.learn import learn
from vidconcept.pipelines.sweep import pick_busiest_windows
from vidconcept.pipelines.workspace import Workspace

# Neither training nor the other figures see these seeds.
LEARN_SEED = HELD_OUT_SEED + SEED_RANGE // 2
TEST_SEED = LEARN_SEED + 100_000
NAME = "unknown"


def token_ap(
    folder: Path, kind: str, spelled: str, workspace: Workspace, settings: dict[str, Any]
) -> tuple[float, float]:
    """AP of a spelled concept over the clips of a folder, and the share of tokens that are it."""
    data = read_dataset(folder, rename={kind: NAME})
    curves = Curves()
    for number, original in enumerate(data.clips):
        plan = workspace.plan_clip(original, {**settings, "concepts": [spelled]})
        clip = rename_to_asked(data, plan.settings).clips[number]
        model: Any = workspace.load(plan)
        for window, shares in pick_busiest_windows(plan, clip, workspace.monitor, None):
            scores = scores_of(model, plan.lexicon, observe(model, window.frames), None)[0]
            known = np.isfinite(shares[0]).ravel()
            curves.add_shares(scores[known], shares[0].ravel()[known])
    return curves.average_precision, float(curves.positive.sum() / (curves.positive.sum() + curves.negative.sum()))


def measure(kind: str, work: Path, clips: int, tests: int, tokens: int, settings: dict[str, Any]) -> dict[str, float]:
    """One kind of defect: learnt from `clips` clips, compared on `tests` others."""
    number = DEFECTS.index(kind)
    learn_from, test_on = work / f"{kind}_learn", work / f"{kind}_test"
    # Every fifth clip of a folder shows nothing.
    for folder, count, seed in ((learn_from, clips, LEARN_SEED), (test_on, tests, TEST_SEED)):
        if not (folder / "clips.json").is_file():
            write_folder(folder, count + (count - 1) // 4, 9, seed + 1000 * number, [kind], shown=True)
    workspace = Workspace(work / "maps")
    data = read_dataset(learn_from, rename={kind: NAME})
    found = learn(data, NAME, settings, workspace, word=kind, tokens=tokens, cross_validate=False)
    path = work / f"{kind}.safetensors"
    found.write(path)
    ap, chance = token_ap(test_on, kind, f"{NAME}@{path}", workspace, settings)
    ap_word, _ = token_ap(test_on, kind, f"{NAME}={kind}", workspace, settings)
    row = {"ap": ap, "ap_word": ap_word, "ratio": ap / ap_word, "chance": chance}
    return {key: round(value, 4) for key, value in row.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for footage, maps and vectors")
    parser.add_argument("--kinds", nargs="+", choices=DEFECTS, default=list(DEFECTS))
    parser.add_argument("--clips", type=int, default=5, help="clips to learn from that show the defect")
    parser.add_argument("--tests", type=int, default=12, help="clips to compare on that show it")
    parser.add_argument("--tokens", type=int, default=1)
    parser.add_argument("--size", nargs=2, type=int, metavar=("H", "W"), help="model picture; default the preset's")
    options = parser.parse_args(arguments)
    settings: dict[str, Any] = dict(zip(("height", "width"), options.size, strict=True)) if options.size else {}
    rows = {}
    for kind in options.kinds:
        rows[kind] = measure(kind, options.work, options.clips, options.tests, options.tokens, settings)
        print(json.dumps({kind: rows[kind]}), flush=True)
    ratio = float(np.mean([row["ratio"] for row in rows.values()]))
    print(json.dumps({"kinds": rows, "mean_ratio": round(ratio, 4)}, indent=1))


if __name__ == "__main__":
    main()
