"""Second pass: maps -> stitch -> un-pool and regularise along the flow -> masks -> tracks, journaled frame by frame."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vidconcept.errors import InputError
from vidconcept.models.edges import load_edge_net
from vidconcept.pipelines.heat import HeatJournal
from vidconcept.pipelines.maps import estimate_frame_count
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan
from vidconcept.pipelines.prefetch import overlap
from vidconcept.pipelines.recordings import split_recordings
from vidconcept.pipelines.scenes import SceneCount, measure_move
from vidconcept.pipelines.waiting import (
    FrameRef,
    SmallFrame,
    WaitingFrame,
    list_working_pictures,
    read_small_frames,
)
from vidconcept.temporal.motion import Motion
from vidconcept.temporal.parameters import SmoothSettings
from vidconcept.temporal.smooth import smooth
from vidconcept.temporal.stitch import split_recordings as recordings_of_maps
from vidconcept.temporal.stitch import stitch
from vidconcept.temporal.stride import extrapolate_scores, interpolate_scores
from vidconcept.tracks.decision import Decision
from vidconcept.tracks.edges import EdgeFinder
from vidconcept.tracks.link import Linker, LinkSettings
from vidconcept.tracks.masks import MIN_CELLS, MaskSettings
from vidconcept.tracks.place import count_cells
from vidconcept.types import ConceptMaps, Event, FrameScores, Origin, TrackMask
from vidconcept.video.small import SmallPicture
from vidconcept.writers.frames.overlay import needs_scores
from vidconcept.writers.journal import TrackJournal

# Between windows that the motion chose: latent steps to look ahead, those of the next window of the embedded model; and
# frames that are scored from one key frame.
SPARSE_AHEAD, UNSEEN_FRAMES = 3, 8
# Scored frames that wait to be linked, a picture and a map of each concept: they come in bursts, a latent step at once.
# They take no more memory than this, and are no more than that many.
SCORED_AHEAD_BYTES, MOST_SCORED_AHEAD = 32_000_000, 16
# Frames that lie this near to their place at a constant rate, in frames, are there: times are rounded.
EVENLY = 0.05


@dataclass(frozen=True, slots=True)
class ScoredFrame:
    """A frame of the source with its scores `(concept, h, w)` on the working grid.

    flow: as in `FrameScores`, None where there is none.
    picture: `(h, w, 3)` uint8 RGB on the working grid, None where masks do not end at its edges.
    """

    ref: FrameRef
    origin: Origin
    reset: bool
    scores: np.ndarray = field(repr=False)
    flow: np.ndarray | None = field(repr=False)
    picture: ArrayLike | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Findings:
    """events: ordered by start. tracker_ids: final id of each provisional one kept. cuts: frames after a scene cut.

    seen: index and time in seconds of each frame at a position that maps count.
    """

    events: list[Event]
    tracker_ids: dict[int, int]
    cuts: list[int]
    frames: int
    seen: tuple[array[int], array[float]] = field(default_factory=lambda: (array("q"), array("d")), repr=False)


def find(
    plan: Plan, maps: Iterable[ConceptMaps], journal: TrackJournal, heat: HeatJournal, monitor: Monitor
) -> Findings:
    """Turn the journaled maps into tracks; every decoded frame in the asked range gets a record in `journal`.

    heat: takes the scores of each frame where the view of the annotated video draws them.
    """
    tracker = make_tracker(plan)
    cuts: list[int] = []
    seen = array("q"), array("d")
    scenes = SceneCount()
    height_px, width_px = plan.work_size_px
    count, stride = 0, plan.settings.frame_stride
    total = estimate_frame_count(plan)
    with overlap(score_frames(plan, maps, monitor), plan.settings.threads, count_scored_ahead(plan)) as frames:
        for scored in frames:
            tracks = tracker.add(scored)
            journal.append(scored.ref, tracks, scored.scores, scored.origin)
            if needs_scores(plan.settings.view):
                heat.append(scored.scores)
            moved = measure_move(scored.flow, width_px, height_px)
            scenes.add(scored.ref.time_s, begins=scored.reset, read=not scored.origin.interpolated, moved=moved)
            if scored.reset:
                cuts.append(scored.ref.index)
            if plan.settings.skips_windows or not scored.origin.interpolated:
                seen[0].append(scored.ref.index)
                seen[1].append(scored.ref.time_s)
            count += 1
            monitor.check("finding tracks", count, None if total is None else total * stride)
    span = (plan.layout.step - 1) * stride + 1
    if (remark := scenes.describe(plan.settings.min_duration_s, span, stride)) is not None:
        monitor.remark(remark)
    events, tracker_ids = tracker.finish()
    return Findings(events, tracker_ids, cuts, count, seen)


def count_scored_ahead(plan: Plan) -> int:
    """How many frames are scored while those before are linked."""
    height, width = plan.work_size_px
    each = height * width * (3 + 4 * len(plan.settings.concepts))
    return min(max(SCORED_AHEAD_BYTES // each, 2), MOST_SCORED_AHEAD)


@dataclass(frozen=True)
class Tracker:
    """From the scored frames of a run to its tracks: the decision on each frame, and the linker that follows it."""

    decision: Decision
    linker: Linker

    def add(self, scored: ScoredFrame) -> list[TrackMask]:
        """The tracks of the next frame under provisional ids; frames must come in order."""
        masks = self.decision.decide(scored.scores)
        return self.linker.step(
            scored.ref, masks.pieces, scored.scores, scored.flow, scored.origin,
            reaches=masks.reaches, shown=masks.shown, reset=scored.reset, picture=scored.picture,
        )  # fmt: skip

    def finish(self) -> tuple[list[Event], dict[int, int]]:
        """As `Linker.finish`."""
        return self.linker.finish()


def make_tracker(plan: Plan) -> Tracker:
    settings = plan.settings
    linker = Linker(
        settings.concepts,
        plan.region,
        (plan.info.width_px, plan.info.height_px),
        LinkSettings(min_area_px=settings.min_area_px, min_duration_s=settings.min_duration_s),
        EdgeFinder(load_edge_net()) if settings.edges == "pixel" else None,
    )
    return Tracker(make_decision(plan), linker)


def make_decision(plan: Plan) -> Decision:
    settings = plan.settings
    height, width = plan.work_size_px
    # The smallest mask that the linker takes is no noise either.
    smallest = min(MIN_CELLS, count_cells(settings.min_area_px, height * width, plan.region))
    masks = MaskSettings(settings.threshold, settings.ratio, settings.floor, min_area_px=int(smallest))
    return Decision(settings.concepts, masks, settings.thresholds, settings.place_lifts, settings.hysteresis)


def score_frames(plan: Plan, maps: Iterable[ConceptMaps], monitor: Monitor) -> Iterator[ScoredFrame]:
    """Every frame in the asked range with its scores; frames between two that the model saw are interpolated."""
    parts_of_maps = recordings_of_maps(maps)
    latents = 0
    for number, frames in enumerate(split_recordings(read_small_frames(plan, monitor))):
        own_maps = next(parts_of_maps, None)
        if own_maps is None:
            raise InputError(f"{plan.source} has more frames than its maps were made from. Next: `existing=overwrite`")
        last = latents
        for scored in score_recording(plan, own_maps, frames, is_first=number == 0):
            last = latents + scored.origin.latent_index
            yield replace(scored, origin=replace(scored.origin, latent_index=last))
        latents = last + 1


def score_recording(
    plan: Plan, maps: Iterable[ConceptMaps], frames: Iterable[SmallFrame], *, is_first: bool
) -> Iterator[ScoredFrame]:
    """The frames of one part of the footage, latent steps counted from its start."""
    settings, stride = plan.settings, plan.settings.frame_stride
    waiting: deque[WaitingFrame] = deque()
    passes = _Passes()
    with overlap(list_working_pictures(plan, frames, waiting), settings.threads) as working:
        pictures = passes.count_pictures(working)
        seen = smooth(
            stitch(passes.count_maps(maps)),
            pictures,
            method=settings.smooth,
            settings=SmoothSettings(ahead_steps=SPARSE_AHEAD) if settings.skips_windows else None,
            between=UNSEEN_FRAMES if settings.skips_windows else 0,
            known=passes.motions,
        )
        before: FrameScores | None = None
        before_s = whole_s = 0.0
        for now in seen:
            # A hole in time ends what was before it as a scene cut does.
            cut = now.reset or (before is None and not is_first)
            shares = [0.0, 1.0]
            if before is not None:
                between = [waiting.popleft() for _ in range(1, stride)]
                whole_s = waiting[0].ref.time_s - before_s
                shares = [0.0, *find_shares([own.ref.time_s - before_s for own in between], whole_s, stride), 1.0]
                for own, last, share in zip(between, shares, shares[1:-1], strict=False):
                    frame = _interpolate(own, before, now, share, share - last)
                    # A scene begins with the first frame that shows its scores.
                    begins = cut and share >= 0.5
                    yield replace(frame, reset=begins)
                    cut = cut and not begins
            own = waiting.popleft()
            flow = _take_flow(now, shares[-1] - shares[-2])
            yield ScoredFrame(own.ref, now.origin, cut, now.scores, flow, own.picture)
            before, before_s = now, own.ref.time_s
        # Frames after the last one that the model saw, fewer than a stride.
        deque(pictures, maxlen=0)
        passes.check(plan)
        if before is not None:
            shares = [0.0, *find_shares([own.ref.time_s - before_s for own in waiting], whole_s, stride)]
            for own, last, share in zip(waiting, shares, shares[1:], strict=False):
                yield _extrapolate(own, before, share, share - last)


@dataclass
class _Passes:
    """How many frames the maps were made from, and how many the source gives now; what the maps tell of the motion."""

    mapped: int = 0
    given: int = 0
    # By position, of the windows read so far: the first pass measured them to choose the windows.
    motions: dict[int, Motion] = field(default_factory=dict)

    def count_maps(self, maps: Iterable[ConceptMaps]) -> Iterator[ConceptMaps]:
        for window in maps:
            self.mapped = int(window.positions[0, 0]) + window.real_frames
            self.motions.update(window.motions)
            yield window

    def count_pictures(self, pictures: Iterable[SmallPicture]) -> Iterator[Any]:
        """The same; NumPy takes each as an array."""
        for picture in pictures:
            self.given += 1
            yield picture

    def check(self, plan: Plan) -> None:
        """Raises InputError where the two passes did not see the same frames."""
        # Windows that the motion chose need not reach the last frame.
        if self.mapped > self.given or (self.mapped < self.given and not plan.settings.skips_windows):
            raise InputError(
                f"the maps were made from {self.mapped} frames of {plan.source}, which gives {self.given} now. "
                "Next: run again, with `existing=overwrite`"
            )


def find_shares(times_s: Sequence[float], whole_s: float, stride: int) -> list[float]:
    """How far frames lie behind one that the model saw, in steps to the next one that it sees, `stride` frames later.

    times_s: since the former, of each frame in order. whole_s: from the one to the other, 0 where that is not known. At
    a constant rate, or where times do not rise, frames are evenly apart.
    """
    even = [number / stride for number in range(1, len(times_s) + 1)]
    rise = all(a < b for a, b in pairwise([0.0, *times_s]))
    own = [time_s / whole_s for time_s in times_s] if rise and whole_s > 0 else even
    is_even = all(abs(a - b) * stride < EVENLY for a, b in zip(own, even, strict=True))
    return even if is_even else own


def _interpolate(own: WaitingFrame, before: FrameScores, now: FrameScores, share: float, step: float) -> ScoredFrame:
    """share: of the way from `before` to `now`; step: what the frame before it lies behind."""
    closest = before if share < 0.5 else now
    scores = interpolate_scores(before, now, share)
    origin = replace(closest.origin, interpolated=True)
    return ScoredFrame(own.ref, origin, False, scores, _take_flow(now, step), own.picture)


def _extrapolate(own: WaitingFrame, last: FrameScores, share: float, step: float) -> ScoredFrame:
    origin = replace(last.origin, interpolated=True)
    flow = None if last.reset else _take_flow(last, step)
    return ScoredFrame(own.ref, origin, False, extrapolate_scores(last, share), flow, own.picture)


def _take_flow(scores: FrameScores, share: float) -> np.ndarray | None:
    """Flow over a share of the way from the frame that the model saw before."""
    return scores.flow if scores.flow is None or share == 1 else scores.flow * np.float32(share)
