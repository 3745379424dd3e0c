"""Files of strangers through the commands as typed: exit code 2, 4 or 5, one line that names file and place."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.evaluation.datasets.test_hostile import COCO, SQUARE, VIS
from tests.helpers.clips import write_clip
from tests.helpers.review_runs import make_run
from vidconcept import cli, signals

SMALL = ["--height", 32, "--width", 48, "--window-frames", 5, "--overlap-frames", 1, "--device", "cpu"]


def type_command(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> tuple[int, str]:
    """Exit code and stderr of a command line, in this process."""
    monkeypatch.setattr(sys, "argv", ["vidconcept", *map(str, arguments)])
    # The signals stay pytest's.
    monkeypatch.setattr(signals, "STOPPING", ())
    errors = io.StringIO()
    with (
        contextlib.redirect_stderr(errors),
        contextlib.redirect_stdout(io.StringIO()),
        pytest.raises(SystemExit) as end,
    ):
        cli.main()
    return int(end.value.code or 0), errors.getvalue()


def check(monkeypatch, arguments, code, *named) -> None:
    got, said = type_command(monkeypatch, *arguments)
    lines = [line for line in said.splitlines() if not line.startswith("warning: ")]
    assert got == code, said
    assert len(lines) == 1, said
    assert lines[0].startswith("error: ")
    assert "Traceback" not in said
    assert len(lines[0]) < 700
    for word in named:
        assert word in lines[0], lines[0]


def rewritten(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text("utf-8")))), "utf-8")


def put(*place: Any, to: Any) -> Callable[[Any], Any]:
    """The same JSON with another value at a place."""

    def change(content: Any) -> Any:
        inner = content
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = to
        return content

    return change


NESTED = "[" * 5000


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "run"
    make_run(folder, frames=10, video=False)
    return folder


class TestRunFolders:
    @pytest.fixture
    def run(self, made, tmp_path) -> Path:
        return shutil.copytree(made, tmp_path / "run")

    COMMANDS = (["review", "RUN", "--no-open"], ["export", "RUN", "--to", "coco"])

    @pytest.mark.parametrize("content", ["[]", "null", "7", "", "{", NESTED, '{"run_id": 3}', "\x00" * 9, "\udcff"])
    @pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
    def test_a_manifest_that_is_none(self, monkeypatch, run, command, content):
        (run / "run.json").write_bytes(content.encode("utf-8", "surrogateescape"))
        check(monkeypatch, [run if part == "RUN" else part for part in command], 4, str(run), "run.json")

    @pytest.mark.parametrize(
        ("place", "value"),
        [
            (("concepts",), []),
            (("concepts",), "scratch"),
            (("concepts",), [1]),
            (("video",), []),
            (("video", "width_px"), "wide"),
            (("video", "width_px"), 0),
            (("video", "height_px"), 10**30),
            (("video", "name"), "a/b.mp4"),
            (("video", "rate_fps"), "fast"),
            (("settings",), 3),
            (("settings", "hysteresis"), "low"),
            (("settings", "thresholds"), {"scratch": "high"}),
            (("remarks",), ["text"]),
            (("gaps",), {}),
            (("rarity",), []),
            (("run_id",), ""),
        ],
    )
    def test_a_value_of_the_manifest(self, monkeypatch, run, place, value):
        rewritten(run / "run.json", lambda content: {"settings": {}, "rarity": {}} | content)
        rewritten(run / "run.json", put(*place, to=value))
        check(monkeypatch, ["export", run, "--to", "coco"], 4, "run.json", ".".join(place))

    @pytest.mark.parametrize(
        ("table", "column", "value"),
        [
            ("frames.csv", "concept", "wombat"),
            ("frames.csv", "time_s", "nan"),
            ("frames.csv", "time_s", "-inf"),
            ("frames.csv", "frame_index", "²3"),
            ("frames.csv", "frame_index", ""),
            ("frames.csv", "pts", "1e3"),
            ("frames.csv", "area_px", "-1"),
            ("tracks.csv", "class_id", "99"),
            ("tracks.csv", "class_id", "-1"),
            ("tracks.csv", "mask_rle", ""),
            ("tracks.csv", "mask_rle", "é"),
            ("tracks.csv", "mask_rle", "ooooooooooooooooooooooooo"),
            ("tracks.csv", "x_max", "9" * 400),
            ("tracks.csv", "x_min", "nan"),
            ("tracks.csv", "tracker_id", "one"),
            ("events.csv", "event_id", ""),
            ("events.csv", "verdict", "perhaps"),
            ("events.csv", "peak_frame", "4.5"),
            ("events.csv", "end_s", "NaN"),
        ],
    )
    def test_a_cell(self, monkeypatch, run, table, column, value):
        rows = (run / table).read_text("utf-8").splitlines()
        cells = rows[1].split(",")
        cells[rows[0].split(",").index(column)] = value
        rows[1] = ",".join(cells)
        (run / table).write_text("\n".join(rows) + "\n", "utf-8")
        check(monkeypatch, ["export", run, "--to", "coco"], 4, table, "line 2")

    @pytest.mark.parametrize(
        ("content", "place"),
        [
            ("", "column"),
            ("\x00" * 20, "verdicts"),
            ("run_id,event_id\n", "column"),
            ("run_id,event_id,concept,start_frame,verdict\nRUN,x,y,0,accept\n", "line 2"),
            ("run_id,event_id,concept,start_frame,verdict\nRUN,1,y,nan,accept\n", "line 2"),
            ("run_id,event_id,concept,start_frame,verdict\nRUN,1,y,0,maybe\n", "line 2"),
            ('run_id,event_id,concept,start_frame,verdict\n"' + "a" * 200_000, "verdicts"),
        ],
    )
    def test_verdicts(self, monkeypatch, run, content, place):
        run_id = json.loads((run / "run.json").read_text("utf-8"))["run_id"]
        saved = run.parent / "verdicts.csv"
        saved.write_text(content.replace("RUN", run_id))
        check(monkeypatch, ["review", run, "--apply", saved], 4, "verdicts.csv", place)


class TestModelFolders:
    @pytest.fixture
    def track(self, monkeypatch, tiny_model, tmp_path) -> Callable:
        model = shutil.copytree(tiny_model, tmp_path / "model")
        clip = write_clip(tmp_path / "a.mp4", count=5).path
        line = ["track", clip, "--concepts", "scratch", "--model", model, *SMALL, "--out", tmp_path / "run"]

        def run(change: Callable[[Path], Any], *named: str) -> None:
            change(model)
            check(monkeypatch, line, 5, *named)

        return run

    @pytest.mark.parametrize("content", ["[]", "7", "null", "", NESTED, '"text"', "{"])
    @pytest.mark.parametrize(
        "file",
        [
            "model_index.json",
            "transformer/config.json",
            "vae/config.json",
            "text_encoder/config.json",
            "scheduler/scheduler_config.json",
            "tokenizer/tokenizer_config.json",
        ],
    )
    def test_a_config_that_is_none(self, track, file, content):
        track(lambda model: (model / file).write_text(content), file.rpartition("/")[2])

    @pytest.mark.parametrize(
        ("file", "place", "value"),
        [
            ("model_index.json", ("vae",), "AutoencoderKLCogVideoX"),
            ("model_index.json", ("transformer",), None),
            ("model_index.json", ("transformer",), ["diffusers", "NoSuchTransformer"]),
            ("model_index.json", ("transformer",), ["os", "system"]),
            ("transformer/config.json", ("patch_size",), 0),
            ("transformer/config.json", ("patch_size",), "two"),
            ("transformer/config.json", ("num_layers",), 0),
            ("transformer/config.json", ("num_layers",), 10**9),
            ("transformer/config.json", ("max_text_seq_length",), 10**9),
            ("transformer/config.json", ("attention_head_dim",), -8),
            ("transformer/config.json", ("in_channels",), 1.5),
            ("transformer/config.json", ("norm_eps",), "small"),
            ("transformer/config.json", ("activation_fn",), "no such function"),
            ("transformer/config.json", ("sample_width",), 10**9),
            ("vae/config.json", ("block_out_channels",), []),
            ("vae/config.json", ("norm_num_groups",), 0),
            ("vae/config.json", ("down_block_types",), ["NoSuchBlock"]),
            ("vae/config.json", ("scaling_factor",), "large"),
            ("vae/config.json", ("temporal_compression_ratio",), 0),
            ("text_encoder/config.json", ("num_heads",), 0),
            ("text_encoder/config.json", ("d_model",), 10**9),
            ("text_encoder/config.json", ("feed_forward_proj",), "no-such"),
            ("text_encoder/config.json", ("vocab_size",), -1),
            ("scheduler/scheduler_config.json", ("num_train_timesteps",), 0),
            ("scheduler/scheduler_config.json", ("beta_schedule",), "no such"),
            ("scheduler/scheduler_config.json", ("beta_start",), "low"),
            ("scheduler/scheduler_config.json", ("prediction_type",), 3),
            ("tokenizer/tokenizer_config.json", ("extra_ids",), 10**12),
            ("tokenizer/tokenizer_config.json", ("pad_token",), 7),
        ],
    )
    def test_a_value(self, track, file, place, value):
        track(lambda model: rewritten(model / file, put(*place, to=value)), file.partition("/")[0])

    @pytest.mark.parametrize("file", ["tokenizer/spiece.model", "vae/diffusion_pytorch_model.safetensors"])
    @pytest.mark.parametrize("content", [b"", b"\x00" * 4000, b"\xff" * 8 + b"{}"])
    def test_weights(self, track, file, content):
        track(lambda model: (model / file).write_bytes(content), file.partition("/")[0])

    @pytest.mark.parametrize(
        "text", ["x = " + NESTED, "[[model]]", "name = 3", "[settings]\nthreshold = 'high'", "\x00"]
    )
    def test_a_preset_of_its_own(self, track, text):
        track(lambda model: (model / "vidconcept.toml").write_text(text), "vidconcept.toml")


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
        check(monkeypatch, line, 4, "truth.json")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("text", ["", "{", NESTED, "\x00", "NaN", '{"images": NaN}'])
    def test_what_is_no_json(self, monkeypatch, tmp_path, text):
        (tmp_path / "truth.json").write_text(text)
        check(monkeypatch, ["evaluate", tmp_path / "truth.json", "--concepts", "dent"], 4, "truth.json")


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
        check(monkeypatch, line, 2, "line.toml")

    def test_what_is_no_text(self, monkeypatch, tmp_path):
        (tmp_path / "line.toml").write_bytes(b"\xff\xfe\x00")
        check(monkeypatch, ["track", "a.mp4", "--config", tmp_path / "line.toml"], 2, "line.toml")


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
        assert type_command(monkeypatch, *line.split()) == (1, f"{self.GONE}\n")

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
        done = subprocess.run(
            [sys.executable, "-c", script, *line.split()],
            cwd=tmp_path / "here",
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (1, f"{self.GONE}\n")
