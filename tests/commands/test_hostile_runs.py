"""Run folders of strangers through the commands as typed: exit code 4, one line that names file and place."""

import json
import shutil
from pathlib import Path

import pytest

from tests.helpers.refusals import NESTED, check_refusal, put, rewrite, set_cell
from tests.helpers.review_runs import make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "run"
    make_run(folder, frames=10, video=False)
    return folder


@pytest.fixture
def run(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "run")


COMMANDS = (["review", "RUN", "--no-open"], ["export", "RUN", "--to", "coco"])


@pytest.mark.parametrize("content", ["[]", "null", "7", "", "{", NESTED, '{"run_id": 3}', "\x00" * 9, "\udcff"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_manifest_that_is_none(monkeypatch, run, command, content):
    (run / "run.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    check_refusal(monkeypatch, [run if part == "RUN" else part for part in command], 4, str(run), "run.json")


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
def test_a_value_of_the_manifest(monkeypatch, run, place, value):
    rewrite(run / "run.json", lambda content: {"settings": {}, "rarity": {}} | content)
    rewrite(run / "run.json", put(*place, to=value))
    check_refusal(monkeypatch, ["export", run, "--to", "coco"], 4, "run.json", ".".join(place))


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
def test_a_cell(monkeypatch, run, table, column, value):
    set_cell(run / table, column, value)
    check_refusal(monkeypatch, ["export", run, "--to", "coco"], 4, table, "line 2")


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
def test_verdicts(monkeypatch, run, content, place):
    run_id = json.loads((run / "run.json").read_text("utf-8"))["run_id"]
    saved = run.parent / "verdicts.csv"
    saved.write_text(content.replace("RUN", run_id))
    check_refusal(monkeypatch, ["review", run, "--apply", saved], 4, "verdicts.csv", place)
