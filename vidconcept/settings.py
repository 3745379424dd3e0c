"""Typed settings and their layers: command line > environment > config file > the model's preset > default.

One flat set of keys everywhere. Each effective value remembers the layer it came from; an unknown key is an error that
names the nearest one.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from vidconcept.errors import UsageError
from vidconcept.files import MalformedError, read_toml, shorten

ENV_PREFIX = "VIDCONCEPT_"
# Variables of the tool that are not settings of a run.
ENV_OTHERS = frozenset({"VIDCONCEPT_CACHE_DIR", "VIDCONCEPT_MAX_MEGAPIXELS"})

# Far beyond what any footage needs; a slip of the keyboard must not ask for terabytes or years.
Word = Annotated[str, Field(max_length=1000)]
Words = Annotated[tuple[Word, ...], Field(max_length=1000)]
Tiles = Annotated[int, Field(ge=1, le=64)]
Places = Annotated[
    tuple[Annotated[tuple[Annotated[float, Field(ge=-1, le=1)], ...], Field(min_length=1, max_length=1024)], ...],
    Field(min_length=1, max_length=1024),
]


class TrackSettings(BaseModel):
    """Everything that decides what a run finds. What a run is made from and where it goes are not settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # What to look for.
    concepts: Words = Field(default=(), description="concepts to track")
    background: Words = Field(default=(), description="words for good surface, always in the softmax")
    distractors: Words = Field(default=(), description="other known words, in the softmax but not reported")
    prompt: str = Field(default="", max_length=10_000, description="caption of the footage for the model")

    # The model and how it is read.
    model: str = Field(default="linecam", description="preset name, folder or hub id")
    layers: tuple[int, ...] | None = Field(
        default=None, max_length=1024, description="layers read, e.g. 2,3,4; -1 is the last"
    )
    timestep: int = Field(default=500, ge=0, lt=1000, description="noise level the footage is read at")
    reduce: Literal["softmax-mean", "mean-softmax"] = Field(default="softmax-mean", description="order of reduction")
    concept_tokens: Literal["all", "first"] = Field(default="all", description="sub-words of a concept that count")
    noise_samples: int = Field(default=1, ge=1, le=1024, description="noise draws averaged")
    seed: int = Field(default=0, ge=0, lt=1 << 63, description="seed of the noise")
    dtype: Literal["float32", "float16", "bfloat16"] = Field(default="float32", description="of the transformer")
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, mps")
    vae_tiling: Literal["auto", "on", "off"] = Field(default="auto", description="auto: only when memory runs out")

    # Space and time.
    height: int = Field(
        default=480, ge=16, le=8192, description="model picture, pixels; the aspect follows the footage"
    )
    width: int = Field(default=720, ge=16, le=8192, description="model picture, pixels; the aspect follows the footage")
    window_frames: int = Field(default=49, ge=1, le=4097, description="frames in one forward pass")
    overlap_frames: int = Field(default=9, ge=1, le=4097, description="frames that neighbouring windows share")
    stride: int = Field(default=1, ge=1, le=1_000_000, description="the model sees every n-th frame")
    start_s: float | None = Field(default=None, ge=0, description="where to start, seconds")
    end_s: float | None = Field(default=None, gt=0, description="where to stop, seconds, not included")
    roi: tuple[int, int, int, int] | None = Field(default=None, description="x,y,width,height in pixels")
    tile: tuple[Tiles, Tiles] | Literal["auto"] = Field(
        default=(1, 1), description="columns x rows of overlapping crops, or auto"
    )
    fps: float | None = Field(default=None, gt=0, lt=100_000, description="rate of images or of a raw stream")
    bits: int | None = Field(default=None, ge=8, le=16, description="depth of 16-bit pictures, e.g. 12 [found]")
    stream: int | None = Field(
        default=None, ge=0, le=10_000, description="which video stream of the file, as probe numbers them"
    )
    deinterlace: bool = Field(default=False, description="one moment a picture, of footage that mixes two")
    tone_map: bool = Field(default=False, description="bring HDR to the range of a usual screen")

    # From maps to findings.
    smooth: Literal["none", "ema", "gaussian", "flow", "energy"] = Field(default="energy", description="over time")
    threshold: float = Field(default=0.5, gt=0, lt=1, description="score that a finding must reach at its peak")
    hysteresis: float = Field(
        default=0.6, gt=0, le=1, description="share of the threshold down to which such a finding is followed"
    )
    # What calibration adds: numbers of a concept's own, and of places in the picture.
    thresholds: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(
        default={}, description="threshold of single concepts, concept=score,…"
    )
    place_lifts: dict[str, Places] = Field(
        default={}, description="score to subtract at each place of the picture, rows of columns for each concept"
    )
    rarity: str = Field(
        default="auto",
        min_length=1,
        description="what the footage shows all over is no finding: auto, off, or a file of good parts",
    )
    keep_recurring: tuple[int, ...] = Field(
        default=(), description="groups of recurring.csv that are findings all the same, e.g. 1,3"
    )
    ratio: float = Field(default=0.55, gt=0, lt=1, description="edge of a mask, relative to the peak nearby")
    floor: float = Field(default=0.15, ge=0, lt=1, description="local peak below which the edge is absolute")
    min_area_px: int = Field(default=12, ge=0, le=1 << 40, description="smallest mask, pixels of the source")
    min_duration_s: float = Field(default=0.12, ge=0, description="shortest track, seconds")

    # The annotated video.
    view: Literal["overlay", "heatmap", "side-by-side", "grid"] = Field(default="overlay", description="look")
    codec: Literal["h264", "libvpx-vp9"] = Field(default="h264", description="of annotated.mp4")

    @field_validator("concepts", "background", "distractors")
    @classmethod
    def _words(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        cleaned = tuple(dict.fromkeys(word.strip() for word in words))
        if any(not word for word in cleaned):
            raise ValueError("an empty word")
        return cleaned

    @field_validator("place_lifts")
    @classmethod
    def _even_rows(cls, lifts: dict[str, Places]) -> dict[str, Places]:
        for name, rows in lifts.items():
            if len({len(row) for row in rows}) > 1:
                raise ValueError(f"{name}: rows of different lengths, {sorted({len(row) for row in rows})}")
        return lifts

    # Keys that change the maps; all others can change on maps that are already there.
    @classmethod
    def map_keys(cls) -> frozenset[str]:
        decision = {"threshold", "thresholds", "place_lifts", "ratio", "floor", "min_area_px"}
        decision |= {"hysteresis", "min_duration_s", "rarity", "keep_recurring"}
        return frozenset(cls.model_fields) - decision - {"smooth", "view", "codec", "device"}


@dataclass(frozen=True)
class Layer:
    """Settings of one source. name: "command line", "environment", "config <path>", "preset <name>"."""

    name: str
    values: Mapping[str, Any]


def nearest(key: str, known: Iterable[str]) -> str:
    """ " (did you mean 'x'?)" or an empty string."""
    match = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f" (did you mean {match[0]!r}?)" if match else ""


def resolve(layers: Iterable[Layer]) -> tuple[TrackSettings, dict[str, str]]:
    """Merge layers, the first winning, into settings and a map key -> name of the layer it came from.

    Raises UsageError for an unknown key or a value of the wrong kind, naming the layer.
    """
    values: dict[str, Any] = {}
    sources = dict.fromkeys(TrackSettings.model_fields, "default")
    for layer in layers:
        for key, value in layer.values.items():
            if key not in TrackSettings.model_fields:
                raise UsageError(f"{layer.name}: unknown key {key!r}{nearest(key, TrackSettings.model_fields)}")
            # A threshold asked for in a stronger layer is not undone by a calibration's own for single concepts.
            overruled = key == "thresholds" and "threshold" in values and sources["threshold"] != layer.name
            if key not in values and not overruled:
                values[key], sources[key] = value, layer.name
    try:
        return TrackSettings(**values), sources
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        place = ".".join(map(str, first["loc"]))
        given = shorten(repr(first.get("input")))
        problem = f"{sources.get(key, 'settings')}: {place} = {given} does not fit: {first['msg']}"
        if key in TrackSettings.model_fields:
            problem += f". Change it or leave it out ({key}: {TrackSettings.model_fields[key].description})"
        raise UsageError(problem) from error


def environment_layer(environ: Mapping[str, str] | None = None) -> Layer:
    """Settings from VIDCONCEPT_<KEY>; lists are comma-separated. Raises UsageError for an unknown variable."""
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for name, text in environ.items():
        if not name.startswith(ENV_PREFIX) or name in ENV_OTHERS:
            continue
        key = name.removeprefix(ENV_PREFIX).lower()
        if key not in TrackSettings.model_fields:
            known = [ENV_PREFIX + field.upper() for field in TrackSettings.model_fields]
            raise UsageError(f"environment: unknown variable {name}{nearest(name, known)}")
        values[key] = parse_text(key, text)
    return Layer("environment", values)


def parse_text(key: str, text: str) -> Any:
    """The value that a text stands for: lists are split at commas, `tile` also at "x"; pydantic does the rest.

    `thresholds` are pairs like scratch=0.4,dent=0.5; `place_lifts` is a table and comes from a file only.
    """
    if key == "thresholds":
        return {name.strip(): score for name, _, score in (part.partition("=") for part in text.split(",") if part)}
    if key == "tile" and text.strip().lower() == "auto":
        return "auto"
    if key == "tile":
        return tuple(text.lower().replace("x", ",").split(","))
    if "tuple" in str(TrackSettings.model_fields[key].annotation):
        return tuple(part for part in (p.strip() for p in text.split(",")) if part)
    return text


def config_layer(path: Path) -> Layer:
    """Settings from a TOML file; a table `[provenance]` is for people and ignored.

    Raises InputError when it cannot be read, UsageError when it is no TOML.
    """
    try:
        values = read_toml(path)
    except MalformedError as error:
        raise UsageError(f"config {error}") from error
    values.pop("provenance", None)
    return Layer(f"config {path}", values)
