"""Counts and times in words, the nearest known word, and what does not fit a field."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

# From this share of equal letters on, one name may have been meant by another.
_ALIKE = 0.6

# By the type that pydantic gives a fault; names in braces are of the fault's own facts.
_FAULTS = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "must be a list"),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "dataclass_type"), "must be a table"),
    "string_type": "must be text",
    "finite_number": "must be a finite number",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "too_short": "must have {min_length} or more entries, not {actual_length}",
    "too_long": "must have at most {max_length} entries, not {actual_length}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
}


def format_count(number: int, noun: str, plural: str | None = None) -> str:
    """ "1 run", "3 runs"; plural: where it is not the noun with an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"


def format_number(number: float) -> str:
    """With three digits that count, and without an exponent: "0.0123", "9.2", "51500"."""
    return f"{float(f'{number:.3g}'):.15g}"


def format_duration(seconds: float) -> str:
    """ "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def suggest(key: str, known: Iterable[str]) -> str:
    """ " (did you mean 'x'?)" or an empty string."""
    match = difflib.get_close_matches(key, list(known), n=1, cutoff=_ALIKE)
    return f" (did you mean {match[0]!r}?)" if match else ""


def suggest_word(word: str, known: Iterable[str]) -> str:
    """As `suggest`, among words of a language: short ones are alike by chance, so only slips of the keyboard count.

    That is letters in another order, or few of a long word wrong, and never the first one.
    """
    return suggest(word, [other for other in known if other[:1] == word[:1] and _is_slip(word, other)])


def is_alike(option: str, other: str) -> bool:
    """Whether one option may stand for another, their dashes left aside."""
    return _compare(option.lstrip("-"), other.lstrip("-")) >= _ALIKE


def _is_slip(word: str, other: str) -> bool:
    return sorted(word) == sorted(other) or _compare(word, other) > 0.8


def _compare(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def describe_fault(fault: Mapping[str, Any], subject: str = "") -> str:
    """What is wrong with a value, in plain words: "it must be a whole number". fault: one of pydantic's `errors()`.

    subject: what must; a check of our own says the whole sentence itself.
    """
    if fault["type"] in _FAULTS:
        facts = {name: f"{x:g}" if isinstance(x, float) else x for name, x in fault.get("ctx", {}).items()}
        return f"{subject} {_FAULTS[fault['type']].format(**facts)}".strip()
    return fault["msg"].removeprefix("Value error, ")
