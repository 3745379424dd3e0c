"""First pass: frames -> windows -> model -> maps, journaled window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from vidconcept.attention.maps import support_tokens
from vidconcept.errors import ModelError
from vidconcept.geometry import crop, resize
from vidconcept.models.adapter import Model, choose_adapter
from vidconcept.models.readout import read_described
from vidconcept.pipelines.describe import describe, remember_motion
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan
from vidconcept.pipelines.prefetch import overlap
from vidconcept.pipelines.recordings import split_recordings
from vidconcept.rarity.memory import Memory
from vidconcept.runs import RunFolder
from vidconcept.settings import LOOKS
from vidconcept.temporal.choose import Spacing, choose_windows
from vidconcept.temporal.windows import Window, cut_windows
from vidconcept.types import ConceptMaps, Frame
from vidconcept.video.picture import Picture
from vidconcept.video.reader import make_frame, read_pictures

# Windows after which the memory of the footage is saved: what a killed run has to read again at most.
CHECKPOINT = 16
# With `stride=auto`, the longest time between two windows, whatever moves; and the rate where none is known.
LONGEST_S, USUAL_FPS = 2.0, 25.0
# Windows that wait for the model take no more memory than this.
WINDOWS_AHEAD_BYTES = 32_000_000
T = TypeVar("T")


def load_model(plan: Plan, monitor: Monitor) -> Model:
    monitor.progress("loading the model", 0, None)
    with monitor.time_stage("load"):
        return choose_adapter(plan.folder.path).load(
            plan.folder.path, plan.settings, plan.lexicon.words, monitor.note_fallback
        )


@dataclass
class ModelShelf:
    """Keeps the model of the last plan: many clips, and many ways of reading them, share its weights."""

    _key: tuple | None = None
    _model: Model | None = field(default=None, repr=False)

    def __call__(self, plan: Plan, monitor: Monitor) -> Model:
        settings = plan.settings
        words = (plan.lexicon.words, tuple(plan.learnt.values()), plan.line_head)
        machine = (settings.dtype, settings.device, settings.vae_tiling, settings.offload, settings.quantize)
        key = (plan.folder.path, words, settings.prompt, *machine)
        if self._model is None or key != self._key:
            self._key, self._model = key, load_model(plan, monitor)
        return self._model.with_settings(settings)


GetModel = Callable[[Plan, Monitor], Model]


def compute_maps(plan: Plan, run: RunFolder, monitor: Monitor, get_model: GetModel = load_model) -> None:
    """Fill `maps/`. Windows that are there already are kept; `get_model` is asked when the first one is missing."""
    if run.manifest.get("maps_done") and all(run.load_maps(i) is not None for i in range(run.manifest["windows"])):
        return
    total = estimate_frame_count(plan)
    windows = 0

    def is_missing(window: Window) -> bool:
        return run.load_maps(window.index) is None or window.index > memory.last_window

    def note(window: Window) -> None:
        nonlocal windows
        windows = window.index + 1
        seen = window.frames_before + window.start + window.real_frames
        monitor.check("reading maps", seen, total)

    with (
        open_memory(run) as memory,
        overlap(cut_source_windows(plan, monitor), plan.settings.threads, count_windows_ahead(plan)) as source_windows,
    ):
        for window in source_windows:
            if is_missing(window):
                model = load_for_run(plan, run, monitor, get_model)
                encodes = plan.settings.threads != 1 and getattr(model, "encodes_ahead", False)
                ahead: Any = model if encodes else None
                rest = cut_missing(plan, chain((window,), source_windows), is_missing, ahead)
                sharing = ahead.overlapping() if encodes else nullcontext()
                with sharing, overlap(rest, plan.settings.threads, 1) as encoded:
                    compute_missing_maps(plan, run, monitor, model, encoded, memory, note)
                break
            note(window)
    run.save(windows=windows, maps_done=True)


def cut_missing(
    plan: Plan, windows: Iterable[Window], is_missing: Callable[[Window], bool], ahead: Any
) -> Iterator[tuple[Window, list[np.ndarray]]]:
    """Windows with the tiles that the model is to read; none where the maps are there. ahead: a model that encodes."""
    for window in windows:
        tiles = cut_tiles(plan, window) if is_missing(window) else []
        if ahead is not None:
            with errors_of_window(window):
                for tile in tiles:
                    ahead.encode_ahead(tile)
        yield window, tiles


def compute_missing_maps(
    plan: Plan,
    run: RunFolder,
    monitor: Monitor,
    model: Model,
    encoded: Iterator[tuple[Window, list[np.ndarray]]],
    memory: Memory,
    note: Callable[[Window], None],
) -> None:
    """The maps of the windows from the first one that is missing on, one by one. note: told of each window."""
    while True:
        with monitor.time_stage("model"):
            window, tiles = next(encoded, (None, []))
            maps = compute_checked_maps(plan, model, window, tiles) if window is not None and tiles else None
        if window is None:
            return
        if maps is not None:
            with monitor.time_stage("rarity"):
                remember_motion(memory, window)
                run.save_maps(maps, window.start, describe(memory, maps, window, plan.description_threshold))
            if window.index % CHECKPOINT == CHECKPOINT - 1:
                run.save_memory(memory)
        note(window)


def count_windows_ahead(plan: Plan) -> int:
    """How many windows are chosen while the model is loaded or works on the ones before."""
    window = plan.settings.window_frames * plan.tiles.height * plan.tiles.width * 3
    return max(WINDOWS_AHEAD_BYTES // window, 1)


def load_for_run(plan: Plan, run: RunFolder, monitor: Monitor, get_model: GetModel) -> Model:
    """The model, in the precision that the run began in; how it runs is recorded in the run."""
    model = get_model(_keep_dtype(plan, run), monitor)
    run.save(engine=dict(model.engine))
    return model


def _keep_dtype(plan: Plan, run: RunFolder) -> Plan:
    """The plan with the precision that the run began in: what is quickest may come out otherwise another time."""
    begun_in = run.manifest.get("engine", {}).get("dtype")
    if plan.settings.dtype != "auto" or begun_in is None:
        return plan
    return replace(plan, settings=plan.settings.model_copy(update={"dtype": begun_in}))


@contextmanager
def open_memory(run: RunFolder) -> Iterator[Memory]:
    """The run's memory of its footage, saved however the pass ends, so that a resumed run goes on with it."""
    memory = run.load_memory() or Memory()
    try:
        yield memory
    finally:
        # A run that failed before its first window leaves nothing.
        if memory.last_window >= 0:
            run.save_memory(memory)


