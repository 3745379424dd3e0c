"""Data sets of pictures: a label belongs to the picture of its name, whichever of them can be read."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.helpers.reading import read
from vidconcept.errors import InputError
from vidconcept.evaluation.datasets.read import read_dataset

H, W, PICTURES = 24, 32, 4
OUTLINE = [[4, 4, 12, 4, 12, 12, 4, 12]]


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def noise(number):
    return np.random.default_rng(number).integers(0, 255, (H, W, 3), dtype=np.uint8)


def label(number):
    values = np.zeros((H, W), np.uint8)
    values[4:12, 4:12] = number
    return values


def write_labelled(root, pictures, labels):
    """Pictures of noise with labels: object k + 1 on picture k."""
    for k in range(PICTURES):
        save(root / pictures / f"{k:05d}.png", noise(k))
        save(root / labels / f"{k:05d}.png", label(k + 1))
    return root / pictures


def write_davis(root):
    return write_labelled(root, "JPEGImages/480p/line", "Annotations/480p/line")


def write_vspw(root):
    words = {f"kind {k}": k + 1 for k in range(PICTURES)}
    root.mkdir(exist_ok=True)
    (root / "label_num_dic_final.json").write_text(json.dumps(words))
    return write_labelled(root, "data/line/origin", "data/line/mask")


def write_vis(root, names=None, frames=PICTURES):
    """Annotation k + 1 is on picture k alone."""
    for k in range(PICTURES):
        save(root / "line" / f"{k:05d}.png", noise(k))
    names = names or [f"line/{k:05d}.png" for k in range(PICTURES)]
    table = {
        "categories": [{"id": 1, "name": "dent"}],
        "videos": [{"id": 1, "height": H, "width": W, "file_names": names}],
        "annotations": [
            {
                "id": k + 1,
                "video_id": 1,
                "category_id": 1,
                "segmentations": [OUTLINE if k == n else None for n in range(frames)],
            }
            for k in range(PICTURES)
        ],
    }
    (root / "instances.json").write_text(json.dumps(table))
    return root / "line"


def ids_by_picture(clip):
    """Ids of the objects on each frame that is read, by the name of its picture; None where it is not annotated."""
    found = {frame.name: clip.find_truth(frame.index, frame.name) for frame in read(clip.source, fps=1)}
    return {name: truth and truth.ids for name, truth in found.items()}


@pytest.mark.parametrize("write", [write_davis, write_vspw, write_vis])
def test_a_picture_that_cannot_be_read_leaves_the_others_their_truth(write, tmp_path):
    pictures = write(tmp_path)
    (pictures / "00001.png").write_bytes(b"broken")
    (clip,) = read_dataset(tmp_path).clips
    assert ids_by_picture(clip) == {"00000.png": (1,), "00002.png": (3,), "00003.png": (4,)}


def test_a_file_of_several_pages_is_not_annotated_and_moves_nothing(tmp_path):
    pictures = write_davis(tmp_path)
    (pictures / "00000.png").unlink()
    pages = [Image.fromarray(noise(9 + k)) for k in range(2)]
    pages[0].save(pictures / "00000.tif", save_all=True, append_images=pages[1:])
    (clip,) = read_dataset(tmp_path).clips
    assert [*ids_by_picture(clip).values()] == [None, None, (2,), (3,), (4,)]


def test_labels_that_are_alike_and_named_as_copies_are_all_read(tmp_path):
    for k in range(3):
        name = f"line ({k}).png" if k else "line.png"
        save(tmp_path / "JPEGImages/480p/line" / name, noise(k))
        save(tmp_path / "Annotations/480p/line" / name, label(0))
    (clip,) = read_dataset(tmp_path, "davis2017").clips
    assert ids_by_picture(clip) == {"line.png": (), "line (1).png": (), "line (2).png": ()}


def test_a_copy_of_a_picture_may_have_its_label(tmp_path):
    pictures = write_davis(tmp_path)
    for folder in (pictures, tmp_path / "Annotations/480p/line"):
        shutil.copy(folder / "00000.png", folder / "00000 (1).png")
    (clip,) = read_dataset(tmp_path).clips
    assert ids_by_picture(clip) == {f"{k:05d}.png": (k + 1,) for k in range(PICTURES)}


class TestYoutubeVis:
    def test_pictures_of_two_folders_are_refused(self, tmp_path):
        save(tmp_path / "more/00009.png", noise(9))
        write_vis(tmp_path, ["line/00000.png", "line/00001.png", "more/00009.png", "line/00002.png"])
        with pytest.raises(InputError, match=r"video 1 .*: more/00009\.png\. Next: "):
            read_dataset(tmp_path)

    def test_a_picture_that_is_named_twice_is_refused(self, tmp_path):
        write_vis(tmp_path, ["line/00000.png", "line/00000.png", "line/00001.png", "line/00002.png"])
        with pytest.raises(InputError, match=r"video 1 .*: line/00000\.png\. Next: "):
            read_dataset(tmp_path)

    @pytest.mark.parametrize("frames", [PICTURES - 1, PICTURES + 1])
    def test_segmentations_are_as_many_as_frames(self, frames, tmp_path):
        write_vis(tmp_path, frames=frames)
        with pytest.raises(InputError, match=rf"annotation 1: {frames} segmentations for 4 frames\. Next: "):
            read_dataset(tmp_path)
