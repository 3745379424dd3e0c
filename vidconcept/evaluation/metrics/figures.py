"""Everything that is counted while clips pass by, and the figures that come out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vidconcept.evaluation.datasets.dataset import FrameTruth
from vidconcept.evaluation.metrics.events import EventCounts, EventLedger, Found
from vidconcept.evaluation.metrics.identity import Pairing, hota, idf1
from vidconcept.evaluation.metrics.masks import Confusion, area_ratio, boundary_f, boundary_iou, jaccard
from vidconcept.evaluation.metrics.scores import Curves, PaperProtocol
from vidconcept.evaluation.metrics.temporal import VideoConsistency, WarpingError

VC_LENGTHS = (8, 16)


@dataclass
class Figures:
    """Counts over one clip or, after `merge`, over many.

    regions: concept -> `(J, F, boundary IoU)` a clip in which the concept occurs, means over the frames on which it is
    there or was found: frames that are rightly empty would make rare defects look well outlined.
    area_ratios: concept -> area of masks over the true area, a number for each frame on which they meet.
    good: events of clips without any defect or ignored pixel. boxed: concepts whose truth is boxes in some clip,
    against which measures of outlines say little.
    """

    concepts: tuple[str, ...]
    curves: dict[str, Curves] = field(repr=False)
    confusion: Confusion = field(repr=False)
    paper: PaperProtocol = field(default_factory=PaperProtocol, repr=False)
    regions: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict, repr=False)
    area_ratios: dict[str, list[float]] = field(default_factory=dict, repr=False)
    consistency: list[VideoConsistency] = field(
        default_factory=lambda: [VideoConsistency(n) for n in VC_LENGTHS], repr=False
    )
    warping: WarpingError = field(default_factory=WarpingError)
    pairings: list[Pairing] = field(default_factory=list, repr=False)
    events: EventCounts = field(default_factory=EventCounts)
    by_concept: dict[str, EventCounts] = field(default_factory=dict, repr=False)
    good: EventCounts = field(default_factory=EventCounts)
    boxed: set[str] = field(default_factory=set)

    @classmethod
    def empty(cls, concepts: Sequence[str]) -> Figures:
        return cls(tuple(concepts), {name: Curves() for name in concepts}, Confusion.of(len(concepts) + 1))

    def add_scores(self, scores: np.ndarray, truth: FrameTruth) -> None:
        """Scores `(concept, h, w)` of one annotated frame on the grid of its truth."""
        for index, name in enumerate(self.concepts):
            real = truth.of(name)
            self.curves[name].add(scores[index], real, truth.ignore)
            if (real if truth.ignore is None else real & ~truth.ignore).any():
                self.paper.add(scores[index], real, truth.ignore)

    def merge(self, other: Figures) -> None:
        for name, curves in other.curves.items():
            self.curves[name].merge(curves)
        self.confusion.table += other.confusion.table
        self.paper.correct += other.paper.correct
        self.paper.labelled += other.paper.labelled
        self.paper.hits = self.paper.hits + other.paper.hits
        self.paper.unions = self.paper.unions + other.paper.unions
        self.paper.precisions += other.paper.precisions
        for name, values in other.regions.items():
            self.regions.setdefault(name, []).extend(values)
        for name, ratios in other.area_ratios.items():
            self.area_ratios.setdefault(name, []).extend(ratios)
        for own, more in zip(self.consistency, other.consistency, strict=True):
            own.as_published += more.as_published
            own.correct += more.correct
        self.warping.squared += other.warping.squared
        self.warping.pixels += other.warping.pixels
        self.pairings += other.pairings
        self.events += other.events
        for name, counts in other.by_concept.items():
            self.by_concept[name] = self.by_concept.get(name, EventCounts()) + counts
        self.good += other.good
        self.boxed |= other.boxed

    def summary(self) -> dict[str, Any]:
        """Figures by name; what has nothing to measure is left out."""
        result: dict[str, Any] = {"events": self.events.figures()}
        result["events_by_concept"] = {name: counts.figures() for name, counts in self.by_concept.items()}
        if self.good.minutes:
            result["good_footage"] = self.good.figures()
        result["segmentation"] = {
            "pixel_accuracy": self.confusion.pixel_accuracy,
            "mean_iou": self.confusion.mean_iou,
        }
        result["paper_protocol"] = self.paper.figures()
        result["scores"] = {
            name: {
                "average_precision": self.curves[name].average_precision,
                "auroc": self.curves[name].auroc,
                "au_pro_0.3": self.curves[name].au_pro(0.3),
                "au_pro_0.05": self.curves[name].au_pro(0.05),
                "prevalence": float(
                    self.curves[name].positive.sum()
                    / (self.curves[name].positive.sum() + self.curves[name].negative.sum())
                ),
            }
            for name in self.concepts
            if self.curves[name].positive.any()
        }
        result["masks"] = {
            name: _average_regions(self.regions[name]) | _quartiles(self.area_ratios.get(name, []))
            for name in self.concepts
            if name in self.regions
        }
        for part in ("scores", "masks"):
            if result[part]:
                result[part]["mean"] = _average_rows(list(result[part].values()))
        result["identities"] = hota(self.pairings) | ({"idf1": idf1(self.pairings)} if self.pairings else {})
        result["temporal"] = {"warping_error": self.warping.mean}
        for vc in self.consistency:
            result["temporal"] |= vc.figures()
        return {part: values for part, values in result.items() if values}


def _average_regions(values: list[tuple[float, float, float]]) -> dict[str, float]:
    j, f, band = (float(v) for v in np.mean(values, axis=0))
    return {"j": j, "f": f, "j_and_f": (j + f) / 2, "boundary_iou": band}


def _quartiles(ratios: Sequence[float]) -> dict[str, float]:
    """Median and quartiles of mask area over true area."""
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75)) if ratios else (np.nan,) * 3
    return {"area_ratio": float(middle), "area_ratio_q1": float(low), "area_ratio_q3": float(high)}


def _average_rows(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    known = {key: [row[key] for row in rows if not np.isnan(row[key])] for key in rows[0]}
    return {key: float(np.mean(values)) if values else float("nan") for key, values in known.items()}


def _cut_mask(mask: np.ndarray, seen: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The part of a mask that counts, as COCO and MOTS judge findings on crowds; all `(h, w)` bool.

    seen: pixels that count. real: defects of the mask's concept.
    """
    rest = mask & seen
    counts = 2 * np.count_nonzero(rest) > np.count_nonzero(mask) or (rest & real).any()
    return rest if counts else np.zeros_like(mask)