def compute_checked_maps(
    plan: Plan, model: Model, window: Window, tiles: list[np.ndarray] | None = None
) -> ConceptMaps:
    """Raises ModelError, with the frames it concerns, for a window in which the model says nothing. tiles: of it."""
    with errors_of_window(window):
        maps = compute_window_maps(plan, model, window, tiles)
        if not np.isfinite(maps.scores).all():
            raise ModelError(f"the scores are no numbers in {plan.settings.dtype}. Next: `dtype=float32` or bfloat16")
    return maps


@contextmanager
def errors_of_window(window: Window) -> Iterator[None]:
    """Errors of the model say which frames they concern."""
    last = window.start + window.real_frames - 1
    try:
        yield
    except ModelError as error:
        raise ModelError(f"frames {window.start} to {last} (window {window.index}): {error}") from error


def cut_tiles(plan: Plan, window: Window) -> list[np.ndarray]:
    """What the model reads of a window, `(t, h, w, 3)` uint8 each."""
    return [np.ascontiguousarray(tile) for tile in plan.tiles.cut(window.frames)]


def cut_source_windows(plan: Plan, monitor: Monitor) -> Iterator[Window]:
    """The windows that the model is to see, one at a time."""
    settings, count, seen = plan.settings, 0, 0
    shape = {"length": settings.window_frames, "overlap": settings.overlap_frames, "step": plan.layout.step}

    def shrink(picture: Picture) -> Frame:
        image = picture.shrink(plan.region, plan.tiles.height, plan.tiles.width).rgb()
        return Frame(picture.index, picture.pts, picture.time_s, image, picture.after_hole, picture.name)

    def count_pictures(frames: Iterable[Frame], names: list[str]) -> Iterator[np.ndarray]:
        nonlocal seen
        for frame in frames:
            seen += 1
            names += [frame.name] if frame.name else []
            yield frame.image

    for frames in split_recordings(read_source(plan, monitor, shrink, settings.frame_stride)):
        first, before = next(frames), seen
        names: list[str] = []
        pictures = count_pictures(chain((first,), frames), names)
        skips = settings.skips_windows
        windows = (
            choose_windows(pictures, **shape, spacing=choose_spacing(plan)) if skips else cut_windows(pictures, **shape)
        )
        for window in windows:
            own = tuple(names[window.start : window.start + window.real_frames])
            yield replace(window, index=count, begins_at=first.index, frames_before=before, names=own)
            count += 1


