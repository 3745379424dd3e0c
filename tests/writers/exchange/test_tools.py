"""Exports for annotation tools, read back as those tools read them, and compared mask by mask."""

import csv
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from tests.helpers.comparing import FRAMES, Exporter, Masks, assert_same
from tests.helpers.review_runs import CONCEPTS, SIZE
from vidconcept.types import TrackMask
from vidconcept.writers import tables
from vidconcept.writers.exchange.export import export


class TestCvat:
    def test_masks_are_as_cvat_describes_them(
        self, exported: Exporter, masks: Masks, rows: dict[tuple[int, int], TrackMask]
    ) -> None:
        """https://docs.cvat.ai/docs/manual/advanced/xml_format/: row-major run lengths inside left/top/width/height."""
        root = ElementTree.parse(exported("cvat")).getroot()
        assert root.findtext("version") == "1.1"
        assert [label.findtext("name") for label in root.iter("label")] == list(CONCEPTS)
        read_back = {}
        for track in root.iter("track"):
            first, *rest = track
            # CVAT reads the first mask of a track and no other, until it is outside on the next frame.
            assert first.get("outside") == "0"
            assert [(s.get("outside"), int(s.get("frame") or -1) - int(first.get("frame") or -1)) for s in rest] in (
                [("1", 1)],
                [],
            )
            left, top, width, height = (int(first.get(name) or -1) for name in ("left", "top", "width", "height"))
            counts = [int(count) for count in (first.get("rle") or "").split(",")]
            inside = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)
            mask = np.zeros((SIZE[1], SIZE[0]), bool)
            mask[top : top + height, left : left + width] = inside
            key = (int(first.get("frame") or -1), int(track.get("group_id") or -1))
            assert track.get("label") == rows[key].concept
            read_back[key] = mask
        assert_same(read_back, masks)

    @pytest.mark.parametrize("masks", ["rle", "polygon"])
    def test_tracks_end_where_an_export_of_a_part_ends(self, exported: Exporter, run_dir: Path, masks: str) -> None:
        cut_s = next(r.time_s for r in tables.read_frames(run_dir / "frames.csv") if r.frame_index == 10)
        root = ElementTree.parse(exported("cvat", masks=masks, end_s=cut_s)).getroot()
        last = {int(track.get("group_id") or -1): list(track)[-1] for track in root.iter("track")}
        assert last
        for shape in last.values():
            assert (shape.get("frame"), shape.get("outside")) == ("11", "1")

    @pytest.mark.parametrize("masks", ["rle", "polygon"])
    def test_no_shape_lies_beyond_the_video(self, exported: Exporter, masks: str) -> None:
        root = ElementTree.parse(exported("cvat", masks=masks)).getroot()
        frames = [int(shape.get("frame") or -1) for track in root.iter("track") for shape in track]
        assert max(frames) == int(root.findtext("meta/task/stop_frame") or -1) == FRAMES - 1

    def test_datumaro_reads_the_polygons(self, exported: Exporter, masks: Masks) -> None:
        datumaro = pytest.importorskip("datumaro")
        path = exported("cvat", masks="polygon")
        dataset = datumaro.Dataset.import_from(str(path.rename(path.with_suffix(".xml"))), "cvat")
        read_back, ends = {}, set()
        for item in dataset:
            for polygon in item.annotations:
                key = (item.attributes["frame"], int(polygon.attributes["tracker_id"]))
                if polygon.attributes["outside"]:
                    ends.add(key)
                    continue
                flat = coco_mask.frPyObjects([list(polygon.points)], SIZE[1], SIZE[0])
                read_back[key] = coco_mask.decode(coco_mask.merge(flat)).astype(bool)
        assert_same(read_back, masks)
        gone = {(frame + 1, tracker_id) for frame, tracker_id in masks if (frame + 1, tracker_id) not in masks}
        assert ends == {key for key in gone if key[0] < FRAMES}


