"""From the words that were asked for to those that the model reads, and tables of concepts by those words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vidconcept.attention.lexicon import Lexicon
from vidconcept.errors import UsageError
from vidconcept.models.learnt import replaced_words
from vidconcept.models.presets import Preset
from vidconcept.settings import TrackSettings
from vidconcept.words import Spelling, spelling_of


def compile_words(settings: TrackSettings, preset: Preset) -> tuple[tuple[str, ...], Lexicon]:
    """What stands in the softmax: asked concepts as the model knows them, then background, distractors and sinks.

    Words that an asked concept is made of, or that a learnt one takes the place of, are not background as well. Raises
    UsageError, with the column of a word that a closed vocabulary does not have, for concepts that mean the same, and
    for a name that another word has.
    """
    if not settings.background:
        raise UsageError(
            "no background words: one of the concepts would score high everywhere. Next: `background=surface`"
        )
    asked, without, replaced = [], [], set()
    for name in settings.concepts:
        spelling = spelling_of(name, settings.words)
        if spelling.file is not None:
            replaced.update(replaced_words(spelling.file))
        terms = spelling.terms if spelling.file is not None else _known(name, spelling, settings, preset)
        asked.append(tuple(dict.fromkeys(terms[: len(spelling.terms)])))
        without.append(tuple(dict.fromkeys(terms[len(spelling.terms) :])))
    _check_different(settings.concepts, asked, without, preset)
    used = {term for terms in asked for term in terms}
    others = [preset.translate(word) for word in (*settings.background, *settings.distractors)]
    others = [word for word in others if word not in replaced]
    others = list(dict.fromkeys(word for word in (*others, *(w for part in without for w in part)) if word not in used))
    # A concept that is one word of the model goes by that; one that is made of several by its name.
    labels = [terms[0] if len(terms) == 1 and not terms[0].startswith("@") else name
              for name, terms in zip(settings.concepts, asked, strict=True)]  # fmt: skip
    taken = next((label for i, label in enumerate(labels) if label in (*labels[:i], *others)), None)
    if taken is not None:
        raise UsageError(f"the name {taken!r} is also a word of its own beside the concepts. Next: another name for it")
    # A negative that is a word of another asked concept is an entry of its own as well.
    apart = [word for part in without for word in part if (word,) not in asked and word not in others]
    others += dict.fromkeys(apart)
    sinks = [word for word in settings.sinks if word not in (*labels, *others)]
    groups = [*asked, *((word,) for word in (*others, *sinks))]
    words = tuple(dict.fromkeys(word for group in groups for word in group))
    number = {word: i for i, word in enumerate(words)}
    distractors = {preset.translate(word) for word in settings.distractors}
    entry = {group: i for i, group in reversed(list(enumerate(groups)))}
    lexicon = Lexicon(
        words,
        tuple(tuple(number[word] for word in group) for group in groups),
        tuple(tuple(entry[word,] for word in part) for part in without),
        len(sinks),
        tuple(i for i in range(len(asked) + len(others)) if i < len(asked) or others[i - len(asked)] in distractors),
        settings.concept_sharpness,
    )
    return (*labels, *(_label(word, labels) for word in others), *sinks), lexicon


def _label(word: str, taken: list[str]) -> str:
    return f"{word} (apart)" if word in taken else word


def _known(name: str, spelling: Spelling, settings: TrackSettings, preset: Preset) -> list[str]:
    """Positive and then negative words as the model knows them."""
    found = []
    for word, column in zip((*spelling.words, *spelling.without), spelling.columns, strict=True):
        try:
            found.append(preset.translate(word))
        except UsageError as error:
            if name not in settings.words:
                raise
            text = f"{name}={settings.words[name]}"
            raise UsageError(f"{text!r}, column {column}: {error}") from error
    for column, word in zip(spelling.columns[len(spelling.words) :], found[len(spelling.words) :], strict=True):
        if word in found[: len(spelling.words)]:
            text = f"{name}={settings.words[name]}"
            raise UsageError(f"{text!r}, column {column}: {word!r} is added and subtracted. Next: leave out one")
    return found


def _check_different(
    names: tuple[str, ...], asked: list[tuple[str, ...]], without: list[tuple[str, ...]], preset: Preset
) -> None:
    keys = [(frozenset(terms), frozenset(part)) for terms, part in zip(asked, without, strict=True)]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            twin = names[keys.index(key)]
            raise UsageError(f"{twin!r} and {names[index]!r} mean the same to {preset.name}. Next: give one")


def meaning_of(name: str, settings: TrackSettings, preset: Preset) -> str:
    """What an asked concept is to the model: its own name where it is spelled, else the word that is known."""
    return name if name in settings.words else preset.translate(name)


def pick_asked(table: Mapping[str, Any], settings: TrackSettings, preset: Preset) -> dict[str, Any]:
    """What a calibration says of the concepts asked for, under the words asked for; it may name them by other words.

    Raises UsageError for a word that a closed vocabulary does not have.
    """
    asked = {meaning_of(name, settings, preset): name for name in settings.concepts}
    mains = {word if word in settings.words else preset.translate(word): value for word, value in table.items()}
    return {name: mains[main] for main, name in asked.items() if main in mains}


def find_preset_thresholds(settings: TrackSettings, sources: Mapping[str, str], preset: Preset) -> dict[str, float]:
    """The preset's thresholds of single concepts by the words asked for; none where somebody gave a `threshold`."""
    if sources["threshold"] not in (preset.layer.name, "default"):
        return {}
    own = preset.settings.get("thresholds", {})
    mains = {name: meaning_of(name, settings, preset) for name in settings.concepts}
    return {name: own[main] for name, main in mains.items() if main in own}
