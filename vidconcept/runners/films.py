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

from vidconcept.errors import (
    InputError,
    Interrupted,
    InUseError,
    OutputError,
    VidconceptError,
    describe_unexpected,
    says_out_of_memory,
)
from vidconcept.fleet.leases import Holder, Lease, take_lease
from vidconcept.fleet.records import Records, marks_of
from vidconcept.manifest import read_manifest
from vidconcept.ownership import list_missing
from vidconcept.pipelines.maps import ModelShelf
from vidconcept.pipelines.monitor import Monitor, Progress
from vidconcept.pipelines.parts import Part, compute_part, split_film, take_parts
from vidconcept.pipelines.plan import Plan, make_plan
from vidconcept.pipelines.track import Run, run_plan
from vidconcept.run_changes import changes_of, list_drawing_changes
from vidconcept.runners.order import Order, Report
from vidconcept.runs import check_folder, compute_digest, open_run
from vidconcept.setting_layers import called_by_command
from vidconcept.video.identity import hash_source
from vidconcept.wording import format_count
from vidconcept.writers.tables import read_events

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
    # Whatever process or thread this is, the settings are those of `vidconcept batch`.
    with lease, called_by_command():
        try:
            return _do_leased(order, records, lease, desk)
        except Exception as error:
            return _report_of(error)


def _do_leased(order: Order, records: Records, lease: Lease, desk: Desk) -> Report:
    film = order.film
    if film.part is not None:
        return _do_part(order, records, lease, desk)
    out = records.out / film.run_name
    before = replace(records.read(film), camera=film.camera, unread=False)
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
    except Exception as error:
        report = _report_of(error)
        # What else ends a start is not the film's fault, and does not count.
        if report.kind == "failed":
            before = replace(begun, replaced=_was_replaced(out, film.source)).end("failed", report.said)
        records.write(film, before)
        return _with_warnings(report, warnings, monitor)
    records.write(film, begun.end("done", marks=marks, asked=order.asked))
    report.facts["busy_s"] = round(time.perf_counter() - began_s, 3)
    return _with_warnings(report, warnings, monitor)


def _split(plan: Plan, out: Path, order: Order) -> list[tuple[int, int | None]]:
    """The parts of a film that is too long for one worker, of each its first frame and the one after its last.

    Raises what `open_run` would raise for the film's folder.
    """
    if order.split_s is None or (order.existing == "resume" and _finished(out) is not None):
        # The maps of a finished run are there.
        return []
    parts = split_film(plan, order.split_s)
    if len(parts) == 1:
        return []
    facts = plan.facts()
    # What the folder is refused for is told before the work of hours.
    check_folder(out, facts, _existing(order, out, facts), plan.read_paths)
    return [(part.first, part.end) for part in parts]


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
    report = Report("done", facts={"busy_s": round(time.perf_counter() - began_s, 3)})
    # What is wrong with the film comes up again when it is read as a whole.
    return replace(_with_warnings(report, warnings, monitor), warnings=[])


def _with_warnings(report: Report, warnings: list[str], monitor: Monitor) -> Report:
    remarks = {f"{remark.about}: {remark.message}" for remark in monitor.remarks}.union(monitor.fallbacks)
    own = [text for text in warnings if text not in remarks]
    return replace(report, warnings=own, remarks=[text for text in warnings if text in remarks])


def _track(plan: Plan, out: Path, order: Order, monitor: Monitor, desk: Desk, parts: Path) -> Report:
    facts = plan.facts()
    earlier, existing = _finished(out), _existing(order, out, facts)
    said = ""
    if existing == "overwrite":
        said = "made again" if order.existing == "overwrite" else "begun anew, as the film changed"
    elif earlier is not None:
        changes = _changes(earlier, facts)
        if not changes:
            return Report("skipped", "done before", facts=_result(earlier))
        said = f"decided again, {'; '.join(changes[:3])}"
    elif windows := _windows_in(out):
        said = f"went on after {format_count(windows, 'window')}"
    if parts.is_dir():
        with open_run(out, dict(facts), existing, plan.read_paths)[0] as run:
            take_parts(run, parts, facts)
        existing = "resume"
    run = run_plan(plan, out, existing, monitor, desk.shelf, facts)
    shutil.rmtree(parts, ignore_errors=True)
    return Report("done", said, facts=_result(run.manifest))


def _existing(order: Order, folder: Path, facts: dict[str, Any]) -> Literal["resume", "overwrite"]:
    """Begun anew is only what was made otherwise, so that a batch that overwrites can be gone on with, and what is not
    finished and was made from what the film was before it changed."""
    try:
        before = read_manifest(folder)
    except InputError:
        return "resume"
    if order.existing == "resume":
        same = _read_digest(before) == _read_digest(facts)
        return "resume" if same or _is_worth_keeping(folder, before) else "overwrite"
    return "resume" if compute_digest(before) == compute_digest(facts) else "overwrite"


def _read_digest(facts: dict[str, Any]) -> str | None:
    """Of the film that the maps are made from."""
    return facts.get("maps_from", {}).get("source_sha256")


def _is_worth_keeping(folder: Path, manifest: dict[str, Any]) -> bool:
    """Whether a run was finished, be it before it was decided again, or has been judged by a person."""
    if manifest.get("done") or not list_missing(folder):
        return True
    table = folder / "events.csv"
    try:
        return table.is_file() and any(event.verdict for event in read_events(table))
    except InputError:
        # Damaged: nobody can say.
        return True


def _was_replaced(out: Path, source: Path) -> bool:
    """Whether a finished run shows another film than the one that is there; False where that cannot be read."""
    try:
        manifest = read_manifest(out)
        return bool(manifest.get("done")) and _read_digest(manifest) not in (None, hash_source(source))
    except (InputError, OSError):
        return False


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """All that a finished run would be made otherwise for."""
    changes = changes_of(before, now) + list_drawing_changes(before, now)
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
        case _ if says_out_of_memory(said):
            return Report("memory", f"{said.splitlines()[0]}. Next: smaller window_frames, height and width", 1)
    return Report("failed", describe_unexpected(error), 1)
