"""Files of strangers through the commands as typed: exit code 2, 4 or 5, one line that names file and place."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.evaluation.datasets.test_hostile import COCO, SQUARE, VIS
from tests.helpers.clips import write_clip
from tests.helpers.refusals import NESTED, SMALL, check_refusal, put, type_command


class TestDataSets:
    @pytest.mark.parametrize(
        "table",
        [
            *([], {}, 7, None, "text", {"videos": [{}]}, {"videos": []}, {"images": []}, {"images": [{}]}),
            {**COCO, "annotations": {}},
            {**COCO, "categories": [{}]},
            put("annotations", 0, "segmentation", to=[])({**COCO, "annotations": [dict(COCO["annotations"][0])]}),
            put("annotations", 0, "segmentation", to={"size": [12, 16], "counts": ""})(
                {**COCO, "annotations": [dict(COCO["annotations"][0])]}
            ),
            put("annotations", 0, "segmentation", to=[[0, 0, 1e9, 0, 1e9, 1e9]])(
                {**COCO, "annotations": [dict(COCO["annotations"][0])]}
            ),
            put("annotations", 0, "category_id", to="dent")({**COCO, "annotations": [dict(COCO["annotations"][0])]}),
            put("images", 0, "file_name", to="../" * 200 + "x")({**COCO, "images": [dict(COCO["images"][0])]}),
            put("images", 0, "file_name", to="a\x00b.png")({**COCO, "images": [dict(COCO["images"][0])]}),
            put("images", 0, "file_name", to="x" * 5000)({**COCO, "images": [dict(COCO["images"][0])]}),
            {**VIS, "videos": [{**VIS["videos"][0], "file_names": [3]}]},
            {**VIS, "videos": [{**VIS["videos"][0], "file_names": ["a\x00b/0.png"]}]},
            {**VIS, "annotations": [{**VIS["annotations"][0], "segmentations": [[[1, 2]]]}]},
            {**VIS, "annotations": [{**VIS["annotations"][0], "segmentations": [SQUARE, SQUARE, 4]}]},
        ],
        ids=lambda table: json.dumps(table)[:40],
    )
    def test_a_table(self, monkeypatch, tmp_path, table):
        (tmp_path / "clip").mkdir()
        for name in ("one.png", "clip/one.png"):
            cv2.imwrite(str(tmp_path / name), np.zeros((12, 16), np.uint8))
        (tmp_path / "truth.json").write_text(json.dumps(table))
        line = ["evaluate", tmp_path / "truth.json", "--concepts", "dent", "--out", tmp_path / "out"]
        check_refusal(monkeypatch, line, 4, "truth.json")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("text", ["", "{", NESTED, "\x00", "NaN", '{"images": NaN}'])
    def test_what_is_no_json(self, monkeypatch, tmp_path, text):
        (tmp_path / "truth.json").write_text(text)
        check_refusal(monkeypatch, ["evaluate", tmp_path / "truth.json", "--concepts", "dent"], 4, "truth.json")


class TestSettings:
    @pytest.mark.parametrize(
        "text",
        [
            "[place_lifts]\ndent = [[0.1, 0.2], [0.3]]",
            "[place_lifts]\ndent = [[]]",
            "place_lifts = [1]",
            "place_lifts = " + NESTED,
            "tile = [100000, 100000]",
            "noise_samples = 100000000000",
            "threshold = nan",
            "threshold = [0.1]",
            "layers = ['first']",
            "roi = [1, 2, 3]",
            "concepts = [3]",
            "concepts = ['']",
            "fps = inf",
            "seed = -1",
            "thresholds = 'dent'",
            "=",
            "\x00",
            "threshold = 0.4\nthreshold = 0.5",
            "concepts = {}",
        ],
    )
    def test_a_file(self, monkeypatch, tmp_path, text):
        (tmp_path / "line.toml").write_text(text)
        line = ["track", tmp_path / "a.mp4", "--config", tmp_path / "line.toml"]
        check_refusal(monkeypatch, line, 2, "line.toml")

    def test_what_is_no_text(self, monkeypatch, tmp_path):
        (tmp_path / "line.toml").write_bytes(b"\xff\xfe\x00")
        check_refusal(monkeypatch, ["track", "a.mp4", "--config", tmp_path / "line.toml"], 2, "line.toml")


class TestNames:
    @pytest.mark.parametrize("line", ["track a.mp4 --out {}", "track {}", "probe {}"])
    @pytest.mark.parametrize("kind", ["loop", "deep", "dangling"])
    def test_paths_that_lead_nowhere(self, monkeypatch, tiny_model, tmp_path, line, kind):
        monkeypatch.chdir(tmp_path)
        write_clip(tmp_path / "a.mp4", count=2)
        Path("loop").symlink_to("loop")
        Path("dangling").symlink_to("nowhere")
        path = "p/" * 1500 if kind == "deep" else kind
        more = [] if line.startswith("probe") else ["--concepts", "scratch", "--model", tiny_model, *SMALL]
        got, said = type_command(monkeypatch, *line.format(path).split(), *more)
        assert got in (1, 2, 4)
        assert "--debug" not in said
        assert "Next: " in said or "check the path" in said

    @pytest.mark.parametrize("name", ["x" * 300, "字" * 100, "a/" * 3000, "\udcff.mp4"])
    @pytest.mark.parametrize(
        "line",
        ["track NAME --concepts dent", "probe NAME", "review NAME", "evaluate NAME", "track a.mp4 --config NAME"],
    )
    def test_that_no_file_can_have(self, monkeypatch, name, line):
        got, said = type_command(monkeypatch, *(name if part == "NAME" else part for part in line.split()))
        assert got in (2, 4)
        assert "Traceback" not in said
        assert len(said) < 400
        assert len(said.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_what_is_printed_and_cannot_be_written(tmp_path):
    line = [sys.executable, "-m", "vidconcept", "probe", write_clip(tmp_path / "a.mp4", count=2).path]
    with open("/dev/full", "w") as full:
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("error: cannot write what is printed: No space left")


class TestWorkingDirectory:
    GONE = "error: the working directory has been removed. Next: cd to a folder that is there"

    @pytest.mark.skipif(sys.platform == "win32", reason="a working directory cannot be removed there")
    @pytest.mark.parametrize(
        "line", [("probe", "a.mp4"), ("track", "a.mp4", "--concepts", "dent"), ("batch", "--out", "b")]
    )
    def test_gone_at_the_start(self, tmp_path, monkeypatch, line):
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        (tmp_path / "here").rmdir()
        assert type_command(monkeypatch, *line) == (1, f"{self.GONE}\n")

    @pytest.mark.skipif(sys.platform == "win32", reason="a working directory cannot be removed there")
    @pytest.mark.parametrize(
        "line", [("probe", "a.mp4"), ("track", "a.mp4", "--concepts", "dent"), ("batch", "--out", "b")]
    )
    def test_gone_while_it_starts(self, tmp_path, line):
        (tmp_path / "here").mkdir()
        # As another process would, once the command has looked.
        script = "import os, sys; from vidconcept import cli; look = os.getcwd\n"
        script += "def once(): here = look(); os.getcwd = look; os.rmdir(here); return here\n"
        script += "os.getcwd = once; cli.main()"
        # -P: as in the installed command, the working directory is not where modules are looked for.
        done = subprocess.run(
            [sys.executable, "-P", "-c", script, *line],
            cwd=tmp_path / "here",
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (1, f"{self.GONE}\n")
