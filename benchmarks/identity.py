"""Identity of the linker on footage with known identity: HOTA, IDF1 and switches by TrackEval.

    python benchmarks/identity.py CLIPS_DIR [--identity part|defect] [--json out.json]

CLIPS_DIR holds `clips.json`, `videos/<clip>.mp4` and `annotations/<clip>/<frame>.png` (255 = defect). The linker gets
the true masks (undegraded), or all pixels of the 16-pixel tokens that a defect touches (token grid), and the product's
own optical flow; no model takes part. The token grid is scored twice: against the true masks, where thin defects lose
all overlap however they are linked, and against the true masks on the same tokens, which judges the linking alone.

The truth says "one defective part a clip, all its fragments are one identity". `--identity part` (default) links by
that definition: whatever a concept shows at one time is one track, and goes on when the next fragment enters within a
second. `--identity defect` is the product's default, where fragments far apart are defects of their own.
Needs trackeval (installed without its dependencies, which would overwrite the headless OpenCV).
"""

import argparse
import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vidconcept.temporal.smooth import smooth
from vidconcept.tracks import rle
from vidconcept.tracks.link import Linker, LinkSettings
from vidconcept.types import Frame, LatentMaps, Region
from vidconcept.video.reader import read_frames

with contextlib.redirect_stdout(io.StringIO()):  # it announces optional data sets that are not installed
    from trackeval.metrics import CLEAR, HOTA, Identity

TOKEN_PX = 16
CASES = ("undegraded", "token grid", "token grid against truth on tokens")
IDENTITY = {"part": LinkSettings(merge_frac=1.0, reentry_s=1.0), "defect": LinkSettings()}


@dataclass(frozen=True)
class Step:
    """One frame: what is true and what the linker said. truth: `(h, w)` bool. said: mask by tracker id."""

    truth: np.ndarray
    said: dict[int, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--identity", choices=list(IDENTITY), default="part")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    options = parser.parse_args()
    settings = IDENTITY[options.identity]
    clips = [clip for clip in json.loads((options.clips / "clips.json").read_text()) if clip["concept"]]
    table: dict[str, Any] = {}
    for group in sorted({clip["clip"].split("_")[0] for clip in clips}):
        names = [clip["clip"] for clip in clips if clip["clip"].startswith(group)]
        scored: dict[str, dict[str, Any]] = {case: {} for case in CASES}
        for name in names:
            exact, tokens = (run(options.clips, name, degraded, settings) for degraded in (False, True))
            on_truth = [Step(on_tokens(step.truth), step.said) for step in tokens]
            for case, steps in zip(CASES, (exact, tokens, on_truth), strict=True):
                scored[case][name] = score(steps)
        for case, clip_scores in scored.items():
            total = combined(clip_scores)
            table[f"{group}, {case}"] = {"all": total, "clips": {name: told(s) for name, s in clip_scores.items()}}
            print(f"{group}, {len(names)} clips, {case}: {line(total)}")
            for name, scores in clip_scores.items():
                if told(scores)["switches"]:
                    print(f"    {name}: {line(told(scores))}")
    if options.json:
        options.json.write_text(json.dumps(table, indent=1))


def run(root: Path, name: str, degraded: bool, settings: LinkSettings) -> list[Step]:
    """Links the true masks of one clip."""
    video, for_flow = tee(read_frames(root / "videos" / f"{name}.mp4", on_problem=print))
    flows = flow_of(for_flow)
    linker, steps, rows = None, [], []
    for frame, flow in zip(video, flows, strict=True):
        height, width = frame.image.shape[:2]
        linker = linker or Linker(["defect"], Region(0, 0, width, height), (width, height), settings)
        picture = cv2.imread(str(root / "annotations" / name / f"{frame.index:05d}.png"), cv2.IMREAD_GRAYSCALE)
        truth = picture > 127
        mask = on_tokens(truth) if degraded else truth
        rows.append(linker.step(frame, mask[None], mask[None] * np.float32(0.9), flow, frame.index, 0))
        steps.append(Step(truth, {}))
    assert linker is not None
    _, kept = linker.finish()
    for step, found in zip(steps, rows, strict=True):
        size = (step.truth.shape[1], step.truth.shape[0])
        step.said.update({kept[row.tracker_id]: rle.decode(row.rle, size) for row in found if row.tracker_id in kept})
    return steps


def flow_of(frames: Iterator[Frame]) -> Iterator[np.ndarray | None]:
    """The product's flow from each frame's predecessor."""
    images, blank = tee(frame.image for frame in frames)
    latents = (LatentMaps(i, 0, i, i, np.zeros((1, 2, 2), np.float32)) for i, _ in enumerate(blank))
    return (scores.flow for scores in smooth(latents, images, method="none"))


def on_tokens(mask: np.ndarray) -> np.ndarray:
    """All pixels of the tokens that the mask touches."""
    rows, cols = (side // TOKEN_PX for side in mask.shape)
    touched = mask.reshape(rows, TOKEN_PX, cols, TOKEN_PX).any(axis=(1, 3))
    return touched.repeat(TOKEN_PX, axis=0).repeat(TOKEN_PX, axis=1)


def score(steps: list[Step]) -> dict[str, Any]:
    """TrackEval's raw results of one clip."""
    ids = sorted({tracker_id for step in steps for tracker_id in step.said})
    data = {
        "num_timesteps": len(steps),
        "num_gt_ids": int(any(step.truth.any() for step in steps)),
        "num_tracker_ids": len(ids),
        "num_gt_dets": sum(bool(step.truth.any()) for step in steps),
        "num_tracker_dets": sum(len(step.said) for step in steps),
        "gt_ids": [np.zeros(int(step.truth.any()), int) for step in steps],
        "tracker_ids": [np.array([ids.index(i) for i in step.said], int) for step in steps],
        "similarity_scores": [similarity(step) for step in steps],
    }
    quiet = {"PRINT_CONFIG": False}
    return {
        "HOTA": HOTA().eval_sequence(data),
        "Identity": Identity(quiet).eval_sequence(data),
        "CLEAR": CLEAR(quiet).eval_sequence(data),
    }


def similarity(step: Step) -> np.ndarray:
    """`(truth, said)` intersection over union of the masks."""
    iou = [(step.truth & mask).sum() / max(1, (step.truth | mask).sum()) for mask in step.said.values()]
    return np.array([iou] if step.truth.any() else [], float).reshape(int(step.truth.any()), len(step.said))


def combined(scored: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The numbers over all clips, as TrackEval adds sequences up."""
    quiet = {"PRINT_CONFIG": False}
    metrics = {"HOTA": HOTA(), "Identity": Identity(quiet), "CLEAR": CLEAR(quiet)}
    return told(
        {
            name: metric.combine_sequences({clip: scores[name] for clip, scores in scored.items()})
            for name, metric in metrics.items()
        }
    )


def told(scores: dict[str, Any]) -> dict[str, float]:
    """HOTA, DetA and AssA are means over the localisation thresholds, as usual."""
    hota = {key: float(np.mean(scores["HOTA"][key])) for key in ("HOTA", "DetA", "AssA")}
    return hota | {"IDF1": float(scores["Identity"]["IDF1"]), "switches": int(scores["CLEAR"]["IDSW"])}


def line(scores: dict[str, float]) -> str:
    """One line to print."""
    return "  ".join(
        f"{name} {value:.3f}" if name != "switches" else f"{name} {value}" for name, value in scores.items()
    )


if __name__ == "__main__":
    main()
