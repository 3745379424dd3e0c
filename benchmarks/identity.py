"""Identity of the linker on footage with known identity: HOTA, IDF1 and switches by TrackEval.

    python benchmarks/identity.py CLIPS_DIR [--identity part|defect] [--json out.json]
    python benchmarks/identity.py --generated 12

CLIPS_DIR holds `clips.json`, `videos/<clip>.mp4` and `annotations/<clip>/<frame>.png` (255 = defect). --generated films
held-out clips of the project's own generator instead, with several defects of two concepts each. The linker gets the
true masks (undegraded), or all pixels of the 16-pixel tokens that a defect touches (token grid), and the product's own
optical flow; no model takes part. The token grid is scored twice: against the true masks, where thin defects lose all
overlap however they are linked, and against the true masks on the same tokens, which judges the linking alone.

The truth of CLIPS_DIR says "one defective part a clip, all its fragments are one identity". `--identity part` (default
there) links by that definition: whatever a concept shows at one time is one track, and goes on when the next fragment
enters within a second. `--identity defect` is the product's default: fragments far apart are defects of their own.
Needs trackeval (installed without its dependencies, which would overwrite the headless OpenCV).
"""

import argparse
import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from linecam.footage.camera import Motion
from linecam.footage.clips import HELD_OUT_SEED, clip
from vidconcept.painting.kinds import DEFECTS
from vidconcept.temporal.smooth import smooth
from vidconcept.tracks import rle
from vidconcept.tracks.link import Linker, LinkSettings
from vidconcept.types import Frame, LatentMaps, Origin, Region
from vidconcept.video.reader import read_frames

with contextlib.redirect_stdout(io.StringIO()):  # it announces optional data sets that are not installed
    from trackeval.metrics import CLEAR, HOTA, Identity

TOKEN_PX = 16
FPS = 25
CASES = ("undegraded", "token grid", "token grid against truth on tokens")
IDENTITY = {"part": LinkSettings(16, 0.12, merge_frac=1.0, reentry_s=1.0), "defect": LinkSettings(16, 0.12)}
# Mask by identity; what is not there is absent.
Masks = dict[int, np.ndarray]


@dataclass(frozen=True)
class Footage:
    """A clip with its truth. truth: masks `(h, w)` bool by identity, frame by frame. concepts: identity -> class id."""

    name: str
    frames: list[Frame]
    truth: list[Masks]
    concepts: dict[int, int]


@dataclass(frozen=True)
class Step:
    """One frame: what is true and what the linker said."""

    truth: Masks
    said: Masks


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("clips", type=Path, nargs="?")
    parser.add_argument("--generated", type=int, help="film so many clips instead of reading CLIPS_DIR")
    parser.add_argument("--identity", choices=list(IDENTITY))
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    options = parser.parse_args()
    if (options.clips is None) == (options.generated is None):
        parser.error("give CLIPS_DIR or --generated N")
    footage = draw_clips(options.generated) if options.generated else real(options.clips)
    settings = IDENTITY[options.identity or ("defect" if options.generated else "part")]
    scored: dict[tuple[str, str], dict[str, Any]] = {}
    for one in footage:
        exact, tokens = link(one, False, settings), link(one, True, settings)
        on_tokens_too = [Step({i: cover_tokens(m) for i, m in step.truth.items()}, step.said) for step in tokens]
        for case, steps in zip(CASES, (exact, tokens, on_tokens_too), strict=True):
            scored.setdefault((one.name.split("_")[0], case), {})[one.name] = score(steps)
    table = {}
    for (group, case), clips in sorted(scored.items()):
        total = combined(clips)
        table[f"{group}, {case}"] = {"all": total, "clips": {name: name_figures(one) for name, one in clips.items()}}
        print(f"{group}, {len(clips)} clips, {case}: {format_line(total)}")
        for name, one in clips.items():
            if name_figures(one)["switches"]:
                print(f"    {name}: {format_line(name_figures(one))}")
    if options.json:
        options.json.write_text(json.dumps(table, indent=1))


def real(root: Path) -> Iterator[Footage]:
    """The clips of a folder that have a defect."""
    for row in json.loads((root / "clips.json").read_text()):
        if row["concept"]:
            name = row["clip"]
            frames = list(read_frames(root / "videos" / f"{name}.mp4", on_problem=print))
            paths = [root / "annotations" / name / f"{frame.index:05d}.png" for frame in frames]
            masks = [np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) > 127 for path in paths]
            yield Footage(name, frames, [{1: mask} if mask.any() else {} for mask in masks], {1: 0})


