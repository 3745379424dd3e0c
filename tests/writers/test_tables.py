"""The tables and masks.json are a contract: columns, values, and what a spreadsheet makes of them."""

import csv
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from tests.helpers.review_runs import CONCEPTS, draw, make_run
from vidconcept.errors import InputError, OutputError
from vidconcept.files import open_replacing
from vidconcept.pipelines.waiting import FrameRef
from vidconcept.tracks import rle
from vidconcept.tracks.components import from_points
from vidconcept.tracks.place import scale_to_source
from vidconcept.tracks.polygons import polygons
from vidconcept.types import Origin, Region
from vidconcept.writers import tables
from vidconcept.writers.cells import escape_text, unescape_text, write_rows
from vidconcept.writers.journal import TrackJournal
from vidconcept.writers.rows import format_track


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables") / "run"
    make_run(folder, video=False)
    return folder


def header(path: Path) -> str:
    return path.read_text(encoding="utf-8").split("\n", 1)[0]


class TestColumns:
    def test_frames(self, run_dir: Path) -> None:
        assert header(run_dir / "frames.csv") == (
            "video,frame_index,pts,time_s,concept,score_max,score_mean,area_px,tracks,latent_index,window_index,"
            "interpolated,source_frame"
        )

    def test_tracks(self, run_dir: Path) -> None:
        assert header(run_dir / "tracks.csv") == (
            "video,frame_index,pts,time_s,concept,class_id,tracker_id,confidence,x_min,y_min,x_max,y_max,area_px,"
            "score_mean,score_max,latent_index,window_index,interpolated,mask_rle,source_frame,edges"
        )

    def test_events(self, run_dir: Path) -> None:
        assert header(run_dir / "events.csv") == (
            "event_id,tracker_id,concept,start_frame,end_frame,start_s,end_s,peak_frame,peak_score,max_area_px,"
            "x_min,y_min,x_max,y_max,verdict"
        )


class TestFrames:
    def test_every_frame_has_a_row_for_every_concept(self, run_dir: Path) -> None:
        rows = list(tables.read_frames(run_dir / "frames.csv"))
        assert [(r.frame_index, r.concept) for r in rows] == [(i, c) for i in range(70) for c in CONCEPTS]
        assert any(r.tracks == 0 and r.area_px == 0 for r in rows)

    def test_they_add_up_to_the_tracks(self, run_dir: Path) -> None:
        areas: dict[tuple[int, str], list[int]] = {}
        for track in tables.read_tracks(run_dir / "tracks.csv"):
            areas.setdefault((track.frame_index, track.concept), []).append(track.area_px)
        for row in tables.read_frames(run_dir / "frames.csv"):
            own = areas.get((row.frame_index, row.concept), [])
            assert (row.tracks, row.area_px) == (len(own), sum(own))

    def test_time_is_the_frame_s_own(self, run_dir: Path) -> None:
        rows = [r for r in tables.read_frames(run_dir / "frames.csv") if r.concept == CONCEPTS[0]]
        assert rows[0].time_s == 0
        assert [r.time_s for r in rows] == pytest.approx([r.pts / 12800 for r in rows], abs=1e-6)
        assert len({round(b.time_s - a.time_s, 3) for a, b in pairwise(rows)}) == 2  # variable


