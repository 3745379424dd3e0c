"""First pass: frames -> windows -> model -> maps, journaled window by window."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vidconcept.geometry import crop, resize
from vidconcept.models.cogvideox import CogVideoX, load
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan
from vidconcept.runs import RunFolder
from vidconcept.temporal.windows import Window, cut_windows
from vidconcept.types import ConceptMaps
from vidconcept.video.reader import read_frames


def compute_maps(plan: Plan, run: RunFolder, monitor: Monitor) -> None:
    """Fill `maps/`. Windows that are there already are kept; the model loads when the first one is missing."""
    if run.manifest.get("maps_done") and all(run.load_maps(i) is not None for i in range(run.manifest["windows"])):
        return
    model: CogVideoX | None = None
    total = expected_frames(plan)
    windows = 0
    for window in cut_windows(
        _pictures(plan, monitor),
        length=plan.settings.window_frames,
        overlap=plan.settings.overlap_frames,
        step=plan.layout.step,
    ):
        if run.load_maps(window.index) is None:
            if model is None:
                monitor.progress("loading the model", 0, None)
                with monitor.timed("load"):
                    model = load(plan.folder, plan.settings, plan.words, monitor.fallback)
            with monitor.timed("model"):
                run.save_maps(window_maps(plan, model, window), window.start)
        windows = window.index + 1
        monitor.check("reading maps", window.start + window.real_frames, total)
    run.save(windows=windows, maps_done=True)


def window_maps(plan: Plan, model: CogVideoX, window: Window) -> ConceptMaps:
    """Scores of the asked concepts for one window, tiles blended."""
    asked = len(plan.settings.concepts)
    scores = plan.tiles.blend([model.scores(np.ascontiguousarray(t))[:asked] for t in plan.tiles.cut(window.frames)])
    return ConceptMaps(window.index, window.positions, window.step, window.real_frames, scores)


def expected_frames(plan: Plan) -> int | None:
    """How many frames the model will see, as far as the container tells; for progress only."""
    info, settings = plan.info, plan.settings
    if not info.declared_frames:
        return None
    frames = info.declared_frames
    if info.duration_s and (settings.start_s or settings.end_s):
        end_s = min(settings.end_s or info.duration_s, info.duration_s)
        frames = round(frames * max(end_s - (settings.start_s or 0), 0) / info.duration_s)
    return max(-(-frames // settings.stride), 1)


def _pictures(plan: Plan, monitor: Monitor) -> Iterator[np.ndarray]:
    settings = plan.settings
    for frame in read_frames(
        plan.source,
        fps=settings.fps,
        start_s=settings.start_s,
        end_s=settings.end_s,
        stride=settings.stride,
        on_problem=monitor.problem,
    ):
        yield resize(crop(frame.image, plan.region), plan.tiles.height, plan.tiles.width)