def draw_clips(count: int) -> Iterator[Footage]:
    """Straight, steady lines with several defects of two concepts a clip, from seeds that training never sees."""
    for number in range(count):
        seed = HELD_OUT_SEED + 500_000 + number
        rng = np.random.default_rng(seed)
        kinds = [str(kind) for kind in rng.choice(DEFECTS, 2, replace=False)]
        made = clip(
            seed, (256, 384), 100, motion=Motion(float(rng.integers(3, 13))), defects=2.5, layout="row", kinds=kinds
        )
        frames = [Frame(i, i, i / FPS, image) for i, image in enumerate(made.frames)]
        truth = [{int(i): shown == i for i in np.unique(shown) if i} for shown in made.instances]
        concepts = {i: kinds.index(concept) for i, concept in made.concepts.items()}
        yield Footage(f"generated_{number}", frames, truth, concepts)


def link(footage: Footage, degraded: bool, settings: LinkSettings) -> list[Step]:
    """Links the true masks of one clip, all of a concept in one mask, as a model would give them."""
    height, width = footage.frames[0].image.shape[:2]
    names = [str(class_id) for class_id in range(max(footage.concepts.values(), default=0) + 1)]
    linker = Linker(names, Region(0, 0, width, height), (width, height), settings)
    rows = []
    for frame, truth, flow in zip(footage.frames, footage.truth, estimate_flow(footage.frames), strict=True):
        masks = np.zeros((len(names), height, width), bool)
        for identity, mask in truth.items():
            masks[footage.concepts[identity]] |= cover_tokens(mask) if degraded else mask
        rows.append(linker.step(frame, masks, masks * np.float32(0.9), flow, Origin(frame.index, 0)))
    _, kept = linker.finish()
    said = [
        {kept[r.tracker_id]: rle.decode(r.rle, (width, height)) for r in found if r.tracker_id in kept}
        for found in rows
    ]
    return [Step(truth, masks) for truth, masks in zip(footage.truth, said, strict=True)]


def estimate_flow(frames: list[Frame]) -> Iterator[np.ndarray | None]:
    """The product's flow from each frame's predecessor."""
    latents = (LatentMaps(Origin(i, 0), i, i, np.zeros((1, 2, 2), np.float32)) for i in range(len(frames)))
    return (scores.flow for scores in smooth(latents, (frame.image for frame in frames), method="none"))


def cover_tokens(mask: np.ndarray) -> np.ndarray:
    """All pixels of the tokens that the mask touches."""
    rows, cols = (side // TOKEN_PX for side in mask.shape)
    touched = mask.reshape(rows, TOKEN_PX, cols, TOKEN_PX).any(axis=(1, 3))
    return touched.repeat(TOKEN_PX, axis=0).repeat(TOKEN_PX, axis=1)


def score(steps: list[Step]) -> dict[str, Any]:
    """TrackEval's raw results of one clip."""
    true_ids = sorted({identity for step in steps for identity in step.truth})
    said_ids = sorted({identity for step in steps for identity in step.said})
    data = {
        "num_timesteps": len(steps),
        "num_gt_ids": len(true_ids),
        "num_tracker_ids": len(said_ids),
        "num_gt_dets": sum(len(step.truth) for step in steps),
        "num_tracker_dets": sum(len(step.said) for step in steps),
        "gt_ids": [np.array([true_ids.index(i) for i in step.truth], int) for step in steps],
        "tracker_ids": [np.array([said_ids.index(i) for i in step.said], int) for step in steps],
        "similarity_scores": [similarity(step) for step in steps],
    }
    return {name: metric.eval_sequence(data) for name, metric in metrics().items()}


def metrics() -> dict[str, Any]:
    """TrackEval's, as they come."""
    quiet = {"PRINT_CONFIG": False}
    return {"HOTA": HOTA(), "Identity": Identity(quiet), "CLEAR": CLEAR(quiet)}


def similarity(step: Step) -> np.ndarray:
    """`(truth, said)` intersection over union of the masks."""
    iou = [[(a & b).sum() / (a | b).sum() for b in step.said.values()] for a in step.truth.values()]
    return np.array(iou, float).reshape(len(step.truth), len(step.said))


def combined(clips: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The numbers over all clips, as TrackEval adds sequences up."""
    return name_figures(
        {
            name: metric.combine_sequences({clip: scores[name] for clip, scores in clips.items()})
            for name, metric in metrics().items()
        }
    )


def name_figures(scores: dict[str, Any]) -> dict[str, float]:
    """HOTA, DetA and AssA are means over the localisation thresholds, as usual."""
    hota = {key: float(np.mean(scores["HOTA"][key])) for key in ("HOTA", "DetA", "AssA")}
    return hota | {"IDF1": float(scores["Identity"]["IDF1"]), "switches": int(scores["CLEAR"]["IDSW"])}


def format_line(scores: dict[str, float]) -> str:
    """One line to print."""
    return "  ".join(
        f"{name} {value if name == 'switches' else format(value, '.3f')}" for name, value in scores.items()
    )


if __name__ == "__main__":
    main()
