"""Figures of an embedded model at token scale, on footage fixed by seed or on a folder as `footage write` makes.

    python -m linecam.evaluate [--model FOLDER] [--clips 60] [--real DIR [--tracked WORK]]

Truth and scores are compared cell by cell (8×8 px, one latent step); a cell counts as a defect from 5 % cover on, cells
touched less are left out. IoU is of the best-scored concept, AP needs no threshold. One JSON object on stdout.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from linecam.footage import heldout
from linecam.footage.clips import HELD_OUT_SEED, clip
from linecam.training.data import group_shares
from vidconcept.evaluation.datasets.read import read_dataset
from vidconcept.evaluation.metrics.scores import average_precision
from vidconcept.models import cogvideox
from vidconcept.models.folder import ModelFolder, find_folder, find_preset
from vidconcept.models.readout import read_scores
from vidconcept.painting.cells import CELL_PX, DEFECT_SHARE, cell_shares, cell_truth
from vidconcept.painting.kinds import CLASS_ID, CONCEPTS, DEFECT_IDS, DEFECTS, IGNORE
from vidconcept.pipelines.rarity import gate_maps
from vidconcept.pipelines.workspace import Workspace
from vidconcept.settings import TrackSettings

WINDOW = 9
# Height and width in pixels: from the crops that training mostly sees to the window in use.
WINDOW_SIZES = ((128, 128), (128, 256), (192, 320), (256, 448))


def figures(scores: np.ndarray, truth: np.ndarray) -> dict:
    """AP, IoU and prevalence of each defect, and means. scores `(cell, concept)`, truth `(cell,)` class numbers."""
    known = truth != IGNORE
    scores, truth = scores[known], truth[known]
    best = scores.argmax(1)
    rows = {}
    for index, name in zip(DEFECT_IDS, DEFECTS, strict=True):
        wanted, guessed = truth == index, best == index
        union = (wanted | guessed).sum()
        rows[name] = {
            "ap": round(average_precision(scores[:, index], wanted), 4),
            "iou": round(float((wanted & guessed).sum() / max(union, 1)), 4),
            "prevalence": round(float(wanted.mean()), 5),
        }
    defect = np.isin(truth, DEFECT_IDS)
    return {
        "mean_ap": round(float(np.nanmean([r["ap"] for r in rows.values()])), 4),
        "mean_iou": round(float(np.mean([r["iou"] for r in rows.values()])), 4),
        "any_defect_ap": round(average_precision(scores[:, list(DEFECT_IDS)].sum(1), defect), 4),
        "concepts": rows,
    }


def score_generated(
    model, seeds: Sequence[int], *, styles: Sequence[str] | None = None, **options
) -> tuple[np.ndarray, np.ndarray]:
    """Scores `(cell, concept)` and truth `(cell,)` of generated clips, at the size in use."""
    scores, truths = [], []
    for k, seed in enumerate(seeds):
        made = clip(seed, (256, 384), WINDOW, style=None if styles is None else styles[k % len(styles)], **options)
        maps = read_scores(model, made.frames)  # (concept, t_lat, row, col)
        scores.append(maps.reshape(len(CONCEPTS), -1).T)
        truths.append(cell_truth(group_shares(cell_shares(made.classes))).ravel())
    return np.concatenate(scores), np.concatenate(truths)


def measure_window_sizes(model, seeds: Sequence[int], sizes: Sequence[tuple[int, int]]) -> dict[str, dict[str, float]]:
    """Figures when the model sees only the middle of each clip, for each height and width of that middle."""
    rows: dict[tuple[int, int], list[tuple[np.ndarray, np.ndarray]]] = {size: [] for size in sizes}
    for seed in seeds:
        made = clip(seed, (256, 448), WINDOW, defects=4.0)
        for height, width in sizes:
            y, x = (256 - height) // 2, (448 - width) // 2
            part = (slice(None), slice(y, y + height), slice(x, x + width))
            maps = read_scores(model, np.ascontiguousarray(made.frames[part]))
            truth = cell_truth(group_shares(cell_shares(made.classes[part])))
            rows[height, width].append((maps.reshape(len(CONCEPTS), -1).T, truth.ravel()))
    out = {}
    for (height, width), pairs in rows.items():
        found = figures(*(np.concatenate([pair[k] for pair in pairs]) for k in (0, 1)))
        out[f"{height}x{width}"] = {key: found[key] for key in ("mean_ap", "mean_iou", "any_defect_ap")}
    return out


def windows(folder: Path, name: str, *, above: int = 127) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Windows of a clip of a `clips.json` folder: frames `(9, h, w, 3)` and defect masks `(9, h, w)` bool.

    above: grey value above which an annotation's pixel is a defect.
    """
    with av.open(str(folder / "videos" / f"{name}.mp4")) as container:
        frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    for first in range(0, len(frames) - WINDOW + 1, WINDOW - 1):
        masks = np.zeros(frames[:WINDOW].shape[:3], bool)
        for k in range(WINDOW):
            path = folder / "annotations" / name / f"{first + k:05d}.png"
            if path.exists():
                masks[k] = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)) > above
        yield frames[first : first + WINDOW], masks


