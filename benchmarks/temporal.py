"""How much of the truth the temporal stage gives back, without a model.

    python benchmarks/temporal.py CLIPS_DIR            clips with true masks and a known speed (see below)
    python benchmarks/temporal.py --generated          generated footage that also turns, zooms, stops and shakes

CLIPS_DIR holds `clips.json` (clip, speed_px_per_frame: translation to the left, concept or null, truth),
`videos/CLIP.mp4` and `annotations/CLIP/FRAME.png` (255 is a defect). Clips whose truth is not "mask" are left out.

Tokens are made from the true masks (area means over token × latent step), corrupted, smoothed by a method, decided,
and measured against the masks. No decision is chosen on the clip that it is reported for: each clip takes the settings
that are best on the others. `--weights` does the same for a few weightings of the energy. With `--json` one object on
stdout: corruption → method → numbers, `_std_seeds` and `_std_clips` beside them, and `settings` per clip.
"""

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})

import av
import cv2
import numpy as np
from temporal_metrics import ClipScore, iou, score_clip

from vidconcept.temporal.parameters import SmoothSettings
from vidconcept.temporal.pointspread import estimate_spread
from vidconcept.temporal.smooth import smooth
from vidconcept.temporal.smoothers import SMOOTHERS
from vidconcept.tracks.masks import MaskSettings, decide
from vidconcept.types import LatentMaps, Origin

