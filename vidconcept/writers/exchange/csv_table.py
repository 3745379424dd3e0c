"""CSV exports: the mask tracks again, and the layout of the supervision library."""

import json
from pathlib import Path

from vidconcept.tracks.polygons import polygons
from vidconcept.types import TrackMask
from vidconcept.writers.cells import escape_text, write_rows
from vidconcept.writers.exchange.selection import Selection
from vidconcept.writers.locales import PLAIN, CsvStyle
from vidconcept.writers.rows import format_track
from vidconcept.writers.tables import TRACK_COLUMNS
from vidconcept.written import open_own

# The order of supervision's own CSVSink: the seven names, then what the caller adds.
SUPERVISION_COLUMNS = (
    *("x_min", "y_min", "x_max", "y_max", "class_id", "confidence", "tracker_id"),
    *("class_name", "frame_index", "time_s", "verdict", "mask_rle", "frame_width", "frame_height", "interpolated"),
)


_DECIMALS = ("time_s", "confidence", "score_mean", "score_max")


def write_csv(selection: Selection, path: Path, masks: str, style: CsvStyle = PLAIN) -> None:
    """`tracks.csv` of the selection with the verdict at the end; `mask_polygon` takes the mask's place on request.

    style: of a spreadsheet, as `--excel` asks for it. A polygon cell is a JSON list of outlines, each x, y, x, y, ...
    along the edges of the pixels.
    """
    as_polygons = masks == "polygon"
    at = TRACK_COLUMNS.index("mask_rle")
    columns = [*TRACK_COLUMNS, "verdict"]
    decimals = [TRACK_COLUMNS.index(name) for name in _DECIMALS]
    if as_polygons:
        columns[at] = "mask_polygon"
    with open_own(path, newline="") as file:
        if style.bom:
            file.write("\ufeff")
        write_rows(file, [columns], style.separator)
        for row in selection.tracks():
            cells = format_track(selection.run.video, row)
            if as_polygons:
                cells[at] = json.dumps(trace_outlines(selection, row), separators=(",", ":"))
            elif style.bom:
                # A spreadsheet must not take a mask for a formula.
                cells[at] = escape_text(str(cells[at]))
            for place in decimals:
                cells[place] = str(cells[place]).replace(".", style.decimal)
            write_rows(file, [[*cells, selection.verdicts[row.tracker_id]]], style.separator)


def write_supervision(selection: Selection, path: Path) -> None:
    """One row a frame and track, in the columns of supervision's CSVSink."""
    width_px, height_px = selection.run.frame_size
    with open_own(path, newline="") as file:
        write_rows(file, [SUPERVISION_COLUMNS])
        for row in selection.tracks():
            head = [*row.box_px, row.class_id, f"{row.confidence:.4f}", row.tracker_id, escape_text(row.concept)]
            tail = [row.frame_index, f"{row.time_s:.6f}", selection.verdicts[row.tracker_id], row.rle.decode("ascii")]
            write_rows(file, [[*head, *tail, width_px, height_px, int(row.origin.interpolated)]])


def trace_outlines(selection: Selection, row: TrackMask) -> list[list[int]]:
    """The row's mask as COCO writes polygons: flat lists x, y, x, y, ..., the largest outline first."""
    x_min, y_min, _, _ = row.box_px
    return [corners.ravel().tolist() for corners in polygons(selection.crop(row) > 0, x_min, y_min)]
