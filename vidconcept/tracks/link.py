"""Masks to tracks, frame by frame: optimal assignment on flow-warped overlap plus motion.

The linker holds the living tracks and one summary a track, nothing that grows with the number of frames.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from vidconcept.errors import UsageError
from vidconcept.holes import hole_length_s
from vidconcept.tracks import rle
from vidconcept.tracks.assign import assign, expected_overlap, find_parent
from vidconcept.tracks.clock import FrameClock
from vidconcept.tracks.components import Component, components, cut_part, from_points
from vidconcept.tracks.edges import EdgeFinder
from vidconcept.tracks.events import Summary, is_event, select_events, tolerance_s
from vidconcept.tracks.motion import Motion, begin_at_rest, has_left, predict, update
from vidconcept.tracks.place import count_cells, scale_to_source
from vidconcept.types import Event, Origin, Region, TrackMask

# Time constant of the confidence, so that a label does not flicker with the score of a single frame.
_CONFIDENCE_S = 0.2


class FrameRef(Protocol):
    """Which frame of the source a mask belongs to; `vidconcept.types.Frame` is one."""

    @property
    def index(self) -> int: ...
    @property
    def pts(self) -> int: ...
    @property
    def time_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How masks become tracks; what a user can set has its default in the settings, nowhere else.

    Lengths given as a fraction are of the working grid's diagonal.
    """

    # Masks of fewer pixels of the source frame are noise.
    min_area_px: int
    # Tracks shorter than this are noise; a video that is shorter itself keeps what spans it.
    min_duration_s: float
    # How long a track may be out of sight and still keep its id.
    max_gap_s: float = 0.4
    # Fragments nearer than this are one defect: about two tokens of a CogVideoX window. With 1, everything that a
    # concept shows at one time is one defect: with `reentry_s`, one track a part.
    merge_frac: float = 0.04
    # A track and a mask that do not overlap may be this far apart after motion is taken out.
    reach_frac: float = 0.05
    # Fragments of one part that are never in view together: a mask that appears within this time after the last
    # track of its concept has left the picture goes on with that track's id. 0 is off.
    reentry_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("min_area_px", "min_duration_s", "max_gap_s", "merge_frac", "reach_frac", "reentry_s"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} must be 0 or more, got {getattr(self, name)}. Next: e.g. 0")


@dataclass(frozen=True, slots=True)
class _Live:
    """A living track: when it was seen, how long it had not been seen before that, and how it moves."""

    tracker_id: int
    motion: Motion
    born_s: float
    seen_s: float
    unseen_s: float = 0.0
    # None until its first row.
    confidence: float | None = None