STEP = 4
CORRUPTIONS = ("corrupted", "clean", "8px", "blurred")
BASELINE = "linear"
# The energy with the point spread of the tokens calibrated on the other clips.
CALIBRATED = "energy+spread"
# A plain threshold is the decision with a floor of 1.
PLAIN = [MaskSettings(v, v, 1.0, min_area_px=0) for v in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)]
LOCAL = [
    MaskSettings(threshold, ratio, floor)
    for floor, threshold in ((0.05, 0.05), (0.1, 0.1), (0.1, 0.2), (0.2, 0.15), (0.2, 0.3))
    for ratio in (0.3, 0.4, 0.5, 0.6)
]


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames `(t, h, w, 3)` uint8, masks `(t, h, w)` bool, flow `(t, 2, 3)` pixels of frame t-1 → t."""

    name: str
    concept: str | None
    frames: list[np.ndarray] = field(repr=False)
    masks: np.ndarray = field(repr=False)
    flow: np.ndarray = field(repr=False)


def read_clips(folder: Path) -> Iterator[Clip]:
    """Clips with true masks of a folder."""
    for row in json.loads((folder / "clips.json").read_text()):
        if row["truth"] != "mask":
            continue
        with av.open(str(folder / "videos" / f"{row['clip']}.mp4")) as container:
            frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        files = [folder / "annotations" / row["clip"] / f"{k:05d}.png" for k in range(len(frames))]
        masks = np.stack([np.asarray(cv2.imread(str(f), cv2.IMREAD_GRAYSCALE)) > 127 for f in files])
        flow = np.tile(np.eye(2, 3), (len(frames), 1, 1))
        flow[1:, 0, 2] = -row["speed_px_per_frame"]
        yield Clip(row["clip"], row["concept"], frames, masks, flow)


def generated_clips(frames: int = 81) -> Iterator[Clip]:
    """Generated footage in which the motion is no plain translation."""
    from linecam.footage.camera import Motion
    from linecam.footage.clips import HELD_OUT_SEED, clip

    motions = {
        "straight": Motion(5.0),
        "rotation": Motion(4.0, rotation_deg=0.4),
        "zoom": Motion(4.0, zoom_frac=0.004),
        "stop": Motion(5.0, stop_share=0.4),
        "vibration": Motion(5.0, vibration_px=1.0),
        "all": Motion(5.0, stop_share=0.2, vibration_px=0.7, rotation_deg=0.2, zoom_frac=0.002),
    }
    for k, (name, motion) in enumerate(motions.items()):
        for take in range(3):
            made = clip(HELD_OUT_SEED + 500 + 10 * k + take, (256, 384), frames, motion=motion, defects=0.8)
            yield Clip(f"{name}_{take}", name, list(made.frames), made.instances > 0, made.flow)


def pool_tokens(masks: np.ndarray, pitch_px: int) -> tuple[list[tuple[int, int]], np.ndarray]:
    """First and last position of each latent step, and area means `(t_lat, row, col)`; the tail repeats its frame."""
    n, h, w = masks.shape
    area = masks.reshape(n, h // pitch_px, pitch_px, w // pitch_px, pitch_px).mean((2, 4), dtype=np.float32)
    spans = [(0, 0), *((k, k + STEP - 1) for k in range(1, n, STEP))]
    tokens = np.stack([area[np.minimum(np.arange(a, b + 1), n - 1)].mean(0) for a, b in spans])
    return [(a, min(b, n - 1)) for a, b in spans], tokens


def corrupt(tokens: np.ndarray, corruption: str, rng: np.random.Generator) -> np.ndarray:
    """Tokens as a poor model would give them: noise σ 1 on logits, gain σ 0.25 a step, 10 % blobs, 10 % drop-outs."""
    if corruption in ("clean", "8px"):
        return tokens
    if corruption == "blurred":
        return np.stack([cv2.GaussianBlur(t, (0, 0), 1.0, borderType=cv2.BORDER_REFLECT) for t in tokens])
    p = np.clip(tokens, 0.01, 0.99)
    p = 1.0 / (1.0 + np.exp(-(np.log(p / (1.0 - p)) + rng.normal(0.0, 1.0, p.shape))))
    p *= np.maximum(0.0, 1.0 + 0.25 * rng.normal(size=(len(p), 1, 1)))
    rows, cols = np.mgrid[: p.shape[1], : p.shape[2]]
    for k in range(len(p)):
        if rng.random() < 0.1:
            row, col = rng.uniform(0, p.shape[1]), rng.uniform(0, p.shape[2])
            blob = np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / 2.0)
            p[k] = np.maximum(p[k], rng.uniform(0.4, 0.9) * blob)
        if rng.random() < 0.1:
            p[k] *= 0.05
    return np.clip(p, 0.0, 1.0).astype(np.float32)


def score_frames(
    clip: Clip, method: str, corruption: str, seed: int, settings: SmoothSettings
) -> tuple[np.ndarray, float]:
    """Scores `(t, h, w)` float16 and the seconds of processor time they took."""
    spans, tokens = pool_tokens(clip.masks, 8 if corruption == "8px" else 16)
    tokens = corrupt(tokens, corruption, np.random.default_rng([seed, *clip.name.encode()]))
    latents = [LatentMaps(Origin(k, 0), a, b, tokens[k][None]) for k, (a, b) in enumerate(spans)]
    began = time.process_time()
    scores = [f.scores[0] for f in smooth(latents, clip.frames, method=method, settings=settings)]
    return np.stack(scores).astype(np.float16), time.process_time() - began


def calibrate_spread(clips: Sequence[Clip], left_out: int, corruption: str) -> float:
    """The point spread of the tokens, in tokens, calibrated on the other clips."""
    scores, area = [], []
    for k, clip in enumerate(clips):
        if k != left_out and clip.masks.any():
            _, tokens = pool_tokens(clip.masks, 8 if corruption == "8px" else 16)
            scores.append(corrupt(tokens, corruption, np.random.default_rng(k))[::4])
            area.append(tokens[::4])
    return estimate_spread(np.concatenate(scores), np.concatenate(area))


def dis_seconds(clip: Clip, frames: int = 20) -> float:
    """Processor time of DIS medium at half resolution a frame: the unit of cost."""
    half = [cv2.resize(f, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for f in clip.frames[:frames]]
    grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in half]
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    empty = np.zeros((*grey[0].shape, 2), np.float32)
    began = time.process_time()
    for one, two in itertools.pairwise(grey):
        dis.calc(one, two, empty.copy())
    return (time.process_time() - began) / (len(grey) - 1)


def grid_iou(scores: np.ndarray, truth: np.ndarray, decisions: Sequence[MaskSettings]) -> np.ndarray:
    """Mean IoU over every third defect frame for each decision; NaN without defects."""
    frames = np.flatnonzero(truth.any((1, 2)))[::3]
    if not len(frames):
        return np.full(len(decisions), np.nan)
    table = [[iou(decide(scores[t].astype(np.float32), settings=d), truth[t]) for d in decisions] for t in frames]
    return np.mean(table, axis=0)


def choose_without(table: np.ndarray, clip: int, others: np.ndarray) -> int:
    """Column that is best on average over the `others` rows without `clip`; over all but it when none is left."""
    rows = others & ~np.isnan(table[:, 0])
    rows[clip] = False
    if not rows.any():
        rows = ~np.isnan(table[:, 0])
        rows[clip] = False
    return int(np.argmax(table[rows].mean(0)))


def list_weightings(cross_validate: bool) -> list[SmoothSettings]:
    """The default, and its neighbours when the weights are cross-validated too."""
    base = SmoothSettings()
    if not cross_validate:
        return [base]
    energy = base.energy
    changed = [
        {"smoothness": energy.smoothness * 3},
        {"smoothness": energy.smoothness / 3},
        {"ridge": energy.ridge * 5},
        {"outlier": energy.outlier * 0.6},
    ]
    return [base, *(replace(base, energy=replace(energy, **c)) for c in changed)]


def measure(
    clips: Sequence[Clip],
    method: str,
    corruption: str,
    seeds: Sequence[int],
    cross_validate: bool,
    say: Callable[..., None],
) -> dict:
    """All numbers of one method under one corruption."""
    decisions = LOCAL if method in ("energy", "flow", CALIBRATED) else PLAIN
    variants = list_weightings(cross_validate and method == "energy")
    spreads = [calibrate_spread(clips, k, corruption) if method == CALIBRATED else 0.0 for k in range(len(clips))]
    run = "energy" if method == CALIBRATED else method
    concepts = np.array([c.concept or "" for c in clips])
    per_seed: list[dict[str, float]] = []
    per_clip: dict[str, list[float]] = {}
    chosen: dict[str, dict] = {}
    seconds = frames = 0.0
    for seed in seeds if corruption == "corrupted" else seeds[:1]:
        scores: list[list[np.ndarray]] = []
        table = np.zeros((len(clips), len(variants) * len(decisions)))
        for k, clip in enumerate(clips):
            scores.append([])
            for v, variant_settings in enumerate(variants):
                energy = replace(variant_settings.energy, spread_tokens=spreads[k])
                values, spent = score_frames(clip, run, corruption, seed, replace(variant_settings, energy=energy))
                scores[k].append(values)
                table[k, v * len(decisions) : (v + 1) * len(decisions)] = grid_iou(values, clip.masks, decisions)
                seconds, frames = seconds + spent, frames + len(values)
        overall: list[ClipScore] = []
        by_class = np.full(len(clips), np.nan)
        for k, clip in enumerate(clips):
            pick = choose_without(table, k, np.ones(len(clips), bool))
            variant, decision = divmod(pick, len(decisions))
            values = scores[k][variant]
            masks = np.stack([decide(s.astype(np.float32), settings=decisions[decision]) for s in values])
            overall.append(score_clip(values, masks, clip.masks, clip.flow))
            by_class[k] = table[k, choose_without(table, k, concepts == concepts[k])]
            per_clip.setdefault(clip.name, []).append(overall[-1].iou)
            chosen[clip.name] = {"weighting": variant, **asdict(decisions[decision])}
        row = {f"iou_{name}": float(np.nanmean(by_class[concepts == name])) for name in np.unique(concepts) if name}
        row["iou_global"] = float(np.nanmean([s.iou for s in overall]))
        row["iou_class"] = float(np.nanmean(by_class))
        for name in ("boundary_f", "warp", "flicker", "vc8_truth", "vc8_union", "fp_area"):
            row[name] = float(np.nanmean([getattr(s, name) for s in overall]))
        per_seed.append(row)
        say(f"{corruption} {method} seed {seed}:", "  ".join(f"{k} {v:.3g}" for k, v in row.items()))
    result: dict = {k.removeprefix("iou_") if k[4:] in concepts else k: 0.0 for k in per_seed[0]}
    for key, name in zip(per_seed[0], result, strict=True):
        result[name] = round(float(np.mean([r[key] for r in per_seed])), 6)
    result["ms_per_frame"] = round(1e3 * seconds / frames, 2)
    result["iou_global_std_seeds"] = round(float(np.std([r["iou_global"] for r in per_seed])), 4)
    result["iou_global_std_clips"] = round(float(np.nanstd([np.mean(v) for v in per_clip.values()])), 4)
    result["clips"] = {k: round(float(np.mean(v)), 3) for k, v in per_clip.items() if not np.isnan(v).any()}
    result["settings"] = chosen
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; the table goes to stdout, progress to stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips_dir", type=Path, nargs="?")
    parser.add_argument("--generated", action="store_true", help="measure on generated footage instead")
    parser.add_argument(
        "--methods", default=f"{BASELINE},flow,energy", help=f"of {','.join((*SMOOTHERS, CALIBRATED))}; or all"
    )
    parser.add_argument("--corruptions", default=",".join(CORRUPTIONS))
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the corruption")
    parser.add_argument("--only", default="", help="clips whose name contains this")
    parser.add_argument("--weights", action="store_true", help="cross-validate weightings of the energy too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if (options.clips_dir is None) == (not options.generated):
        parser.error("give either CLIPS_DIR or --generated")
    cv2.setNumThreads(1)

    def say(*words: object) -> None:
        print(*words, file=sys.stderr, flush=True)

    source = generated_clips() if options.generated else read_clips(options.clips_dir)
    clips = [c for c in source if options.only in c.name]
    methods = SMOOTHERS if options.methods == "all" else options.methods.split(",")
    out: dict = {}
    for corruption in options.corruptions.split(","):
        for method in methods:
            result = measure(clips, method, corruption, range(options.seeds), options.weights, say)
            out.setdefault(corruption, {})[method] = result
    out["dis_medium_half_ms"] = round(1e3 * float(np.median([dis_seconds(c) for c in clips[:5]])), 3)
    if options.json:
        print(json.dumps(out))
        return
    for corruption, rows in out.items():
        if not isinstance(rows, dict):
            continue
        print(f"\n{corruption}")
        for method, row in rows.items():
            print(f"  {method:9s}", "  ".join(f"{k} {v:.3g}" for k, v in row.items() if isinstance(v, float)))
    print(f"\nDIS medium at half resolution: {out['dis_medium_half_ms']} ms per frame")


if __name__ == "__main__":
    main()
