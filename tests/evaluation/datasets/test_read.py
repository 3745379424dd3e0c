"""Each data-set format, written small in its published layout and read back."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from vidconcept.errors import InputError, UsageError
from vidconcept.evaluation.datasets.dataset import Clip, Dataset
from vidconcept.evaluation.datasets.read import read_dataset

H, W = 24, 32


def picture(path, values=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((H, W, 3), 120, np.uint8) if values is None else values)


def box(y, x, number=1):
    labels = np.zeros((H, W), np.uint8)
    labels[y : y + 6, x : x + 8] = number
    return labels


def compressed(mask):
    runs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": runs["size"], "counts": runs["counts"].decode()}


def test_davis_2016_and_its_split(tmp_path):
    for name in ("bear", "car-turn"):
        for k in range(2):
            picture(tmp_path / "JPEGImages/480p" / name / f"{k:05d}.jpg")
            picture(tmp_path / "Annotations/480p" / name / f"{k:05d}.png", box(2, 3 + k) * 255)
    (tmp_path / "ImageSets/2016").mkdir(parents=True)
    (tmp_path / "ImageSets/2016/val.txt").write_text("car-turn\n")
    data = read_dataset(tmp_path)
    assert (data.format, [c.name for c in data.clips], data.concepts) == ("davis2016", ["car-turn"], ("car",))
    assert (data.clips[0].truth(1).of("car") == (box(2, 4) > 0)).all()


def test_davis_2016_as_first_published(tmp_path):
    for name in ("bear", "car-turn"):
        picture(tmp_path / "JPEGImages/480p" / name / "00000.jpg")
        picture(tmp_path / "Annotations/480p" / name / "00000.png", box(2, 3) * 255)
    (tmp_path / "ImageSets/480p").mkdir(parents=True)
    line = "/JPEGImages/480p/car-turn/00000.jpg /Annotations/480p/car-turn/00000.png \n"
    (tmp_path / "ImageSets/480p/val.txt").write_text(line * 2)
    data = read_dataset(tmp_path)
    assert (data.format, [c.name for c in data.clips]) == ("davis2016", ["car-turn"])
    with pytest.raises(InputError, match="`split=val`"):
        read_dataset(tmp_path, split="vla")


def test_davis_2017_is_told_by_its_own_lists_and_read_as_2016_where_asked(tmp_path):
    picture(tmp_path / "JPEGImages/480p/bear/00000.jpg")
    picture(tmp_path / "Annotations/480p/bear/00000.png", box(2, 3) + box(12, 20, 2))
    for year in ("2016", "2017"):
        (tmp_path / "ImageSets" / year).mkdir(parents=True)
        (tmp_path / "ImageSets" / year / "val.txt").write_text("bear\n")
    assert read_dataset(tmp_path).clips[0].truth(0).ids == (1, 2)
    # In 2016 all objects of a sequence are one.
    assert read_dataset(tmp_path, "davis2016").clips[0].truth(0).masks.sum() == 2 * 48


def test_davis_2017_palette_objects_and_their_words(tmp_path):
    picture(tmp_path / "JPEGImages/480p/bike-packing/00000.jpg")
    labels = box(2, 3) + box(12, 20, 2)
    labels[0, 0] = 255
    path = tmp_path / "Annotations/480p/bike-packing/00000.png"
    path.parent.mkdir(parents=True)
    image = Image.fromarray(labels)
    image.putpalette([200, 10, 10] * 256)
    image.save(path)
    (tmp_path / "davis_semantics.json").write_text(json.dumps({"bike-packing": {"1": "bicycle", "2": "person"}}))
    truth = read_dataset(tmp_path).clips[0].truth(0)
    assert (truth.concepts, truth.ids) == (("bicycle", "person"), (1, 2))
    assert (truth.of("person") == (labels == 2)).all()
    assert truth.ignore.sum() == 1


def test_youtube_vis_with_a_track_that_is_not_always_there(tmp_path):
    for k in (0, 5):
        picture(tmp_path / "JPEGImages/a" / f"{k:05d}.jpg")
    table = {
        "categories": [{"id": 3, "name": "duck"}],
        "videos": [{"id": 1, "height": H, "width": W, "file_names": ["a/00000.jpg", "a/00005.jpg"]}],
        "annotations": [{"id": 9, "video_id": 1, "category_id": 3, "segmentations": [None, compressed(box(4, 4))]}],
    }
    (tmp_path / "instances_val.json").write_text(json.dumps(table))
    data = read_dataset(tmp_path)
    assert (data.format, data.concepts) == ("youtube-vis", ("duck",))
    assert len(data.clips[0].truth(0).masks) == 0
    assert data.clips[0].truth(1).ids == (9,)
    assert (data.clips[0].truth(1).of("duck") == (box(4, 4) > 0)).all()


def test_pictures_of_the_split_test_make_no_mvtec(tmp_path):
    picture(tmp_path / "train/a/00000.jpg")
    picture(tmp_path / "test/b/00000.jpg")
    table = {
        "categories": [],
        "videos": [{"id": 1, "height": H, "width": W, "file_names": ["a/00000.jpg"]}],
        "annotations": [],
    }
    (tmp_path / "train.json").write_text(json.dumps(table))
    assert read_dataset(tmp_path).format == "youtube-vis"


def test_youtube_vis_beside_the_folder_of_its_split(tmp_path):
    picture(tmp_path / "val/JPEGImages/a/00000.jpg")
    (tmp_path / "val/JPEGImages/a/.listing").write_text("")
    table = {
        "categories": [{"id": 3, "name": "duck"}],
        "videos": [{"id": 1, "height": H, "width": W, "file_names": ["a/00000.jpg"]}],
        "annotations": [{"id": 9, "video_id": 1, "category_id": 3, "segmentations": [compressed(box(4, 4))]}],
    }
    (tmp_path / "val.json").write_text(json.dumps(table))
    assert read_dataset(tmp_path / "val.json").clips[0].truth(0).ids == (9,)


def test_youtube_vis_pictures_that_are_not_there_are_named(tmp_path):
    names = ["a/00000.jpg", "a/00005.jpg", "a/00010.jpg"]
    video = {"id": 7, "height": H, "width": W, "file_names": names}
    (tmp_path / "val.json").write_text(json.dumps({"categories": [], "videos": [video], "annotations": []}))
    picture(tmp_path / names[0])
    picture(tmp_path / "a/00005.png")
    with pytest.raises(InputError, match=r"names 2 pictures of video 7 .*: a/00005\.jpg, a/00010\.jpg\. Next: "):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("labels", "pictures"), [("Annotations/480p/bear", "JPEGImages/480p/bear"), ("data/v1/mask", "data/v1/origin")]
)
def test_labels_of_no_picture_are_named(tmp_path, labels, pictures):
    for name in ("00000", "00001"):
        picture(tmp_path / pictures / f"{name}.jpg")
    for name in ("00001", "frame_00000"):
        picture(tmp_path / labels / f"{name}.png", box(2, 3))
    if labels.startswith("data"):
        (tmp_path / "label_num_dic_final.json").write_text(json.dumps({"wall": 1}))
    with pytest.raises(InputError, match=r": 1 label picture without .*: frame_00000\.png\. Next: "):
        read_dataset(tmp_path)
    (tmp_path / labels / "frame_00000.png").unlink()
    # A picture without labels is not annotated.
    (clip,) = read_dataset(tmp_path).clips
    assert [clip.truth(index) is None for index in range(2)] == [True, False]


def test_coco_images_of_one_name_in_two_folders_stay_apart(tmp_path):
    names = ["a/one.jpg", "b/one.jpg"]
    for name in names:
        picture(tmp_path / name)
    images = [{"id": i, "file_name": name, "height": H, "width": W} for i, name in enumerate(names)]
    (tmp_path / "instances.json").write_text(json.dumps({"categories": [], "images": images, "annotations": []}))
    assert [clip.name for clip in read_dataset(tmp_path / "instances.json").clips] == ["a/one", "b/one"]


def test_coco_polygons_runs_and_crowds(tmp_path):
    picture(tmp_path / "images/one.jpg")
    crowd = box(12, 20).astype(bool)
    common = {"image_id": 1, "category_id": 7}
    table = {
        "categories": [{"id": 7, "name": "dent"}],
        "images": [{"id": 1, "file_name": "one.jpg", "height": H, "width": W}],
        "annotations": [
            {"id": 1, "segmentation": [[3, 2, 11, 2, 11, 8, 3, 8]], "iscrowd": 0, **common},
            {"id": 2, "segmentation": compressed(crowd), "iscrowd": 1, **common},
        ],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/instances_val.json").write_text(json.dumps(table))
    truth = read_dataset(tmp_path / "annotations/instances_val.json").clips[0].truth(0)
    assert (truth.of("dent") == (box(2, 3) > 0)).all()
    assert (truth.ignore == crowd).all()


def test_vspw_labels_by_its_dictionary(tmp_path):
    picture(tmp_path / "data/v1/origin/00000001.jpg")
    labels = box(2, 2, 2)
    labels[-1] = 255
    picture(tmp_path / "data/v1/mask/00000001.png", labels)
    (tmp_path / "label_num_dic_final.json").write_text(json.dumps({"others": 0, "wall": 1, "ceiling": 2}))
    (tmp_path / "val.txt").write_text("v1\n")
    data = read_dataset(tmp_path)
    truth = data.clips[0].truth(0)
    assert (data.format, truth.concepts) == ("vspw", ("ceiling",))
    assert truth.ignore.sum() == H * W - 48


def test_mvtec_with_good_and_defective_images(tmp_path):
    picture(tmp_path / "bottle/test/good/000.png")
    picture(tmp_path / "bottle/test/broken_large/000.png")
    picture(tmp_path / "bottle/ground_truth/broken_large/000_mask.png", box(5, 5) * 255)
    data = read_dataset(tmp_path, rename={"broken_large": "chip"})
    assert [c.name for c in data.clips] == ["bottle/broken_large/000", "bottle/good/000"]
    assert (data.clips[0].truth(0).of("chip") == (box(5, 5) > 0)).all()
    assert data.clips[1].concepts == ()
    assert data.clips[1].truth(0).masks.shape == (0, H, W)


def test_a_good_image_that_is_stored_turned_has_the_shape_that_is_read(tmp_path):
    (tmp_path / "test/good").mkdir(parents=True)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (W, H)).save(tmp_path / "test/good/000.jpg", exif=turned)
    assert read_dataset(tmp_path).clips[0].truth(0).masks.shape == (0, W, H)


def test_clips_folder_with_masks_boxes_and_instances(tmp_path):
    rows = [
        {"clip": "m", "concept": "crack", "truth": "mask"},
        {"clip": "g", "concept": None, "truth": "mask"},
        {"clip": "b", "concept": "scratch", "truth": "box"},
        {"clip": "i", "concept": None, "truth": "instances", "objects": {"1": "dent", "2": "hole"}},
    ]
    (tmp_path / "clips.json").write_text(json.dumps(rows))
    for row in rows:
        values = box(2, 2) + box(12, 12, 2) if row["truth"] == "instances" else box(2, 2) * 255
        picture(tmp_path / "annotations" / row["clip"] / "00003.png", values if row["clip"] != "g" else values * 0)
    mask, good, boxed, instances = read_dataset(tmp_path).clips
    assert mask.truth(3).ids == (1,)
    assert mask.truth(0) is None
    assert (good.concepts, len(good.truth(3).masks)) == ((), 0)
    assert (boxed.kind, mask.kind) == ("box", "mask")
    assert instances.truth(3).concepts == ("dent", "hole")


def test_clips_of_one_name_are_refused(tmp_path):
    clip = Clip("shift", tmp_path, (), lambda index: None)
    other = replace(clip, name="shift_2")
    assert len(Dataset("lines", "verdicts", (clip, other)).clips) == 2
    with pytest.raises(InputError, match=r"more than one clip: shift\. Next: "):
        Dataset("lines", "verdicts", (clip, other, clip))


@pytest.mark.parametrize("mode", ["1", "P", "L"])
def test_masks_of_any_depth(tmp_path, mode):
    (tmp_path / "clips.json").write_text(json.dumps([{"clip": "m", "concept": "crack", "truth": "mask"}]))
    (tmp_path / "annotations/m").mkdir(parents=True)
    Image.fromarray(box(2, 2) * 255).convert(mode).save(tmp_path / "annotations/m/00000.png")
    assert (read_dataset(tmp_path).clips[0].truth(0).of("crack") == (box(2, 2) > 0)).all()


def test_a_defect_that_enters_late_is_in_the_truth_of_davis_2017(tmp_path):
    for k in range(2):
        picture(tmp_path / f"JPEGImages/480p/bear/{k:05d}.jpg")
        picture(tmp_path / f"Annotations/480p/bear/{k:05d}.png", box(2, 3) * 0 + box(12, 20, 2) * k)
    (clip,) = read_dataset(tmp_path, "davis2017").clips
    assert clip.concepts == ("bear",)
    assert [clip.truth(k).ids for k in range(2)] == [(), (2,)]


def test_coco_as_published_has_other_tables_of_the_split(tmp_path):
    picture(tmp_path / "val/one.jpg")
    image = {"id": 1, "file_name": "one.jpg", "height": H, "width": W}
    table = {"categories": [{"id": 7, "name": "dent"}], "images": [image], "annotations": []}
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/instances_val.json").write_text(json.dumps(table))
    (tmp_path / "annotations/captions_val.json").write_text(json.dumps({"images": [image]}))
    assert [c.name for c in read_dataset(tmp_path).clips] == ["one"]
    with pytest.raises(InputError, match="not a COCO instances file"):
        read_dataset(tmp_path / "annotations/captions_val.json", "coco")


def test_coco_with_boxes_alone(tmp_path):
    picture(tmp_path / "images/one.jpg")
    image = {"id": 1, "file_name": "one.jpg", "height": H, "width": W}
    shared = {"image_id": 1, "category_id": 7, "bbox": [4, 6, 5, 3]}
    table = {"categories": [{"id": 7, "name": "dent"}], "images": [image]}
    for own in ({"segmentation": []}, {}):
        (tmp_path / "coco.json").write_text(json.dumps(table | {"annotations": [{"id": 1, **shared, **own}]}))
        (clip,) = read_dataset(tmp_path / "coco.json").clips
        rows, columns = np.nonzero(clip.truth(0).of("dent"))
        assert clip.kind == "box"
        assert (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1) == (4, 9, 6, 9)
    (tmp_path / "coco.json").write_text(
        json.dumps(table | {"annotations": [{"id": 3, "image_id": 1, "category_id": 7}]})
    )
    with pytest.raises(InputError, match="annotation 3 has neither"):
        read_dataset(tmp_path / "coco.json")


class TestErrors:
    def test_no_data_set(self, tmp_path):
        with pytest.raises(InputError, match="not a known data set"):
            read_dataset(tmp_path)

    def test_a_json_file_deeper_down_is_to_be_named(self, tmp_path):
        for split in ("test", "valid"):
            picture(tmp_path / split / "one.jpg")
            (tmp_path / split / "_annotations.coco.json").write_text("{}")
        with pytest.raises(InputError, match=r"Next: .*, or the path of its JSON file"):
            read_dataset(tmp_path)

    def test_unknown_word_to_rename(self, tmp_path):
        (tmp_path / "clips.json").write_text(json.dumps([{"clip": "m", "concept": "crack", "truth": "mask"}]))
        with pytest.raises(UsageError, match="crack"):
            read_dataset(tmp_path, rename={"krack": "chip"})

    def test_a_row_that_is_not_described(self, tmp_path):
        (tmp_path / "clips.json").write_text(json.dumps([{"name": "m"}]))
        with pytest.raises(InputError, match="Next: lay the data set out as docs/reference/data-sets"):
            read_dataset(tmp_path)

    def test_a_kind_of_truth_that_does_not_exist(self, tmp_path):
        (tmp_path / "clips.json").write_text(json.dumps([{"clip": "m", "concept": "crack", "truth": "polygon"}]))
        with pytest.raises(InputError, match=r"0\.truth: .*'mask', 'box' or 'instances', got 'polygon'"):
            read_dataset(tmp_path)


@pytest.mark.parametrize("format", [None, "youtube-vis"])
def test_a_film_is_no_data_set_and_a_next_step_is_told(tmp_path, format):
    film = tmp_path / "film.mp4"
    film.write_bytes(b"\0\0\0\x20ftypisom\xff\xfe")
    said = "is not a labelled data set" if format is None else "is not UTF-8 text"
    with pytest.raises(InputError, match=rf"film.mp4 {said}.* Next: "):
        read_dataset(film, format)


def test_a_damaged_json_file_is_told_with_its_place(tmp_path):
    (tmp_path / "a.json").write_text('{"images": [')
    with pytest.raises(InputError, match=r"is not JSON: .*line 1 column 13"):
        read_dataset(tmp_path / "a.json")
