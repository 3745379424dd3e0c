"""What a learnt concept is worth, on parts of the data that it was not learnt from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vidconcept.evaluation.datasets.dataset import Dataset
from vidconcept.evaluation.metrics.scores import Curves
from vidconcept.evaluation.statistics import bootstrap_interval
from vidconcept.models.teaching import Lesson, scores_of, scores_without
from vidconcept.pipelines.plan import Plan
from vidconcept.pipelines.workspace import Workspace
from vidconcept.wording import format_count

# Of two parts there are but three resamples: an interval over so few is narrower than the truth.
FEWEST_PARTS = 5


@dataclass(frozen=True)
class Part:
    """What is left out together in cross-validation. shares: of all asked concepts, the learnt one first."""

    name: str
    lessons: tuple[Lesson, ...]
    shares: tuple[np.ndarray, ...] = field(repr=False)

    @property
    def shows_it(self) -> bool:
        return any(np.nansum(lesson.share) > 0 for lesson in self.lessons)


@dataclass
class Judged:
    """Counts of tokens of a part that was not learnt from: with the vector, with the word, without either."""

    own: Curves = field(default_factory=Curves)
    word: Curves = field(default_factory=Curves)
    others: list[Curves] = field(default_factory=list)
    before: list[Curves] = field(default_factory=list)


def judge(part: Part, vector: np.ndarray, plan: Plan, model: Any) -> Judged:
    """Counts of a part with the vector, and of the other asked concepts with and without it."""
    count = len(plan.settings.concepts) - 1
    found = Judged(others=[Curves() for _ in range(count)], before=[Curves() for _ in range(count)])
    for lesson, shares in zip(part.lessons, part.shares, strict=True):
        scores = scores_of(model, plan.lexicon, lesson.seen, vector)
        without = scores_without(model, plan.lexicon, lesson.seen)
        _add(found.own, scores[0], shares[0])
        for index in range(count):
            _add(found.others[index], scores[1 + index], shares[1 + index])
            _add(found.before[index], without[index], shares[1 + index])
    return found


def judge_word(
    parts: Sequence[Part],
    judged: Mapping[str, Judged],
    spelled: str,
    asked: Sequence[str],
    dataset: Dataset,
    settings: Mapping[str, Any],
    workspace: Workspace,
) -> None:
    """Counts of the same parts with the model's own word instead of the vector."""
    plan = workspace.plan_clip(dataset.clips[0], {**settings, "concepts": [spelled, *asked[1:]]})
    model: Any = workspace.load(plan)
    for part in parts:
        for lesson in part.lessons:
            _add(judged[part.name].word, scores_of(model, plan.lexicon, lesson.seen, None)[0], lesson.share)


def _add(curves: Curves, scores: np.ndarray, shares: np.ndarray) -> None:
    known = np.isfinite(shares.ravel())
    curves.add_shares(scores.ravel()[known], shares.ravel()[known])


def _merge(parts: Sequence[Curves]) -> Curves:
    whole = Curves()
    for part in parts:
        whole.merge(part)
    return whole


def compute_figures(
    judged: Mapping[str, Judged], showing: Sequence[str], concepts: Sequence[str], word: str | None
) -> dict[str, Any]:
    """Average precision of tokens, all on parts that were not learnt from."""
    if not judged:
        return {"parts": len(showing), "cross_validated": False}
    rows = list(judged.values())
    own = _merge([row.own for row in rows]).average_precision
    figures: dict[str, Any] = {"parts": len(showing), "cross_validated": True, "ap": own, "others": {}}
    figures["prevalence"] = _prevalence(_merge([row.own for row in rows]))
    for index, name in enumerate(concepts[1:]):
        pair = [_merge([getattr(row, key)[index] for row in rows]) for key in ("before", "others")]
        if pair[0].positive.sum():
            figures["others"][name] = {"ap_before": pair[0].average_precision, "ap": pair[1].average_precision}
    if word is not None:
        names = list(judged)

        def gap(chosen: Sequence[str]) -> float:
            own, of_word = ([getattr(judged[name], key) for name in chosen] for key in ("own", "word"))
            return _merge(own).average_precision - _merge(of_word).average_precision

        figures["ap_word"] = _merge([row.word for row in rows]).average_precision
        figures["gap"], figures["gap_interval"] = gap(names), list(bootstrap_interval(gap, names))
    return figures


def _prevalence(curves: Curves) -> float:
    return float(curves.positive.sum() / (curves.positive.sum() + curves.negative.sum()))


def phrase_figures(name: str, word: str | None, figures: Mapping[str, Any]) -> Iterator[str]:
    """What `compute_figures` found, in sentences."""
    parts = figures["parts"]
    if not figures["cross_validated"]:
        yield f"{name} was learnt without a part left aside, so nothing is known of others. Next: more masks."
        return
    yield (
        f"{name}: AP {figures['ap']:.2f} on parts that were not learnt from, each in its turn ({parts} that show it; "
        f"chance is {figures['prevalence']:.3f})."
    )
    if word is None:
        yield "There is no word to compare with; give one as `word` if the model has it."
    else:
        low, high = figures["gap_interval"]
        if parts < FEWEST_PARTS:
            verdict = f"{format_count(parts, 'part')} cannot tell whether it helps over"
        elif low > 0:
            verdict = "It helps over"
        else:
            verdict = "It does not help over" if high < 0 else "It is not surely better than"
        yield (
            f"{verdict} the word {word!r}, AP {figures['ap_word']:.2f} (difference {figures['gap']:+.2f}, 95 % "
            f"{low:+.2f} to {high:+.2f})."
        )
    for other, pair in figures["others"].items():
        yield f"{other}: AP {pair['ap_before']:.2f} without it beside, {pair['ap']:.2f} with it."