def measure_recorded(model, folder: Path, *, peak_only: bool) -> dict:
    """AP of each concept over the clips of a `clips.json` folder that show it, grouped by the clips' first word.

    peak_only: of each clip only the window that shows most of its defect, which raises prevalence and saves time.
    """
    groups: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    calm: dict[str, list[float]] = {}
    for row in json.loads((folder / "clips.json").read_text("utf-8")):
        chosen = list(windows(folder, row["clip"], above=0 if row["truth"] == "instances" else 127))
        if peak_only:
            chosen = [max(chosen, key=lambda window: window[1].sum())]
        for frames, masks in chosen:
            maps = read_scores(model, frames)
            shares = group_shares(cell_shares(masks.astype(np.uint8))[..., 1])
            if row["concept"] is None:
                calm.setdefault("highest defect score in good clips", []).append(float(maps[list(DEFECT_IDS)].max()))
                continue
            sure = (shares == 0) | (shares >= DEFECT_SHARE)
            pair = (maps[CLASS_ID[row["concept"]]][sure], shares[sure] >= DEFECT_SHARE)
            groups.setdefault(f"{row['clip'].split('_')[0]} {row['concept']}", []).append(pair)
    out: dict = {}
    for name, pairs in groups.items():
        score, truth = (np.concatenate([pair[k] for pair in pairs]) for k in (0, 1))
        out[name] = {"ap": round(average_precision(score, truth), 4), "prevalence": round(float(truth.mean()), 4)}
    return out | {name: round(max(values), 3) for name, values in calm.items()}


def measure_tracked(folder: Path, work: Path) -> dict[str, dict[str, float]]:
    """AP of each concept over the peak windows, from the maps that `track` stores, without and with rarity.

    folder: as for `measure_recorded`, with masks. work: where runs are kept. Cells are of 8×8 px of the picture as the
    model gets it; the peak window is the one that shows most of the clip's defect, of those that the model saw.
    """
    shown = {row["clip"]: row["concept"] for row in json.loads((folder / "clips.json").read_text("utf-8"))}
    settings = {"concepts": sorted({name for name in shown.values() if name}), "model": "linecam"}
    workspace = Workspace(work)
    pairs: dict[str, dict[str, list[tuple[np.ndarray, np.ndarray]]]] = {"rarity off": {}, "rarity auto": {}}
    for each in read_dataset(folder).clips:
        concept = shown[each.name]
        if concept is None:
            continue
        plan = workspace.plan_clip(each, settings)
        run = workspace.open_clip(plan, each)
        with run:
            workspace.compute_maps(plan, run)
        masks = [mask for k, (_, own) in enumerate(windows(folder, each.name)) for mask in own[k > 0 :]]
        for title, stored in (("rarity off", run.read_maps()), ("rarity auto", gate_maps(plan, run))):
            spans = [(maps, masks[maps.positions[0, 0] : maps.positions[-1, 1] + 1]) for maps in stored]
            peak, span = max(spans, key=lambda pair: np.sum(pair[1]))
            scores = peak.scores[settings["concepts"].index(concept)]
            size = (scores.shape[2] * CELL_PX, scores.shape[1] * CELL_PX)
            drawn = np.stack([cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) for mask in span])
            shares = group_shares(cell_shares((drawn >= 0.5).astype(np.uint8))[..., 1])
            sure = (shares == 0) | (shares >= DEFECT_SHARE)
            pairs[title].setdefault(concept, []).append((scores[sure], shares[sure] >= DEFECT_SHARE))
    return {
        title: {
            name: round(average_precision(*map(np.concatenate, zip(*own, strict=True))), 4)
            for name, own in sorted(by_concept.items())
        }
        for title, by_concept in pairs.items()
    }


def open_model(folder: Path | None):
    """The model through the same adapter as any other, with every concept in the softmax."""
    preset = find_preset("linecam")
    settings = TrackSettings(**{**preset.settings, "concepts": DEFECTS})
    place = find_folder(preset) if folder is None else ModelFolder(folder, preset)
    return cogvideox.load(place.path, settings, list(CONCEPTS))


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a pipeline folder; default the one in the package")
    parser.add_argument("--clips", type=int, default=60, help="clips of each generated set")
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED, help="of the first clip; default the held-out ones")
    parser.add_argument("--real", type=Path, help="a folder of recorded clips with clips.json")
    parser.add_argument("--window-sizes", action="store_true", help="also figures by the size of the window")
    parser.add_argument("--tracked", type=Path, metavar="WORK", help="also from `track`'s maps, runs kept in WORK")
    parser.add_argument("--all-windows", action="store_true", help="of recorded clips, not only the peak window")
    options = parser.parse_args(arguments)
    model = open_model(options.model)
    seeds = range(options.seed, options.seed + options.clips)
    result = {
        "generated": figures(*score_generated(model, seeds, defects=4.0)),
        "held_out_styles": figures(*score_generated(model, seeds, styles=list(heldout.SURFACES), defects=4.0)),
    }
    scores, _ = score_generated(model, [s + options.clips for s in seeds], defects=0.0)
    per_clip = scores.reshape(options.clips, -1, len(CONCEPTS))[:, :, list(DEFECT_IDS)].max((1, 2))
    result["defect_free"] = {
        f"highest score, quantile {q}": round(float(np.quantile(per_clip, q)), 3) for q in (0.5, 0.9, 0.99)
    }
    if options.window_sizes:
        result["window_size"] = measure_window_sizes(model, seeds, WINDOW_SIZES)
    if options.real is not None:
        result["recorded"] = measure_recorded(model, options.real, peak_only=not options.all_windows)
        if options.tracked is not None:
            result["tracked"] = measure_tracked(options.real, options.tracked)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
