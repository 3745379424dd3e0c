"""One film of a batch from its lease to its record: the same in a local process and in an actor of Ray."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from vidconcept.errors import InputError, Interrupted, InUseError, OutputError, VidconceptError
from vidconcept.fleet.leases import Holder, Lease, take_lease
from vidconcept.fleet.records import Records, marks_of
from vidconcept.manifest import read_manifest
from vidconcept.ownership import list_missing
from vidconcept.pipelines.maps import ModelShelf
from vidconcept.pipelines.monitor import Monitor, Progress
from vidconcept.pipelines.parts import Part, compute_part, split_film, take_parts
from vidconcept.pipelines.plan import Plan, make_plan
from vidconcept.pipelines.track import Run, run_plan
from vidconcept.runners.order import Order, Report
from vidconcept.runs import changes_of, compute_digest, open_run
from vidconcept.settings import Stage, TrackSettings
from vidconcept.wording import format_count

VERSION = version("vidconcept")
# Starts without a word and without progress after which a film is given up. More than the tries of a batch that
# sees its workers die: a whole machine may go down several times for reasons that are not the film's.
SILENT_STARTS = 6
# How often a long film makes sure that it is still ours.
_LOOK_S = 10.0


@dataclass
class Desk:
    """What a worker keeps between films: the model that is loaded. progress: told how far a film is."""

    progress: Progress = lambda stage, done, total: None
    stop: Callable[[], bool] = lambda: False
    shelf: ModelShelf = field(default_factory=ModelShelf)


def do_film(order: Order, desk: Desk) -> Report:
    """Track one film into its folder, or say why not. Never raises for what is the film's fault."""
    records, film = Records(Path(order.out)), order.film
    try:
        lease = take_lease(records.lease_path(film), order.beat_s)
    except OutputError as error:
        return _report_of(error)
    if not isinstance(lease, Lease):
        return Report("busy", str(lease) if isinstance(lease, Holder) else "another process")
    with lease:
        try:
            return _do_leased(order, records, lease, desk)
        except Exception as error:
            return _report_of(error)


def _do_leased(order: Order, records: Records, lease: Lease, desk: Desk) -> Report:
    film = order.film
    if film.part is not None:
        return _do_part(order, records, lease, desk)
    out = records.out / film.run_name
    before = replace(records.read(film), camera=film.camera)
    begun = before.begin(_windows_in(out))
    if begun.begun > SILENT_STARTS:
        reason = f"given up: {SILENT_STARTS} starts in a row ended without a word and without progress"
        records.write(film, before.end("failed", reason))
        return Report("failed", reason, 1)
    records.write(film, begun)
    warnings: list[str] = []
    monitor = Monitor(_noted(lease, desk), _stopping(lease, desk), warnings.append)
    began_s = time.perf_counter()
    try:
        marks = marks_of(film.source)
        plan = make_plan(film.source, film.settings, film.config)
        if parts := _split(plan, out, order):
            records.write(film, before)
            return Report("split", facts={"parts": parts})
        report = _track(plan, out, order, monitor, desk, records.parts_folder(film))
    except Interrupted:
        # Nobody's fault, so it does not count.
        records.write(film, before)
        raise
    except Exception as error:
        found = _report_of(error)
        records.write(film, begun.end("failed", found.said) if found.kind == "failed" else before)
        raise
    records.write(film, begun.end("done", marks=marks, asked=order.asked))
    report.facts["busy_s"] = round(time.perf_counter() - began_s, 3)
    report.warnings.extend(warnings)
    return report


def _split(plan: Plan, out: Path, order: Order) -> list[tuple[int, int | None]]:
    """The parts of a film that is too long for one worker, of each its first frame and the one after its last."""
    if order.split_s is None or (order.existing == "resume" and _finished(out) is not None):
        # The maps of a finished run are there.
        return []
    parts = split_film(plan, order.split_s)
    return [(part.first, part.end) for part in parts] if len(parts) > 1 else []


def _do_part(order: Order, records: Records, lease: Lease, desk: Desk) -> Report:
    """The maps of some windows of a long film; its tracks are found when all parts are there."""
    film = order.film
    part = Part(*film.part) if film.part is not None else Part(0, None)
    warnings: list[str] = []
    monitor = Monitor(_noted(lease, desk), _stopping(lease, desk), warnings.append)
    began_s = time.perf_counter()
    plan = make_plan(film.source, film.settings, film.config)
    folder, facts = records.parts_folder(film) / part.name, plan.facts()
    run, _ = open_run(folder, facts, _existing(order, folder, facts), plan.read_paths)
    with run:
        compute_part(plan, run, part, monitor, desk.shelf)
    return Report("done", facts={"busy_s": round(time.perf_counter() - began_s, 3)}, warnings=warnings)


