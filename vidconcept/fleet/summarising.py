"""What all runs of a folder say, and what failed, as rows of one table."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from vidconcept.errors import InputError
from vidconcept.fleet.records import Record, Records
from vidconcept.manifest import find_runs, read_manifest, read_run
from vidconcept.types import Event
from vidconcept.writers.review.index import Missing
from vidconcept.writers.summary import SummaryRow
from vidconcept.writers.tables import read_events


def summary_rows(folder: Path, failed: Collection[str] = ()) -> Iterator[SummaryRow]:
    """A row for each run below `folder` and each film that failed, by the path of the run. Holds the records.

    A film without a run that was removed from its folder has no row, unless its source is among those that `failed`
    just now.
    """
    records = {record.run: record for record in Records(folder).all()}
    told = set()
    for run in find_runs(folder):
        name = run.relative_to(folder).as_posix()
        told.add(name)
        yield _of_run(run, name, records.get(name))
    for name, record in sorted(records.items()):
        if name not in told and (record.source in failed or not _was_removed(Path(record.source))):
            yield _without_run(record)


def list_missing(folder: Path, rows: Iterable[SummaryRow]) -> list[Missing]:
    """The films of a summary of which there is nothing to see, or only what they were before."""
    return [
        Missing(row.source or row.video, row.state, row.reason)
        for row in rows
        if row.events is None and (row.state == "failed" or not has_events(folder, row))
    ]


def has_events(folder: Path, row: SummaryRow) -> bool:
    """Whether a run among those in `folder` has come to events, be it that of another decision or film."""
    return bool(row.run) and (folder / row.run / "events.csv").is_file()


def _was_removed(source: Path) -> bool:
    """False where its folder is not there either: it may be a disk that this machine does not see."""
    is_pattern = "%" in source.name
    return not is_pattern and os.path.isdir(source.parent) and not os.path.lexists(source)


def _of_run(run: Path, name: str, record: Record | None) -> SummaryRow:
    try:
        manifest, info = read_manifest(run), read_run(run)
        events = read_events(run / "events.csv", info) if (run / "events.csv").is_file() else None
    except InputError as error:
        reason = str(error)
        return SummaryRow(name, run.name, record.source if record else "", "", "failed", reason)
    if record is not None and record.replaced:
        reason = record.reason or "the film changed after its run was made"
        return SummaryRow(name, info.video, record.source, record.camera, "failed", reason)
    done = info.done and events is not None
    has_failed = record is not None and record.state == "failed"
    reason = record.reason if record is not None and has_failed else ""
    if not done and record is not None and _was_removed(Path(record.source)):
        reason = "; ".join(part for part in (reason, "the film was removed since") if part)
    return SummaryRow(
        run=name,
        video=info.video,
        source=record.source if record else manifest["video"].get("path", ""),
        camera=record.camera if record else "",
        state="done" if done else "failed" if has_failed else "begun",
        reason=reason,
        duration_s=manifest["video"].get("duration_s"),
        frames=manifest.get("frames"),
        gaps=info.gaps,
        **(_of_events(events, info.concepts) if done and events is not None else {}),
        model=manifest.get("model", {}).get("name", ""),
        version=manifest.get("versions", {}).get("vidconcept", ""),
        finished=manifest.get("finished", "") if done else "",
        busy_s=round(sum(manifest.get("timings_s", {}).values()), 3),
    )


def _of_events(events: list[Event], concepts: tuple[str, ...]) -> dict[str, Any]:
    verdicts = Counter(event.verdict for event in events)
    standing = [event for event in events if event.verdict != "reject"]
    best = max(standing, key=lambda event: event.peak_score, default=None)
    counts = {concept: sum(event.concept == concept for event in events) for concept in concepts}
    return {
        "events": len(events),
        "events_by_concept": ",".join(f"{concept}={count}" for concept, count in counts.items()),
        "peak_concept": best.concept if best else "",
        "peak_score": best.peak_score if best else None,
        "peak_s": best.start_s if best else None,
        "accepted": verdicts["accept"],
        "rejected": verdicts["reject"],
        "unsure": verdicts["unsure"],
    }


def _without_run(record: Record) -> SummaryRow:
    return SummaryRow("", Path(record.source).name, record.source, record.camera, record.state, record.reason)
