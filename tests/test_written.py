"""A file that a command writes takes the place of its own files alone."""

import os

import cv2
import numpy as np
import pytest

from tests.commands.test_hostile import type_command
from tests.helpers.small_runs import small_clip, small_run, tree
from vidconcept.errors import OutputError
from vidconcept.fleet.metrics import Metric, check_metrics, write_metrics
from vidconcept.models.learnt import write_learnt
from vidconcept.pipelines.calibrate import write_toml
from vidconcept.runners.call import check_out
from vidconcept.writers.exchange.export import FORMATS, export
from vidconcept.writers.summary import write_summary
from vidconcept.written import check_replaceable, open_own, open_own_bytes

REFUSED = "is not replaced. Next: move it, or choose another name"


@pytest.fixture(scope="module")
def run(tiny_model, tmp_path_factory):
    root = tmp_path_factory.mktemp("written")
    return small_run(small_clip(root / "part.mp4"), tiny_model, root / "run")


class TestFile:
    def test_its_own_file_is_replaced_and_that_of_others_is_not(self, tmp_path):
        for text in ("one", "two", "three"):
            with open_own(tmp_path / "table.csv") as file:
                file.write(text)
        theirs = tmp_path / "notes.csv"
        theirs.write_text("a week of work")
        before = tree(tmp_path)
        with pytest.raises(OutputError, match=REFUSED), open_own(theirs) as file:
            file.write("ours")
        assert tree(tmp_path) == before

    def test_what_was_changed_since_is_not(self, tmp_path):
        path = tmp_path / "table.csv"
        with open_own_bytes(path) as file:
            file.write(b"ours")
        path.write_bytes(b"ours, corrected by hand")
        with pytest.raises(OutputError, match="or changed since"):
            check_replaceable(path)

    def test_an_empty_file_has_nothing_to_lose(self, tmp_path):
        path = tmp_path / "table.csv"
        path.touch()
        with open_own(path) as file:
            file.write("ours")
        assert path.read_text() == "ours"

    def test_nothing_is_written_through_a_link(self, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "here").mkdir()
        (tmp_path / "here" / ".vidconcept").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OutputError, match="is a link"), open_own(tmp_path / "here" / "table.csv") as file:
            file.write("ours")
        assert not list((tmp_path / "elsewhere").iterdir())
        assert not (tmp_path / "here" / "table.csv").exists()

    def test_a_file_of_the_same_content_elsewhere_is_not_ours(self, tmp_path):
        with open_own(tmp_path / "a.csv") as file:
            file.write("ours")
        (tmp_path / "b.csv").write_text("ours")
        with pytest.raises(OutputError, match=REFUSED):
            check_replaceable(tmp_path / "b.csv")

    @pytest.mark.parametrize("name", ["n" * 255, os.fsdecode(b"bad\xff.csv"), "two\nlines"])
    def test_any_name(self, tmp_path, name):
        path = tmp_path / name
        for _ in range(2):
            with open_own(path) as file:
                file.write("ours")
        assert path.read_text() == "ours"


class TestCommands:
    @pytest.mark.parametrize("to", FORMATS)
    def test_an_export_replaces_its_own_and_nothing_else(self, run, tmp_path, to):
        out = tmp_path / "out"
        for _ in range(2):
            export(run.path, to, out)
        written = [out] if out.is_file() else sorted(path for path in out.rglob("*") if path.is_file())
        for theirs in (path for path in written if ".vidconcept" not in path.parts):
            ours = theirs.read_bytes()
            theirs.write_text("a week of work")
            before = tree(tmp_path)
            with pytest.raises(OutputError, match=REFUSED):
                export(run.path, to, out)
            assert tree(tmp_path) == before
            theirs.write_bytes(ours)
        export(run.path, to, out)

    def test_library_writers_refuse_too(self, tmp_path):
        theirs = tmp_path / "work.toml"
        theirs.write_text("a week of work")
        with pytest.raises(OutputError, match=REFUSED):
            write_toml(theirs, {}, {"dent": 0.5}, {}, {}, [])
        with pytest.raises(OutputError, match=REFUSED):
            write_learnt(theirs, np.zeros((1, 4), np.float32), "weights", {})
        assert theirs.read_text() == "a week of work"

    @pytest.mark.parametrize(
        ("theirs", "line"),
        [
            ("work.toml", "calibrate VIDEO --concepts dent --out work.toml"),
            ("good.toml.rarity.safetensors", "calibrate VIDEO --concepts dent --out good.toml"),
            ("work.toml", "concept learn --from VIDEO --name dent --out work.toml"),
            ("work.png", "explain RUN --out work.png"),
            ("work.prom", "batch VIDEO --concepts dent --out out --metrics work.prom"),
            ("out/summary.csv", "batch VIDEO --concepts dent --out out"),
            ("out/summary.parquet", "batch VIDEO --concepts dent --out out"),
            ("out/index.html", "batch VIDEO --concepts dent --out out"),
            ("work.prom", "watch VIDEO --concepts dent --metrics work.prom"),
            ("out/image.json", "image PHOTO --concepts dent --out out --existing overwrite"),
            ("out/images.csv", "image . --concepts dent --out out --existing overwrite"),
            ("new.mp4", "generate dent --concepts dent --out new.vidconcept --existing overwrite"),
        ],
    )
    def test_a_file_of_the_user_is_refused_before_the_work(self, run, tmp_path, monkeypatch, theirs, line):
        monkeypatch.chdir(tmp_path)
        cv2.imwrite("photo.png", np.zeros((64, 96, 3), np.uint8))
        path = tmp_path / theirs
        path.parent.mkdir(exist_ok=True)
        path.write_text("a week of work")
        before = tree(tmp_path)
        places = {"VIDEO": run.manifest["video"]["path"], "RUN": run.path, "PHOTO": "photo.png"}
        code, said = type_command(monkeypatch, *(places.get(word, word) for word in line.split()))
        assert code == OutputError.exit_code, said
        assert said.startswith("error: ")
        assert "Next: " in said
        assert said.count("\n") == 1
        assert tree(tmp_path) == before

    def test_counters_and_summary_are_written_again_and_again(self, tmp_path):
        metrics = tmp_path / "work.prom"
        for count in range(2):
            write_metrics(metrics, [Metric("vidconcept_films_total", "counter", "films", [({}, count)])])
            check_metrics(metrics)
            write_summary(tmp_path, [])
            check_out(tmp_path)
        assert "vidconcept_films_total 1" in metrics.read_text()
