"""What a watch tells: where it stands, and the events it sees."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vidconcept.live.events import LiveEvent


@dataclass(frozen=True, slots=True)
class WatchState:
    """Where a watch stands, counted since it began.

    frames: decoded. repeated: left out, as they had been read before. read: of the frames, taken by the model's side.
    unread: of a size that `roi` does not fit, or still waiting or coming when the watch was stopped. delay_half_s,
    delay_95_s: how long half and 95 % of the frames waited at most for their tracks. told_within_s: what is asked for,
    or more where one window takes longer. runs, runs_failed: recordings with a finished run folder, and those without
    one.
    """

    source: str
    frames: int
    repeated: int
    read: int
    skipped: int
    gaps: int
    unread: int
    connections: int
    failures: int
    undecodable: int
    corrupt: int
    clock_jumps: int
    events: int
    runs: int
    runs_failed: int
    waiting: int
    delay_half_s: float | None
    delay_95_s: float | None
    delay_longest_s: float
    told_within_s: float
    share_in_time: float


def describe_event(event: LiveEvent, delay_s: float, began_s: float, source: str, run: Path | None) -> dict[str, Any]:
    """An event as JSON values. began_s: when its segment began, seconds since 1970. run: the folder it goes into,
    None where there is no recording."""
    own = event.event
    return {
        "type": "event",
        "state": event.state,
        "event": own.event_id,
        "concept": own.concept,
        "start_time": format_time(began_s + own.start_s),
        "end_time": format_time(began_s + own.end_s),
        "peak_score": round(own.peak_score, 4),
        "max_area_px": own.max_area_px,
        "box_px": list(own.box_px),
        "delay_s": round(delay_s, 3),
        "source": source,
        "run": None if run is None else str(run),
        "start_s": round(own.start_s, 4),
        "end_s": round(own.end_s, 4),
    }


def format_time(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
