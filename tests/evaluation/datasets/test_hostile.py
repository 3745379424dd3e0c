"""Data sets of strangers: none crashes, hangs or fills the memory; each fault is an error with its place."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vidconcept.errors import InputError
from vidconcept.evaluation.datasets.read import read_dataset

H, W = 12, 16
SQUARE = [[2, 2, 8, 2, 8, 6, 2, 6]]
HUGE = {"size": [200_000, 200_000], "counts": [0, 40_000_000_000]}
COCO = {
    "categories": [{"id": 7, "name": "dent"}],
    "images": [{"id": 1, "file_name": "one.png", "height": H, "width": W}],
    "annotations": [{"id": 3, "image_id": 1, "category_id": 7, "segmentation": SQUARE}],
}
VIS = {
    "categories": [{"id": 7, "name": "dent"}],
    "videos": [{"id": 1, "file_names": ["clip/one.png"], "height": H, "width": W}],
    "annotations": [{"id": 3, "video_id": 1, "category_id": 7, "segmentations": [SQUARE]}],
}


def write(folder: Path, table: Any) -> Path:
    (folder / "clip").mkdir(exist_ok=True)
    for name in ("one.png", "clip/one.png"):
        cv2.imwrite(str(folder / name), np.zeros((H, W), np.uint8))
    path = folder / "truth.json"
    path.write_text(json.dumps(table))
    return path


def changed(table: dict, place: tuple, value: Any) -> dict:
    table = copy.deepcopy(table)
    inner = table
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return table


def read(path: Path, format: str | None = None) -> list:
    return [clip.truth(0) for clip in read_dataset(path, format).clips]


def test_the_tables_themselves_are_read(tmp_path):
    for table in (COCO, VIS):
        (truth,) = read(write(tmp_path, table))
        assert truth.masks.sum() == 6 * 4


@pytest.mark.parametrize("table", [[], {}, {"videos": [{}]}, {"images": [{}]}, "text", 7, None, {"videos": []}])
@pytest.mark.parametrize("format", [None, "coco", "youtube-vis"])
def test_what_is_no_table(tmp_path, table, format):
    with pytest.raises(InputError, match=r"truth\.json"):
        read(write(tmp_path, table), format)


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        ([[0, 0, 1e9, 0, 1e9, 1e9]], "segmentation"),
        ([[0, 0, 1e5, 0, 0, 1e5]], "an outline of"),
        ([[float("nan")] * 6], "segmentation"),
        ([[1, 2, 3]], "segmentation"),
        ([[1, 2, 3, 4, 5, 6, 7]], "pairs of x and y"),
        (HUGE, "its size is"),
        ({"size": [H, W], "counts": [5]}, "do not add up"),
        ({"size": [H, W], "counts": [-5, H * W + 5]}, "segmentation"),
        ({"size": [H, W], "counts": ""}, "the mask is empty"),
        ({"size": [H, W], "counts": "oooooooooooo"}, "the mask is empty"),
        ({"size": [H, W], "counts": "1"}, "does not have the"),
        ("text", "segmentation"),
        ({"counts": 3}, "segmentation"),
    ],
)
def test_masks_that_cannot_be(tmp_path, segmentation, said):
    for table, place in ((COCO, "segmentation"), (VIS, "segmentations")):
        value = segmentation if table is COCO else [segmentation]
        with pytest.raises(InputError, match=rf"truth\.json.*annotation.*{said}"):
            read(write(tmp_path, changed(table, ("annotations", 0, place), value)))


@pytest.mark.parametrize(
    ("table", "place", "value"),
    [
        (COCO, ("images", 0), {"id": 1, "file_name": "one.png", "height": 10**6, "width": 10**6}),
        (COCO, ("images", 0, "width"), 0),
        (COCO, ("annotations", 0, "category_id"), 8),
        (COCO, ("annotations", 0), {"id": 3, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3]}),
        (COCO, ("annotations", 0), {"id": 3, "image_id": 1, "category_id": 7, "bbox": [0, 0, 1e9, 1e9]}),
        (VIS, ("videos", 0), {"id": 1, "file_names": ["clip/one.png"], "height": 10**6, "width": 10**6}),
        (VIS, ("videos", 0, "file_names"), []),
        (VIS, ("annotations", 0, "segmentations"), []),
        (VIS, ("annotations", 0, "category_id"), 8),
        (VIS, ("categories",), {}),
    ],
)
def test_values_that_cannot_be(tmp_path, table, place, value):
    path = write(tmp_path, changed(table, place, value))
    with pytest.raises(InputError, match=r"truth\.json"):
        read(path)


@pytest.mark.parametrize(
    ("table", "place", "value", "said"),
    [
        (COCO, ("images",), [COCO["images"][0]] * 2, r"images\.1: an earlier row has the id 1"),
        (COCO, ("categories",), [{"id": 7, "name": "dent"}, {"id": 7, "name": "chip"}], r"categories\.1: an earlier"),
        (COCO, ("annotations",), COCO["annotations"] * 2, r"annotations\.1: an earlier row has the id 3"),
        (COCO, ("annotations", 0, "image_id"), "1", "annotation 3: images has no id '1'"),
        (VIS, ("videos",), [VIS["videos"][0]] * 2, r"videos\.1: an earlier row has the id 1"),
        (VIS, ("categories",), [{"id": 7, "name": "dent"}, {"id": 7, "name": "chip"}], r"categories\.1: an earlier"),
        (VIS, ("annotations",), VIS["annotations"] * 2, r"annotations\.1: an earlier row has the id 3"),
        (VIS, ("annotations", 0, "video_id"), 9, "annotation 3: videos has no id 9"),
    ],
)
def test_ids_that_lose_or_merge_annotations(tmp_path, table, place, value, said):
    with pytest.raises(InputError, match=rf"truth\.json, {said}.*Next: "):
        read(write(tmp_path, changed(table, place, value)))


def test_a_crowd_of_youtube_vis_counts_for_nothing(tmp_path):
    crowd = VIS["annotations"][0] | {"iscrowd": 1}
    (truth,) = read(write(tmp_path, changed(VIS, ("annotations", 0), crowd)))
    assert (truth.ids, int(truth.ignore.sum())) == ((), 6 * 4)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("clips.json", '{"clip": "m"}'),
        ("clips.json", '[{"clip": "m", "truth": "instances", "objects": {"one": "dent"}}]'),
        ("clips.json", "[" * 5000),
        ("label_num_dic_final.json", '{"wall": "many"}'),
        ("label_num_dic_final.json", "[]"),
    ],
)
def test_folders(tmp_path, file, content):
    (tmp_path / file).write_text(content)
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match=file):
        read_dataset(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_never_ends(tmp_path):
    os.mkfifo(tmp_path / "truth.json")
    os.mkfifo(tmp_path / "clips.json")
    for path in (tmp_path / "truth.json", Path("/dev/zero")):
        with pytest.raises(InputError, match=r"is a (pipe|device), not a file"):
            read_dataset(path)
