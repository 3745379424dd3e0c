"""`run.json`: one reader, and what the writers need of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vidconcept.errors import InputError
from vidconcept.files import read_json, validate

MANIFEST = "run.json"
Pixels = Annotated[int, Field(ge=1, le=1 << 20)]
Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    """Keys that are not named here are kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)


class _Video(_Part):
    # A name alone, for files are named after it.
    name: Annotated[str, Field(pattern=r"^[^/\x00]*[^/\x00.][^/\x00]*$")]
    path: str = ""
    width_px: Pixels
    height_px: Pixels
    stem: str = ""
    declared_fps: Seconds | None = None
    rate_fps: Seconds | None = None
    starts_at_s: Seconds = 0.0
    duration_s: Seconds | None = None


class _Settings(_Part):
    threshold: float | None = None
    thresholds: dict[str, float] = {}
    hysteresis: float = 1.0
    end_s: float | None = None
    stride: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    codec: str = "h264"


class _Remark(_Part):
    about: str = ""
    message: str = ""


class _Rarity(_Part):
    says: str = ""


class _Live(_Part):
    skipped: Count = 0
    gaps: Count = 0
    failures: Count = 0
    undecodable: Count = 0
    corrupt: Count = 0
    clock_jumps: Count = 0
    part_begins: list[Count] | None = None


class _Manifest(_Part):
    """What makes a folder a run: its id, its video and its concepts. The rest comes as the run goes on."""

    run_id: Annotated[str, Field(min_length=1, max_length=200)]
    video: _Video
    concepts: Annotated[tuple[str, ...], Field(min_length=1)]
    settings: _Settings = _Settings()
    maps_from: dict[str, Any] = {}
    engine: dict[str, Any] = {}
    windows: Annotated[int, Field(ge=0, le=10**9)] = 0
    maps_done: bool = False
    frames: Count = 0
    events: dict[str, Count] = {}
    recurring: Count = 0
    gaps: list[dict[str, Any]] = []
    cuts: list[int] = []
    film_skips: list[tuple[Count, Seconds]] = []
    live: _Live | None = None
    remarks: list[_Remark] = []
    fallbacks: list[str] = []
    timings_s: dict[str, Seconds] = {}
    rarity: _Rarity = _Rarity()
    done: bool = False


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run says of itself.

    frame_size: (width, height) in pixels. declared_fps: as the container says, None where it says nothing. thresholds:
    concept -> the score that its findings reach at their peak; empty where the run does not say. hysteresis: the share
    of it down to which they are followed. cut: whether the video goes on behind the run's last frame. rarity: what
    has to be known of it, if anything. stem: what sequences are called. starts_at_s: when a player of the source shows
    its first picture. remarks: what to believe of the source. codec: of the annotated film. film_skips: position of a
    picture in it, and the seconds of a hole that are left out before it. stride: the model saw every n-th frame; None:
    windows as the motion asked for. duration_s: of the whole video, as its container says.
    """

    run_id: str
    video: str
    frame_size: tuple[int, int]
    concepts: tuple[str, ...]
    rate_fps: float | None
    thresholds: dict[str, float]
    hysteresis: float
    gaps: int
    done: bool
    cut: bool
    rarity: str = ""
    stem: str = ""
    starts_at_s: float = 0.0
    stride: int | None = 1
    remarks: tuple[str, ...] = ()
    codec: str = "h264"
    film_skips: tuple[tuple[int, float], ...] = ()
    duration_s: float | None = None


def find_runs(folder: Path) -> Iterator[Path]:
    """Run folders below `folder` at any depth, by name; hidden folders, and what lies in a run, are passed over."""
    for here, folders, files in os.walk(folder):
        if MANIFEST in files:
            folders.clear()
            yield Path(here)
        folders[:] = sorted(name for name in folders if not name.startswith("."))


def read_manifest(run_dir: Path) -> dict[str, Any]:
    """The content of `run.json`. Raises InputError when the folder is no run or the file is damaged."""
    return _read(run_dir)[1]


def read_run(run_dir: Path) -> RunInfo:
    """Raises InputError as `read_manifest`."""
    manifest, _ = _read(run_dir)
    video, settings = manifest.video, manifest.settings
    return RunInfo(
        run_id=manifest.run_id,
        video=video.name,
        frame_size=(video.width_px, video.height_px),
        concepts=manifest.concepts,
        rate_fps=video.rate_fps or video.declared_fps,
        thresholds=_collect_thresholds(settings, manifest.concepts),
        hysteresis=settings.hysteresis,
        gaps=len(manifest.gaps),
        done=manifest.done,
        cut=_has_frames_after(settings.end_s, video),
        stem=video.stem or Path(video.name).stem,
        starts_at_s=video.starts_at_s,
        stride=None if settings.stride == "auto" else settings.stride,
        codec=settings.codec,
        film_skips=tuple(manifest.film_skips),
        remarks=tuple(f"{remark.about}: {remark.message}" for remark in manifest.remarks),
        rarity=manifest.rarity.says,
        duration_s=video.duration_s,
    )


def _read(run_dir: Path) -> tuple[_Manifest, dict[str, Any]]:
    path = run_dir / MANIFEST
    if not path.exists():
        raise InputError(f"{run_dir} is not a run folder: it has no {MANIFEST}. Next: give one that track made")
    try:
        content = read_json(path)
        return validate(_Manifest, content, path), content
    except InputError as error:
        raise InputError(f"{run_dir} is not a run folder: {error}") from error


def _has_frames_after(end_s: float | None, video: _Video) -> bool:
    """Whether the video has a frame at `end_s` or later, as far as its header tells."""
    duration_s, rate = video.duration_s, video.declared_fps
    # The last frame begins one frame before the end; headers round, by less than a tenth of it.
    return end_s is not None and duration_s is not None and bool(rate) and end_s < duration_s - 0.9 / (rate or 1.0)


def _collect_thresholds(settings: _Settings, concepts: tuple[str, ...]) -> dict[str, float]:
    if settings.threshold is None:
        return {}
    return {name: settings.thresholds.get(name, settings.threshold) for name in concepts}
