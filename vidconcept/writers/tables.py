"""`frames.csv`, `tracks.csv` and `events.csv`: written row by row, read back into the same types."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from vidconcept.files import replacing
from vidconcept.types import Event, FrameRow, Recurring, TrackMask
from vidconcept.writers.cells import cell_text, read_rows, text_cell, write_rows
from vidconcept.writers.columns import EVENTS, FRAMES, RECURRING, TRACKS
from vidconcept.writers.journal import FrameRecord

FRAME_COLUMNS, TRACK_COLUMNS, EVENT_COLUMNS, RECURRING_COLUMNS = map(list, (FRAMES, TRACKS, EVENTS, RECURRING))
VERDICTS = ("accept", "reject", "unsure")


def write_frames_and_tracks(
    run_dir: Path, video: str, concepts: Sequence[str], records: Iterable[FrameRecord], ids: Mapping[int, int]
) -> None:
    """`frames.csv` and `tracks.csv` of the journal's frames. ids: final tracker id of each provisional one kept."""
    frames_csv, tracks_csv = run_dir / "frames.csv", run_dir / "tracks.csv"
    with ExitStack() as stack:
        frames, tracks = (stack.enter_context(replacing(path, newline="")) for path in (frames_csv, tracks_csv))
        write_rows(frames, [FRAME_COLUMNS])
        write_rows(tracks, [TRACK_COLUMNS])
        for record in records:
            kept = [replace(t, tracker_id=ids[t.tracker_id]) for t in record.tracks if t.tracker_id in ids]
            kept.sort(key=lambda t: t.tracker_id)
            write_rows(tracks, (track_cells(video, track) for track in kept))
            write_rows(frames, (frame_cells(video, row) for row in frame_rows(record, concepts, kept)))


def frame_rows(record: FrameRecord, concepts: Sequence[str], tracks: Sequence[TrackMask]) -> list[FrameRow]:
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
                latent_index=record.latent_index,
                window_index=record.window_index,
                interpolated=record.interpolated,
            )
        )
    return rows


def write_events(path: Path, events: Iterable[Event]) -> None:
    """`events.csv`, in the order given."""
    with replacing(path, newline="") as file:
        write_rows(file, [EVENT_COLUMNS])
        write_rows(file, (_event_cells(event) for event in events))


def write_recurring(path: Path, groups: Iterable[Recurring]) -> None:
    """`recurring.csv`, in the order given."""
    with replacing(path, newline="") as file:
        write_rows(file, [RECURRING_COLUMNS])
        for g in groups:
            head = [g.group_id, text_cell(g.concept), g.count, _seconds(g.start_s), _seconds(g.end_s)]
            write_rows(file, [[*head, g.peak_frame, _score(g.peak_score), *g.box_px, int(g.kept)]])


def read_recurring(path: Path) -> list[Recurring]:
    """Rows of `recurring.csv`; none where a run of before has no such file. Raises InputError where it is damaged."""
    return list(read_rows(path, RECURRING_COLUMNS, _recurring)) if path.is_file() else []


def track_cells(video: str, t: TrackMask) -> list[object]:
    """The cells of one row of `tracks.csv`."""
    head = [text_cell(video), t.frame_index, t.pts, _seconds(t.time_s), text_cell(t.concept), t.class_id, t.tracker_id]
    scores = [_score(t.confidence), *t.box_px, t.area_px, _score(t.score_mean), _score(t.score_max)]
    return [*head, *scores, t.latent_index, t.window_index, int(t.interpolated), t.rle.decode("ascii")]


def frame_cells(video: str, r: FrameRow) -> list[object]:
    """The cells of one row of `frames.csv`."""
    head = [text_cell(video), r.frame_index, r.pts, _seconds(r.time_s), text_cell(r.concept)]
    scores = [_score(r.score_max), _score(r.score_mean), r.area_px, r.tracks]
    return [*head, *scores, r.latent_index, r.window_index, int(r.interpolated)]


