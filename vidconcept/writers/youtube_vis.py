"""`masks.json`: the mask tracks in YouTube-VIS layout, COCO RLE, null where a track is not seen.

Layout: https://youtube-vos.org/dataset/vis (videos, categories, annotations with one entry a frame).
"""

import json
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from vidconcept.files import open_replacing, shorten_name
from vidconcept.tracks.rle import make_coco_object
from vidconcept.types import FrameRow, TrackMask
from vidconcept.writers.by_track import TrackStore, sort_by_track


def write_youtube_vis(
    path: Path,
    video: str,
    concepts: Sequence[str],
    frame_size: tuple[int, int],
    frames: Iterable[FrameRow],
    tracks: Iterable[TrackMask],
    verdicts: Mapping[int, str] | None = None,
    compressed: bool = True,
    stem: str = "",
    open_file: Callable[[Path], AbstractContextManager[TextIO]] = open_replacing,
) -> None:
    """Writes `path` track by track. frame_size: (width, height) in pixels.

    Entry i of a track's lists belongs to the i-th frame of the table; `file_names` carries the frame's index in the
    video. A category's id is its class id + 1, as COCO's ids start at 1. verdicts: by tracker id, told where given.
    compressed: masks as COCO's strings, which `pycocotools.mask` decodes; else as lists of run lengths, which the
    data set itself has and its evaluation tools read. The video's `interpolated` lists entries that no model saw.
    """
    indices, unseen, names = array("q"), array("q"), []
    for row in frames:
        if not indices or indices[-1] != row.frame_index:
            if row.origin.interpolated:
                unseen.append(len(indices))
            if row.source_frame:
                names.append(row.source_frame)
            indices.append(row.frame_index)
    named = _Names(video, shorten_name(stem or Path(video).stem), names, unseen)
    with sort_by_track(tracks, path) as store, open_file(path) as file:
        _write(file, named, concepts, frame_size, indices, store, verdicts or {}, compressed)


@dataclass(frozen=True, slots=True)
class _Names:
    """stem: what the sequence is called. frames: image files, none for a video. unseen: entries no model saw."""

    video: str
    stem: str
    frames: list[str]
    unseen: "array[int]"


def _write(
    file: TextIO,
    named: _Names,
    concepts: Sequence[str],
    frame_size: tuple[int, int],
    indices: "array[int]",
    store: TrackStore,
    verdicts: Mapping[int, str],
    compressed: bool,
) -> None:
    about = {"id": 1, "width": frame_size[0], "height": frame_size[1], "length": len(indices)}
    categories = [{"id": class_id + 1, "name": name} for class_id, name in enumerate(concepts)]
    file.write('{"info": {"description": ' + json.dumps(f"vidconcept mask tracks of {named.video}") + "},\n")
    file.write('"videos": [' + json.dumps(about)[:-1] + ', "file_names": [')
    invented = (f"{named.stem}/{index:06d}.jpg" for index in indices)
    _write_list(file, (json.dumps(name, ensure_ascii=False) for name in named.frames or invented))
    if named.unseen:
        file.write('], "interpolated": [')
        _write_list(file, map(str, named.unseen))
    file.write("]}],\n" + f'"categories": {json.dumps(categories)},\n"annotations": [')
    for number, (tracker_id, _, class_id) in enumerate(store.ids()):
        file.write(",\n" if number else "\n")
        head: dict[str, Any] = {"id": tracker_id, "video_id": 1, "category_id": class_id + 1, "iscrowd": 0}
        head |= {"width": frame_size[0], "height": frame_size[1], "length": len(indices)}
        if tracker_id in verdicts:
            head["attributes"] = {"verdict": verdicts[tracker_id]}
        file.write(json.dumps(head)[:-1])
        lists: tuple[tuple[str, Callable[[TrackMask], Any]], ...] = (
            ("segmentations", lambda row: make_coco_object(row.rle, frame_size, compressed)),
            ("bboxes", lambda row: to_xywh(row.box_px)),
            ("areas", lambda row: row.area_px),
        )
        for name, value in lists:
            file.write(f', "{name}": [')
            _write_list(file, _list_entries(indices, store.rows(tracker_id), value))
            file.write("]")
        file.write("}")
    file.write("\n]}\n")


def to_xywh(box_px: tuple[int, int, int, int]) -> list[int]:
    """COCO's box: x, y of the corner, width, height."""
    x_min, y_min, x_max, y_max = box_px
    return [x_min, y_min, x_max - x_min, y_max - y_min]


def _list_entries(indices: "array[int]", rows: Iterator[TrackMask], value: Callable[[TrackMask], Any]) -> Iterator[str]:
    """The list's entries; a stretch without the track is one string of nulls, as most of a long video is."""
    done = 0
    for row in rows:
        at = bisect_left(indices, row.frame_index, done)
        if at > done:
            yield ",".join(["null"] * (at - done))
        yield json.dumps(value(row))
        done = at + 1
    if done < len(indices):
        yield ",".join(["null"] * (len(indices) - done))


def _write_list(file: TextIO, entries: Iterable[str]) -> None:
    for number, entry in enumerate(entries):
        file.write("," + entry if number else entry)
