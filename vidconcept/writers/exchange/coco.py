"""COCO instances: an image a frame, an annotation a frame and track.

Layout: https://cocodataset.org/#format-data (object detection), masks as compressed RLE or polygons.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from vidconcept.tracks.rle import make_coco_object
from vidconcept.video.sequence import split_name
from vidconcept.writers.exchange.csv_table import trace_outlines
from vidconcept.writers.exchange.selection import Selection
from vidconcept.writers.youtube_vis import to_xywh
from vidconcept.written import open_own


def write_coco(selection: Selection, path: Path, masks: str) -> None:
    """Image ids are frame index + 1, category ids class id + 1: COCO's ids start at 1."""
    run = selection.run
    categories = [{"id": class_id + 1, "name": name} for class_id, name in enumerate(run.concepts)]
    with open_own(path) as file:
        file.write(f'{{"info": {json.dumps({"description": f"vidconcept masks of {run.video}"})},\n"images": [')
        _write_list(file, _list_images(selection))
        file.write(f'],\n"categories": {json.dumps(categories)},\n"annotations": [')
        _write_list(file, _list_annotations(selection, masks))
        file.write("]}\n")


def _list_images(selection: Selection) -> Iterator[dict[str, Any]]:
    width_px, height_px = selection.run.frame_size
    for frame in selection.frames():
        # A page of a file of several is told beside the file's name.
        name, page = split_name(frame.source_frame)
        own = {} if page is None else {"page": page}
        yield {
            "id": frame.frame_index + 1,
            "file_name": name or f"{selection.stem}/{frame.frame_index:06d}.jpg",
            **own,
            "width": width_px,
            "height": height_px,
            "frame_index": frame.frame_index,
            "time_s": round(frame.time_s, 6),
            "interpolated": frame.origin.interpolated,
        }


def _list_annotations(selection: Selection, masks: str) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(selection.tracks(), start=1):
        rle = make_coco_object(row.rle, selection.run.frame_size)
        yield {
            "id": number,
            "image_id": row.frame_index + 1,
            "category_id": row.class_id + 1,
            "segmentation": trace_outlines(selection, row) if masks == "polygon" else rle,
            "area": row.area_px,
            "bbox": to_xywh(row.box_px),
            "iscrowd": 0,
            "score": round(row.confidence, 4),
            "track_id": row.tracker_id,
            "attributes": {"verdict": selection.verdicts[row.tracker_id], "interpolated": row.origin.interpolated},
        }


def _write_list(file: TextIO, items: Iterable[dict[str, Any]]) -> None:
    for number, item in enumerate(items):
        file.write(("," if number else "") + "\n" + json.dumps(item, ensure_ascii=False))
