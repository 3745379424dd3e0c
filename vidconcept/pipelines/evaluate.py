"""A data set with truth: each clip through the pipeline as `track` runs it, then measured."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

import cv2
import numpy as np

from vidconcept.errors import InputError, UsageError
from vidconcept.evaluation.datasets.dataset import Clip, Dataset, FrameTruth
from vidconcept.evaluation.metrics.events import EventLedger, Found
from vidconcept.evaluation.metrics.figures import Figures, MaskPass
from vidconcept.geometry import crop
from vidconcept.models.folder import find_preset
from vidconcept.pipelines.findings import FrameRef, ScoredFrame, make_tracker, score_frames
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan
from vidconcept.pipelines.rarity import gate_maps
from vidconcept.pipelines.workspace import Workspace
from vidconcept.runs import RunFolder
from vidconcept.settings import RARITY_WORDS, TrackSettings
from vidconcept.tracks.events import frame_duration_s, measure_footage_s, shortest_span_s
from vidconcept.tracks.rle import decode
from vidconcept.types import TrackMask
from vidconcept.words import spelling_of

# Truth may be larger or smaller than the film, but not of another shape than by this share.
SHAPE_FRAC = 0.01
LIBRARIES = ("vidconcept", "torch", "diffusers", "numpy", "scipy", "opencv-python-headless", "pycocotools")


@dataclass(frozen=True)
class Evaluation:
    """total: over all clips. clips: figures of each. facts: data, settings, versions: what a report states.

    by_rarity: over all clips, for each value of the setting `rarity` that was tried: off, auto, and a file of good
    parts where the settings name one.
    """

    total: Figures = field(repr=False)
    clips: Mapping[str, Figures] = field(repr=False)
    facts: Mapping[str, Any] = field(repr=False)
    by_rarity: Mapping[str, Figures] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, Any]:
        clips = {name: figures.summary() for name, figures in self.clips.items()}
        by_rarity = {mode: figures.summary() for mode, figures in self.by_rarity.items()}
        return {**self.facts, "figures": self.total.summary(), "by_rarity": by_rarity, "clips": clips}


def evaluate(dataset: Dataset, settings: Mapping[str, Any], workspace: Workspace) -> Evaluation:
    """Measure what `track` finds in every clip against its truth.

    settings: as for `track`; the concepts asked for are those that are measured. The figures are those of the settings;
    beside them stands what the same maps give with rarity off and on. Raises UsageError when the data set has none of
    the concepts, InputError when no frame that was read has a truth.
    """
    results: dict[str, Figures] = {}
    by_rarity: dict[str, Figures] = {}
    plan: Plan | None = None
    asked: Dataset | None = None
    for number, clip in enumerate(dataset.clips):
        plan = workspace.plan_clip(clip, settings)
        asked = asked or rename_to_asked(dataset, plan.settings)
        clip = asked.clips[number]
        run = workspace.open_clip(plan, clip)
        workspace.compute_maps(plan, run)
        for mode in dict.fromkeys((plan.settings.rarity, *RARITY_WORDS)):
            own = replace(plan, settings=plan.settings.model_copy(update={"rarity": mode}))
            measured = measure_clip(own, run, clip, workspace.monitor)
            by_rarity.setdefault(mode, Figures.empty(plan.settings.concepts)).merge(measured)
            results.setdefault(clip.name, measured)
        workspace.monitor.check("clips measured", number + 1, len(dataset.clips))
    assert plan is not None
    assert asked is not None
    total = Figures.empty(plan.settings.concepts)
    for figures in results.values():
        total.merge(figures)
    if not total.events.frames_with_truth:
        raise InputError(
            f"{dataset.name}: none of the {total.events.frames} frames that were read has a truth. "
            "Next: add truth, or check `start_s` and `end_s`"
        )
    return Evaluation(total, results, list_facts(asked, plan), by_rarity)


def thin_out(dataset: Dataset, limit: int | None) -> Dataset:
    """At most `limit` clips, evenly spread over the data set, so that no kind of clip is left out wholesale."""
    if limit is None or limit >= len(dataset.clips):
        return dataset
    chosen = np.linspace(0, len(dataset.clips) - 1, limit).round().astype(int)
    return replace(dataset, clips=tuple(dataset.clips[i] for i in chosen))


def rename_to_asked(dataset: Dataset, settings: TrackSettings) -> Dataset:
    """The data set with its words replaced by the names of the asked concepts that mean the same to the model.

    A concept is found by its name, and by each of the words that it is averaged of.
    """
    preset, concepts = find_preset(settings.model), settings.concepts

    def meaning(word: str) -> str:
        try:
            return preset.translate(word).casefold()
        except UsageError:
            return word.casefold()

    asked: dict[str, str] = {}
    for name in concepts:
        for word in spelling_of(name, settings.words).words:
            asked.setdefault(meaning(word), name)
    by_name = {name.casefold(): name for name in concepts}
    found = {word: by_name.get(word.casefold()) or asked.get(meaning(word)) for word in dataset.concepts}
    names = {word: name for word, name in found.items() if name is not None}
    if dataset.concepts and not names:
        raise UsageError(
            f"{dataset.name} has none of {', '.join(concepts)}; it has {', '.join(dataset.concepts[:20])}. "
            "Next: ask for those, or give `rename=THEIRS=YOURS`"
        )
    return replace(dataset, clips=tuple(clip.rename(names) for clip in dataset.clips))


def measure_clip(plan: Plan, run: RunFolder, clip: Clip, monitor: Monitor) -> Figures:
    """Figures of one clip from its stored maps."""
    return measure_frames(plan, clip, score_frames(plan, gate_maps(plan, run), monitor))


@dataclass
class Linked:
    """The tracks of a clip under some settings, frame by frame. `plan` holds the settings."""

    plan: Plan
    rows: list[tuple[FrameRef, list[TrackMask]]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self._tracker = make_tracker(self.plan)

    def add(self, scored: ScoredFrame) -> None:
        self.rows.append((scored.ref, self._tracker.add(scored)))

    def measure(self, clip: Clip, figures: Figures) -> Figures:
        """`figures`, with what depends on the final tracks added."""
        if clip.kind == "box":
            figures.boxed = set(clip.concepts)
        _, tracker_ids = self._tracker.finish()
        measure_masks(self.plan, clip, figures, self.rows, tracker_ids)
        return figures


def measure_frames(plan: Plan, clip: Clip, frames: Iterable[ScoredFrame]) -> Figures:
    """Figures of one clip from its scored frames."""
    figures = Figures.empty(plan.settings.concepts)
    linked = Linked(plan)
    before: np.ndarray | None = None
    ranked: int | None = None
    for scored in frames:
        linked.add(scored)
        if before is not None and scored.flow is not None:
            for earlier, now in zip(before, scored.scores, strict=True):
                figures.warping.add(earlier, now, scored.flow)
        before = scored.scores
        # Frames of one latent step share their scores, so the first annotated one is enough to rank pixels.
        ref = scored.ref
        truth = clip.find_truth(ref.index, ref.name) if scored.origin.latent_index != ranked else None
        if truth is not None:
            ranked = scored.origin.latent_index
            figures.add_scores(scored.scores, resize_truth(truth, plan, plan.work_size_px))
    return linked.measure(clip, figures)


def measure_masks(
    plan: Plan,
    clip: Clip,
    figures: Figures,
    rows: Sequence[tuple[FrameRef, Sequence[TrackMask]]],
    tracker_ids: Mapping[int, int],
) -> None:
    """Add what depends on the final tracks. rows: each frame, and its tracks under their provisional ids."""
    settings = plan.settings
    # Masks are compared as large as they were filmed: a scratch of two pixels is lost on a coarser grid.
    size = plan.region.height, plan.region.width
    ledger = EventLedger(min_area_px=max(1, round(settings.min_area_px)))
    second = MaskPass(figures, clip.name, clip.identities, ledger)
    annotated_s: list[float] = []
    good = True
    for ref, tracks in rows:
        truth = clip.find_truth(ref.index, ref.name)
        if truth is not None:
            annotated_s.append(ref.time_s)
            # Nobody knows what is on pixels that count for nothing.
            good = good and not truth.masks.any() and (truth.ignore is None or not truth.ignore.any())
            kept = [track for track in tracks if track.tracker_id in tracker_ids]
            second.add([_place_track(track, plan) for track in kept], resize_truth(truth, plan, size))
    # A defect is seen on annotated frames only; of fewer than the shortest event has, it must be on each.
    if step_s := frame_duration_s(annotated_s):
        fewest = 1 + math.ceil(shortest_span_s(settings.min_duration_s, step_s) / step_s)
        ledger.min_frames = min(max(1, fewest), len(annotated_s))
    ledger.frames, ledger.annotated = len(rows), len(annotated_s)
    times_s = [ref.time_s for ref, _ in rows]
    # What lies outside of the annotated stretch can show no false alarm, so its minutes do not count either.
    shown_s = [t for t in times_s if annotated_s and annotated_s[0] <= t <= annotated_s[-1]]
    footage_s = measure_footage_s(shown_s) if len(shown_s) > 1 else len(shown_s) * frame_duration_s(times_s)
    second.finish(footage_s / 60, good=bool(annotated_s) and good)


def resize_truth(truth: FrameTruth, plan: Plan, size: tuple[int, int]) -> FrameTruth:
    """Truth of a frame within the region that is looked at, `size` (height, width) pixels large.

    Raises InputError for truth of another shape than the film's pictures, as they are read or as players show them.
    """
    _check_shape(truth.masks.shape[1:], plan)
    masks = [_cut_region(mask, plan, size) for mask in truth.masks]
    empty = np.zeros((0, *size), bool)
    ignore = None if truth.ignore is None else _cut_region(truth.ignore, plan, size)
    return replace(truth, masks=np.stack(masks) if masks else empty, ignore=ignore)


def _check_shape(shape: tuple[int, ...], plan: Plan) -> None:
    height, width = shape
    info = plan.info
    # Shapes that differ in rounding only: to whole pixels, and within the share.
    if not any(
        abs(height - width / ratio) <= max(1, SHAPE_FRAC * height)
        or abs(width - height * ratio) <= max(1, SHAPE_FRAC * width)
        for ratio in (info.width_px / info.height_px, info.width_px * info.pixel_aspect / info.height_px)
    ):
        turned = f", turned by {info.rotation_deg} degrees" if info.rotation_deg else ""
        raise InputError(
            f"{plan.source}: its truth is {width}x{height}, its pictures are {info.width_px}x{info.height_px}{turned}. "
            "Next: draw truth on the pictures as they are read"
        )


def _cut_region(mask: np.ndarray, plan: Plan, size: tuple[int, int]) -> np.ndarray:
    whole = _resize_mask(mask, (plan.info.height_px, plan.info.width_px))
    return _resize_mask(crop(whole, plan.region), size)


def _resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask `(h, w)` bool at another size. When it shrinks, each pixel that a part of it touches is in it."""
    height, width = size
    if mask.shape == size:
        return mask
    if height > mask.shape[0] or width > mask.shape[1]:
        return cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    return cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0


def _place_track(track: TrackMask, plan: Plan) -> Found:
    mask = decode(track.rle, (plan.info.width_px, plan.info.height_px))
    return Found(track.tracker_id, track.concept, crop(mask, plan.region), track.score_max)


def list_facts(dataset: Dataset, plan: Plan) -> dict[str, Any]:
    """What a reader needs to repeat a measurement."""
    skip = {"place_lifts"}
    settings = plan.settings.model_dump(mode="json", exclude=skip)
    return {
        "dataset": {
            "name": dataset.name,
            "format": dataset.format,
            "clips": len(dataset.clips),
            "concepts": list(dataset.concepts),
        },
        "model": {
            "name": plan.folder.preset.name,
            "source": plan.folder.preset.source,
            "weights": plan.layout.fingerprint,
        },
        "concepts": list(plan.settings.concepts),
        "words": list(plan.words),
        "settings": settings,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
    }
