"""Photographs: each through the same reading and decision as a frame of a film, by itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from vidconcept.errors import InputError, OutputError, UsageError
from vidconcept.files import shorten_name
from vidconcept.ownership import check_output
from vidconcept.pipelines.findings import make_tracker, score_frames
from vidconcept.pipelines.maps import read_source_frames
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan
from vidconcept.pipelines.rarity import gate_maps
from vidconcept.pipelines.settle import settle
from vidconcept.pipelines.workspace import Workspace
from vidconcept.types import TrackMask
from vidconcept.video.limits import MAX_MEGAPIXELS
from vidconcept.video.source import IMAGE_SUFFIXES, list_photos, open_sequence
from vidconcept.writers.stills import RESULT, SUMMARY, is_result, read_digest, result_names, write_still, write_summary

Existing = Literal["error", "resume", "overwrite"]
# A photo lasts no time, so there is no shortest duration.
FIXED = {"min_duration_s": 0.0}


@dataclass(frozen=True)
class Still:
    """What was found in one photo. scores: `(concept, h, w)` over the region. findings: each with its mask."""

    plan: Plan
    image: np.ndarray = field(repr=False)
    scores: np.ndarray = field(repr=False)
    findings: tuple[TrackMask, ...]


@dataclass(frozen=True)
class StillResult:
    """One photo of a call. folder: where its files are. content: of its JSON; empty where `error` says why not."""

    photo: Path
    folder: Path
    content: Mapping[str, Any] = field(default_factory=dict, repr=False)
    error: str = ""


def read_stills(
    source: Path,
    settings: Mapping[str, Any],
    out: Path,
    existing: Existing,
    monitor: Monitor,
    config: Path | None = None,
) -> list[StillResult]:
    """Read a photo, or every photo of a folder, and write what is found into `out`.

    A photo of a folder that cannot be read costs itself alone. Raises UsageError and ModelError for what concerns all,
    InputError where not one photo can be read, OutputError where `out` is not ours or cannot be written.
    """
    settings = {**settings, **FIXED}
    settle(settings, config)
    photos = list_photos(source) if source.is_dir() else [source]
    _check_ours(out, SUMMARY if source.is_dir() else RESULT, existing)
    if source.is_dir():
        check_output(out / SUMMARY, [])
    folders = _folders(photos, out) if source.is_dir() else [out]
    done: list[StillResult] = []
    with TemporaryDirectory(prefix="vidconcept-") as work:
        workspace = Workspace(Path(work), monitor, config)
        for number, (photo, folder) in enumerate(zip(photos, folders, strict=True)):
            done.append(_result(photo, folder, settings, existing, workspace, alone=not source.is_dir()))
            if source.is_dir():
                write_summary(out, done)
            monitor.check("photos", number + 1, len(photos))
    if all(result.error for result in done):
        raise InputError(f"{source}: not one of its {len(done)} photos can be read. {done[0].error}")
    return done


def _result(
    photo: Path, folder: Path, settings: Mapping[str, Any], existing: Existing, workspace: Workspace, *, alone: bool
) -> StillResult:
    try:
        plan = plan_still(photo, settings, workspace)
        digest = _digest(plan)
        if existing == "resume" and (before := read_digest(folder, digest)) is not None:
            return StillResult(photo, folder, before)
        for name in result_names(plan.settings.concepts):
            check_output(folder / name, [photo])
        for remark in plan.remarks:
            workspace.monitor.warn(f"{photo.name}: {remark.about}: {remark.message}")
        still = find_in_still(plan, workspace)
        return StillResult(photo, folder, write_still(folder, still, digest))
    except (InputError, UsageError) as error:
        if alone:
            raise
        workspace.monitor.warn(str(error))
        return StillResult(photo, folder, error=str(error))


def plan_still(photo: Path, settings: Mapping[str, Any], workspace: Workspace) -> Plan:
    """Raises InputError for what is not one picture."""
    if photo.suffix.lower() not in IMAGE_SUFFIXES and photo.exists():
        raise InputError(
            f"{photo} is not a photo ({', '.join(sorted(IMAGE_SUFFIXES))}). Next: vidconcept track for films"
        )
    limit = settle(settings, workspace.config).settings.max_megapixels
    sequence = open_sequence(photo, MAX_MEGAPIXELS if limit is None else limit)
    if sequence is not None and len(sequence.pages) > 1:
        raise InputError(
            f"{photo} holds {len(sequence.pages)} pictures. Next: vidconcept track, which reads all of them"
        )
    return workspace.plan(photo, settings)


def find_in_still(plan: Plan, workspace: Workspace) -> Still:
    """Scores and masks of one photo."""
    monitor = workspace.monitor
    run = workspace.open_run(plan, "photo")
    with run:
        workspace.compute_maps(plan, run)
        tracker = make_tracker(plan)
        scored = next(iter(score_frames(plan, gate_maps(plan, run), monitor)))
        tracks = tracker.add(scored)
    kept = tracker.finish()[1]
    found = sorted((t for t in tracks if t.tracker_id in kept), key=lambda t: -t.score_max)
    image = next(read_source_frames(plan, monitor)).image
    return Still(plan, image, scored.scores, tuple(found))


def _digest(plan: Plan) -> str:
    """Stands for all that a photo's result depends on."""
    facts = plan.facts()
    asked = {"maps_from": facts["maps_from"], "settings": facts["settings"]}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def _folders(photos: Sequence[Path], out: Path) -> list[Path]:
    """A folder for each photo, `line_png` of `line.png`: what else lies beside a photo does not change its folder."""
    return [out / shorten_name(name) for name in _apart([photo.name.replace(".", "_") for photo in photos])]


def _apart(names: Sequence[str]) -> Iterator[str]:
    taken: set[str] = set()
    for name in names:
        number, free = 2, name
        while free.casefold() in taken:
            number, free = number + 1, f"{name}_{number}"
        taken.add(free.casefold())
        yield free


def _check_ours(out: Path, marker: str, existing: Existing) -> None:
    """Raises OutputError where the folder is not empty and not an earlier call's, or nothing was said of such."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file, not a folder. Next: choose another folder with `out`")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not is_result(out / marker):
        raise OutputError(f"{out} is not empty, and no results of `image` are there. Next: another folder with `out`")
    if existing == "error":
        raise OutputError(
            f"{out} already holds results. Next: `existing=resume`, `existing=overwrite`, or another `out`"
        )
