"""A concept from a few masks or verdicts: windows -> one pass each -> a vector by gradient -> what it is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from vidconcept.errors import InputError, UsageError
from vidconcept.evaluation.datasets.dataset import Dataset
from vidconcept.evaluation.metrics.scores import Curves
from vidconcept.evaluation.statistics import bootstrap_interval
from vidconcept.models.adapter import read_layout
from vidconcept.models.folder import find_folder, find_preset
from vidconcept.models.learnt import write_learnt
from vidconcept.models.teaching import STEPS, Lesson, observe, scores_of, scores_without, start_vector, teach
from vidconcept.pipelines.calibrate_labelled import split_folds
from vidconcept.pipelines.evaluate import rename_to_asked
from vidconcept.pipelines.plan import Plan
from vidconcept.pipelines.sweep import pick_busiest_windows
from vidconcept.pipelines.workspace import Workspace
from vidconcept.setting_layers import Layer, read_config_file, read_environment, resolve
from vidconcept.words import MINUS, parse_spelling

# What the passes that are learnt from may hold in memory.
MEMORY_BYTES = 3 << 30


@dataclass(frozen=True)
class Learnt:
    """vector: `(token, text dim)`. says: what it is worth, in sentences; figures: the same as numbers.

    weights: fingerprint of the model. facts: what is written beside the vector.
    """

    name: str
    vector: np.ndarray = field(repr=False)
    weights: str
    says: tuple[str, ...]
    figures: Mapping[str, Any] = field(repr=False)
    facts: Mapping[str, str] = field(repr=False)

    def write(self, path: Path) -> None:
        write_learnt(path, self.vector, self.weights, self.facts)


@dataclass(frozen=True)
class _Part:
    """What is left out together in cross-validation. shares: of all asked concepts, the learnt one first."""

    name: str
    lessons: tuple[Lesson, ...]
    shares: tuple[np.ndarray, ...] = field(repr=False)

    @property
    def shows_it(self) -> bool:
        return any(np.nansum(lesson.share) > 0 for lesson in self.lessons)


@dataclass
class _Judged:
    """Counts of tokens of a part that was not learnt from: with the vector, with the word, without either."""

    own: Curves = field(default_factory=Curves)
    word: Curves = field(default_factory=Curves)
    others: list[Curves] = field(default_factory=list)
    before: list[Curves] = field(default_factory=list)


def learn(
    dataset: Dataset,
    name: str,
    settings: Mapping[str, Any],
    workspace: Workspace,
    *,
    word: str | None = None,
    tokens: int = 1,
    windows: int = 2,
    steps: int = STEPS,
    cross_validate: bool = True,
) -> Learnt:
    """Learn a vector for the concept that the data set calls `name`.

    settings: as for `track`; its concepts are others, which the learnt one must leave alone. word: the model's own word
    or words for it, `WORD|WORD`: compared with, never learnt from, and left out of the softmax where the vector stands.
    tokens: how many the vector has. windows: read of each clip, those that show most. steps: of the gradient.
    cross_validate: learn again without each part in turn, and measure on that.
    Raises UsageError where the data set does not show the concept, or the model cannot be taught.
    """
    if name not in dataset.concepts:
        raise UsageError(
            f"{dataset.name} has no {name!r}; it has {', '.join(dataset.concepts[:20])}. "
            f"Next: `name` as one of them, or `rename=THEIRS={name}`"
        )
    asked = _with_placeholder(name, word, settings, workspace)
    parts, plan = _read_parts(dataset, {**settings, "concepts": asked}, workspace, windows)
    showing = [part for part in parts if part.shows_it]
    if not showing:
        raise InputError(f"{dataset.name}: {name!r} is on no window that was read. Next: more `windows`")
    if len(showing) == 1:
        parts = [part for whole in parts for part in _split(whole)]
        showing = [part for part in parts if part.shows_it]
    model: Any = workspace.load(plan)
    seed = plan.settings.seed

    def taught(chosen: Sequence[_Part], stage: str) -> np.ndarray:
        lessons = [lesson for part in chosen for lesson in part.lessons]
        start = start_vector(model, tokens, seed)
        report = workspace.monitor.check
        return teach(
            model, plan.lexicon, lessons, start, seed=seed, steps=steps, progress=lambda n, of: report(stage, n, of)
        )

    judged: dict[str, _Judged] = {}
    folds = split_folds([part.name for part in showing], seed=seed) if cross_validate and len(showing) > 1 else []
    # Good clips take turns as well, so that what is claimed in vain is counted where it was not learnt from.
    good = [part.name for part in parts if not part.shows_it]
    for number, fold in enumerate(folds):
        aside = {*fold, *good[number :: len(folds)]}
        vector = taught([p for p in parts if p.name not in aside], f"learning, part {number + 1} of {len(folds)} aside")
        for part in parts:
            if part.name in aside:
                judged[part.name] = _judge(part, vector, plan, model)
    vector = taught(parts, "learning from all")
    if word is not None and judged:
        _judge_word(
            [p for p in parts if p.name in judged], judged, f"{name}={word}", asked, dataset, settings, workspace
        )
    figures = _figures(judged, [part.name for part in showing], plan.settings.concepts, word)
    says = tuple(_sentences(name, word, figures))
    facts = {
        "name": name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "vidconcept": version("vidconcept"),
        "model": plan.folder.preset.name,
        "instead_of": _instead_of(word, plan.folder.preset),
        "dataset": dataset.name,
        "says": " ".join(says),
    }
    return Learnt(name, vector, plan.layout.fingerprint, says, figures, facts)


def _with_placeholder(name: str, word: str | None, settings: Mapping[str, Any], workspace: Workspace) -> list[str]:
    """The concepts to ask for, the learnt one first, with a file where its vector will stand.

    From the file the plan knows which word it takes the place of.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    config = [read_config_file(workspace.config)] if workspace.config else []
    first, _ = resolve([Layer("command line", given), read_environment(), *config])
    preset = find_preset(first.model)
    layout = read_layout(find_folder(preset).path)
    if layout.text_width is None:
        raise UsageError(
            f"no concept can be learnt for the model {preset.name}: its text never attends to the video. "
            "Next: a model with joint attention, such as linecam or cogvideox-2b"
        )
    if word is not None and (MINUS in f" {word} " or "@" in word):
        raise UsageError(f"`word={word}`: words alone, joined by |. Next: leave out what is subtracted")
    path = workspace.work / "start.safetensors"
    write_learnt(path, np.ones((1, layout.text_width), np.float32), layout.fingerprint,
                 {"instead_of": _instead_of(word, preset)})  # fmt: skip
    others = [n for n in first.concepts if n != name]
    return [f"{name}@{path}", *(f"{n}={first.words[n]}" if n in first.words else n for n in others)]


