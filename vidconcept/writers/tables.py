"""`frames.csv`, `tracks.csv` and `events.csv`: written row by row, read back into the same types."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from vidconcept.errors import InputError
from vidconcept.files import open_replacing
from vidconcept.manifest import RunInfo
from vidconcept.types import Event, FrameRow, Recurring, TrackMask
from vidconcept.writers.cells import read_rows, write_rows
from vidconcept.writers.columns import EVENTS, FRAMES, LATER, RECURRING, TRACKS
from vidconcept.writers.journal import FrameRecord
from vidconcept.writers.rows import (
    format_event,
    format_frame,
    format_recurring,
    format_track,
    parse_event,
    parse_frame,
    parse_recurring,
    parse_track,
)

FRAME_COLUMNS, TRACK_COLUMNS, EVENT_COLUMNS, RECURRING_COLUMNS = map(list, (FRAMES, TRACKS, EVENTS, RECURRING))
OfFrame = TypeVar("OfFrame", FrameRow, TrackMask)


def write_frames_and_tracks(
    run_dir: Path, video: str, concepts: Sequence[str], records: Iterable[FrameRecord], ids: Mapping[int, int]
) -> None:
    """`frames.csv` and `tracks.csv` of the journal's frames. ids: final tracker id of each provisional one kept."""
    frames_csv, tracks_csv = run_dir / "frames.csv", run_dir / "tracks.csv"
    with ExitStack() as stack:
        frames, tracks = (stack.enter_context(open_replacing(path, newline="")) for path in (frames_csv, tracks_csv))
        write_rows(frames, [FRAME_COLUMNS])
        write_rows(tracks, [TRACK_COLUMNS])
        for record in records:
            named = {"source_frame": record.source_frame}
            kept = [replace(t, tracker_id=ids[t.tracker_id], **named) for t in record.tracks if t.tracker_id in ids]
            kept.sort(key=lambda t: t.tracker_id)
            write_rows(tracks, (format_track(video, track) for track in kept))
            write_rows(frames, (format_frame(video, row) for row in make_frame_rows(record, concepts, kept)))


def make_frame_rows(record: FrameRecord, concepts: Sequence[str], tracks: Sequence[TrackMask]) -> list[FrameRow]:
    """One row a concept, zeros included. tracks: those of the frame that are kept."""
    rows = []
    for class_id, concept in enumerate(concepts):
        own = [track for track in tracks if track.class_id == class_id]
        rows.append(
            FrameRow(
                frame_index=record.frame_index,
                pts=record.pts,
                time_s=record.time_s,
                concept=concept,
                score_max=record.score_max[class_id],
                score_mean=record.score_mean[class_id],
                area_px=sum(track.area_px for track in own),
                tracks=len(own),
                origin=record.origin,
                source_frame=record.source_frame,
            )
        )
    return rows


def write_events(path: Path, events: Iterable[Event], own: Mapping[int, Mapping[str, str]] | None = None) -> None:
    """`events.csv`, in the order given. own: cells of columns that others added, by event id, as they stood there."""
    added = list(dict.fromkeys(name for cells in (own or {}).values() for name in cells))
    with open_replacing(path, newline="") as file:
        write_rows(file, [[*EVENT_COLUMNS, *added]])
        for event in events:
            cells = own.get(event.event_id, {}) if own else {}
            write_rows(file, [[*format_event(event), *(cells.get(name, "") for name in added)]])


def write_recurring(path: Path, groups: Iterable[Recurring]) -> None:
    """`recurring.csv`, in the order given."""
    with open_replacing(path, newline="") as file:
        write_rows(file, [RECURRING_COLUMNS])
        write_rows(file, (format_recurring(group) for group in groups))


def read_recurring(path: Path, run: RunInfo | None = None) -> list[Recurring]:
    """Rows of `recurring.csv`; none where a run of before has no such file. Raises InputError where it is damaged."""
    if not path.exists():
        return []
    return list(read_rows(path, RECURRING_COLUMNS, lambda cells: parse_recurring(cells, run)))


def read_frames(path: Path, run: RunInfo | None = None) -> Iterator[FrameRow]:
    """Rows of `frames.csv`, one by one.

    run: whose table it is; each frame must then have one row of each of its concepts. Raises InputError, with file and
    place, where the table is missing, damaged, or not in the order of frames.
    """
    columns = [name for name in FRAME_COLUMNS if name not in LATER]
    rows = _check_order(path, read_rows(path, columns, lambda cells: parse_frame(cells, run)))
    return rows if run is None else _of_all_concepts(path, rows, run)


def read_tracks(path: Path, run: RunInfo | None = None) -> Iterator[TrackMask]:
    """Rows of `tracks.csv`, one by one; with `run`, masks and boxes must fit its frames. Raises as `read_frames`."""
    columns = [name for name in TRACK_COLUMNS if name not in LATER]
    return _check_order(path, read_rows(path, columns, lambda cells: parse_track(cells, run)))


def read_events(path: Path, run: RunInfo | None = None) -> list[Event]:
    """Rows of `events.csv`. Raises InputError where it is missing or damaged, or does not fit `run`."""
    return list(read_rows(path, EVENT_COLUMNS, lambda cells: parse_event(cells, run)))


def read_own_columns(path: Path) -> dict[int, dict[str, str]]:
    """What others added to `events.csv`: the cells of columns that track does not write, by event id, as they stand.

    Raises as `read_events`.
    """

    def keep_added(cells: dict[str, str]) -> tuple[int, dict[str, str]]:
        # What stands behind the last column has no name.
        return int(cells["event_id"]), {
            name: cell for name, cell in cells.items() if name not in (*EVENT_COLUMNS, None)
        }

    return dict(read_rows(path, EVENT_COLUMNS, keep_added, as_written=True))


def read_tracks_by_frame(path: Path) -> Iterator[tuple[int, list[TrackMask]]]:
    """`tracks.csv` frame by frame: the frame index and its tracks; frames without a track are left out."""
    for frame_index, rows in groupby(read_tracks(path), key=lambda row: row.frame_index):
        yield frame_index, list(rows)


def _check_order(path: Path, rows: Iterator[OfFrame]) -> Iterator[OfFrame]:
    latest = 0
    for row in rows:
        if row.frame_index < latest:
            raise InputError(
                f"{path}: frame {row.frame_index} comes after frame {latest}; rows must be in the order of frames, "
                "as track writes them. Next: sort them by frame_index, or track again"
            )
        latest = row.frame_index
        yield row


def _of_all_concepts(path: Path, rows: Iterator[FrameRow], run: RunInfo) -> Iterator[FrameRow]:
    for frame_index, group in groupby(rows, key=lambda row: row.frame_index):
        own = list(group)
        if len(own) != len(run.concepts) or len({row.concept for row in own}) != len(own):
            raise InputError(
                f"{path}: frame {frame_index} has {len(own)} rows, where one of each concept belongs "
                f"({', '.join(run.concepts)}). Next: track again with `existing=resume`"
            )
        yield from own
