"""How far the scores of the embedded model move when its weights are quantized; one JSON object on stdout.

    python benchmarks/quantize.py [--video examples/line_cam.mp4] [--seconds 1]    # needs the extra `quantize`

On a processor, every window, in float32: of all scores of the concepts that are asked for, the mean and the largest
difference, and the share of those above the default threshold that are on the other side of it afterwards. The
published models are wider; their weights may move less or more.
"""

import argparse
import json

import numpy as np

from vidconcept.pipelines.maps import ModelShelf, compute_window_maps, cut_source_windows
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import make_plan

KINDS = ("int8", "fp8", "nf4")
CONCEPTS = ("scratch", "dent")


def read_scores(video: str, seconds: float, kind: str) -> tuple[np.ndarray, float]:
    """Scores of all windows, flat, and the threshold."""
    settings = {"device": "cpu", "dtype": "float32", "stride": 1, "end_s": seconds, "quantize": kind}
    plan, monitor = make_plan(video, {"concepts": CONCEPTS, **settings}), Monitor()
    model = ModelShelf()(plan, monitor)
    windows = [compute_window_maps(plan, model, w).scores for w in cut_source_windows(plan, monitor)]
    return np.concatenate([scores[: len(CONCEPTS)].ravel() for scores in windows]), plan.settings.threshold


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", default="examples/line_cam.mp4")
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    plain, threshold = read_scores(options.video, options.seconds, "none")
    found: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        scores, _ = read_scores(options.video, options.seconds, kind)
        apart = np.abs(scores - plain)
        crossed = (scores > threshold) != (plain > threshold)
        found[kind] = {
            "mean": round(float(apart.mean()), 5),
            "largest": round(float(apart.max()), 4),
            "crossed": round(float(crossed.sum() / max((plain > threshold).sum(), 1)), 4),
        }
    print(json.dumps({"scores": plain.size, "above_threshold": int((plain > threshold).sum()), **found}))


if __name__ == "__main__":
    main()
