"""Exports for data sets and metrics, read back by readers that others wrote, and compared mask by mask."""

import csv
import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from tests.helpers.comparing import FRAMES, Exporter, Masks, assert_same, disjoint
from tests.helpers.review_runs import CONCEPTS, SIZE
from tests.helpers.small_runs import tree
from vidconcept.errors import InputError, UsageError
from vidconcept.types import TrackMask
from vidconcept.writers import tables
from vidconcept.writers.exchange.export import FORMATS, export


def test_the_run_overlaps_and_has_a_gap(masks: Masks, rows: dict[tuple[int, int], TrackMask]) -> None:
    assert any((masks[key] != mask).any() for key, mask in disjoint(masks, rows).items())
    assert {frame for frame, _ in masks} >= {19, 24}
    assert not {frame for frame, _ in masks} & {20, 21, 22, 23}


class TestCsv:
    def test_rle(self, exported: Exporter, rows: dict[tuple[int, int], TrackMask]) -> None:
        path = exported("csv")
        assert {(r.frame_index, r.tracker_id): r for r in tables.read_tracks(path)} == rows
        with open(path, encoding="utf-8", newline="") as file:
            verdicts = {int(row["tracker_id"]): row["verdict"] for row in csv.DictReader(file)}
        assert verdicts == {1: "accept", 2: "reject", 3: "", 4: "unsure"}

    def test_polygons(self, exported: Exporter, masks: Masks) -> None:
        read_back = {}
        with open(exported("csv", masks="polygon"), encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                flat = coco_mask.frPyObjects(json.loads(row["mask_polygon"]), SIZE[1], SIZE[0])
                key = (int(row["frame_index"]), int(row["tracker_id"]))
                read_back[key] = coco_mask.decode(coco_mask.merge(flat)).astype(bool)
        assert_same(read_back, masks)


class TestCoco:
    @pytest.mark.parametrize("kind", ["rle", "polygon"])
    def test_pycocotools_reads_the_same_masks(self, exported: Exporter, masks: Masks, kind: str) -> None:
        path = exported("coco", masks=kind)
        with redirect_stdout(io.StringIO()):
            coco = COCO(str(path))
        assert {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())} == dict(enumerate(CONCEPTS, start=1))
        assert len(coco.imgs) == FRAMES
        read_back = {}
        for annotation in coco.anns.values():
            frame = coco.imgs[annotation["image_id"]]["frame_index"]
            read_back[(frame, annotation["track_id"])] = coco.annToMask(annotation).astype(bool)
        assert_same(read_back, masks)


class TestYoutubeVis:
    def test_trackeval_reads_the_same_masks(self, exported: Exporter, tmp_path: Path, masks: Masks) -> None:
        trackeval = pytest.importorskip("trackeval")
        folder = tmp_path / "gt" / "youtube_vis_val"
        folder.mkdir(parents=True)
        exported("youtube-vis").rename(folder / "truth.json")
        # The reader wants a tracker too, whose results are a plain list with scores.
        results = tmp_path / "trackers" / "youtube_vis_val" / "none" / "data"
        results.mkdir(parents=True)
        (results / "results.json").write_text("[]")
        with redirect_stdout(io.StringIO()):
            data = trackeval.datasets.YouTubeVIS(
                {
                    "GT_FOLDER": f"{tmp_path}/gt/",
                    "TRACKERS_FOLDER": f"{tmp_path}/trackers/",
                    "SPLIT_TO_EVAL": "val",
                    "PRINT_CONFIG": False,
                }
            )
            raw = data._load_raw_file("none", "line cam", is_gt=True)
        assert data.class_list == list(CONCEPTS)
        read_back = {
            (frame, int(tracker_id)): coco_mask.decode(mask).astype(bool)
            for frame in range(FRAMES)
            for tracker_id, mask in zip(raw["gt_ids"][frame], raw["gt_dets"][frame], strict=True)
        }
        assert_same(read_back, masks)


