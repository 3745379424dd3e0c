"""How concepts are spelled: `scratch=scratched metal|scrape - glare|reflection`.

The grammar, the same on the command line, in Python and in TOML:

    concepts = concept { "," concept }
    concept  = name | name "=" spelling | name "@" file
    spelling = words [ " - " words ] | "@" file
    words    = word { "|" word }

What stands left of `=` or `@` is the concept's name everywhere; alone, the name is the word. Words joined by `|` mean
the same and are averaged; those behind ` - ` are subtracted; a file holds a vector learnt by `concept learn`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vidconcept.errors import UsageError
from vidconcept.files import shorten

MINUS = " - "
EXAMPLE = "scratch=scratched metal|scrape - glare|reflection"


@dataclass(frozen=True, slots=True)
class Spelling:
    """What a concept is called for the model. columns: of `words` and then `without`, counted from 1.

    words: averaged. without: subtracted. file: of a learnt vector, which then stands for all words.
    """

    words: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    file: Path | None = None
    columns: tuple[int, ...] = ()

    @property
    def terms(self) -> tuple[str, ...]:
        """What the model encodes for the concept; a file is marked by `@`."""
        return self.words if self.file is None else (f"@{self.file}",)


def split_words(words: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """Words from a list or from one string with commas between them; None where there is none.

    Raises UsageError for what is neither.
    """
    if isinstance(words, str):
        return tuple(word.strip() for word in words.split(",")) if words else None
    try:
        return tuple(words or ()) or None
    except TypeError as error:
        raise UsageError(
            f"{shorten(repr(words))} is no list of words. Next: a list, or one string with commas between the words"
        ) from error


def spell_out(concepts: Iterable[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The names of concepts, and how those are spelled that are not just their name; repeated plain names are one.

    Files become absolute. Raises UsageError with the column of what is wrong.
    """
    names: dict[str, str | None] = {}
    for text in (part.strip() for part in concepts):
        name, spelling = split_concept(text)
        known = names.get(name)
        if name in names and (spelling is not None or known is not None):
            raise UsageError(
                f"the concept {name!r} is there twice. Next: another name for one, or join their words by |"
            )
        names[name] = spelling
    return tuple(names), {name: spelling for name, spelling in names.items() if spelling is not None}


def split_concept(text: str) -> tuple[str, str | None]:
    """Name and spelling of one concept; no spelling where the name is the word. Raises UsageError as `spell_out`."""
    mark = next((i for i, letter in enumerate(text) if letter in "=@"), None)
    if mark is None:
        joined = text.find("|") if "|" in text else text.find(MINUS) + 1 if MINUS in text else -1
        if joined >= 0:
            raise _wrong(text, joined, "words are joined here, and their concept has no name", f"NAME={text}")
        if not text:
            raise UsageError(f"a concept without a name. Next: give words, e.g. concepts = scratch,dent or {EXAMPLE}")
        return text, None
    name = text[:mark].strip()
    if not name or "|" in name:
        raise _wrong(text, 0, "a name must stand here alone", EXAMPLE)
    given = text[mark + 1 :] if text[mark] == "=" else text[mark:]
    parsed = parse_spelling(given, before=text[: len(text) - len(given)])
    return name, given.strip() if parsed.file is None else f"@{os.path.abspath(parsed.file)}"


def parse_spelling(text: str, before: str = "") -> Spelling:
    """The right side of a concept. before: what stands left of it, for columns. Raises UsageError as `spell_out`."""
    whole, offset = before + text, len(before)
    if text.strip().startswith("@"):
        file = text.strip()[1:].strip()
        if not file:
            raise _wrong(whole, len(whole), "a file is missing", "spatter@spatter.safetensors")
        return Spelling(file=Path(file).expanduser())
    parts, at = [], 0
    # A blank at the end lets a minus that nothing follows be seen as one.
    for part in f"{text} ".split(MINUS):
        parts.append((at, part))
        at += len(part) + len(MINUS)
    if len(parts) > 2:
        raise _wrong(whole, offset + parts[2][0] - 2, "a second minus", "join what is subtracted by |")
    (_, positive), negative = parts[0], parts[1:]
    words, columns = _words(whole, offset, positive)
    without, more = _words(whole, offset + negative[0][0], negative[0][1]) if negative else ((), ())
    both = next((i for i, word in enumerate(without) if word.casefold() in {w.casefold() for w in words}), None)
    if both is not None:
        raise _wrong(whole, more[both] - 1, f"{without[both]!r} is added and subtracted", "leave out one")
    return Spelling(words, without, None, (*columns, *more))


def _words(whole: str, offset: int, text: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Words between `|` with their columns in `whole`."""
    words, columns, at = [], [], offset
    for part in text.split("|"):
        start = at + len(part) - len(part.lstrip())
        if not part.strip():
            raise _wrong(whole, min(start, len(whole)), "a word is missing", EXAMPLE)
        mark = next((i for i, letter in enumerate(part) if letter in "=@"), None)
        if mark is not None:
            raise _wrong(
                whole, at + mark, f"{part[mark]!r} within a word", f"one name and one spelling, e.g. {EXAMPLE}"
            )
        words.append(part.strip())
        columns.append(start + 1)
        at += len(part) + 1
    return tuple(words), tuple(columns)


def _wrong(text: str, index: int, trouble: str, example: str) -> UsageError:
    return UsageError(f"{shorten(repr(text))}, column {index + 1}: {trouble}. Next: {example}")


def spelling_of(name: str, spellings: Mapping[str, str]) -> Spelling:
    """How a concept is spelled; by its name alone where nothing else is said."""
    return parse_spelling(spellings[name], before=f"{name}=") if name in spellings else Spelling((name,), columns=(1,))


def beside(text: str, folder: Path) -> str:
    """A concept or spelling of a file in `folder`, with the file that it names relative to that."""
    name, at, file = text.partition("@")
    return f"{name}@{folder / file.strip()}" if at and file.strip() else text
