"""Why did an event fire: the maps of its peak frame, layer by layer and word by word, as one picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from vidconcept.attention.maps import support_tokens
from vidconcept.errors import InputError, UsageError
from vidconcept.evaluation.explanation import Explanation
from vidconcept.geometry import crop
from vidconcept.models.readout import average_draws, draws_of, join_coarse
from vidconcept.pipelines.live_pass import split_as_live
from vidconcept.pipelines.maps import ModelShelf, cut_source_windows
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan, make_plan
from vidconcept.pipelines.settle import find_idle
from vidconcept.pipelines.sweep import choose_layers, plan_for_sweep
from vidconcept.pipelines.track import Run
from vidconcept.run_changes import check_same_maps
from vidconcept.setting_layers import Layer, resolve
from vidconcept.settings import TrackSettings
from vidconcept.temporal.windows import Window
from vidconcept.tracks.decision import interpolate_lifts
from vidconcept.tracks.rle import decode
from vidconcept.types import Event, TrackMask
from vidconcept.video.sparse import grab_frames


def explain(run_path: Path, event_id: int, monitor: Monitor, shelf: ModelShelf | None = None) -> Explanation:
    """Read the window of an event's peak frame again, with every layer.

    Raises UsageError for an event that the run does not have, or where video or weights are not those of the run,
    InputError when its video is gone, ModelError when its model is.
    """
    run = Run.open(run_path)
    event = next((e for e in run.events if e.event_id == event_id), None)
    if event is None:
        ids = ", ".join(str(e.event_id) for e in run.events[:20])
        step = f"one of {ids}" if ids else "a run that has events; this one found nothing"
        raise UsageError(f"`event={event_id}` is not an event of the run. Next: {step}")
    own = _restore_plan(run)
    advice = "explain with the video and the weights of the run, or track again"
    check_same_maps(run_path, "explained", run.manifest, own.facts(), advice)
    if len(own.tiles.origins_px) > 1:
        raise UsageError(
            f"{run_path} was read in tiles, explain reads whole pictures. Next: track again without `tile`"
        )
    plan = plan_for_sweep(own)
    track = next(t for t in run.tracks() if t.frame_index == event.peak_frame and t.tracker_id == event.tracker_id)
    window, position = _find_window(plan, event.peak_frame, monitor)
    model = (shelf or ModelShelf())(plan, monitor)
    draws = draws_of(model, window.frames, plan.lexicon)
    chosen = choose_layers(own)
    step = int(np.flatnonzero((window.positions[:, 0] <= position) & (position <= window.positions[:, 1]))[0])
    order, spread = _order_words(plan, track), plan.settings.token_support
    single = [average_draws(model, window.frames, draws, [layer]) for layer in range(plan.layout.num_layers)]
    maps = support_tokens(np.stack(list(map(plan.lexicon.finish, single))), spread)[:, order, step]
    fine = average_draws(model, window.frames, draws, chosen)
    combined = plan.lexicon.finish(join_coarse(model, window.frames, fine, plan.lexicon, chosen))
    whole = support_tokens(combined, spread)[order, step]
    image, mask = _read_picture(plan, event, track, monitor)
    words = tuple((*plan.settings.concepts, *plan.words[len(plan.settings.concepts) :])[i] for i in order)
    cell = _find_peak_cell(whole[0], mask)
    settings = plan.settings
    threshold = settings.find_threshold(track.concept)
    lifts = settings.place_lifts.get(track.concept)
    lift = float(interpolate_lifts(lifts, *whole.shape[1:])[cell]) if lifts else 0.0
    rarity = run.manifest.get("rarity", {})
    did = {"smoothing": settings.smooth != "none", "rarity": bool(rarity.get("tokens_judged"))}
    after = tuple(name for name, done in did.items() if done)
    said = rarity.get("says", "")
    return Explanation(event, words, chosen, maps, whole, cell, image, mask, threshold, lift, after, said)


def _restore_plan(run: Run) -> Plan:
    """The run's own plan, its video looked for where it was. The environment's settings do not come in."""
    stored = run.manifest.get("settings")
    if not isinstance(stored, dict):
        raise InputError(f"{run.path / 'run.json'} does not say its settings. Next: track again")
    keys = {key: value for key, value in stored.items() if key in TrackSettings.model_fields and value is not None}
    # A run tells all its settings, also those that had no effect: nobody asks for these now.
    idle = find_idle(resolve([Layer(str(run.path / "run.json"), keys)])[0])
    asked = {key: value for key, value in keys.items() if key not in idle}
    return split_as_live(make_plan(run.find_video(), asked, environ={}), run.manifest.get("live") or {})


def _order_words(plan: Plan, track: TrackMask) -> list[int]:
    """The event's own word first, then the other asked ones, then background and distractors."""
    return [track.class_id, *(i for i in range(len(plan.words)) if i != track.class_id)]


def _find_window(plan: Plan, frame_index: int, monitor: Monitor) -> tuple[Window, int]:
    """The window in whose middle the frame lies best, and the frame's position."""
    if plan.settings.skips_windows:
        # The frame may lie between two windows that the run read.
        plan = replace(plan, settings=plan.settings.model_copy(update={"stride": 1}))
    best: tuple[float, Window, int] | None = None
    for window in cut_source_windows(plan, monitor):
        # The last frame up to this one that the model saw.
        position = (frame_index - window.begins_at) // plan.settings.frame_stride
        if window.start <= position < window.start + window.real_frames:
            off = abs(position - window.start - window.real_frames / 2)
            if best is None or off < best[0]:
                best = (off, window, position)
        elif best is not None:
            break
    if best is None:
        raise InputError(
            f"frame {frame_index} of the event is not in {plan.source} any more: the video has changed. "
            "Next: track it again"
        )
    return best[1], best[2]


def _read_picture(plan: Plan, event: Event, track: TrackMask, monitor: Monitor) -> tuple[np.ndarray, np.ndarray]:
    """The region of the peak frame and the event's mask in it."""
    index = event.peak_frame
    pictures = grab_frames(
        plan.source,
        [index],
        pts={index: track.pts},
        fps=plan.settings.fps,
        reading=plan.reading,
        on_problem=monitor.problem,
    )
    image = next(image for _, image in pictures)
    mask = decode(track.rle, (plan.info.width_px, plan.info.height_px))
    return np.ascontiguousarray(crop(image, plan.region)), crop(mask, plan.region)


def _find_peak_cell(own: np.ndarray, mask: np.ndarray) -> tuple[int, int]:
    """The token under the mask at which the event's word scores highest."""
    cover = cv2.resize(mask.astype(np.float32), (own.shape[1], own.shape[0]), interpolation=cv2.INTER_AREA)
    inside = np.where(cover > 0, own, -1.0)
    row, col = np.unravel_index(int(inside.argmax()), own.shape)
    return int(row), int(col)
