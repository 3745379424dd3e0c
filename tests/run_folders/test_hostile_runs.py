"""Run folders that were changed by hand, or are not what they seem: one clear error with file and place."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.refusals import set_cell
from tests.helpers.review_runs import make_run
from tests.helpers.small_runs import tree
from vidconcept.errors import InputError, OutputError, UsageError
from vidconcept.files import shorten_name
from vidconcept.pipelines.track import choose_out
from vidconcept.tracks.rle import check_rle, encode
from vidconcept.writers.exchange.export import FORMATS, export
from vidconcept.writers.review.index import review, write_index
from vidconcept.writers.review.page import write_review
from vidconcept.writers.review.verdicts import apply_verdicts


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "run"
    make_run(folder, frames=30, video=False)
    return folder


@pytest.fixture
def run(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "run")


class TestManifest:
    @pytest.mark.parametrize("content", ["[]", "{", "null", "[" * 5000, '{"run_id": 3}', "", "\x00"])
    def test_of_no_run(self, run, content):
        (run / "run.json").write_text(content)
        for read in (write_review, lambda folder: export(folder, "coco"), lambda folder: apply_verdicts(folder, run)):
            with pytest.raises(InputError, match=r"run\.json"):
                read(run)

    @pytest.mark.parametrize(
        ("place", "value"),
        [
            (("video", "width_px"), 10**9),
            (("video", "height_px"), 0),
            (("video", "name"), "../../../elsewhere.mp4"),
            (("video", "name"), ".."),
            (("video", "declared_fps"), float("nan")),
            (("concepts",), []),
            (("windows",), -1),
            (("gaps",), "many"),
            (("engine",), "fast"),
            (("live",), {"part_begins": ["first"]}),
        ],
    )
    def test_of_a_value(self, run, place, value):
        content = json.loads((run / "run.json").read_text())
        inner = content
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        (run / "run.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match=rf"run\.json, {'.'.join(place)}"):
            export(run, "davis")


class TestTables:
    @pytest.mark.parametrize(
        ("table", "column", "value"),
        [
            ("frames.csv", "concept", "unknown"),
            ("frames.csv", "time_s", "nan"),
            ("frames.csv", "frame_index", "-3"),
            ("frames.csv", "frame_index", "1" * 5000),
            ("frames.csv", "score_max", "inf"),
            ("tracks.csv", "class_id", "99"),
            ("tracks.csv", "concept", "unknown"),
            ("tracks.csv", "mask_rle", ""),
            ("tracks.csv", "mask_rle", "ooooooooooooooooooooo0"),
            ("tracks.csv", "mask_rle", "0"),
            ("tracks.csv", "x_max", "100000"),
            ("tracks.csv", "confidence", "nan"),
            ("events.csv", "concept", "unknown"),
            ("events.csv", "verdict", "perhaps"),
            ("events.csv", "start_s", "-nan"),
        ],
    )
    def test_a_cell_that_cannot_be(self, run, table, column, value):
        set_cell(run / table, column, value)
        with pytest.raises(InputError, match=rf"{table}, line 2"):
            export(run, "coco")
        if table != "tracks.csv":
            with pytest.raises(InputError, match=rf"{table}, line 2"):
                write_review(run)

    def test_rows_out_of_order(self, run):
        rows = (run / "tracks.csv").read_text().splitlines()
        (run / "tracks.csv").write_text("\n".join([rows[0], *reversed(rows[1:])]) + "\n")
        with pytest.raises(InputError, match=r"must be in the order of frames"):
            export(run, "davis")

    @pytest.mark.parametrize("change", [lambda rows: rows[:-1], lambda rows: [*rows, rows[-1]]])
    def test_a_frame_without_one_row_of_each_concept(self, run, change):
        rows = (run / "frames.csv").read_text().splitlines()
        (run / "frames.csv").write_text("\n".join(change(rows)) + "\n")
        for read in (write_review, lambda folder: export(folder, "coco")):
            with pytest.raises(
                InputError, match=r"frames\.csv: frame 29 has \d rows, where one of each concept belongs"
            ):
                read(run)

    @pytest.mark.parametrize("content", [b"", b"\x00\x01", b"\xff\xfe", b'a,"b\n' * 10])
    def test_what_is_no_table(self, run, content):
        (run / "events.csv").write_bytes(content)
        with pytest.raises(InputError, match=r"events\.csv"):
            write_review(run)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
    @pytest.mark.parametrize("table", ["run.json", "events.csv", "frames.csv"])
    def test_a_pipe(self, run, table):
        (run / table).unlink()
        os.mkfifo(run / table)
        with pytest.raises(InputError, match="is a pipe, not a file"):
            write_review(run)

    def test_verdicts_that_never_end(self, run):
        with pytest.raises(InputError, match="is a device, not a file"):
            apply_verdicts(run, Path("/dev/zero"))
        assert not (run / ".work").exists()

    def test_messages_stay_short(self, run):
        set_cell(run / "events.csv", "concept", "a" * 5000)
        with pytest.raises(InputError, match=r"events\.csv, line 2") as error:
            write_review(run)
        assert len(str(error.value)) < 500

    def test_masks_of_its_own_are_sound(self):
        for crop in (np.ones((1, 1), bool), np.ones((40, 30), bool), np.eye(8, dtype=bool)):
            check_rle(encode(crop, 2, 3, (96, 64)), (96, 64))
        check_rle(encode(np.ones((1, 1), bool), 2_000_000, 0, (1 << 21, 1 << 10)), (1 << 21, 1 << 10))


class TestExports:
    def test_never_over_what_the_run_made(self, run):
        before = tree(run)
        for name in ("tracks.csv", "run.json", "maps/a.csv", "thumbs"):
            with pytest.raises(UsageError, match="this run writes"):
                export(run, "csv", run / name)
        assert tree(run) == before

    def test_never_over_the_film_that_the_run_was_made_from(self, run, tmp_path):
        film = tmp_path / "line cam.mp4"
        film.write_bytes(b"a film")
        content = json.loads((run / "run.json").read_text())
        content["video"]["path"] = str(film)
        (run / "run.json").write_text(json.dumps(content))
        with pytest.raises(UsageError, match="would take the place of what is read"):
            export(run, "csv", film)
        assert film.read_bytes() == b"a film"

    def test_never_into_pictures_of_others(self, run, tmp_path):
        theirs = tmp_path / "DAVIS" / "Annotations" / "line cam"
        theirs.mkdir(parents=True)
        (theirs / "00099.png").write_text("years of labelling")
        with pytest.raises(OutputError, match="was not written by vidconcept"):
            export(run, "davis", tmp_path / "DAVIS")
        assert (theirs / "00099.png").read_text() == "years of labelling"
        (theirs / "00099.png").unlink()
        for end_s in (None, 0.5):
            export(run, "davis", tmp_path / "DAVIS", end_s=end_s)
        assert len(list(theirs.iterdir())) < 30

    @pytest.mark.parametrize("to", FORMATS)
    @pytest.mark.parametrize("letter", ["a", "字"])
    def test_long_names_are_shortened(self, run, to, letter):
        content = json.loads((run / "run.json").read_text())
        content["video"]["name"] = letter * (250 // len(letter.encode())) + ".mp4"
        (run / "run.json").write_text(json.dumps(content))
        export(run, to)
        assert [path for path in (run / "exports").rglob("*") if path.is_file()]
        assert not list(run.rglob("*.partial*"))

    def test_shortened_names_stay_apart(self):
        first, second = ("a" * 240 + end for end in "xy")
        assert shorten_name(first) != shorten_name(second)
        assert len(choose_out(first + ".mp4").name.encode()) <= 255
        assert shorten_name("line cam") == "line cam"

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
    def test_devices_are_not_replaced(self, run, tmp_path):
        (tmp_path / "full").symlink_to("/dev/full")
        with pytest.raises(OutputError, match="is a device, not a file"):
            export(run, "coco", tmp_path / "full")
        assert (tmp_path / "full").is_symlink()

    def test_an_index_page_of_others_stays(self, run):
        page = run.parent / "index.html"
        page.write_text("<h1>My site</h1>")
        with pytest.raises(OutputError, match="did not write"):
            review(run.parent)
        assert page.read_text() == "<h1>My site</h1>"
        page.unlink()
        for _ in range(2):
            assert write_index(run.parent) == page