class TestMots:
    def test_trackeval_reads_the_same_masks(
        self, exported: Exporter, tmp_path: Path, masks: Masks, rows: dict[tuple[int, int], TrackMask]
    ) -> None:
        trackeval = pytest.importorskip("trackeval")
        folder = exported("mots")
        assert (folder / "labels.txt").read_text(encoding="utf-8").splitlines() == [
            f"{number} {name}" for number, name in enumerate(CONCEPTS, start=1)
        ]
        # TrackEval knows one class, "pedestrian", which is number 2.
        only_second = [line for line in (folder / "line cam.txt").read_text().splitlines() if line.split(" ")[2] == "2"]
        (tmp_path / "gt" / "seq" / "gt").mkdir(parents=True)
        (tmp_path / "gt" / "seq" / "gt" / "gt.txt").write_text("\n".join(only_second) + "\n")
        (tmp_path / "tr" / "own" / "data").mkdir(parents=True)
        (tmp_path / "tr" / "own" / "data" / "seq.txt").write_text("\n".join(only_second) + "\n")
        with redirect_stdout(io.StringIO()):
            data = trackeval.datasets.MOTSChallenge(
                {
                    "GT_FOLDER": str(tmp_path / "gt"),
                    "TRACKERS_FOLDER": str(tmp_path / "tr"),
                    "SKIP_SPLIT_FOL": True,
                    "SEQ_INFO": {"seq": FRAMES},
                    "PRINT_CONFIG": False,
                }
            )
            raw = data.get_raw_seq_data("own", "seq")
            seen = data.get_preprocessed_seq_data(raw, "pedestrian")
            hota = trackeval.metrics.HOTA().eval_sequence(seen)
        assert float(np.mean(hota["HOTA"])) == pytest.approx(1.0)
        second = {key: mask for key, mask in disjoint(masks, rows).items() if rows[key].class_id == 1}
        instance = {2001: next(tracker_id for _, tracker_id in second)}
        read_back = {
            (frame, instance[int(number)]): coco_mask.decode(mask).astype(bool)
            for frame in range(FRAMES)
            for number, mask in zip(raw["gt_ids"][frame], raw["gt_dets"][frame], strict=True)
        }
        assert_same(read_back, second)

    def test_no_pixel_has_two_owners(self, exported: Exporter) -> None:
        taken: dict[int, np.ndarray] = {}
        for line in (exported("mots") / "line cam.txt").read_text().splitlines():
            frame, number, kind, height, width, text = line.split(" ")
            assert int(number) // 1000 == int(kind)
            mask = coco_mask.decode({"size": [int(height), int(width)], "counts": text}).astype(bool)  # pyright: ignore
            assert not (taken.setdefault(int(frame), np.zeros_like(mask)) & mask).any()
            taken[int(frame)] |= mask
        assert min(taken) == 1  # frames start at 1


class TestMot:
    def test_datumaro_reads_the_same_boxes(self, exported: Exporter, rows: dict[tuple[int, int], TrackMask]) -> None:
        datumaro = pytest.importorskip("datumaro")
        dataset = datumaro.Dataset.import_from(str(exported("mot")), "mot_seq")
        names = [label.name for label in dataset.categories()[datumaro.AnnotationType.label].items]
        assert names == list(CONCEPTS)
        read_back = {}
        for item in dataset:
            for box in item.annotations:
                x, y, w, h = box.get_bbox()
                read_back[(int(item.id) - 1, box.attributes["track_id"])] = ((x, y, x + w, y + h), box.label)
        assert read_back == {key: (row.box_px, row.class_id) for key, row in rows.items()}

    def test_trackeval_reads_the_results(
        self, exported: Exporter, tmp_path: Path, rows: dict[tuple[int, int], TrackMask]
    ) -> None:
        trackeval = pytest.importorskip("trackeval")
        folder = exported("mot")
        (tmp_path / "gt").mkdir()
        folder.rename(tmp_path / "gt" / "seq")
        (tmp_path / "tr" / "own" / "data").mkdir(parents=True)
        (tmp_path / "gt" / "seq" / "results.txt").rename(tmp_path / "tr" / "own" / "data" / "seq.txt")
        with redirect_stdout(io.StringIO()):
            data = trackeval.datasets.MotChallenge2DBox(
                {
                    "GT_FOLDER": str(tmp_path / "gt"),
                    "TRACKERS_FOLDER": str(tmp_path / "tr"),
                    "SKIP_SPLIT_FOL": True,
                    "SEQ_INFO": {"seq": None},  # the length comes from our seqinfo.ini
                    "DO_PREPROC": False,
                    "PRINT_CONFIG": False,
                }
            )
            raw = data.get_raw_seq_data("own", "seq")
        assert raw["num_timesteps"] == FRAMES
        read_back = {
            (frame, int(tracker_id)): round(float(score), 4)
            for frame in range(FRAMES)
            for tracker_id, score in zip(raw["tracker_ids"][frame], raw["tracker_confidences"][frame], strict=True)
        }
        assert read_back == {key: row.confidence for key, row in rows.items()}