class TestLabelStudio:
    def test_its_own_key_frame_reader_sees_the_same_lifespans(
        self, exported: Exporter, rows: dict[tuple[int, int], TrackMask]
    ) -> None:
        reader = pytest.importorskip("label_studio_sdk._extensions.label_studio_tools.postprocessing.video")
        path = exported("label-studio")
        task = json.loads(path.read_text(encoding="utf-8"))[0]
        assert task["data"]["video"] == "line cam.mp4"
        results = task["predictions"][0]["result"]
        assert {result["value"]["labels"][0] for result in results} == set(CONCEPTS)
        for result in reader.extract_key_frames(results):
            tracker_id = result["meta"]["tracker_id"]
            own = {frame: row for (frame, track), row in rows.items() if track == tracker_id}
            shown = {key["frame"]: key for key in result["value"]["sequence"]}
            # Label Studio counts from 1 at the declared 25 frames a second, whatever the video does.
            numbers = {round(row.time_s * 25) + 1: row for row in own.values()}
            assert numbers.keys() <= shown.keys()
            for number, row in numbers.items():
                x, y = shown[number]["x"] / 100 * SIZE[0], shown[number]["y"] / 100 * SIZE[1]
                w, h = shown[number]["width"] / 100 * SIZE[0], shown[number]["height"] / 100 * SIZE[1]
                assert (x, y, x + w, y + h) == pytest.approx(row.box_px)
            # Between two of our frames it may fill in; over a gap it must not.
            ordered = sorted(own.values(), key=lambda row: row.frame_index)
            for before, after in pairwise(ordered):
                if after.frame_index > before.frame_index + 1:
                    span = range(round(before.time_s * 25) + 2, round(after.time_s * 25) + 1)
                    assert len(span) > 0
                    assert not set(span) & shown.keys()

    @pytest.mark.parametrize("is_cut", [False, True])
    def test_an_export_of_a_part_states_the_length_of_the_whole_video(
        self, run_dir: Path, tmp_path: Path, is_cut: bool
    ) -> None:
        run, last_s = shutil.copytree(run_dir, tmp_path / "run"), 0.0
        for row in tables.read_frames(run / "frames.csv"):
            last_s = row.time_s
        length_s = last_s + (1.0 if is_cut else 0.04)
        manifest = json.loads((run / "run.json").read_text(encoding="utf-8"))
        manifest["video"] |= {"duration_s": length_s}
        manifest["settings"] = {"end_s": last_s + 0.02}
        (run / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
        export(run, "label-studio", tmp_path / "a.json", end_s=1.0)
        (task,) = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
        values = [result["value"] for result in task["predictions"][0]["result"]]
        assert values
        assert {value["framesCount"] for value in values} == {round(length_s * 25)}
        assert {value["duration"] for value in values} == {round(length_s * 25) / 25}

    def test_the_setup_names_every_concept(self, exported: Exporter) -> None:
        path = exported("label-studio")
        setup = ElementTree.parse(path.with_name(f"{path.stem}.config.xml")).getroot()
        assert [label.get("value") for label in setup.iter("Label")] == list(CONCEPTS)


class TestSupervision:
    def test_it_is_what_its_own_sink_writes(
        self, exported: Exporter, tmp_path: Path, masks: Masks, rows: dict[tuple[int, int], TrackMask]
    ) -> None:
        supervision = pytest.importorskip("supervision")
        path = exported("supervision")
        with open(path, encoding="utf-8", newline="") as file:
            read_back = list(csv.DictReader(file))
        with supervision.CSVSink(str(tmp_path / "sink.csv")) as sink:
            for frame in sorted({frame for frame, _ in rows}):
                own = [row for (index, _), row in rows.items() if index == frame]
                detections = supervision.Detections(
                    xyxy=np.array([row.box_px for row in own], float),
                    mask=np.array([masks[(frame, row.tracker_id)] for row in own]),
                    confidence=np.array([row.confidence for row in own]),
                    class_id=np.array([row.class_id for row in own]),
                    tracker_id=np.array([row.tracker_id for row in own]),
                )
                sink.append(detections, {"frame_index": frame})
        with open(tmp_path / "sink.csv", encoding="utf-8", newline="") as file:
            theirs = list(csv.DictReader(file))
        names = ("x_min", "y_min", "x_max", "y_max", "class_id", "confidence", "tracker_id")
        assert tuple(read_back[0])[:7] == tuple(theirs[0])[:7] == names
        assert [[float(row[name]) for name in names] for row in read_back] == [
            [float(row[name]) for name in names] for row in theirs
        ]
        assert [row["frame_index"] for row in read_back] == [row["frame_index"] for row in theirs]

    @pytest.mark.parametrize("is_empty", [True, False])
    def test_the_lines_of_the_page_read_a_frame(
        self,
        exported: Exporter,
        rows: dict[tuple[int, int], TrackMask],
        monkeypatch: pytest.MonkeyPatch,
        is_empty: bool,
    ) -> None:
        pytest.importorskip("supervision")
        page = Path(__file__).parents[3] / "docs" / "reference" / "exchange-formats.md"
        (lines,) = re.findall(r"```python\n(import csv, numpy.*?supervision.*?)```", page.read_text("utf-8"), re.DOTALL)
        path = exported("supervision")
        frame = FRAMES if is_empty else next(iter(rows))[0]
        space: dict[str, Any] = {}
        monkeypatch.chdir(path.parent)
        exec(lines.replace("line_cam.supervision.csv", path.name).replace('"120"', f'"{frame}"'), space)
        assert len(space["detections"]) == sum(index == frame for index, _ in rows)