class Linker:
    """Links the masks of one video; frames must come in order.

    concepts: names, the index is the class id. region: what the working grid covers of the frame. frame_size:
    (width, height) of the source frame in pixels.
    """

    def __init__(
        self,
        concepts: Sequence[str],
        region: Region,
        frame_size: tuple[int, int],
        settings: LinkSettings,
        edges: EdgeFinder | None = None,
    ) -> None:
        if region.x + region.width > frame_size[0] or region.y + region.height > frame_size[1]:
            raise ValueError(f"the region lies outside of the frame, got {region = } {frame_size = }")
        self._concepts = tuple(concepts)
        self._region = region
        self._frame_size = frame_size
        self._settings = settings
        self._edges = edges
        self._live: list[list[_Live]] = [[] for _ in self._concepts]
        self._left: list[_Live | None] = [None] * len(self._concepts)
        self._summaries: dict[int, Summary] = {}
        self._ids = count(1)
        self._clock = FrameClock()

    def step(
        self,
        frame: FrameRef,
        masks: np.ndarray,
        scores: np.ndarray,
        flow: np.ndarray | None,
        origin: Origin,
        *,
        reaches: np.ndarray | None = None,
        shown: np.ndarray | None = None,
        reset: bool = False,
        picture: ArrayLike | None = None,
    ) -> list[TrackMask]:
        """Tracks of one frame, with provisional ids that `finish` maps to final ones.

        masks: `(concept, h, w)` bool; scores: `(concept, h, w)` float in [0, 1], the same grid. flow: `(h', w', 2)`
        from the previous frame in pixels of that grid, None where there is none (motion alone then links).
        reaches: `(concept, h, w)` bool, where a score reaches the threshold, None where there is a mask; a track that
        never touches it is no event. shown: `(concept, h, w)` bool, what of the masks the rows show, None for all of
        them. reset: a scene cut lies before this frame; no track outlives it. picture: `(h, w, 3)` uint8 RGB on that
        grid, at whose edges the rows' masks end where the linker has a finder of them. Which tracks there are, and
        their scores, are those of the coarse masks all the same.
        """
        reaches = masks if reaches is None else reaches
        shown = masks if shown is None else shown
        same = masks.shape == scores.shape == reaches.shape == shown.shape
        if not same or len(masks) != len(self._concepts):
            shapes = f"{masks.shape = } {scores.shape = } {reaches.shape = } {shown.shape = }"
            raise ValueError(f"one mask and score a concept, got {shapes}")
        if reset:
            self._forget([track for tracks in self._live for track in tracks], frame.time_s)
            self._live = [[] for _ in self._concepts]
            self._left = [None] * len(self._concepts)
        dt_s = self._clock.advance(frame.time_s)
        shown_s = dt_s if 0 < dt_s <= hole_length_s(self._clock.frame_s) else None
        if self._edges is not None:
            self._edges.begin_frame(picture, flow, reset=reset)
        rows = []
        for class_id in range(len(self._concepts)):
            grid = masks[class_id].shape
            linked = self._link(class_id, masks[class_id], shown[class_id], flow, frame.time_s, dt_s)
            for track, component in linked:
                mask = cut_part(component, shown[class_id])
                values = scores[class_id][mask.points[:, 1], mask.points[:, 0]]
                fine = self._edges and self._edges.refine(
                    track.tracker_id, component, scores[class_id], masks[class_id]
                )
                crop, x, y = scale_to_source(fine or mask, grid, self._region)
                row = TrackMask(
                    frame_index=frame.index,
                    pts=frame.pts,
                    time_s=frame.time_s,
                    concept=self._concepts[class_id],
                    class_id=class_id,
                    tracker_id=track.tracker_id,
                    confidence=_smooth_confidence(track.confidence, float(values.max()), track.unseen_s),
                    box_px=(x, y, x + crop.shape[1], y + crop.shape[0]),
                    area_px=int(crop.sum()),
                    score_mean=float(values.mean()),
                    score_max=float(values.max()),
                    origin=origin,
                    rle=rle.encode(crop, x, y, self._frame_size),
                    edges="pixel" if fine else "coarse",
                )
                reached = reaches[class_id][component.points[:, 1], component.points[:, 0]].any()
                self._remember(class_id, row, bool(reached), shown_s)
                rows.append(row)
        return rows

    def finish(self) -> tuple[list[Event], dict[int, int]]:
        """Events ordered by start, and the final `tracker_id` of each provisional one that is kept."""
        least_s = min(self._settings.min_duration_s, self._clock.footage_s)
        return select_events(self._summaries.values(), least_s, frame_s=self._clock.frame_s)

    @property
    def summaries(self) -> Mapping[int, Summary]:
        """What is known of each track, by provisional id; of dead ones only those that may be events."""
        return self._summaries

    @property
    def living(self) -> set[int]:
        """Provisional ids of the tracks that may still go on."""
        left = [track for track in self._left if track is not None and self._settings.reentry_s > 0]
        return {track.tracker_id for tracks in (*self._live, left) for track in tracks}

    def is_sure(self, tracker_id: int, *, goes_on: bool = False, at_end: bool = False) -> bool:
        """Whether a track counts as an event. goes_on: whatever follows, for a living one.

        at_end: in all of the footage, which may be shorter than an event.
        """
        least_s = self._settings.min_duration_s
        if at_end:
            least_s = min(least_s, self._clock.footage_s)
        return is_event(self._summaries[tracker_id], least_s, self._clock.frame_s, goes_on=goes_on)

    def release(self, tracker_ids: Iterable[int]) -> None:
        """Forget dead tracks whose events somebody else has taken: footage without an end must not fill the memory."""
        for tracker_id in tracker_ids:
            del self._summaries[tracker_id]

    def _remember(self, class_id: int, row: TrackMask, reached: bool, shown_s: float | None) -> None:
        known = self._summaries.get(row.tracker_id)
        add = known.extend if known else Summary.begin
        self._summaries[row.tracker_id] = add(row, reached, shown_s)
        self._live[class_id] = [
            replace(track, confidence=row.confidence) if track.tracker_id == row.tracker_id else track
            for track in self._live[class_id]
        ]

    def _forget(self, dead: Sequence[_Live], now_s: float) -> None:
        """Drops what is known of dead tracks that are no events, so that hours of noise do not fill the memory."""
        if not dead or self._clock.since_first_s(now_s) < self._settings.min_duration_s:
            return
        # The median of the whole footage may come out twice as long. Longer frames make a track last longer, and may
        # ask more of it: what would be an event with either stays.
        frames_s = (self._clock.frame_s, 2 * self._clock.frame_s)
        for track in dead:
            summary = self._summaries[track.tracker_id]
            if not any(is_event(summary, self._settings.min_duration_s, frame_s) for frame_s in frames_s):
                del self._summaries[track.tracker_id]

    def _link(
        self, class_id: int, mask: np.ndarray, shown: np.ndarray, flow: np.ndarray | None, now_s: float, dt_s: float
    ) -> list[tuple[_Live, Component]]:
        """The concept's tracks that are seen on this frame, each with its pixels; updates the living ones."""
        grid, settings = mask.shape, self._settings
        diagonal_px = float(np.hypot(*grid))
        merge_px = settings.merge_frac * diagonal_px
        min_cells = count_cells(settings.min_area_px, mask.size, self._region)
        found = [c for c in components(mask, merge_px) if cut_part(c, shown).area >= min_cells]
        tracks = [replace(track, motion=predict(track.motion, flow, grid, dt_s)) for track in self._live[class_id]]
        motions, ages_s = [track.motion for track in tracks], [now_s - track.born_s for track in tracks]
        overlap = expected_overlap(motions, found, grid)
        pairs = assign(motions, ages_s, found, overlap, settings.reach_frac * diagonal_px)
        seen = {t: found[c] for t, c in pairs}
        taken = {c for _, c in pairs}
        born: list[tuple[_Live, Component]] = []
        for c, component in enumerate(found):
            if c in taken:
                continue
            parent = find_parent(component, overlap[:, c], seen, 2 * merge_px)
            if parent is None:
                born.append((self._start_track(class_id, component, now_s), component))
            else:
                seen[parent] = from_points(np.concatenate([seen[parent].points, component.points]))
        linked = [(_continue_track(tracks[t], component, grid, now_s), component) for t, component in seen.items()]
        lost = [track for t, track in enumerate(tracks) if t not in seen]
        gone = [track for track in lost if has_left(track.motion, grid)]
        self._left[class_id] = max(gone, key=lambda track: track.seen_s, default=self._left[class_id])
        longest_s = settings.max_gap_s + tolerance_s(self._clock.frame_s)
        alive = [now_s - track.seen_s <= longest_s and track not in gone for track in lost]
        waiting = [track for track, waits in zip(lost, alive, strict=True) if waits]
        if settings.reentry_s == 0:
            self._forget([track for track, waits in zip(lost, alive, strict=True) if not waits], now_s)
        self._live[class_id] = [track for track, _ in linked + born] + waiting
        return sorted(linked + born, key=lambda pair: pair[0].tracker_id)

    def _start_track(self, class_id: int, component: Component, now_s: float) -> _Live:
        """A new track, or the one that left a moment ago where `reentry_s` asks for that."""
        left = self._left[class_id]
        longest_s = self._settings.reentry_s + tolerance_s(self._clock.frame_s)
        if left is not None and self._settings.reentry_s > 0 and now_s - left.seen_s <= longest_s:
            self._left[class_id] = None
            return replace(left, motion=begin_at_rest(component), seen_s=now_s, unseen_s=now_s - left.seen_s)
        return _Live(next(self._ids), begin_at_rest(component), now_s, now_s)


def _continue_track(track: _Live, component: Component, grid: tuple[int, int], now_s: float) -> _Live:
    unseen_s = now_s - track.seen_s
    motion = update(track.motion, component, grid, unseen_s)
    return replace(track, motion=motion, seen_s=now_s, unseen_s=unseen_s)


def _smooth_confidence(before: float | None, now: float, dt_s: float) -> float:
    """Exponential average with the time constant of the confidence."""
    return now if before is None else now + (before - now) * float(np.exp(-dt_s / _CONFIDENCE_S))
