"""Last pass: tables, masks, annotated video, thumbnails and the review page, from the final tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from vidconcept.errors import OutputError
from vidconcept.pipelines.film import annotate
from vidconcept.pipelines.findings import Findings
from vidconcept.pipelines.heat import HeatJournal
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan
from vidconcept.runs import RunFolder, new_run_id
from vidconcept.types import Event, Recurring
from vidconcept.video.remux import count_pictures
from vidconcept.wording import format_count
from vidconcept.writers import tables
from vidconcept.writers.cells import read_rows
from vidconcept.writers.journal import TrackJournal
from vidconcept.writers.review.data import compute_events_digest
from vidconcept.writers.youtube_vis import write_youtube_vis


def deliver(
    plan: Plan,
    run: RunFolder,
    journal: TrackJournal,
    heat: HeatJournal,
    findings: Findings,
    recurring: Sequence[Recurring],
    monitor: Monitor,
) -> None:
    """Write every file that a reviewer opens. Each appears under its name only when it is whole."""
    path, concepts = run.path, plan.settings.concepts
    table = path / "events.csv"
    before, own = (tables.read_events(table), tables.read_own_columns(table)) if table.is_file() else ([], {})
    run.begin_results()
    frame_size = (plan.info.width_px, plan.info.height_px)
    tables.write_frames_and_tracks(path, plan.video_name, concepts, journal.frames(), findings.tracker_ids)
    findings = replace(findings, events=_write_events(run, findings.events, before, own, monitor))
    tables.write_recurring(path / "recurring.csv", recurring)
    frames, tracks = tables.read_frames(path / "frames.csv"), tables.read_tracks(path / "tracks.csv")
    write_youtube_vis(path / "masks.json", plan.video_name, concepts, frame_size, frames, tracks, stem=plan.stem)
    if skips := annotate(plan, run, journal, heat, findings, recurring, monitor):
        run.save(film_skips=skips)
    check_counts(path, findings.frames)


def check_counts(path: Path, frames: int) -> None:
    """Read back from the disk how many frames the table and the film hold; nothing is decoded.

    Raises OutputError where they are not the frames that the tracks were found in.
    """
    rows = read_rows(path / "frames.csv", ["frame_index"], lambda cells: cells["frame_index"])
    counts = {"frames.csv": sum(1 for _ in groupby(rows)), "annotated.mp4": count_pictures(path / "annotated.mp4")}
    for name, count in counts.items():
        if count != frames:
            raise OutputError(
                f"{path / name} holds {count} frames where {frames} were written: something else changed it, or the "
                "disk lost it. Next: run again with `existing=resume`"
            )


def _write_events(
    run: RunFolder, events: list[Event], before: list[Event], own: dict[int, dict[str, str]], monitor: Monitor
) -> list[Event]:
    """Write `events.csv`, and return the events as it has them.

    before, own: what an earlier decision on the same maps left there: its events, and the cells of columns that
    somebody added, by event id. Verdicts and cells stay where the events are the same. Other events are another run to
    those who keep verdicts.
    """
    table = run.path / "events.csv"
    if compute_events_digest(before) == compute_events_digest(events):
        verdicts = {event.event_id: event.verdict for event in before}
        kept = [replace(event, verdict=verdicts[event.event_id]) for event in events]
        tables.write_events(table, kept, own)
        return kept
    changes: dict[str, Any] = {"run_id": new_run_id()}
    if before and (live := run.manifest.get("live")):
        # Nor are they those that the live pass numbered.
        changes["live"] = {key: value for key, value in live.items() if key != "event_ids"}
    # Just before the table: whatever ends the process, no verdict by the earlier id meets other events.
    run.begin_results(**changes)
    tables.write_events(table, events)
    if lost := _describe_lost(before, own):
        monitor.warn(f"the events changed; {lost} discarded")
    return events


def _describe_lost(events: list[Event], own: dict[int, dict[str, str]]) -> str:
    """`2 verdicts and the column comment`; empty where nobody wrote anything."""
    verdicts = sum(bool(event.verdict) for event in events)
    columns = list(dict.fromkeys(name for cells in own.values() for name, cell in cells.items() if cell))
    named = f"the {'column' if len(columns) == 1 else 'columns'} {', '.join(columns)}"
    parts = [*([format_count(verdicts, "verdict")] if verdicts else []), *([named] if columns else [])]
    return " and ".join(parts)
