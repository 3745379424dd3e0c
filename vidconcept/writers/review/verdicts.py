"""Verdicts of a reviewer, as the review page downloads them, back into `events.csv`."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from vidconcept.errors import UsageError
from vidconcept.files import shorten
from vidconcept.manifest import RunInfo, read_run
from vidconcept.ownership import RunLock
from vidconcept.types import Event
from vidconcept.wording import format_count
from vidconcept.writers.cells import read_rows, unescape_text
from vidconcept.writers.rows import VERDICTS
from vidconcept.writers.tables import read_events, read_own_columns, write_events

COLUMNS = ("run_id", "event_id", "concept", "start_frame", "verdict")


@dataclass(frozen=True, slots=True)
class _Judgement:
    """A row of the download. verdict_before: what stood there when it was judged; None where an older page wrote it."""

    run_id: str
    event_id: int
    concept: str
    start_frame: int
    verdict: str
    verdict_before: str | None


def apply_verdicts(run_dir: Path, verdicts_csv: Path) -> str:
    """Writes the verdicts into the run's `events.csv`, and returns what was done in one line.

    Rows that nobody judged leave alone what others have decided since; columns that somebody added stay.

    Raises UsageError where the verdicts belong to another run or to events that this run no longer has (it was tracked
    again), or contradict each other, InputError where they cannot be read or say a word that is no verdict, OutputError
    where another process is writing the run; then nothing is written.
    """
    run = read_run(run_dir)
    with RunLock(run_dir):
        return _apply(run, run_dir, verdicts_csv)


def _apply(run: RunInfo, run_dir: Path, verdicts_csv: Path) -> str:
    before = {event.event_id: event for event in read_events(run_dir / "events.csv", run)}
    events = dict(before)
    given: dict[int, str] = {}
    for judged in read_rows(verdicts_csv, COLUMNS, _parse_judgement):
        if judged.run_id != run.run_id:
            raise UsageError(
                f"{verdicts_csv} holds verdicts of run {shorten(judged.run_id)}, {run_dir} is run {run.run_id}. "
                "Next: download them from this run's review.html"
            )
        event = events.get(judged.event_id)
        if event is None or (event.concept, event.start_frame) != (judged.concept, judged.start_frame):
            raise UsageError(
                f"{verdicts_csv} judges event {judged.event_id} "
                f"({shorten(judged.concept)} from frame {judged.start_frame}), "
                f"which {run_dir} does not have; it was tracked again since. Next: review it again"
            )
        if judged.verdict == judged.verdict_before:
            continue
        if (other := given.setdefault(judged.event_id, judged.verdict)) != judged.verdict:
            raise UsageError(
                f"{verdicts_csv} judges event {judged.event_id} twice: {other or 'no verdict'}, and "
                f"{judged.verdict or 'no verdict'}. Next: remove one of the two lines"
            )
        events[judged.event_id] = replace(event, verdict=judged.verdict)
    ordered = [events[event_id] for event_id in sorted(events)]
    write_events(run_dir / "events.csv", ordered, read_own_columns(run_dir / "events.csv"))
    return f"{count_verdicts(ordered)} in {run_dir / 'events.csv'}; {_count_changes(before, events)}"


def _count_changes(before: dict[int, Event], after: dict[int, Event]) -> str:
    """`2 new verdicts, 1 replaced, 0 removed`."""
    changed = [(old.verdict, after[event_id].verdict) for event_id, old in before.items() if old != after[event_id]]
    new, removed = sum(not old for old, _ in changed), sum(not verdict for _, verdict in changed)
    return f"{format_count(new, 'new verdict')}, {len(changed) - new - removed} replaced, {removed} removed"


def count_verdicts(events: list[Event]) -> str:
    """`2 accepted, 1 rejected, 0 unsure, 4 open`."""
    counts = Counter(event.verdict for event in events)
    return f"{counts['accept']} accepted, {counts['reject']} rejected, {counts['unsure']} unsure, {counts['']} open"


def _parse_judgement(cells: dict[str, str]) -> _Judgement:
    before = cells.get("verdict_before")
    return _Judgement(
        run_id=unescape_text(cells["run_id"]),
        event_id=int(cells["event_id"]),
        concept=unescape_text(cells["concept"]),
        start_frame=int(cells["start_frame"]),
        verdict=_parse_verdict(cells["verdict"]),
        verdict_before=None if before is None else _parse_verdict(before),
    )


def _parse_verdict(cell: str) -> str:
    verdict = unescape_text(cell)
    if verdict not in ("", *VERDICTS):
        raise ValueError(f"no verdict {verdict!r}; the verdicts are {', '.join(VERDICTS)}")
    return verdict