class TestTracks:
    def test_masks_and_boxes_agree(self, run_dir: Path) -> None:
        for row in tables.read_tracks(run_dir / "tracks.csv"):
            mask = rle.decode(row.rle, (320, 180))
            ys, xs = np.nonzero(mask)
            assert row.box_px == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
            assert row.area_px == mask.sum()
            assert 0 <= row.score_mean <= row.score_max <= 1

    def test_masks_cover_what_was_drawn(self, run_dir: Path) -> None:
        for frame, rows in tables.read_tracks_by_frame(run_dir / "tracks.csv"):
            _, scores = draw(frame, len(CONCEPTS), (320, 180))
            for class_id in range(len(CONCEPTS)):
                own = [rle.decode(r.rle, (320, 180)) for r in rows if r.class_id == class_id]
                if own:
                    assert (np.logical_or.reduce(own) <= (scores[class_id] > 0.5)).all()

    def test_the_occlusion_does_not_make_new_tracks(self, run_dir: Path) -> None:
        events = tables.read_events(run_dir / "events.csv")
        assert [e.concept for e in events if e.start_frame == 0] == [CONCEPTS[0], CONCEPTS[1]]
        assert all(not 20 <= e.start_frame <= 25 for e in events)
        assert not {20, 21, 22, 23} & {row.frame_index for row in tables.read_tracks(run_dir / "tracks.csv")}

    def test_every_track_is_an_event_and_back(self, run_dir: Path) -> None:
        events = tables.read_events(run_dir / "events.csv")
        rows = list(tables.read_tracks(run_dir / "tracks.csv"))
        assert {e.tracker_id for e in events} == {r.tracker_id for r in rows} == set(range(1, len(events) + 1))
        for event in events:
            own = [r for r in rows if r.tracker_id == event.tracker_id]
            assert (event.start_frame, event.end_frame) == (own[0].frame_index, own[-1].frame_index)
            assert (event.start_s, event.end_s) == (own[0].time_s, own[-1].time_s)
            assert event.peak_score == max(r.score_max for r in own)
            assert event.max_area_px == max(r.area_px for r in own)
            peak = next(r for r in own if r.frame_index == event.peak_frame)
            assert (peak.score_max, peak.box_px) == (event.peak_score, event.box_px)


class TestRoundTrip:
    def test_tracks_and_events_are_read_back_as_they_were_written(self, run_dir: Path, tmp_path: Path) -> None:
        with (tmp_path / "t.csv").open("w", newline="") as file:
            rows = (format_track("line cam.mp4", track) for track in tables.read_tracks(run_dir / "tracks.csv"))
            write_rows(file, [tables.TRACK_COLUMNS, *rows])
        tables.write_events(tmp_path / "e.csv", tables.read_events(run_dir / "events.csv"))
        assert (tmp_path / "t.csv").read_bytes() == (run_dir / "tracks.csv").read_bytes()
        assert (tmp_path / "e.csv").read_bytes() == (run_dir / "events.csv").read_bytes()

    def test_a_table_that_a_spreadsheet_saved_is_read(self, run_dir: Path, tmp_path: Path) -> None:
        text = (run_dir / "events.csv").read_text(encoding="utf-8")
        (tmp_path / "events.csv").write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
        assert tables.read_events(tmp_path / "events.csv") == tables.read_events(run_dir / "events.csv")

    def test_a_table_whose_empty_last_cells_a_spreadsheet_dropped_is_read(self, run_dir: Path, tmp_path: Path) -> None:
        text = (run_dir / "events.csv").read_text(encoding="utf-8")
        assert ",\n" in text
        (tmp_path / "events.csv").write_text(text.replace(",\n", "\n"), encoding="utf-8")
        assert tables.read_events(tmp_path / "events.csv") == tables.read_events(run_dir / "events.csv")

    def test_a_damaged_cell_is_named(self, run_dir: Path, tmp_path: Path) -> None:
        lines = (run_dir / "events.csv").read_text(encoding="utf-8").splitlines()
        lines[1] = lines[1].replace("1,1,", "one,1,", 1)
        (tmp_path / "events.csv").write_text("\n".join(lines), encoding="utf-8")
        with pytest.raises(InputError, match=r"events\.csv, line 2: .*'one'"):
            tables.read_events(tmp_path / "events.csv")

    def test_a_missing_column_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "events.csv").write_text("event_id,concept\n1,x\n")
        with pytest.raises(InputError, match="no column tracker_id"):
            tables.read_events(tmp_path / "events.csv")


class TestSpreadsheets:
    @pytest.mark.parametrize("name", ["events.csv", "frames.csv", "tracks.csv"])
    def test_no_cell_is_a_formula(self, run_dir: Path, name: str) -> None:
        with open(run_dir / name, encoding="utf-8", newline="") as file:
            for row in csv.reader(file):
                assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)

    @given(st.text())
    def test_text_survives(self, text: str) -> None:
        cell = escape_text(text)
        assert unescape_text(cell) == text
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