class TestDavis:
    def test_trackeval_reads_the_same_masks(
        self, exported: Exporter, tmp_path: Path, masks: Masks, rows: dict[tuple[int, int], TrackMask]
    ) -> None:
        trackeval = pytest.importorskip("trackeval")
        folder = exported("davis")
        (tmp_path / "tr" / "own").mkdir(parents=True)
        (tmp_path / "tr" / "own" / "data").symlink_to(folder / "Annotations")
        with redirect_stdout(io.StringIO()):
            data = trackeval.datasets.DAVIS(
                {
                    "GT_FOLDER": str(folder / "Annotations"),
                    "TRACKERS_FOLDER": str(tmp_path / "tr"),
                    "PRINT_CONFIG": False,
                }
            )
            raw = data._load_raw_file("own", "line cam", is_gt=False)
        with open(folder / "objects.csv", encoding="utf-8", newline="") as file:
            tracker_of = {int(row["index"]): int(row["tracker_id"]) for row in csv.DictReader(file)}
        read_back = {
            (frame, tracker_of[int(index)]): coco_mask.decode(mask).astype(bool)
            for frame in range(FRAMES)
            for index, mask in zip(raw["tracker_ids"][frame], raw["tracker_dets"][frame], strict=True)
        }
        assert_same(read_back, disjoint(masks, rows))

    def test_a_shorter_export_into_the_same_place_leaves_no_older_frame(
        self, exported: Exporter, rows: dict[tuple[int, int], TrackMask]
    ) -> None:
        folder = exported("davis") / "Annotations" / "line cam"
        assert len(list(folder.glob("*.png"))) == FRAMES
        (folder / "mine.png").touch()
        end_s = max(row.time_s for (frame, _), row in rows.items() if frame <= 15)
        exported("davis", end_s=end_s)
        assert sorted(path.name for path in folder.glob("*.png")) == [*(f"{k:05d}.png" for k in range(16)), "mine.png"]


class TestFilters:
    def test_by_verdict(self, exported: Exporter) -> None:
        assert {r.tracker_id for r in tables.read_tracks(exported("csv", verdict=["accept", "unsure"]))} == {1, 4}
        assert {r.tracker_id for r in tables.read_tracks(exported("csv", verdict=["open"]))} == {3}

    def test_by_concept(self, exported: Exporter) -> None:
        assert {r.concept for r in tables.read_tracks(exported("csv", concepts=["=1+1"]))} == {"=1+1"}

    def test_words_in_one_string(self, exported: Exporter) -> None:
        assert {r.tracker_id for r in tables.read_tracks(exported("csv", verdict="accept, unsure"))} == {1, 4}
        assert {r.concept for r in tables.read_tracks(exported("csv", concepts="=1+1"))} == {"=1+1"}

    def test_by_time(self, exported: Exporter, rows: dict[tuple[int, int], TrackMask]) -> None:
        read_back = list(tables.read_tracks(exported("csv", start_s=0.5, end_s=0.7)))
        assert [r.time_s for r in read_back] == sorted(r.time_s for r in rows.values() if 0.5 <= r.time_s <= 0.7)

    def test_a_span_between_two_frames_has_no_track(self, run_dir: Path, tmp_path: Path) -> None:
        told = export(run_dir, "coco", tmp_path / "none.json", start_s=0.501, end_s=0.502)
        assert told.startswith("0 tracks as coco")
        assert json.loads((tmp_path / "none.json").read_text(encoding="utf-8"))["annotations"] == []

    @pytest.mark.parametrize("span", [{"start_s": float("nan")}, {"end_s": float("inf")}, {"start_s": "5"}])
    def test_seconds_that_are_no_number(self, run_dir: Path, tmp_path: Path, span: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match="is not a finite number"):
            export(run_dir, "csv", tmp_path / "x", **span)

    @pytest.mark.parametrize("to", FORMATS)
    def test_nothing_selected_is_an_empty_export(self, exported: Exporter, to: str) -> None:
        assert exported(to, concepts=["=1+1"], end_s=0.0).exists()

    @pytest.mark.parametrize("to", FORMATS)
    def test_the_run_itself_is_no_place_for_an_export(self, run_dir: Path, to: str) -> None:
        before = tree(run_dir)
        with pytest.raises(UsageError, match="would take the place of what is read"):
            export(run_dir, to, run_dir)
        assert tree(run_dir) == before

    def test_words_that_nobody_knows(self, run_dir: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"unknown format 'no-such'.*Next: one of csv, coco"):
            export(run_dir, "no-such", tmp_path / "x")
        with pytest.raises(UsageError, match="no verdict 'good'"):
            export(run_dir, "csv", tmp_path / "x", verdict=["good"])
        with pytest.raises(UsageError, match="has no concept 'dent'"):
            export(run_dir, "csv", tmp_path / "x", concepts=["dent"])
        with pytest.raises(UsageError, match="davis holds no polygons"):
            export(run_dir, "davis", tmp_path / "x", masks="polygon")
        with pytest.raises(InputError, match="give one that track made"):
            export(tmp_path, "csv", tmp_path / "x")
