"""Footage perturbed as a plant does it, read again: how far do the findings move?"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from vidconcept.evaluation.datasets.dataset import Clip, Dataset, FrameTruth
from vidconcept.evaluation.metrics.events import EventCounts
from vidconcept.evaluation.metrics.figures import Figures
from vidconcept.evaluation.perturb import PERTURBATIONS, SEVERITIES, Perturbation, Shown, perturb
from vidconcept.evaluation.readings import Stressed, StressTest
from vidconcept.files import new_scratch
from vidconcept.pipelines.evaluate import measure_clip, rename_to_asked
from vidconcept.pipelines.findings import make_tracker, score_frames
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan
from vidconcept.pipelines.rarity import gate_maps
from vidconcept.pipelines.settle import READING_KEYS, choose_reading
from vidconcept.pipelines.workspace import Workspace
from vidconcept.settings import TrackSettings
from vidconcept.tracks.rle import decode
from vidconcept.types import Frame
from vidconcept.video.colour import Bt709Encoding
from vidconcept.video.identity import identify
from vidconcept.video.probe import examine
from vidconcept.video.reader import read_frames
from vidconcept.video.reading import AS_IT_IS, Reading

# Near-lossless, so that nothing but the perturbation is added.
CLEAN_CRF = 4
# NUT counts times in any unit, and however far apart: finer than the fastest camera, and across a hole of hours.
CONTAINER, TIME_BASE = "nut", Fraction(1, 1_000_000)


def stress(
    dataset: Dataset,
    settings: Mapping[str, Any],
    workspace: Workspace,
    *,
    names: Sequence[str] | None = None,
    severities: Sequence[int] = SEVERITIES,
    seed: int = 0,
    has_truth: bool = True,
) -> StressTest:
    """Perturb every clip by every perturbation at every severity, and count events against truth.

    has_truth: false takes the findings on the unperturbed footage for the truth. Perturbed footage is written to the
    workspace's folder and removed again; its maps stay, so that a second call goes on where this one stopped.
    """
    first = workspace.plan_clip(dataset.clips[0], settings)
    data = rename_to_asked(dataset, first.settings) if has_truth else dataset
    if not has_truth:
        clips = tuple(take_findings_as_truth(clip, settings, workspace) for clip in data.clips)
        data = replace(data, clips=clips)
    cases: list[tuple[Perturbation | None, int]] = [(None, 0)]
    chosen = [p for p in PERTURBATIONS if names is None or p.name in names]
    cases += [(p, severity) for p in chosen for severity in severities]
    results = []
    for number, (what, severity) in enumerate(cases):
        results.append(_run_case(data, what, severity, settings, workspace, seed))
        workspace.monitor.check("conditions tried", number + 1, len(cases))
    facts = {"model": first.folder.preset.name, "weights": first.layout.fingerprint, "clips": len(data.clips)}
    facts |= {"concepts": list(first.settings.concepts), "seed": seed}
    against = "truth" if has_truth else "the clean run's findings"
    megapixels = first.info.width_px * first.info.height_px / 1e6
    return StressTest(tuple(results), against, megapixels, facts)


def _run_case(
    data: Dataset,
    what: Perturbation | None,
    severity: int,
    settings: Mapping[str, Any],
    workspace: Workspace,
    seed: int,
) -> Stressed:
    level = 0.0 if what is None else what.levels[severity - 1]
    counts = EventCounts()
    by_concept: dict[str, EventCounts] = {}
    for clip in data.clips:
        plan = workspace.plan_clip(clip, settings)
        if what is None:
            found = _measure(plan, clip, workspace)
        else:
            with open_perturbed(
                clip, what, level, workspace.work, workspace.monitor, seed,
                fps=plan.settings.fps, reading=plan.reading, pixel_aspect=plan.info.pixel_aspect,
            ) as changed:  # fmt: skip
                found = _measure(plan_copy(plan, changed.source), changed, workspace)
        counts += found.events
        for name, own in found.by_concept.items():
            by_concept[name] = by_concept.get(name, EventCounts()) + own
    name, unit = ("none", "") if what is None else (what.name, what.unit)
    return Stressed(name, unit, severity, level, counts, by_concept)


def _measure(plan: Plan, clip: Clip, workspace: Workspace) -> Figures:
    run = workspace.open_clip(plan, clip)
    workspace.compute_maps(plan, run)
    return measure_clip(plan, run, clip, workspace.monitor)


def plan_copy(plan: Plan, copy: Path) -> Plan:
    """The plan for a perturbed copy of the plan's source: a plain film of what the reading gave, of the same size."""
    fields = TrackSettings.model_fields
    plain = {key: fields[key].default for key in ("fps", *READING_KEYS) if key != "max_megapixels"}
    settings = plan.settings.model_copy(update=plain)
    asked = choose_reading(settings)
    found = examine(copy, reading=asked)
    return replace(
        plan,
        source=copy,
        identity=identify(copy),
        info=found.info,
        settings=settings,
        reading=found.settle_reading(asked),
        rate_fps=found.rate_fps,
        remarks=found.remarks,
    )


