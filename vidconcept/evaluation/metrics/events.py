"""What a line cares about: defects found, events that are false, and how many of those a minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import cv2
import numpy as np

from vidconcept.evaluation.datasets.dataset import FrameTruth
from vidconcept.evaluation.metrics.masks import make_disk
from vidconcept.evaluation.statistics import poisson_interval, share_interval

# A finding that ends this near to a defect is on it: a token is about this large.
TOUCH_FRAC = 0.02
# An event fits a defect in time from this temporal IoU on, as in the loosest setting of temporal action localisation.
FIT_IOU = 0.3


@dataclass(frozen=True, slots=True)
class Found:
    """One track on one frame: mask `(h, w)` bool of the frame, and its highest score there.

    An empty mask: the track lies where pixels count for nothing.
    """

    tracker_id: int
    concept: str
    mask: np.ndarray = field(repr=False)
    score: float = 0.0


@dataclass(frozen=True)
class EventCounts:
    """events: tracks. false_events: those on no defect of their concept; misnamed: of these, on a defect of another.

    objects: true defects that were in view long enough to be found. found: by an event of their concept; found_as_any:
    by an event of any. located: by an event of their concept that also fits: temporal IoU of at least `FIT_IOU`, and
    the boxes of both meet on the event's peak frame. minutes: of the annotated stretch. frames, frames_with_truth: of
    the footage, and how many of them are annotated; only these can show a false alarm or a miss.
    """

    events: int = 0
    false_events: int = 0
    objects: int = 0
    found: int = 0
    found_as_any: int = 0
    minutes: float = 0.0
    misnamed: int = 0
    located: int = 0
    frames: int = 0
    frames_with_truth: int = 0

    @property
    def false_alarms(self) -> int:
        """Events where nothing is wrong."""
        return self.false_events - self.misnamed

    def __add__(self, other: EventCounts) -> EventCounts:
        own, more = asdict(self), asdict(other)
        return EventCounts(**{key: own[key] + more[key] for key in own})

    def figures(self) -> dict[str, object]:
        """Precision, recall, false alarms per minute, each with its 95 % interval (Clopper-Pearson, Garwood)."""
        true = self.events - self.false_events
        result: dict[str, object] = asdict(self)
        for name, hits, total in (
            ("precision", true, self.events),
            ("recall", self.found, self.objects),
            ("recall_any_concept", self.found_as_any, self.objects),
            ("recall_located", self.located, self.objects),
        ):
            result[name] = hits / total if total else float("nan")
            result[f"{name}_95"] = share_interval(hits, total)
        if self.minutes:
            result["false_alarms_per_minute"] = self.false_alarms / self.minutes
            result["false_alarms_per_minute_95"] = poisson_interval(self.false_alarms, self.minutes)
        return result


@dataclass
class EventLedger:
    """Counts, over the annotated frames of one clip, which tracks and defects meet.

    A track and a defect meet when they touch on at least half of the frames of the one that is seen for less long.
    Frames on which a track lies where pixels count for nothing are none of its frames; a track that lies there on half
    of the time or more, and meets no defect, is no event.
    frames, annotated: of the clip, and how many of them have truth. min_frames, min_area_px: what is smaller or shorter
    is no defect to be found; what is found there is no false alarm.
    """

    min_frames: int = 1
    frames: int = 0
    annotated: int = 0
    min_area_px: int = 1
    _touches: Counter[tuple[int, int]] = field(default_factory=Counter, repr=False)
    _seen: Counter[int] = field(default_factory=Counter, repr=False)
    _large: Counter[int] = field(default_factory=Counter, repr=False)
    _tracked: Counter[int] = field(default_factory=Counter, repr=False)
    _ignored: Counter[int] = field(default_factory=Counter, repr=False)
    _words: dict[int, str] = field(default_factory=dict, repr=False)
    _labels: dict[int, str] = field(default_factory=dict, repr=False)
    _shown: dict[int, set[int]] = field(default_factory=dict, repr=False)
    _there: dict[int, set[int]] = field(default_factory=dict, repr=False)
    # Of each track: its highest score so far, and the defects whose boxes its own met then.
    _peaks: dict[int, tuple[float, frozenset[int]]] = field(default_factory=dict, repr=False)
    _frames: int = 0

    def add(self, found: Sequence[Found], truth: FrameTruth) -> None:
        """Count one annotated frame."""
        reach = max(1, round(TOUCH_FRAC * float(np.hypot(*truth.masks.shape[1:]))))
        disk = make_disk(reach)
        self._frames += 1
        boxes = {n: _box(m) for m, n in zip(truth.masks, truth.ids, strict=True) if m.any()}
        for number in boxes:
            self._there.setdefault(number, set()).add(self._frames)
        for track in found:
            if not track.mask.any():
                self._ignored[track.tracker_id] += 1
                continue
            self._tracked[track.tracker_id] += 1
            self._labels[track.tracker_id] = track.concept
            self._shown.setdefault(track.tracker_id, set()).add(self._frames)
            if track.score > self._peaks.get(track.tracker_id, (-1.0,))[0]:
                own = _box(track.mask)
                met = frozenset(number for number, box in boxes.items() if _meet(own, box))
                self._peaks[track.tracker_id] = (track.score, met)
        for mask, word, number in zip(truth.masks, truth.concepts, truth.ids, strict=True):
            if not mask.any():
                continue
            self._seen[number] += 1
            self._large[number] += int(np.count_nonzero(mask) >= self.min_area_px)
            self._words[number] = word
            near = cv2.dilate(mask.astype(np.uint8), disk) > 0
            for track in found:
                if (near & track.mask).any():
                    self._touches[(track.tracker_id, number)] += 1

    def counts(self, concepts: Sequence[str], minutes: float) -> EventCounts:
        """Sums over the events and defects of some concepts; defects of others count neither as found nor as missed."""
        meets = {
            pair
            for pair, times in self._touches.items()
            if times >= 0.5 * min(self._tracked[pair[0]], self._seen[pair[1]])
        }
        right = {(t, n) for t, n in meets if self._labels[t] == self._words[n]}
        met = {t for t, _ in meets}
        counted = {t for t, times in self._tracked.items() if times > self._ignored[t]} | met
        tracks = {t for t in counted if self._labels[t] in concepts}
        false_tracks = tracks - {t for t, _ in right}
        objects = {n for n, times in self._large.items() if times >= self.min_frames and self._words[n] in concepts}
        return EventCounts(
            events=len(tracks),
            false_events=len(false_tracks),
            objects=len(objects),
            found=len(objects & {n for _, n in right}),
            found_as_any=len(objects & {n for _, n in meets}),
            minutes=minutes,
            frames=self.frames,
            frames_with_truth=self.annotated,
            misnamed=len(false_tracks & met),
            located=len({n for n in objects if any(self._fits(t, n) for t in tracks)}),
        )

    def _fits(self, track: int, number: int) -> bool:
        if self._labels[track] != self._words[number] or number not in self._peaks.get(track, (0.0, ()))[1]:
            return False
        shown, there = self._shown[track], self._there[number]
        return len(shown & there) >= FIT_IOU * len(shown | there)


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """First and last row, first and last column of a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


def _meet(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1] and a[2] <= b[3] and b[2] <= a[3]