def _instead_of(word: str | None, preset: Any) -> str:
    return "" if word is None else "|".join(map(preset.translate, parse_spelling(word).words))


def _read_parts(
    dataset: Dataset, settings: Mapping[str, Any], workspace: Workspace, limit: int
) -> tuple[list[_Part], Plan]:
    """One pass over each chosen window of every clip, and the plan of the first clip."""
    parts: list[_Part] = []
    plans: list[Plan] = []
    held = 0
    for number, original in enumerate(dataset.clips):
        plan = workspace.plan_clip(original, settings)
        if len(plan.tiles.origins_px) > 1:
            raise UsageError("a concept is learnt from whole pictures. Next: leave `tile` out, or take `roi`")
        plans.append(plan)
        clip = rename_to_asked(dataset, plan.settings).clips[number]
        lessons, rows = [], []
        for window, shares in pick_busiest_windows(plan, clip, workspace.monitor, limit):
            if held > MEMORY_BYTES:
                workspace.monitor.note_fallback(f"{clip.name}: windows beyond {MEMORY_BYTES >> 30} GB are left out")
                break
            with workspace.monitor.time_stage("model"):
                seen = observe(workspace.load(plan), window.frames)
            held += seen.nbytes
            lessons.append(Lesson(seen, shares[0]))
            rows.append(shares)
        parts.append(_Part(f"{number} {clip.name}", tuple(lessons), tuple(rows)))
        workspace.monitor.check("clips read", number + 1, len(dataset.clips))
    return parts, plans[0]