def choose_spacing(plan: Plan) -> Spacing:
    """How far apart windows may lie where the motion decides."""
    return Spacing(
        share=1 / (plan.settings.looks or LOOKS), frames=max(1, round(LONGEST_S * (plan.rate_fps or USUAL_FPS)))
    )


def compute_window_maps(
    plan: Plan, model: Model, window: Window, tiles: Sequence[np.ndarray] | None = None
) -> ConceptMaps:
    """Scores of the asked concepts for one window, and features of its tokens; tiles blended."""
    asked = len(plan.settings.concepts)
    read = [read_described(model, tile, plan.lexicon) for tile in tiles or cut_tiles(plan, window)]
    scores = plan.tiles.blend([scores[:asked] for scores, _ in read])
    scores = support_tokens(scores, plan.settings.token_support)
    # A feature is a map like any other: tiles are blended channel by channel.
    features = plan.tiles.blend([np.moveaxis(own, -1, 0) for _, own in read])
    features = np.moveaxis(features, 0, -1)
    return ConceptMaps(
        window.index, window.positions, window.step, window.real_frames, scores, features, window.motions
    )


def estimate_frame_count(plan: Plan) -> int | None:
    """How many frames the model will see, as far as the container tells; for progress only."""
    info, settings = plan.info, plan.settings
    # Matroska and transport streams do not count their frames.
    frames = info.declared_frames or round((info.duration_s or 0) * (info.declared_fps or 0))
    if not frames:
        return None
    if info.duration_s and (settings.start_s or settings.end_s):
        end_s = min(settings.end_s or info.duration_s, info.duration_s)
        frames = round(frames * max(end_s - (settings.start_s or 0), 0) / info.duration_s)
    return max(-(-frames // settings.frame_stride), 1)


def crop_to_model(plan: Plan, frame: Frame) -> np.ndarray:
    """What the model sees of a frame, `(h, w, 3)` uint8."""
    return resize(crop(frame.image, plan.region), plan.tiles.height, plan.tiles.width)


def read_source_frames(plan: Plan, monitor: Monitor, stride: int = 1) -> Iterator[Frame]:
    """Every `stride`-th frame in the asked range. Raises InputError where the source changed meanwhile."""
    return read_source(plan, monitor, make_frame, stride)


def read_source(plan: Plan, monitor: Monitor, look: Callable[[Picture], T], stride: int = 1) -> Iterator[T]:
    """What `look`, in the thread that reads, makes of each picture; else as `read_source_frames`."""
    settings = plan.settings
    pictures = read_pictures(
        plan.source,
        fps=settings.fps,
        start_s=settings.start_s,
        end_s=settings.end_s,
        stride=stride,
        reading=plan.reading,
        on_problem=monitor.problem,
    )
    with closing(pictures), overlap(map(look, pictures), settings.threads) as ahead:
        yield from ahead
    plan.identity.check()