@contextmanager
def open_perturbed(
    clip: Clip,
    what: Perturbation,
    level: float,
    work: Path,
    monitor: Monitor,
    seed: int,
    *,
    fps: float | None = None,
    reading: Reading = AS_IT_IS,
    pixel_aspect: Fraction = Fraction(1),
) -> Iterator[Clip]:
    """The clip perturbed, with its truth moved along; a file in `work` that is gone when the block ends.

    fps, reading: how the clip's source is read.
    """
    stem = f"{clip.name.replace('/', '_')}-{what.name.replace(' ', '-')}-{level:g}"
    work.mkdir(parents=True, exist_ok=True)
    path = new_scratch(work / f"{stem}.{CONTAINER}")
    shown = None

    def read() -> Iterator[Frame]:
        return read_frames(clip.source, fps=fps, reading=reading, on_problem=monitor.problem)

    if what.sequence is not None:
        times_s = np.array([frame.time_s for frame in read()])
        shown = what.sequence(times_s, level, np.random.default_rng(seed))
    scale = level if what.scale else 1.0
    originals: list[tuple[int, str]] = []

    def change() -> Iterator[tuple[np.ndarray, float]]:
        for number, (frame, time_s) in enumerate(_show(read(), shown)):
            originals.append((frame.index, frame.name))
            yield perturb(_coarsen(frame.image, scale), what, level, number, time_s, seed), time_s

    def truth(index: int) -> FrameTruth | None:
        return clip.find_truth(*originals[index]) if index < len(originals) else None

    try:
        _write(path, change(), round(level) if what.crf else CLEAN_CRF, pixel_aspect)
        yield replace(clip, name=stem, source=path, fps=None, truth=truth, places=None)
    finally:
        path.unlink(missing_ok=True)


def _show(frames: Iterator[Frame], shown: Shown | None) -> Iterator[tuple[Frame, float]]:
    """Frames and their times in seconds: all of them, or those that are shown, as often as they are."""
    if shown is None:
        yield from ((frame, frame.time_s) for frame in frames)
        return
    following = deque(zip(*shown, strict=True))
    for number, frame in enumerate(frames):
        while following and following[0][0] == number:
            yield frame, float(following.popleft()[1])


def _coarsen(image: np.ndarray, scale: float) -> np.ndarray:
    """The image with the detail of one `scale` times as large. Its size stays: regions and areas are in its pixels."""
    if scale == 1.0:
        return image
    height, width = image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (width, height))


def _write(
    path: Path, frames: Iterator[tuple[np.ndarray, float]], crf: int, pixel_aspect: Fraction = Fraction(1)
) -> None:
    """H.264 with the frames' own times. The same frames give the same bytes: their maps are kept."""
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": str(crf), "preset": "veryfast", "bf": "0"})
        stream.codec_context.time_base = TIME_BASE
        to_bt709 = Bt709Encoding(stream.codec_context)
        for number, (image, time_s) in enumerate(frames):
            height, width = image.shape[:2]
            if number == 0:
                stream.height, stream.width = height, width
                stream.codec_context.sample_aspect_ratio = pixel_aspect
                # Halved colour needs even sides.
                stream.pix_fmt = "yuv444p" if height % 2 or width % 2 else "yuv420p"
            frame = to_bt709(image, stream.pix_fmt or "yuv420p")
            frame.pts, frame.time_base = round(time_s / TIME_BASE), TIME_BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def take_findings_as_truth(clip: Clip, settings: Mapping[str, Any], workspace: Workspace) -> Clip:
    """The clip with what the tool finds in it, unperturbed, in place of a truth."""
    plan = workspace.plan_clip(clip, settings)
    run = workspace.open_clip(plan, clip)
    workspace.compute_maps(plan, run)
    rows, tracker_ids = collect_tracks(plan, gate_maps(plan, run), workspace.monitor)
    size = (plan.info.width_px, plan.info.height_px)
    kept = {index: [t for t in tracks if t.tracker_id in tracker_ids] for index, tracks in rows.items()}

    def truth(index: int) -> FrameTruth:
        tracks = kept.get(index, [])
        masks = [decode(t.rle, size) for t in tracks]
        stacked = np.stack(masks) if masks else np.zeros((0, size[1], size[0]), bool)
        return FrameTruth(stacked, tuple(t.concept for t in tracks), tuple(t.tracker_id for t in tracks))

    words = tuple(dict.fromkeys(t.concept for tracks in kept.values() for t in tracks))
    return replace(clip, concepts=words, truth=truth, places=None)


def collect_tracks(plan: Plan, maps: Any, monitor: Monitor) -> tuple[dict[int, list], dict[int, int]]:
    """Tracks of each frame index under provisional ids, and the ids of those that are events."""
    tracker = make_tracker(plan)
    scores = score_frames(plan, maps, monitor)
    rows = {scored.ref.index: tracker.add(scored) for scored in scores}
    _, tracker_ids = tracker.finish()
    return rows, tracker_ids