def _split(part: _Part) -> Iterator[_Part]:
    """Each window by itself, where there is a single clip to learn from."""
    for number, (lesson, shares) in enumerate(zip(part.lessons, part.shares, strict=True)):
        yield replace(part, name=f"{part.name} {number}", lessons=(lesson,), shares=(shares,))


def _judge(part: _Part, vector: np.ndarray, plan: Plan, model: Any) -> _Judged:
    """Counts of a part with the vector, and of the other asked concepts with and without it."""
    count = len(plan.settings.concepts) - 1
    found = _Judged(others=[Curves() for _ in range(count)], before=[Curves() for _ in range(count)])
    for lesson, shares in zip(part.lessons, part.shares, strict=True):
        scores = scores_of(model, plan.lexicon, lesson.seen, vector)
        without = scores_without(model, plan.lexicon, lesson.seen)
        _add(found.own, scores[0], shares[0])
        for index in range(count):
            _add(found.others[index], scores[1 + index], shares[1 + index])
            _add(found.before[index], without[index], shares[1 + index])
    return found


def _judge_word(
    parts: Sequence[_Part],
    judged: Mapping[str, _Judged],
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


def _merged(parts: Sequence[Curves]) -> Curves:
    whole = Curves()
    for part in parts:
        whole.merge(part)
    return whole


def _figures(
    judged: Mapping[str, _Judged], showing: Sequence[str], concepts: Sequence[str], word: str | None
) -> dict[str, Any]:
    """Average precision of tokens, all on parts that were not learnt from."""
    if not judged:
        return {"parts": len(showing), "cross_validated": False}
    rows = list(judged.values())
    own = _merged([row.own for row in rows]).average_precision
    figures: dict[str, Any] = {"parts": len(showing), "cross_validated": True, "ap": own, "others": {}}
    figures["prevalence"] = _prevalence(_merged([row.own for row in rows]))
    for index, name in enumerate(concepts[1:]):
        pair = [_merged([getattr(row, key)[index] for row in rows]) for key in ("before", "others")]
        if pair[0].positive.sum():
            figures["others"][name] = {"ap_before": pair[0].average_precision, "ap": pair[1].average_precision}
    if word is not None:
        names = list(judged)

        def gap(chosen: Sequence[str]) -> float:
            own, of_word = ([getattr(judged[name], key) for name in chosen] for key in ("own", "word"))
            return _merged(own).average_precision - _merged(of_word).average_precision

        figures["ap_word"] = _merged([row.word for row in rows]).average_precision
        figures["gap"], figures["gap_interval"] = gap(names), list(bootstrap_interval(gap, names))
    return figures


def _prevalence(curves: Curves) -> float:
    return float(curves.positive.sum() / (curves.positive.sum() + curves.negative.sum()))


def _sentences(name: str, word: str | None, figures: Mapping[str, Any]) -> Iterator[str]:
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
        verdict = (
            "It helps over" if low > 0 else "It does not help over" if high < 0 else "It is not surely better than"
        )
        yield (
            f"{verdict} the word {word!r}, AP {figures['ap_word']:.2f} (difference {figures['gap']:+.2f}, 95 % "
            f"{low:+.2f} to {high:+.2f})."
        )
    for other, pair in figures["others"].items():
        yield f"{other}: AP {pair['ap_before']:.2f} without it beside, {pair['ap']:.2f} with it."
