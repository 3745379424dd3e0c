"""Layers, timesteps, methods, reductions and noise draws compared on one set of forward passes.

A forward pass is made once for each window, timestep and noise draw; all layers and methods are read from it together
and stay on disk, so a sweep goes on where it stopped, and another choice of axes needs only the passes that are new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from vidconcept.attention.hooks import resolve_layers
from vidconcept.attention.maps import Reduce, concept_scores, support_tokens
from vidconcept.errors import UsageError
from vidconcept.evaluation.datasets.dataset import Clip, Dataset
from vidconcept.evaluation.readings import Reading, Sweep, Tally
from vidconcept.files import open_replacing_bytes
from vidconcept.models.readout import word_logits
from vidconcept.pipelines.evaluate import list_facts, rename_to_asked, resize_truth
from vidconcept.pipelines.maps import cut_source_windows
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan
from vidconcept.pipelines.vocabulary import compile_words
from vidconcept.pipelines.workspace import Workspace
from vidconcept.settings import TrackSettings
from vidconcept.temporal.windows import Window

AXES = ("layers", "timestep", "timesteps", "method", "reduce", "noise-samples", "background", "sinks")
# The quiet end, the middle and the loud end of the noise schedule.
TIMESTEPS = (20, 250, 500, 750)
NOISE_SAMPLES = (1, 2)
# Stop words that are compared with none where the settings name none themselves.
SINKS = ("a", "of", "with")


def list_readings(axes: Sequence[str], plan: Plan, timesteps: Sequence[int] = TIMESTEPS) -> list[Reading]:
    """Every combination of the asked axes; an axis that is not asked for keeps the plan's value.

    Raises UsageError for an axis that is not known.
    """
    unknown = [axis for axis in axes if axis not in AXES]
    if unknown:
        raise UsageError(f"`sweep={unknown[0]!r}` is not known. Next: some of {', '.join(AXES)}")
    settings, count = plan.settings, plan.layout.num_layers
    layer_sets = {"preset": choose_layers(plan)}
    if "layers" in axes:
        layer_sets |= {str(i): (i,) for i in range(count)}
        layer_sets |= {"all": tuple(range(count)), "deep half": tuple(range(count // 2, count))}
    reduces: tuple[Reduce, ...] = ("softmax-mean", "mean-softmax") if "reduce" in axes else (settings.reduce,)
    found = [
        Reading(method, name, layers, timestep, reduce, draws, left_out, sinks, averaged)
        for method, (name, layers), (timestep, averaged), reduce, draws, left_out, sinks in product(
            plan.layout.methods if "method" in axes else (settings.method,),
            layer_sets.items(),
            _times(axes, settings, timesteps),
            reduces,
            sorted({*NOISE_SAMPLES, settings.noise_samples}) if "noise-samples" in axes else (settings.noise_samples,),
            list_left_out_words(plan) if "background" in axes else ((),),
            ((), settings.sinks or SINKS) if "sinks" in axes else (settings.sinks,),
        )
    ]
    # Of one layer, both orders of reduction are the same.
    return [r for r in found if len(r.layers) > 1 or r.reduce == settings.reduce]


def _times(axes: Sequence[str], settings: TrackSettings, timesteps: Sequence[int]) -> list[tuple[int, tuple[int, ...]]]:
    """Timesteps to read at, each with those that are averaged instead of it."""
    found: list[tuple[int, tuple[int, ...]]] = [(settings.timestep, settings.timesteps)]
    if "timestep" in axes:
        singles = [(t, ()) for t in sorted({*timesteps, settings.timestep})]
        found = singles if not settings.timesteps else found + singles
    if "timesteps" in axes and len(timesteps) > 1:
        found.append((settings.timestep, tuple(sorted(set(timesteps)))))
    return list(dict.fromkeys(found))


def list_left_out_words(plan: Plan) -> list[tuple[str, ...]]:
    """None, all distractors together, and each background word by itself as long as one is left.

    Words that are subtracted from a concept stay.
    """
    preset, settings = plan.folder.preset, plan.settings
    subtracted = {plan.words[i] for entries in plan.lexicon.minus for i in entries}
    others = plan.words[len(settings.concepts) : len(plan.words) - plan.lexicon.sinks]
    others = [word for word in others if word not in subtracted]
    background = [w for w in dict.fromkeys(map(preset.translate, settings.background)) if w in others]
    distractors = tuple(w for w in others if w not in background)
    singles = [(word,) for word in background] if len(background) > 1 else []
    return [(), *([distractors] if distractors else []), *singles]


def choose_layers(plan: Plan) -> tuple[int, ...]:
    """The layers that the plan's settings read, counted from 0."""
    return resolve_layers(plan.settings.layers, plan.layout.num_layers)


