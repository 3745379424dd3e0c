"""CVAT for video 1.1. Frames start at 0: frame index i is frame i.

Layout: https://docs.cvat.ai/docs/manual/advanced/xml_format/ (interpolation).
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TextIO
from xml.sax.saxutils import escape, quoteattr

from vidconcept.tracks.polygons import polygons
from vidconcept.tracks.rle import encode_row_major
from vidconcept.types import TrackMask
from vidconcept.writers.by_track import TrackStore, sort_by_track
from vidconcept.writers.exchange.selection import Selection
from vidconcept.writers.frames.palette import choose_hex
from vidconcept.written import open_own


def write_cvat(selection: Selection, path: Path, masks: str) -> None:
    """`annotations.xml`. Every shape carries its tracker id, confidence and verdict as attributes.

    CVAT cannot track masks: it reads only the first mask of a track, so each mask is a track of one frame, as CVAT
    itself writes them, and the group id holds the masks of a track together. Polygons are tracked; a polygon track has
    one outline a frame, the largest.
    """
    # Of the video, which CVAT shows whole: a track that ends with the selection must be told that it ends.
    last_frame = selection.last_of_run()[0] + selection.run.cut
    path.parent.mkdir(parents=True, exist_ok=True)
    with sort_by_track(selection.tracks(), path) as store, open_own(path) as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
        file.write(_meta(selection, last_frame))
        if masks == "polygon":
            _write_polygon_tracks(file, selection, store, last_frame)
        else:
            _write_masks(file, selection, store, last_frame)
        file.write("</annotations>\n")


def _meta(selection: Selection, last_frame: int) -> str:
    run = selection.run
    attributes = "".join(
        f"<attribute><name>{name}</name><mutable>{mutable}</mutable><input_type>{kind}</input_type>"
        f"<default_value>{default}</default_value><values>{values}</values></attribute>"
        for name, mutable, kind, default, values in (
            ("tracker_id", "False", "text", "", ""),
            ("confidence", "True", "text", "", ""),
            ("verdict", "False", "select", "open", "open\naccept\nreject\nunsure"),
            ("interpolated", "True", "checkbox", "false", "false"),
        )
    )
    labels = "".join(
        f"<label><name>{escape(name)}</name><color>{choose_hex(class_id)}</color><type>any</type>"
        f"<attributes>{attributes}</attributes></label>\n"
        for class_id, name in enumerate(run.concepts)
    )
    size = f"<width>{run.frame_size[0]}</width><height>{run.frame_size[1]}</height>"
    return (
        f"<meta><task><name>{escape(selection.stem)}</name><size>{last_frame + 1}</size><mode>interpolation</mode>"
        f"<start_frame>0</start_frame><stop_frame>{last_frame}</stop_frame>\n<labels>\n{labels}</labels>\n"
        f"<original_size>{size}</original_size></task></meta>\n"
    )


def _write_masks(file: TextIO, selection: Selection, store: TrackStore, last_frame: int) -> None:
    number = 0
    for tracker_id, concept, _ in store.ids():
        for row in store.rows(tracker_id):
            x_min, y_min, x_max, y_max = row.box_px
            counts = ", ".join(str(count) for count in encode_row_major(selection.crop(row) > 0))
            place = f'left="{x_min}" top="{y_min}" width="{x_max - x_min}" height="{y_max - y_min}"'
            shape = f'rle="{counts}" {place} z_order="0"'
            file.write(_format_track_start(number, concept, tracker_id))
            file.write(_format_shape("mask", row.frame_index, False, shape, selection, row))
            if row.frame_index < last_frame:
                file.write(_format_shape("mask", row.frame_index + 1, True, shape, selection, row))
            file.write("</track>\n")
            number += 1


def _write_polygon_tracks(file: TextIO, selection: Selection, store: TrackStore, last_frame: int) -> None:
    for number, (tracker_id, concept, _) in enumerate(store.ids()):
        file.write(_format_track_start(number, concept, tracker_id))
        for run_of_frames in _split_consecutive(store.rows(tracker_id)):
            row, points = None, ""
            for row in run_of_frames:
                points = _format_points(selection, row)
                file.write(_format_shape("polygon", row.frame_index, False, points, selection, row))
            # CVAT goes on showing a shape until it is told that it is outside.
            if row is not None and row.frame_index < last_frame:
                file.write(_format_shape("polygon", row.frame_index + 1, True, points, selection, row))
        file.write("</track>\n")


def _format_points(selection: Selection, row: TrackMask) -> str:
    corners = polygons(selection.crop(row) > 0, row.box_px[0], row.box_px[1])[0]
    return f'points="{";".join(f"{x:.2f},{y:.2f}" for x, y in corners)}" z_order="0"'


def _split_consecutive(rows: Iterable[TrackMask]) -> Iterator[Iterator[TrackMask]]:
    """Runs of rows on neighbouring frames."""
    for _, group in groupby(enumerate(rows), key=lambda pair: pair[1].frame_index - pair[0]):
        yield (row for _, row in group)


def _format_track_start(number: int, concept: str, tracker_id: int) -> str:
    return f'<track id="{number}" label={quoteattr(concept)} source="auto" group_id="{tracker_id}">\n'


def _format_shape(tag: str, frame: int, outside: bool, geometry: str, selection: Selection, row: TrackMask) -> str:
    attribute_values = (
        ("tracker_id", str(row.tracker_id)),
        ("confidence", f"{row.confidence:.4f}"),
        ("verdict", selection.verdicts[row.tracker_id] or "open"),
        ("interpolated", "true" if row.origin.interpolated else "false"),
    )
    attributes = "".join(f'<attribute name="{name}">{value}</attribute>' for name, value in attribute_values)
    state = f'frame="{frame}" keyframe="1" outside="{int(outside)}" occluded="0"'
    return f"<{tag} {state} {geometry}>{attributes}</{tag}>\n"
