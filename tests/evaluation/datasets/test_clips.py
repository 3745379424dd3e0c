"""`clips.json` folders: every label has a concept and every picture a frame, or the place is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vidconcept.errors import InputError
from vidconcept.evaluation.datasets.dataset import read_grey, read_labels
from vidconcept.evaluation.datasets.read import read_dataset

MASK = np.zeros((24, 32), np.uint8)
MASK[4:10, 8:16] = 255
NOTHING, FULL = MASK * 0, MASK * 0 + 255
PAINTED = {
    "red": np.dstack([MASK, NOTHING, NOTHING]),
    "green": np.dstack([NOTHING, MASK, NOTHING]),
    "transparent": np.dstack([FULL, FULL, FULL, MASK]),
}


def write(root: Path, values: np.ndarray, name: str = "00000.png", **row: Any) -> Path:
    """A data set of one clip with one picture of truth."""
    (root / "annotations/line").mkdir(parents=True)
    (root / "clips.json").write_text(json.dumps([{"clip": "line", **row}]))
    Image.fromarray(values).save(root / "annotations/line" / name)
    return root


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"truth": "instances", "objects": {"1": "dent"}}, "object 255.*`objects`"),
        ({"truth": "instances", "objects": {}}, "object 255.*`objects`"),
        ({"truth": "mask", "concept": None}, "a defect.*`concept`"),
        ({"truth": "mask", "concpt": "dent"}, "a defect.*`concept`"),
    ],
)
def test_a_label_without_a_concept_is_refused(tmp_path, row, said):
    (clip,) = read_dataset(write(tmp_path, MASK, **row)).clips
    with pytest.raises(InputError, match=rf"00000\.png shows {said}.*Next: "):
        clip.truth(0)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"truth": "instances", "concept": "dent"}, "takes `objects`"),
        ({"truth": "mask", "objects": {"1": "dent"}}, "takes `concept`"),
        ({"truth": "mask", "concept": ""}, "at least 1 character"),
        ({"truth": "instances", "objects": {"0": "dent"}}, "at least 1"),
    ],
)
def test_words_that_the_kind_of_truth_does_not_take_are_refused(tmp_path, row, said):
    with pytest.raises(InputError, match=rf"clips\.json, 0.*{said}.*Next: "):
        read_dataset(write(tmp_path, MASK, **row))


@pytest.mark.parametrize("read", [read_labels, read_grey])
@pytest.mark.parametrize("paint", PAINTED)
def test_colour_and_transparency_are_refused(tmp_path, read, paint):
    path = tmp_path / "a.png"
    Image.fromarray(PAINTED[paint]).save(path)
    with pytest.raises(InputError, match="in colour or partly transparent"):
        read(path)


@pytest.mark.parametrize("read", [read_labels, read_grey])
@pytest.mark.parametrize("channels", [[MASK] * 3, [MASK, MASK, MASK, FULL]])
def test_grey_in_several_channels_is_read(tmp_path, read, channels):
    path = tmp_path / "a.png"
    Image.fromarray(np.dstack(channels)).save(path)
    assert (read(path) == MASK).all()


def test_a_mask_in_colours_of_a_palette_is_refused(tmp_path):
    image = Image.fromarray(MASK // 255)
    image.putpalette([0, 0, 0, 128, 0, 0])
    image.save(tmp_path / "a.png")
    assert (read_labels(tmp_path / "a.png") == MASK // 255).all()
    with pytest.raises(InputError, match="in colour"):
        read_grey(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["000000.png", "0.png", "frame.png", "00000.jpg"])
def test_a_picture_whose_name_is_no_frame_index_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=rf"1 picture whose name.*: {name}\. Next: "):
        read_dataset(write(tmp_path, MASK, name, truth="mask", concept="dent"))


def test_frames_beyond_five_digits_are_annotated(tmp_path):
    (clip,) = read_dataset(write(tmp_path, MASK, "100000.png", truth="mask", concept="dent")).clips
    assert (clip.truth(100_000).of("dent") == (MASK > 0)).all()
