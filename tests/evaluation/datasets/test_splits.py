"""The split that is asked for is the one that is read, or there is an error."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidconcept.errors import InputError, UsageError
from vidconcept.evaluation.datasets.read import read_dataset

TABLE = {"categories": [], "images": [{"id": 1, "file_name": "one.png", "height": 24, "width": 32}]}


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((24, 32), np.uint8))


def write_coco(folder: Path, *names: str) -> Path:
    picture(folder / "one.png")
    for name in names:
        (folder / name).write_text(json.dumps(TABLE))
    return folder


def write_vspw(folder: Path, *lists: str) -> Path:
    for video in ("a", "b"):
        picture(folder / "data" / video / "origin/0.png")
        picture(folder / "data" / video / "mask/0.png")
    (folder / "label_num_dic_final.json").write_text(json.dumps({"wall": 1}))
    (folder / "notes.txt").write_text("nothing\n")
    for name in lists:
        (folder / name).write_text("a\n")
    return folder


@pytest.mark.parametrize(
    ("names", "split", "read"),
    [
        (("instances_trainval.json", "instances_val.json"), None, "instances_val"),
        (("instances_train2017.json", "instances_trainval.json"), "train", "instances_train2017"),
        (("val.json", "valid.json"), "val", "val"),
        (("train.json", "valid.json"), "val", "valid"),
        (("captions_val.json", "instances_val2017.json"), "val", "instances_val2017"),
        (("instances_train.json",), None, "instances_train"),
        (("labels.json",), "train", "labels"),
    ],
)
def test_the_file_that_is_named_for_the_split_is_read(tmp_path, names, split, read):
    assert read_dataset(write_coco(tmp_path, *names), split=split).name == read


@pytest.mark.parametrize(
    ("names", "split"),
    [
        (("instances_val.json",), "train"),
        (("instances_val.json",), "nonsense"),
        (("instances_trainval.json",), "train"),
        (("a.json", "b.json"), None),
    ],
)
def test_a_file_of_another_split_is_not_read(tmp_path, names, split):
    with pytest.raises(InputError, match=rf"no JSON file of the split .*only {names[0]}.*Next: "):
        read_dataset(write_coco(tmp_path, *names), split=split)


def test_vspw_without_lists_is_read_whole_unless_a_split_is_asked_for(tmp_path):
    root = write_vspw(tmp_path)
    assert len(read_dataset(root).clips) == 2
    with pytest.raises(InputError, match=r"no split 'val'.*has no lists"):
        read_dataset(root, split="val")


def test_vspw_has_no_split_that_is_not_listed(tmp_path):
    root = write_vspw(tmp_path, "train.txt")
    assert [clip.name for clip in read_dataset(root, split="train").clips] == ["a"]
    with pytest.raises(InputError, match=r"no split 'test'.*`split=train`"):
        read_dataset(root, split="test")


def test_a_split_of_what_has_none_is_refused(tmp_path):
    (tmp_path / "clips.json").write_text(json.dumps([{"clip": "m", "concept": "dent", "truth": "mask"}]))
    with pytest.raises(UsageError, match="which has no splits"):
        read_dataset(tmp_path, split="val")
