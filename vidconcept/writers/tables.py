"""`frames.csv`, `tracks.csv` and `events.csv`: written row by row, read back into the same types."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import groupby
from math import isfinite
from pathlib import Path
from typing import TypeVar

from vidconcept.errors import InputError
from vidconcept.files import open_replacing
from vidconcept.manifest import RunInfo
from vidconcept.tracks.rle import check_rle
from vidconcept.types import Event, FrameRow, Origin, Recurring, TrackMask
from vidconcept.writers.cells import escape_text, read_rows, unescape_text, write_rows
from vidconcept.writers.columns import EVENTS, FRAMES, LATER, RECURRING, TRACKS
from vidconcept.writers.journal import FrameRecord

FRAME_COLUMNS, TRACK_COLUMNS, EVENT_COLUMNS, RECURRING_COLUMNS = map(list, (FRAMES, TRACKS, EVENTS, RECURRING))
VERDICTS = ("accept", "reject", "unsure")
# Beyond it a number is not exact any more in the tools that read these tables.
_LARGEST = 1 << 53
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


def write_events(path: Path, events: Iterable[Event]) -> None:
    """`events.csv`, in the order given."""
    with open_replacing(path, newline="") as file:
        write_rows(file, [EVENT_COLUMNS])
        write_rows(file, (_format_event(event) for event in events))


def write_recurring(path: Path, groups: Iterable[Recurring]) -> None:
    """`recurring.csv`, in the order given."""
    with open_replacing(path, newline="") as file:
        write_rows(file, [RECURRING_COLUMNS])
        for g in groups:
            head = [g.group_id, escape_text(g.concept), g.count, _parse_seconds(g.start_s), _parse_seconds(g.end_s)]
            write_rows(file, [[*head, g.peak_frame, _parse_score(g.peak_score), *g.box_px, int(g.kept)]])


def read_recurring(path: Path, run: RunInfo | None = None) -> list[Recurring]:
    """Rows of `recurring.csv`; none where a run of before has no such file. Raises InputError where it is damaged."""
    if not path.exists():
        return []
    return list(read_rows(path, RECURRING_COLUMNS, lambda cells: _parse_recurring(cells, run)))


def format_track(video: str, t: TrackMask) -> list[object]:
    """The cells of one row of `tracks.csv`."""
    head = [
        escape_text(video),
        t.frame_index,
        t.pts,
        _parse_seconds(t.time_s),
        escape_text(t.concept),
        t.class_id,
        t.tracker_id,
    ]
    scores = [_parse_score(t.confidence), *t.box_px, t.area_px, _parse_score(t.score_mean), _parse_score(t.score_max)]
    return [
        *head,
        *scores,
        *_format_origin(t.origin),
        t.rle.decode("ascii"),
        escape_text(t.source_frame),
        t.edges,
    ]


def format_frame(video: str, r: FrameRow) -> list[object]:
    """The cells of one row of `frames.csv`."""
    head = [escape_text(video), r.frame_index, r.pts, _parse_seconds(r.time_s), escape_text(r.concept)]
    scores = [_parse_score(r.score_max), _parse_score(r.score_mean), r.area_px, r.tracks]
    return [*head, *scores, *_format_origin(r.origin), escape_text(r.source_frame)]


def _format_event(e: Event) -> list[object]:
    head = [e.event_id, e.tracker_id, escape_text(e.concept), e.start_frame, e.end_frame]
    tail = [
        _parse_seconds(e.start_s),
        _parse_seconds(e.end_s),
        e.peak_frame,
        _parse_score(e.peak_score),
        e.max_area_px,
        *e.box_px,
    ]
    return [*head, *tail, escape_text(e.verdict)]


def read_frames(path: Path, run: RunInfo | None = None) -> Iterator[FrameRow]:
    """Rows of `frames.csv`, one by one.

    run: whose table it is; each frame must then have one row of each of its concepts. Raises InputError, with file and
    place, where the table is missing, damaged, or not in the order of frames.
    """
    columns = [name for name in FRAME_COLUMNS if name not in LATER]
    rows = _check_order(path, read_rows(path, columns, lambda cells: _parse_frame(cells, run)))
    return rows if run is None else _of_all_concepts(path, rows, run)


def read_tracks(path: Path, run: RunInfo | None = None) -> Iterator[TrackMask]:
    """Rows of `tracks.csv`, one by one; with `run`, masks and boxes must fit its frames. Raises as `read_frames`."""
    columns = [name for name in TRACK_COLUMNS if name not in LATER]
    return _check_order(path, read_rows(path, columns, lambda cells: _parse_track(cells, run)))


def read_events(path: Path, run: RunInfo | None = None) -> list[Event]:
    """Rows of `events.csv`. Raises InputError where it is missing or damaged, or does not fit `run`."""
    return list(read_rows(path, EVENT_COLUMNS, lambda cells: _parse_event(cells, run)))


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


def _parse_frame(cells: dict[str, str], run: RunInfo | None) -> FrameRow:
    return FrameRow(
        frame_index=_parse_count(cells["frame_index"]),
        pts=_parse_whole(cells["pts"]),
        time_s=_parse_real(cells["time_s"]),
        concept=_parse_concept(cells, run),
        score_max=_parse_real(cells["score_max"]),
        score_mean=_parse_real(cells["score_mean"]),
        area_px=_parse_count(cells["area_px"]),
        tracks=_parse_count(cells["tracks"]),
        origin=_parse_origin(cells),
        source_frame=unescape_text(cells.get("source_frame", "")),
    )


def _format_origin(origin: Origin) -> tuple[int, int, int]:
    return origin.latent_index, origin.window_index, int(origin.interpolated)


def _parse_origin(cells: dict[str, str]) -> Origin:
    return Origin(
        _parse_whole(cells["latent_index"]), _parse_whole(cells["window_index"]), cells["interpolated"] == "1"
    )


def _parse_track(cells: dict[str, str], run: RunInfo | None) -> TrackMask:
    track = TrackMask(
        frame_index=_parse_count(cells["frame_index"]),
        pts=_parse_whole(cells["pts"]),
        time_s=_parse_real(cells["time_s"]),
        concept=_parse_concept(cells, run),
        class_id=_parse_count(cells["class_id"]),
        tracker_id=_parse_whole(cells["tracker_id"]),
        confidence=_parse_real(cells["confidence"]),
        box_px=_parse_box(cells, run),
        area_px=_parse_count(cells["area_px"]),
        score_mean=_parse_real(cells["score_mean"]),
        score_max=_parse_real(cells["score_max"]),
        origin=_parse_origin(cells),
        rle=cells["mask_rle"].encode("ascii"),
        source_frame=unescape_text(cells.get("source_frame", "")),
        edges="pixel" if cells.get("edges") == "pixel" else "coarse",
    )
    if run is not None:
        if run.concepts.index(track.concept) != track.class_id:
            raise ValueError(f"class_id {track.class_id} is not that of {track.concept!r}")
        check_rle(track.rle, run.frame_size)
    return track


def _parse_event(cells: dict[str, str], run: RunInfo | None) -> Event:
    return Event(
        event_id=_parse_count(cells["event_id"]),
        tracker_id=_parse_whole(cells["tracker_id"]),
        concept=_parse_concept(cells, run),
        start_frame=_parse_count(cells["start_frame"]),
        end_frame=_parse_count(cells["end_frame"]),
        start_s=_parse_real(cells["start_s"]),
        end_s=_parse_real(cells["end_s"]),
        peak_frame=_parse_count(cells["peak_frame"]),
        peak_score=_parse_real(cells["peak_score"]),
        max_area_px=_parse_count(cells["max_area_px"]),
        box_px=_parse_box(cells, run),
        verdict=_parse_verdict(cells),
    )


def _parse_recurring(cells: dict[str, str], run: RunInfo | None) -> Recurring:
    return Recurring(
        group_id=_parse_count(cells["group_id"]),
        concept=_parse_concept(cells, run),
        count=_parse_count(cells["count"]),
        start_s=_parse_real(cells["start_s"]),
        end_s=_parse_real(cells["end_s"]),
        peak_frame=_parse_count(cells["peak_frame"]),
        peak_score=_parse_real(cells["peak_score"]),
        box_px=_parse_box(cells, run),
        kept=cells["kept"] == "1",
    )


def _parse_concept(cells: dict[str, str], run: RunInfo | None) -> str:
    concept = unescape_text(cells["concept"])
    if run is not None and concept not in run.concepts:
        raise ValueError(f"concept {concept!r} is none of the run's: {', '.join(run.concepts)}")
    return concept


def _parse_verdict(cells: dict[str, str]) -> str:
    verdict = unescape_text(cells["verdict"])
    if verdict not in ("", *VERDICTS):
        raise ValueError(f"no verdict {verdict!r}; the verdicts are {', '.join(VERDICTS)}")
    return verdict


def _parse_box(cells: dict[str, str], run: RunInfo | None) -> tuple[int, int, int, int]:
    x_min, y_min, x_max, y_max = (_parse_count(cells[name]) for name in ("x_min", "y_min", "x_max", "y_max"))
    width_px, height_px = (_LARGEST, _LARGEST) if run is None else run.frame_size
    if not (x_min < x_max <= width_px and y_min < y_max <= height_px):
        raise ValueError(f"the box x {x_min} to {x_max}, y {y_min} to {y_max} is empty or outside of the picture")
    return x_min, y_min, x_max, y_max


def _parse_whole(text: str) -> int:
    value = int(text)
    if abs(value) > _LARGEST:
        raise ValueError(f"{text[:40]} is too large")
    return value


def _parse_count(text: str) -> int:
    value = _parse_whole(text)
    if value < 0:
        raise ValueError(f"{text} is below 0")
    return value


def _parse_real(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{text} is no number")
    return value


def _parse_seconds(value: float) -> str:
    return f"{value:.6f}"


def _parse_score(value: float) -> str:
    return f"{value:.4f}"
