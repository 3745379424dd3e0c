"""Calibration with a few masks: how to read the maps and where to cut them, chosen by cross-validation over clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from vidconcept.evaluation.datasets.dataset import Dataset
from vidconcept.evaluation.metrics.events import EventCounts
from vidconcept.evaluation.metrics.figures import Figures
from vidconcept.evaluation.readings import FEWEST_CLIPS, Reading, Sweep, list_showing, mean_ap
from vidconcept.evaluation.statistics import bootstrap_interval
from vidconcept.pipelines.calibrate import find_usual, select_settings
from vidconcept.pipelines.evaluate import Linked, rename_to_asked
from vidconcept.pipelines.findings import score_frames
from vidconcept.pipelines.plan import MAPS_VERSION, Plan
from vidconcept.pipelines.rarity import gate_maps
from vidconcept.pipelines.sweep import sweep
from vidconcept.pipelines.workspace import Workspace

# What is tried unless the caller says otherwise.
READING_AXES = ("layers", "timestep", "reduce", "background")
LEVELS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
# With fewer defects of a concept, no threshold is chosen.
SMALLEST_OBJECTS, FOLDS = 3, 5


@dataclass(frozen=True)
class LabelledCalibration:
    """keys: settings for `track`. thresholds: chosen, or given and kept. says: what was chosen and why."""

    keys: Mapping[str, Any]
    thresholds: Mapping[str, float]
    says: tuple[str, ...]
    provenance: Mapping[str, Any] = field(repr=False)


def calibrate_labelled(
    dataset: Dataset,
    settings: Mapping[str, Any],
    workspace: Workspace,
    *,
    axes: Sequence[str] = READING_AXES,
    timesteps: Sequence[int] = (20, 250, 500),
    windows: int | None = 2,
) -> LabelledCalibration:
    """Choose layers, timestep, reduction, words and thresholds from clips with truth.

    A choice replaces the preset's only when it does better on clips that it was not chosen on, the reading beyond what
    the sample leaves open. windows: of each clip for the reading; the thresholds see whole clips. Maps stay in `work`.
    Thresholds, lifts and the memory of an earlier calibration do not count.
    """
    workspace = replace(workspace, calibrating=True)
    plan = workspace.plan_clip(dataset.clips[0], settings)
    compared = sweep(dataset, settings, axes, workspace, windows=windows, timesteps=timesteps)
    reading, why = choose_reading(compared)
    chosen = settle_reading(reading, compared.base, plan)
    counts = count_events(dataset, {**settings, **chosen}, workspace)
    thresholds, reasons = choose_thresholds(counts, find_usual(plan))
    # Those that the user gave and that stay.
    own = plan.settings.thresholds if plan.sources["thresholds"] != plan.folder.preset.layer.name else {}
    facts = {
        "kind": "masks",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "vidconcept": version("vidconcept"),
        "weights": plan.layout.fingerprint,
        "maps_version": MAPS_VERSION,
        "dataset": dataset.name,
        "clips": [clip.name for clip in dataset.clips],
        "readings_compared": len(compared.tallies),
        "reading": {key: value for key, value in asdict(reading).items() if key != "layers_name"},
    }
    return LabelledCalibration({**select_settings(plan), **chosen}, {**own, **thresholds}, (why, *reasons), facts)


def split_folds(clips: Sequence[str], folds: int = FOLDS, seed: int = 0) -> list[list[str]]:
    """Clips in at most `folds` groups of about equal size, at random."""
    order = np.random.default_rng(seed).permutation(len(clips))
    return [[clips[int(i)] for i in part] for part in np.array_split(order, min(folds, len(clips))) if len(part)]


def choose_reading(compared: Sweep) -> tuple[Reading, str]:
    """The reading that is best over all clips, if choosing so also helps on clips left out; else the base.

    Returns it with a sentence of why.
    """
    base, tallies = compared.base, compared.tallies
    defective = list_showing(tallies[base])
    if len(defective) < FEWEST_CLIPS:
        return base, (
            f"too few clips with defects to choose a reading: {len(defective)}, at least {FEWEST_CLIPS}; "
            "layers, timestep, reduction and words stay the preset's."
        )
    candidates = [r for r in tallies if r.method == base.method]

    def find_best(names: Sequence[str]) -> Reading:
        return max(candidates, key=lambda r: np.nan_to_num(mean_ap(tallies[r][n] for n in names), nan=-1.0))

    held: dict[str, Reading] = {}
    for part in split_folds(defective):
        winner = find_best([n for n in defective if n not in part])
        held.update(dict.fromkeys(part, winner))

    def gap(names: Sequence[str]) -> float:
        return mean_ap(tallies[held[n]][n] for n in names) - mean_ap(tallies[base][n] for n in names)

    low, high = bootstrap_interval(gap, defective)
    winner = find_best(defective)
    figures = f"mean AP {gap(defective):+.3f} against the preset on clips left out, 95 % {low:+.3f} to {high:+.3f}"
    if low <= 0:
        return base, f"No reading is surely better than the preset's on this sample ({figures}); the preset's stays."
    name = f"layers {winner.layers_name}, timestep {winner.timestep}, {winner.reduce}"
    without = f", without {', '.join(winner.left_out)}" if winner.left_out else ""
    return winner, f"Chosen: {name}{without} ({figures})."


def settle_reading(reading: Reading, base: Reading, plan: Plan) -> dict[str, Any]:
    """The settings that make `track` read so; empty when the reading is the base."""
    if reading == base:
        return {}
    preset, settings = plan.folder.preset, plan.settings
    chosen: dict[str, Any] = {
        "layers": list(reading.layers),
        "timestep": reading.timestep,
        "timesteps": list(reading.averaged),
        "reduce": reading.reduce,
        "noise_samples": reading.draws,
    }
    if reading.left_out:
        for key in ("background", "distractors"):
            words: tuple[str, ...] = getattr(settings, key)
            chosen[key] = [word for word in words if preset.translate(word) not in reading.left_out]
    return chosen


def count_events(
    dataset: Dataset,
    settings: Mapping[str, Any],
    workspace: Workspace,
) -> dict[str, dict[float, dict[str, EventCounts]]]:
    """Clip -> threshold -> concept -> events, for every level that is tried and the one that is set."""
    result: dict[str, dict[float, dict[str, EventCounts]]] = {}
    bare = {"thresholds": {}, "place_lifts": {}}
    for number, original in enumerate(dataset.clips):
        plan = workspace.plan_clip(original, settings)
        clip = rename_to_asked(dataset, plan.settings).clips[number]
        run = workspace.open_clip(plan, clip)
        workspace.compute_maps(plan, run)
        # Each level holds for all concepts. Lifts are not written, so they are not counted with.
        tried = {
            level: Linked(replace(plan, settings=plan.settings.model_copy(update={**bare, "threshold": level})))
            for level in sorted({*LEVELS, *find_usual(plan).values()})
        }
        for scored in score_frames(plan, gate_maps(plan, run), workspace.monitor):
            for linked in tried.values():
                linked.add(scored)
        result[clip.name] = {
            level: linked.measure(clip, Figures.empty(plan.settings.concepts)).by_concept
            for level, linked in tried.items()
        }
        workspace.monitor.check("clips tried", number + 1, len(dataset.clips))
    return result


def event_f1(counts: EventCounts) -> float:
    """Harmonic mean of the share of events that are true and the share of defects that are found; 0 with neither."""
    if not counts.events or not counts.objects:
        return 0.0
    precision, recall = 1 - counts.false_events / counts.events, counts.found / counts.objects
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def choose_thresholds(
    counts: Mapping[str, Mapping[float, Mapping[str, EventCounts]]], preset: Mapping[str, float]
) -> tuple[dict[str, float], list[str]]:
    """For each concept the level with the best event F1, where that also holds on clips left out.

    preset: the threshold that each concept has. Returns those that change, and a sentence for each concept.
    """
    clips, thresholds, reasons = list(counts), {}, []
    levels = sorted(next(iter(counts.values())))

    def total(names: Sequence[str], level: float, concept: str) -> EventCounts:
        return sum((counts[n][level].get(concept, EventCounts()) for n in names), EventCounts())

    def best(names: Sequence[str], concept: str) -> float:
        # Of equals the higher one: it says less.
        return max(levels, key=lambda level: (event_f1(total(names, level, concept)), level))

    for concept, now in preset.items():
        objects = total(clips, levels[0], concept).objects
        if objects < SMALLEST_OBJECTS:
            reasons.append(
                f"{concept}: too few defects to choose a threshold: {objects}, at least {SMALLEST_OBJECTS}; "
                f"{now:g} stays."
            )
            continue
        held = EventCounts()
        for part in split_folds(clips):
            level = best([n for n in clips if n not in part], concept)
            held += total(part, level, concept)
        own, before = event_f1(held), event_f1(total(clips, now, concept))
        if own <= before:
            reasons.append(
                f"{concept}: no threshold does better on clips left out than {now:g} (F1 {own:.2f} against "
                f"{before:.2f}); it stays."
            )
            continue
        thresholds[concept] = best(clips, concept)
        reasons.append(
            f"{concept}: {thresholds[concept]:g} (event F1 {own:.2f} on clips left out, {before:.2f} with {now:g}; "
            f"{objects} defects)."
        )
    return thresholds, reasons