@dataclass
class MaskPass:
    """Second walk over a clip's annotated frames, when its final tracks are known."""

    figures: Figures
    clip_name: str
    with_identities: bool
    ledger: EventLedger
    _regions: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict, repr=False)
    _true: set[str] = field(default_factory=set, repr=False)

    def add(self, found: Sequence[Found], truth: FrameTruth) -> None:
        """Tracks and truth of one frame, masks on one grid. Both end where pixels count for nothing.

        A mask of which half or more lies there is left empty, unless the rest is on a defect of its concept.
        """
        own = self.figures
        if truth.ignore is not None:
            seen = ~truth.ignore
            truth = replace(truth, masks=truth.masks & seen)
            found = [replace(track, mask=_cut_mask(track.mask, seen, truth.of(track.concept))) for track in found]
        shape = truth.masks.shape[1:]
        predicted, real = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for number, name in enumerate(own.concepts, start=1):
            true_mask = truth.of(name)
            mine = [track.mask for track in found if track.concept == name]
            mask = np.any(mine, axis=0) if mine else np.zeros(shape, bool)
            predicted[mask], real[true_mask] = number, number
            if true_mask.any():
                self._true.add(name)
            ratio = area_ratio(mine, [m for m, word in zip(truth.masks, truth.concepts, strict=True) if word == name])
            if not np.isnan(ratio):
                own.area_ratios.setdefault(name, []).append(ratio)
            if true_mask.any() or mask.any():
                self._regions.setdefault(name, []).append(
                    (jaccard(mask, true_mask), boundary_f(mask, true_mask), boundary_iou(mask, true_mask))
                )
        known = None if truth.ignore is None else (~truth.ignore).astype(float)
        own.confusion.add(predicted, real, known)
        for vc in own.consistency:
            vc.add(predicted, real, truth.ignore)
        if self.with_identities:
            self._pair(found, truth)
        self.ledger.add(found, truth)

    def _pair(self, found: Sequence[Found], truth: FrameTruth) -> None:
        # An object outside of the region, or where pixels count for nothing, is not there.
        asked = [i for i, w in enumerate(truth.concepts) if w in self.figures.concepts and truth.masks[i].any()]
        found = [track for track in found if track.mask.any()]
        similarity = np.array(
            [[jaccard(t.mask, truth.masks[i]) if t.concept == truth.concepts[i] else 0.0 for t in found] for i in asked]
        ).reshape(len(asked), len(found))
        true_ids = [f"{self.clip_name}:{truth.ids[i]}" for i in asked]
        self.figures.pairings.append(Pairing(true_ids, [f"{self.clip_name}:{t.tracker_id}" for t in found], similarity))

    def finish(self, minutes: float, good: bool) -> None:
        """Sum up the clip. minutes: of its footage; good: nothing is wrong in it."""
        occurring = [name for name in self._regions if name in self._true]
        for name in occurring:
            values = self._regions[name]
            means = np.mean(values, axis=0)
            self.figures.regions.setdefault(name, []).append((float(means[0]), float(means[1]), float(means[2])))
        for vc in self.figures.consistency:
            vc.end_clip()
        counts = self.ledger.counts(self.figures.concepts, minutes)
        self.figures.events += counts
        for name in self.figures.concepts:
            before = self.figures.by_concept.get(name, EventCounts())
            self.figures.by_concept[name] = before + self.ledger.counts([name], minutes)
        if good:
            self.figures.good += counts