def make_base_reading(plan: Plan) -> Reading:
    """How `track` reads the maps with the plan's settings."""
    settings = plan.settings
    return Reading(
        settings.method,
        "preset",
        choose_layers(plan),
        settings.timestep,
        settings.reduce,
        settings.noise_samples,
        sinks=settings.sinks,
        averaged=settings.timesteps,
    )


def sweep(
    dataset: Dataset,
    settings: Mapping[str, Any],
    axes: Sequence[str],
    workspace: Workspace,
    *,
    windows: int | None = None,
    timesteps: Sequence[int] = TIMESTEPS,
) -> Sweep:
    """Measure every reading on every clip, token by token against the share of each token that is truly defect.

    A reading is a single one of the window at full scale: `token_support` is in it, `coarse_scale` is not.
    windows: read at most this many of a clip, those with most defect in them; None reads all.
    """
    tallies: dict[Reading, dict[str, Tally]] = {}
    first: Plan | None = None
    windows_read = 0

    def note_window() -> None:
        nonlocal windows_read
        windows_read += 1
        workspace.monitor.check("windows read", windows_read, None)

    for number, clip in enumerate(dataset.clips):
        plan = workspace.plan_clip(clip, settings)
        first = first or plan
        asked = rename_to_asked(dataset, plan.settings)
        for reading, tally in tally_clip(
            plan, asked.clips[number], list_readings(axes, plan, timesteps), workspace, windows, note_window
        ).items():
            tallies.setdefault(reading, {})[clip.name] = tally
        workspace.monitor.check("clips swept", number + 1, len(dataset.clips))
    assert first is not None
    return Sweep(first.settings.concepts, tallies, make_base_reading(first), list_facts(dataset, first))


def tally_clip(
    plan: Plan,
    clip: Clip,
    wanted: Sequence[Reading],
    workspace: Workspace,
    windows: int | None,
    note_window: Callable[[], None],
) -> dict[Reading, Tally]:
    """Counts of all readings over one clip. note_window: called after each window."""
    whole = plan_for_sweep(plan)
    concepts = plan.settings.concepts
    tallies = {reading: Tally.of(len(concepts)) for reading in wanted}
    plans = {sinks: with_sinks(whole, sinks) for sinks in {reading.sinks for reading in wanted}}
    folders = {sinks: workspace.open_clip(own, clip).path / "logits" for sinks, own in plans.items()}
    passes = sorted({(r.sinks, t, draw) for r in wanted for t in r.timesteps for draw in range(r.draws)})
    for window, shares in pick_busiest_windows(whole, clip, workspace.monitor, windows):
        logits = {
            (sinks, timestep, draw): compute_logits(plans[sinks], window, timestep, draw, folders[sinks], workspace)
            for sinks, timestep, draw in passes
        }
        for reading in wanted:
            add_window(tallies[reading], reading, logits, shares, plans[reading.sinks])
        note_window()
    return tallies


def with_sinks(plan: Plan, sinks: tuple[str, ...]) -> Plan:
    """The plan with other stop words to draw off attention."""
    if plan.settings.sinks == sinks:
        return plan
    settings = plan.settings.model_copy(update={"sinks": sinks})
    words, lexicon = compile_words(settings, plan.folder.preset)
    return replace(plan, settings=settings, words=words, lexicon=lexicon)


def plan_for_sweep(plan: Plan) -> Plan:
    """The plan with every layer read; the sweep looks at whole pictures."""
    if len(plan.tiles.origins_px) > 1:
        raise UsageError("a sweep reads whole pictures. Next: leave `tile` out")
    layers = tuple(range(plan.layout.num_layers))
    return replace(plan, settings=plan.settings.model_copy(update={"layers": layers}))


def pick_busiest_windows(
    plan: Plan, clip: Clip, monitor: Monitor, limit: int | None
) -> Iterator[tuple[Window, np.ndarray]]:
    """Windows of a clip with the true share of each token, `(concept, t_lat, row, col)`; those with most defect.

    Of good clips, or where nothing is limited, the first ones.
    """
    amounts = [float(np.nansum(shares)) for _, shares in _add_shares(plan, clip, monitor)] if limit else []
    ranked = sorted(range(len(amounts)), key=lambda i: -amounts[i])
    chosen = set(ranked[:limit]) if limit else None
    for window, shares in _add_shares(plan, clip, monitor):
        if chosen is None or window.index in chosen:
            yield window, shares