def _track(plan: Plan, out: Path, order: Order, monitor: Monitor, desk: Desk, parts: Path) -> Report:
    facts = plan.facts()
    earlier, existing = _finished(out), _existing(order, out, facts)
    said = ""
    if existing == "overwrite":
        said = "made again"
    elif earlier is not None:
        changes = _changes(earlier, facts)
        if not changes:
            return Report("skipped", "done before", facts=_result(earlier))
        said = f"decided again, {'; '.join(changes[:3])}"
    elif windows := _windows_in(out):
        said = f"went on after {format_count(windows, 'window')}"
    if parts.is_dir():
        with open_run(out, dict(facts), existing, plan.read_paths)[0] as run:
            take_parts(run, parts)
        existing = "resume"
    run = run_plan(plan, out, existing, monitor, desk.shelf, facts)
    shutil.rmtree(parts, ignore_errors=True)
    return Report("done", said, facts=_result(run.manifest))


def _existing(order: Order, folder: Path, facts: dict[str, Any]) -> Literal["resume", "overwrite"]:
    """Begun anew is only what was made otherwise, so that a batch that overwrites can be gone on with."""
    if order.existing == "resume":
        return "resume"
    try:
        before = read_manifest(folder)
    except InputError:
        return "resume"
    return "resume" if compute_digest(before) == compute_digest(facts) else "overwrite"


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """All that a finished run would be made otherwise for."""
    changes = changes_of(before, now)
    old, new = before.get("settings", {}), now["settings"]
    drawing = sorted(TrackSettings.list_keys(Stage.DRAWING))
    changes += [f"{key} was {old.get(key)}, is {new[key]}" for key in drawing if old.get(key) != new[key]]
    made_by = before.get("versions", {}).get("vidconcept")
    return changes + ([] if made_by == VERSION else [f"vidconcept was {made_by}, is {VERSION}"])


def _finished(out: Path) -> dict[str, Any] | None:
    """What a finished run says of itself; None where there is none, or what it should have written is gone."""
    try:
        Run.open(out)
        earlier = read_manifest(out)
    except InputError:
        return None
    return None if list_missing(out) else earlier


def _result(manifest: dict[str, Any]) -> dict[str, Any]:
    """What a batch tells of a finished run."""
    return {
        "frames": manifest.get("frames", 0),
        "events": manifest.get("events", {}),
        "film_s": manifest.get("video", {}).get("duration_s") or 0.0,
    }


def _windows_in(out: Path) -> int:
    return sum(1 for _ in (out / "maps").glob("window_*.safetensors"))


def _noted(lease: Lease, desk: Desk) -> Progress:
    def progress(stage: str, done: int, total: int | None) -> None:
        lease.note(stage, done, total)
        desk.progress(stage, done, total)

    return progress


def _stopping(lease: Lease, desk: Desk) -> Callable[[], bool]:
    looked_s = time.monotonic()

    def stop() -> bool:
        nonlocal looked_s
        if time.monotonic() - looked_s > _LOOK_S:
            looked_s = time.monotonic()
            if not lease.is_held():
                raise InUseError(
                    f"{lease.path.name} was taken over by another runner, because this one showed no sign of life. "
                    "Next: nothing, the other one goes on with it"
                )
        return desk.stop()

    return stop


def _report_of(error: BaseException) -> Report:
    said = str(error) or type(error).__name__
    cause = getattr(error.__cause__, "errno", None)
    match error:
        case Interrupted():
            return Report("interrupted", said)
        case InUseError():
            return Report("busy", said)
        case OutputError() if cause in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return Report("full", said, int(error.exit_code))
        case OutputError() if cause == errno.ENOENT:
            return Report("missing", said, int(error.exit_code))
        case VidconceptError():
            return Report("failed", said, int(error.exit_code))
        case MemoryError():
            return Report("memory", "out of memory. Next: smaller window_frames, height and width", 1)
        case _ if "out of memory" in said.lower():
            return Report("memory", f"{said.splitlines()[0]}. Next: smaller window_frames, height and width", 1)
    return Report("failed", f"{type(error).__name__}: {said.splitlines()[0]}", 1)
