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
from vidconcept.models.adapter import read_layout
from vidconcept.models.folder import find_folder, find_preset
from vidconcept.models.learnt import write_learnt
from vidconcept.models.teaching import STEPS, Lesson, observe, start_vector, teach
from vidconcept.pipelines.calibrate_labelled import split_folds
from vidconcept.pipelines.cross_validation import Judged, Part, compute_figures, judge, judge_word, phrase_figures
from vidconcept.pipelines.evaluate import rename_to_asked
from vidconcept.pipelines.plan import Plan
from vidconcept.pipelines.sweep import pick_busiest_windows
from vidconcept.pipelines.workspace import Workspace
from vidconcept.setting_layers import collect_layers, resolve
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

    def taught(chosen: Sequence[Part], stage: str) -> np.ndarray:
        lessons = [lesson for part in chosen for lesson in part.lessons]
        start = start_vector(model, tokens, seed)
        report = workspace.monitor.check
        return teach(
            model, plan.lexicon, lessons, start, seed=seed, steps=steps, progress=lambda n, of: report(stage, n, of)
        )

    judged: dict[str, Judged] = {}
    folds = split_folds([part.name for part in showing], seed=seed) if cross_validate and len(showing) > 1 else []
    # Good clips take turns as well, so that what is claimed in vain is counted where it was not learnt from.
    good = [part.name for part in parts if not part.shows_it]
    for number, fold in enumerate(folds):
        aside = {*fold, *good[number :: len(folds)]}
        vector = taught([p for p in parts if p.name not in aside], f"learning, part {number + 1} of {len(folds)} aside")
        for part in parts:
            if part.name in aside:
                judged[part.name] = judge(part, vector, plan, model)
    vector = taught(parts, "learning, from all")
    if word is not None and judged:
        judge_word(
            [p for p in parts if p.name in judged], judged, f"{name}={word}", asked, dataset, settings, workspace
        )
    figures = compute_figures(judged, [part.name for part in showing], plan.settings.concepts, word)
    says = tuple(phrase_figures(name, word, figures))
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
    first, _ = resolve(collect_layers(settings, workspace.config))
    preset = find_preset(first.model)
    layout = read_layout(find_folder(preset).path)
    if layout.text_width is None:
        raise UsageError(
            f"no concept can be learnt for the model {preset.name}: its text never attends to the video. "
            "Next: a model with joint attention, such as linecam or cogvideox-2b"
        )
    if first.quantize == "nf4":
        raise UsageError(
            "`quantize=nf4` lets no gradient through on every machine, and learning needs it. Next: `quantize=int8` or "
            "`quantize=fp8`; the vector is then used with nf4 as well"
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
) -> tuple[list[Part], Plan]:
    """One pass over each chosen window of every clip, and the plan of the first clip."""
    parts: list[Part] = []
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
        parts.append(Part(f"{number} {clip.name}", tuple(lessons), tuple(rows)))
        workspace.monitor.check("clips read", number + 1, len(dataset.clips))
    return parts, plans[0]


def _split(part: Part) -> Iterator[Part]:
    """Each window by itself, where there is a single clip to learn from."""
    for number, (lesson, shares) in enumerate(zip(part.lessons, part.shares, strict=True)):
        yield replace(part, name=f"{part.name} {number}", lessons=(lesson,), shares=(shares,))
