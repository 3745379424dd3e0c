"""The layers that settings come from: the caller > environment > config file > the model's preset > default.

The caller is a command line, or a program in Python with the arguments of a call. One flat set of keys everywhere. Each
effective value remembers the layer it came from; an unknown key is an error that names the nearest one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import ValidationError

from vidconcept.errors import UsageError
from vidconcept.files import MalformedError, read_toml, shorten
from vidconcept.settings import RARITY_WORDS, TrackSettings
from vidconcept.wording import describe_fault, suggest
from vidconcept.words import beside, spell_out

ENV_PREFIX = "VIDCONCEPT_"
# The layer of what a caller gives, in Python or at a terminal.
CALLER_LAYERS = ARGUMENTS, COMMAND_LINE = "arguments", "command line"
_caller: ContextVar[str] = ContextVar("layer of the caller", default=ARGUMENTS)
# Variables of the tool that are not settings of a run.
ENV_OTHERS = frozenset({"VIDCONCEPT_CACHE_DIR"})


@dataclass(frozen=True)
class Layer:
    """Settings of one source.

    name: "arguments", "command line", "environment", "config <path>", "preset <name>". provenance: what a calibration
    says of itself.
    """

    name: str
    values: Mapping[str, Any]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def leave_out_calibration(self) -> Layer:
        """The same without what a calibration learnt: thresholds, lifts, and its files."""
        if not self.provenance:
            return self
        learnt = {"thresholds", "place_lifts", "line_head"}
        if self.values.get("rarity") not in RARITY_WORDS:
            learnt.add("rarity")
        return Layer(self.name, {key: value for key, value in self.values.items() if key not in learnt})


@contextmanager
def called_by_command() -> Iterator[None]:
    """What a caller gives inside the context comes from the command line; elsewhere it is the arguments of a call."""
    token = _caller.set(COMMAND_LINE)
    try:
        yield
    finally:
        _caller.reset(token)


def collect_layers(
    overrides: Mapping[str, Any], config: Path | None = None, environ: Mapping[str, str] | None = None
) -> list[Layer]:
    """Where settings come from, the strongest first; the model's preset is not among them yet."""
    given = Layer(_caller.get(), {key: value for key, value in overrides.items() if value is not None})
    return [given, read_environment(environ), *([read_config_file(config)] if config else [])]


def resolve(layers: Iterable[Layer]) -> tuple[TrackSettings, dict[str, str]]:
    """Merge layers, the first winning, into settings and a map key -> name of the layer it came from.

    Raises UsageError for an unknown key or a value of the wrong kind, naming the layer.
    """
    values: dict[str, Any] = {}
    sources = dict.fromkeys(TrackSettings.model_fields, "default")
    for layer in layers:
        for key, value in layer.values.items():
            if key not in TrackSettings.model_fields:
                raise UsageError(
                    f"{layer.name}: unknown key {key!r}{suggest(key, TrackSettings.model_fields)}. "
                    "Next: correct it or take it out"
                )
            # A threshold asked for in a stronger layer is not undone by a calibration's own for single concepts.
            overruled = key == "thresholds" and "threshold" in values and sources["threshold"] != layer.name
            if key not in values and not overruled:
                values[key], sources[key] = value, layer.name
    _take_spellings(values, sources)
    _refuse_truth_values(values, sources)
    try:
        return TrackSettings(**values), sources
    except ValidationError as error:
        faults = error.errors()
        key = str(faults[0]["loc"][0])
        raise UsageError(
            f"{describe_given(key, values[key], sources[key])} does not fit: {_describe_faults(faults, values)}. "
            f"Next: change it or leave it out ({key}: {TrackSettings.model_fields[key].description})"
        ) from error


