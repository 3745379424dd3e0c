"""Photographs of every kind that cameras leave, one by one and in a folder."""

import csv
import json

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from tests.helpers.clips import paint, read_barcode
from vidconcept.errors import InputError, OutputError, UsageError
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.stills import read_stills

NOISY = {"threshold": 0.02, "floor": 0.01, "hysteresis": 1.0, "min_area_px": 1, "height": 32, "width": 48}


@pytest.fixture(scope="module")
def small(tiny_model):
    return {"concepts": ("scratch", "mark=dent|scratch"), "model": str(tiny_model), "device": "cpu", **NOISY}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    turned = Image.fromarray(np.rot90(paint(1, (96, 64))))
    exif = turned.getexif()
    # Stored lying on its left side: to be turned clockwise.
    exif[274] = 6
    turned.save(folder / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(np.dstack([paint(2, (96, 64)), np.full((64, 96), 200, np.uint8)])).save(folder / "same.png")
    cv2.imwrite(str(folder / "same.tif"), paint(3, (96, 64)).astype(np.uint16) * 257)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    return folder


@pytest.fixture(scope="module")
def results(photos, small, tmp_path_factory):
    out = tmp_path_factory.mktemp("stills") / "out"
    warned = []
    return out, read_stills(photos, small, out, "error", Monitor(warn=warned.append)), warned


class TestFolder:
    def test_a_bad_file_costs_itself(self, results):
        out, rows, warned = results
        assert [(row.photo.name, bool(row.error)) for row in rows] == [
            ("broken.png", True),
            ("same.png", False),
            ("same.tif", False),
            ("turned.jpg", False),
        ]
        assert any("broken.png" in text for text in warned)
        table = list(csv.DictReader((out / "images.csv").open()))
        assert [(row["photo"], row["concept"]) for row in table[:3]] == [
            ("broken.png", ""),
            ("same.png", "scratch"),
            ("same.png", "mark"),
        ]
        assert table[0]["error"]

    def test_every_kind_is_read_upright_and_at_its_size(self, results):
        out, _, _ = results
        for folder, number in (("turned_jpg", 1), ("same_png", 2), ("same_tif", 3)):
            content = json.loads((out / folder / "image.json").read_text())
            assert (content["width_px"], content["height_px"]) == (96, 64)
            drawn = cv2.imread(str(out / folder / content["drawn"]))
            assert drawn.shape == (64, 96, 3)
            # Masks may tint the code; where they do not, it is that of the photo.
            if not content["findings"]:
                assert read_barcode(drawn[..., ::-1]) == number

    def test_masks_hold_what_the_json_says(self, results):
        _, rows, _ = results
        content = rows[1].content
        assert content["findings"]
        for concept, row in content["concepts"].items():
            mask = cv2.imread(str(rows[1].folder / row["mask"]), cv2.IMREAD_UNCHANGED)
            assert set(np.unique(mask)) <= {0, 255}
            own = [f["segmentation"] for f in content["findings"] if f["concept"] == concept]
            union = np.any([coco_mask.decode(s).astype(bool) for s in own], axis=0) if own else np.zeros((64, 96), bool)
            assert np.array_equal(mask > 0, union)
            assert row["area_px"] == union.sum()

    def test_resume_reads_only_what_is_not_there(self, results, photos, small):
        out, _, _ = results
        kept = (out / "turned_jpg" / "image.json").stat().st_mtime_ns
        (out / "same_png" / "heatmap.png").unlink()
        read_stills(photos, small, out, "resume", Monitor())
        assert (out / "turned_jpg" / "image.json").stat().st_mtime_ns == kept
        assert (out / "same_png" / "heatmap.png").is_file()
        # What comes to lie beside a photo does not change where its result is looked for.
        cv2.imwrite(str(photos / "turned.png"), np.zeros((64, 96, 3), np.uint8))
        try:
            rows = read_stills(photos, small, out, "resume", Monitor())
        finally:
            (photos / "turned.png").unlink()
        assert [row.folder.name for row in rows if row.photo.stem == "turned"] == ["turned_jpg", "turned_png"]
        assert (out / "turned_jpg" / "image.json").stat().st_mtime_ns == kept
        with pytest.raises(OutputError, match="already holds results"):
            read_stills(photos, small, out, "error", Monitor())


class TestOne:
    def test_a_wide_one_is_not_told_of_a_film(self, small, tmp_path):
        Image.fromarray(paint(0, (5000, 40))).save(tmp_path / "wide.png")
        warned: list[str] = []
        read_stills(tmp_path / "wide.png", small, tmp_path / "out", "error", Monitor(warn=warned.append))
        assert "thin defects are lost" in " ".join(warned)
        assert "annotated.mp4" not in " ".join(warned)

    def test_what_is_no_photo(self, small, photos, tmp_path):
        (tmp_path / "a.mp4").write_bytes(b"film")
        with pytest.raises(InputError, match=r"is not a photo.*vidconcept track"):
            read_stills(tmp_path / "a.mp4", small, tmp_path / "out", "error", Monitor())
        with pytest.raises(InputError):
            read_stills(photos / "broken.png", small, tmp_path / "out", "error", Monitor())
        assert not (tmp_path / "out").exists()

    def test_the_settings_are_wrong_for_all(self, photos, tmp_path):
        with pytest.raises(UsageError, match="does not know 'spatter'"):
            read_stills(photos, {"concepts": ("spatter",)}, tmp_path / "out", "error", Monitor())

    def test_a_folder_of_something_else_is_left_alone(self, small, photos, tmp_path):
        (tmp_path / "mine.txt").write_text("mine")
        with pytest.raises(OutputError, match="not empty"):
            read_stills(photos, small, tmp_path, "overwrite", Monitor())
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