class TestRle:
    @given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31), st.sampled_from([0.05, 0.5, 0.95, 1.0]))
    def test_it_is_coco_s(self, height: int, width: int, seed: int, density: float) -> None:
        mask = np.random.default_rng(seed).random((height, width)) < density
        if not mask.any():
            return
        ys, xs = np.nonzero(mask)
        x, y, right, bottom = int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
        ours = rle.encode(mask[y:bottom, x:right], x, y, (width, height))
        theirs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
        assert not ours.startswith(b"=")  # a mask must not read as a formula either
        assert ours == theirs or theirs.startswith(b"=")  # pyright: ignore
        assert (rle.decode(ours, (width, height)) == mask).all()
        inside = rle.decode_box(ours, (width, height), (x, y, right, bottom))
        assert (inside == mask[y:bottom, x:right]).all()
        assert sum(rle.encode_row_major(mask)) == mask.size

    def test_a_mask_outside_of_the_frame_is_refused(self) -> None:
        with pytest.raises(ValueError, match="outside of its frame"):
            rle.encode(np.ones((4, 4), bool), 8, 0, (10, 10))

    @given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**31))
    def test_polygons_fill_to_the_mask(self, height: int, width: int, seed: int) -> None:
        from scipy.ndimage import binary_fill_holes

        mask = np.random.default_rng(seed).random((height, width)) < 0.4
        if not mask.any():
            return
        flat = [corners.ravel().tolist() for corners in polygons(mask, 3, 5)]
        filled = rle.decode(
            coco_mask.merge(coco_mask.frPyObjects(flat, height + 10, width + 10))["counts"],  # pyright: ignore
            (width + 10, height + 10),
        )
        assert (filled[5 : 5 + height, 3 : 3 + width] == binary_fill_holes(mask)).all()

    @pytest.mark.parametrize(("width", "cols"), [(4096, 1121), (1624, 1097), (384, 384), (100, 64)])
    def test_a_mask_at_the_border_reaches_it(self, width: int, cols: int) -> None:
        points = np.array([[x, y] for x in (cols - 2, cols - 1) for y in (3, 4)])
        crop, left, _ = scale_to_source(from_points(points), (8, cols), Region(0, 0, width, round(8 * width / cols)))
        assert left + crop.shape[1] == width

    @pytest.mark.parametrize("scale", [0.4, 1.0, 1.5, 3.7])
    def test_even_a_single_cell_is_somewhere(self, scale: float) -> None:
        region = Region(7, 9, round(40 * scale), round(30 * scale))
        for x in range(40):
            crop, left, top = scale_to_source(from_points(np.array([[x, 11]])), (30, 40), region)
            assert crop.any()
            assert 7 <= left < 7 + region.width
            assert 9 <= top < 9 + region.height


class TestMasksJson:
    def test_it_holds_the_same_masks(self, run_dir: Path) -> None:
        content = json.loads((run_dir / "masks.json").read_text(encoding="utf-8"))
        video = content["videos"][0]
        assert (video["length"], video["width"], video["height"]) == (70, 320, 180)
        assert [c["name"] for c in content["categories"]] == list(CONCEPTS)
        listed = {
            (a["id"], i): s for a in content["annotations"] for i, s in enumerate(a["segmentations"]) if s is not None
        }
        rows = {(r.tracker_id, r.frame_index): r for r in tables.read_tracks(run_dir / "tracks.csv")}
        assert listed.keys() == rows.keys()
        for key, segmentation in listed.items():
            assert (coco_mask.decode(segmentation) == rle.decode(rows[key].rle, (320, 180))).all()
        for annotation in content["annotations"]:
            assert {len(annotation[name]) for name in ("segmentations", "bboxes", "areas")} == {70}


class TestWriting:
    def test_a_file_that_fails_leaves_the_old_one(self, tmp_path: Path) -> None:
        path = tmp_path / "x.csv"
        path.write_text("old")

        def fail() -> None:
            with open_replacing(path) as file:
                file.write("half")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_folder_that_cannot_be_made_is_an_output_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        said = r"x\.csv: a part of the path is a file\. Next: "
        with pytest.raises(OutputError, match=said), open_replacing(tmp_path / "file" / "x.csv"):
            pass

    def test_the_journal_gives_back_what_it_got(self, tmp_path: Path) -> None:
        scores = np.zeros((2, 4, 4), np.float32)
        scores[1, 2, 2] = 0.5
        with TrackJournal(tmp_path / "j") as journal:
            journal.append(FrameRef(7, 70, 0.7), [], scores, Origin(3, 1, interpolated=True))
            record = next(journal.frames())
        assert (record.frame_index, record.pts, record.time_s, record.origin.latent_index) == (7, 70, 0.7, 3)
        assert (record.score_max, record.score_mean) == ((0.0, 0.5), (0.0, 0.03125))
        assert record.origin.interpolated