def _refuse_truth_values(values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    """Raises UsageError, naming the layer, for true or false where something else belongs: it would pass for 1 or 0."""
    for key, value in values.items():
        field = TrackSettings.model_fields[key]
        if bool in (field.annotation, *get_args(field.annotation)):
            continue
        several = value.values() if isinstance(value, Mapping) else value
        entries = several if isinstance(value, Mapping | list | tuple) else [value]
        if any(isinstance(entry, bool) for entry in entries):
            raise UsageError(
                f"{sources[key]}: {key} = {shorten(str(value).lower())} does not fit: it is neither true nor false. "
                f"Next: change it or leave it out ({key}: {field.description})"
            )


def describe_given(key: str, value: Any, source: str) -> str:
    """A setting with its layer: what was typed as it is typed, what stands in a file as it stands there."""
    if source in CALLER_LAYERS:
        return f"{source}: `{key}={shorten(format_value(value))}`"
    return f"{source}: {key} = {shorten(repr(list(value) if isinstance(value, tuple) else value))}"


def format_value(value: Any) -> str:
    """A setting as one would type it."""
    if isinstance(value, Mapping):
        return ",".join(f"{name}={score}" for name, score in value.items())
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _describe_faults(faults: Sequence[Any], values: Mapping[str, Any]) -> str:
    """The first entry that does not fit, and what it must be: of a setting that takes several kinds, all of them."""
    subject = _name_entry(faults[0]["loc"], values)
    phrases = [describe_fault(fault, subject) for fault in faults if _name_entry(fault["loc"], values) == subject]
    first, *others = dict.fromkeys(phrases)
    return " or ".join([first, *(other.removeprefix(f"{subject} ") for other in others)])


def _name_entry(place: Sequence[int | str], values: Any) -> str:
    """ "it" for the setting itself, else its entry by number or name; kinds that pydantic tried are not named."""
    names, value = [], values[place[0]]
    for part in place[1:]:
        if isinstance(part, int):
            names.append(f"entry {part + 1}")
            value = value[part] if isinstance(value, list | tuple) and part < len(value) else None
        elif isinstance(value, Mapping) and part in value:
            names.append(part)
            value = value[part]
    return ", ".join(names) or "it"


def _take_spellings(values: dict[str, Any], sources: dict[str, str]) -> None:
    """Leave only names in `concepts`, and put how they are spelled into `words`, where it goes before what is there.

    Raises UsageError, naming the layer, for a concept that breaks the grammar of `words.py`.
    """
    concepts = values.get("concepts")
    if not isinstance(concepts, list | tuple) or not all(isinstance(text, str) for text in concepts):
        return
    try:
        values["concepts"], spellings = spell_out(concepts)
    except UsageError as error:
        raise UsageError(f"{sources['concepts']}: concepts: {error}") from error
    before = values.get("words", {})
    if spellings and isinstance(before, dict):
        values["words"], sources["words"] = {**before, **spellings}, sources["concepts"]


def read_environment(environ: Mapping[str, str] | None = None) -> Layer:
    """Settings from VIDCONCEPT_<KEY>; lists are comma-separated. Raises UsageError for an unknown variable."""
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for name, text in environ.items():
        if not name.startswith(ENV_PREFIX) or name in ENV_OTHERS:
            continue
        key = name.removeprefix(ENV_PREFIX).lower()
        if key not in TrackSettings.model_fields:
            known = [ENV_PREFIX + field.upper() for field in TrackSettings.model_fields]
            raise UsageError(f"environment: unknown variable {name}{suggest(name, known)}. Next: correct or unset it")
        values[key] = parse_text(key, text)
    return Layer("environment", values)


def parse_text(key: str, text: str) -> Any:
    """The value that a text stands for: lists are split at commas, `tile` also at "x"; pydantic does the rest.

    `thresholds` and `words` are pairs like scratch=0.4,dent=0.5; `place_lifts` is a table and comes from a file only.
    """
    if key in ("thresholds", "words"):
        return {
            name.strip(): value.strip() for name, _, value in (part.partition("=") for part in text.split(",") if part)
        }
    if key in ("tile", "stride") and text.strip().lower() == "auto":
        return "auto"
    if key == "tile":
        return tuple(text.lower().replace("x", ",").split(","))
    if _is_list(TrackSettings.model_fields[key].annotation):
        return tuple(part for part in (p.strip() for p in text.split(",")) if part)
    return text


def _is_list(annotation: Any) -> bool:
    """Whether a setting is a tuple, or a tuple or None."""
    return get_origin(annotation) is tuple or any(get_origin(part) is tuple for part in get_args(annotation))


def read_config_file(path: Path) -> Layer:
    """Settings from a TOML file; its table `[provenance]` says where they come from and sets nothing.

    Raises InputError when it cannot be read, UsageError when it is no TOML.
    """
    try:
        values = read_toml(path)
    except MalformedError as error:
        raise UsageError(f"config {error}") from error
    provenance = values.pop("provenance", None)
    # What a calibration learnt lies beside the config that names it.
    for key, none in (("rarity", RARITY_WORDS), ("line_head", ("",))):
        if isinstance(name := values.get(key), str) and name not in none:
            values[key] = str(path.parent / name)
    # So do learnt vectors.
    if isinstance(concepts := values.get("concepts"), list):
        values["concepts"] = [beside(text, path.parent) if isinstance(text, str) else text for text in concepts]
    if isinstance(words := values.get("words"), dict):
        values["words"] = {k: beside(text, path.parent) if isinstance(text, str) else text for k, text in words.items()}
    return Layer(f"config {path}", values, provenance if isinstance(provenance, dict) else {})