def _add_shares(plan: Plan, clip: Clip, monitor: Monitor) -> Iterator[tuple[Window, np.ndarray]]:
    for window in cut_source_windows(plan, monitor):
        yield window, measure_token_shares(plan, clip, window)


def measure_token_shares(plan: Plan, clip: Clip, window: Window) -> np.ndarray:
    """Share of each token's pixels that belong to each asked concept, `(concept, t_lat, row, col)` float32.

    Tokens of frames that are padding or not annotated are NaN, and so are those of which most pixels count for nothing.
    """
    pitch = plan.tiles.pitch_px
    grid = (plan.tiles.height // pitch, plan.tiles.width // pitch)
    concepts = plan.settings.concepts
    result = np.full((len(concepts), len(window.positions), *grid), np.nan, np.float32)
    for step, (first, last) in enumerate(window.positions.tolist()):
        frames = []
        for position in range(first, min(last, window.start + window.real_frames - 1) + 1):
            name = window.names[position - window.start] if window.names else ""
            truth = clip.find_truth(window.begins_at + position * plan.settings.frame_stride, name)
            if truth is not None:
                truth = resize_truth(truth, plan, (plan.region.height, plan.region.width))
                known = np.ones(truth.masks.shape[1:], bool) if truth.ignore is None else ~truth.ignore
                frames.append([_shrink(mask & known, grid) for mask in (known, *map(truth.of, concepts))])
        if frames:
            known, *shares = np.mean(frames, axis=0)
            result[:, step] = np.where(known > 0.5, shares / np.maximum(known, 0.5), np.nan)
    return result


def _shrink(mask: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    return cv2.resize(mask.astype(np.float32), (grid[1], grid[0]), interpolation=cv2.INTER_AREA)


def compute_logits(
    plan: Plan, window: Window, timestep: int, draw: int, folder: Path, workspace: Workspace
) -> dict[str, np.ndarray]:
    """Method -> `(layer, word, token)` float32 of one forward pass, from disk if it is there."""
    path = folder / f"window_{window.index:06d}_t{timestep:03d}_draw{draw}.safetensors"
    try:
        # A file of an earlier version may lack methods.
        if path.is_file() and set(plan.layout.methods) <= (stored := load_file(path)).keys():
            return stored
    except SafetensorError:
        workspace.monitor.note_fallback(f"{path.name} was damaged and is computed again")
    settings = plan.settings.model_copy(update={"timestep": timestep, "timesteps": ()})
    model = workspace.load(replace(plan, settings=settings))
    with workspace.monitor.time_stage("model"):
        pooled = word_logits(model, window.frames, draw, plan.layout.methods, plan.lexicon)
    with open_replacing_bytes(path) as file:
        file.write(save({method: np.ascontiguousarray(values, np.float32) for method, values in pooled.items()}))
    return pooled


def add_window(
    tally: Tally,
    reading: Reading,
    logits: Mapping[tuple[tuple[str, ...], int, int], Mapping[str, np.ndarray]],
    shares: np.ndarray,
    plan: Plan,
) -> None:
    """Count one window, its scores finished as `track` does. shares: true ones, `(concept, t_lat, row, col)`.

    Tokens are weighted by the share of their pixels that is and is not the concept.
    """
    draws = [logits[reading.sinks, t, n][reading.method] for t in reading.timesteps for n in range(reading.draws)]
    kept = [i for i, word in enumerate(plan.words) if word not in reading.left_out]
    scores = np.zeros((len(plan.words), draws[0].shape[-1]), np.float32)
    scores[kept] = concept_scores(draws, reading.reduce, layers=reading.layers, words=kept)
    scores = plan.lexicon.finish(scores)  # (entry, token)
    asked = scores[: len(shares)].reshape(shares.shape)
    scores[: len(shares)] = support_tokens(asked, plan.settings.token_support).reshape(len(shares), -1)
    scores = scores[kept]
    flat = shares.reshape(len(shares), -1)
    known = np.isfinite(flat[0])
    scores, flat = scores[:, known], flat[:, known]
    for index, curves in enumerate(tally.curves):
        curves.add_shares(scores[index], flat[index])
    tally.add_leakage(scores[: len(shares)], flat)
    best = scores.argmax(0)
    predicted = np.where(best < len(shares), best + 1, 0)
    for label, weight in enumerate([np.clip(1 - flat.sum(0), 0, 1), *flat]):
        tally.confusion.add(predicted, np.full(len(predicted), label), weight)