def _event_cells(e: Event) -> list[object]:
    head = [e.event_id, e.tracker_id, text_cell(e.concept), e.start_frame, e.end_frame]
    tail = [_seconds(e.start_s), _seconds(e.end_s), e.peak_frame, _score(e.peak_score), e.max_area_px, *e.box_px]
    return [*head, *tail, text_cell(e.verdict)]


def read_frames(path: Path) -> Iterator[FrameRow]:
    """Rows of `frames.csv`, one by one. Raises InputError where it is missing or damaged."""
    return read_rows(path, FRAME_COLUMNS, _frame_row)


def read_tracks(path: Path) -> Iterator[TrackMask]:
    """Rows of `tracks.csv`, one by one. Raises InputError where it is missing or damaged."""
    return read_rows(path, TRACK_COLUMNS, _track_mask)


def read_events(path: Path) -> list[Event]:
    """Rows of `events.csv`. Raises InputError where it is missing or damaged."""
    return list(read_rows(path, EVENT_COLUMNS, _event))


def tracks_by_frame(path: Path) -> Iterator[tuple[int, list[TrackMask]]]:
    """`tracks.csv` frame by frame: the frame index and its tracks; frames without a track are left out."""
    for frame_index, rows in groupby(read_tracks(path), key=lambda row: row.frame_index):
        yield frame_index, list(rows)


def _frame_row(cells: dict[str, str]) -> FrameRow:
    return FrameRow(
        frame_index=int(cells["frame_index"]),
        pts=int(cells["pts"]),
        time_s=float(cells["time_s"]),
        concept=cell_text(cells["concept"]),
        score_max=float(cells["score_max"]),
        score_mean=float(cells["score_mean"]),
        area_px=int(cells["area_px"]),
        tracks=int(cells["tracks"]),
        latent_index=int(cells["latent_index"]),
        window_index=int(cells["window_index"]),
        interpolated=cells["interpolated"] == "1",
    )


def _track_mask(cells: dict[str, str]) -> TrackMask:
    return TrackMask(
        frame_index=int(cells["frame_index"]),
        pts=int(cells["pts"]),
        time_s=float(cells["time_s"]),
        concept=cell_text(cells["concept"]),
        class_id=int(cells["class_id"]),
        tracker_id=int(cells["tracker_id"]),
        confidence=float(cells["confidence"]),
        box_px=_box(cells),
        area_px=int(cells["area_px"]),
        score_mean=float(cells["score_mean"]),
        score_max=float(cells["score_max"]),
        latent_index=int(cells["latent_index"]),
        window_index=int(cells["window_index"]),
        interpolated=cells["interpolated"] == "1",
        rle=cells["mask_rle"].encode("ascii"),
    )


def _event(cells: dict[str, str]) -> Event:
    return Event(
        event_id=int(cells["event_id"]),
        tracker_id=int(cells["tracker_id"]),
        concept=cell_text(cells["concept"]),
        start_frame=int(cells["start_frame"]),
        end_frame=int(cells["end_frame"]),
        start_s=float(cells["start_s"]),
        end_s=float(cells["end_s"]),
        peak_frame=int(cells["peak_frame"]),
        peak_score=float(cells["peak_score"]),
        max_area_px=int(cells["max_area_px"]),
        box_px=_box(cells),
        verdict=cell_text(cells["verdict"]),
    )


def _recurring(cells: dict[str, str]) -> Recurring:
    return Recurring(
        group_id=int(cells["group_id"]),
        concept=cell_text(cells["concept"]),
        count=int(cells["count"]),
        start_s=float(cells["start_s"]),
        end_s=float(cells["end_s"]),
        peak_frame=int(cells["peak_frame"]),
        peak_score=float(cells["peak_score"]),
        box_px=_box(cells),
        kept=cells["kept"] == "1",
    )


def _box(cells: dict[str, str]) -> tuple[int, int, int, int]:
    return int(cells["x_min"]), int(cells["y_min"]), int(cells["x_max"]), int(cells["y_max"])


def _seconds(value: float) -> str:
    return f"{value:.6f}"


def _score(value: float) -> str:
    return f"{value:.4f}"
