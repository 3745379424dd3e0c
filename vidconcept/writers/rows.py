"""Rows of the tables: the cells of a frame, a track's mask, an event or a recurring group, and back.

Parsing raises ValueError for a cell that cannot be, and for what is not of the run, where one is given.
"""

from math import isfinite

from vidconcept.manifest import RunInfo
from vidconcept.tracks.rle import check_rle
from vidconcept.types import Event, FrameRow, Origin, Recurring, TrackMask
from vidconcept.writers.cells import escape_text, unescape_text

VERDICTS = ("accept", "reject", "unsure")
# Beyond it a number is not exact any more in the tools that read these tables.
_LARGEST = 1 << 53


def format_track(video: str, t: TrackMask) -> list[object]:
    """The cells of one row of `tracks.csv`."""
    place = [escape_text(video), t.frame_index, t.pts, _format_seconds(t.time_s)]
    what = [escape_text(t.concept), t.class_id, t.tracker_id, _format_score(t.confidence), *t.box_px, t.area_px]
    scores = [_format_score(t.score_mean), _format_score(t.score_max)]
    mask = [t.rle.decode("ascii"), escape_text(t.source_frame), t.edges]
    return [*place, *what, *scores, *_format_origin(t.origin), *mask]


def format_frame(video: str, r: FrameRow) -> list[object]:
    """The cells of one row of `frames.csv`."""
    head = [escape_text(video), r.frame_index, r.pts, _format_seconds(r.time_s), escape_text(r.concept)]
    scores = [_format_score(r.score_max), _format_score(r.score_mean), r.area_px, r.tracks]
    return [*head, *scores, *_format_origin(r.origin), escape_text(r.source_frame)]


def format_event(e: Event) -> list[object]:
    """The cells of one row of `events.csv`."""
    what = [e.event_id, e.tracker_id, escape_text(e.concept)]
    span = [e.start_frame, e.end_frame, _format_seconds(e.start_s), _format_seconds(e.end_s)]
    peak = [e.peak_frame, _format_score(e.peak_score), e.max_area_px, *e.box_px]
    return [*what, *span, *peak, escape_text(e.verdict)]


def format_recurring(g: Recurring) -> list[object]:
    """The cells of one row of `recurring.csv`."""
    head = [g.group_id, escape_text(g.concept), g.count, _format_seconds(g.start_s), _format_seconds(g.end_s)]
    return [*head, g.peak_frame, _format_score(g.peak_score), *g.box_px, int(g.kept)]


def parse_frame(cells: dict[str, str], run: RunInfo | None) -> FrameRow:
    """A row of `frames.csv`; with `run`, it must fit that run."""
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


def parse_track(cells: dict[str, str], run: RunInfo | None) -> TrackMask:
    """A row of `tracks.csv`; with `run`, it must fit that run."""
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


def parse_event(cells: dict[str, str], run: RunInfo | None) -> Event:
    """A row of `events.csv`; with `run`, it must fit that run."""
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


def parse_recurring(cells: dict[str, str], run: RunInfo | None) -> Recurring:
    """A row of `recurring.csv`; with `run`, it must fit that run."""
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


def _format_origin(origin: Origin) -> tuple[int, int, int]:
    return origin.latent_index, origin.window_index, int(origin.interpolated)


def _format_seconds(value: float) -> str:
    return f"{value:.6f}"


def _format_score(value: float) -> str:
    return f"{value:.4f}"


def _parse_origin(cells: dict[str, str]) -> Origin:
    return Origin(
        _parse_whole(cells["latent_index"]), _parse_whole(cells["window_index"]), cells["interpolated"] == "1"
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
