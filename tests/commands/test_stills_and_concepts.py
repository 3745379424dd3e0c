"""`image`, and `concept learn` from verdicts, as they are typed: what is printed, the JSON, exit codes, what stays."""

import json
from dataclasses import replace

import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.helpers.clips import paint
from tests.helpers.masked import write_masked
from tests.helpers.small_runs import SMALL
from vidconcept.cli import app
from vidconcept.errors import ExitCode, InputError, OutputError, UsageError
from vidconcept.models.learnt import read_learnt
from vidconcept.pipelines.cross_validation import phrase_figures
from vidconcept.pipelines.track import track
from vidconcept.writers.tables import read_events, write_events

EASY = {"threshold": 0.02, "floor": 0.01, "min_area_px": 1}


@pytest.fixture(scope="module")
def settings(tiny_model) -> list[str]:
    values = {**{key: SMALL[key] for key in ("height", "width", "device")}, **EASY, "model": tiny_model}
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


def call(*arguments, code=0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos") / "day"
    folder.mkdir()
    for number in range(2):
        Image.fromarray(paint(number, (96, 64))).save(folder / f"{number}.png")
    (folder / "broken.jpg").write_bytes(b"nothing")
    return folder


@pytest.fixture(scope="module")
def runs(tiny_model, tmp_path_factory):
    """Two runs of one camera, as `batch` lays them out, without verdicts."""
    root = tmp_path_factory.mktemp("learn")
    data = write_masked(root / "data", clips=2)
    for name in ("clip0", "clip1"):
        track(
            data / "videos" / f"{name}.mp4", ["scratch", "dent"], model=str(tiny_model),
            out=root / "runs" / "cam1" / name, min_duration_s=0.0, **SMALL, **EASY,
        )  # fmt: skip
    return root / "runs"


@pytest.fixture(scope="module")
def line(settings, runs):
    windows = ["--set", "window_frames=5", "--set", "overlap_frames=1", "--set", "threads=1"]
    return ["concept", "learn", "--from", runs, "--windows", 1, *settings, *windows]


class TestImage:
    def test_a_folder_is_read_and_a_bad_photo_costs_itself(self, photos, settings):
        said = call("image", photos, "--concepts", "scratch,dent", *settings, code=ExitCode.SOME_FAILED)
        assert "1 x scratch" in said
        again = call(
            "image", photos, "--concepts", "scratch,dent", *settings, "--existing", "resume", "--json",
            code=ExitCode.SOME_FAILED,
        )  # fmt: skip
        told = json.loads(again)
        assert told["out"] == str(photos.with_name("day.images"))
        assert [row["photo"] for row in told["photos"]] == [
            str(photos / name) for name in ("0.png", "1.png", "broken.jpg")
        ]
        assert [bool(row.get("error")) for row in told["photos"]] == [False, False, True]
        with pytest.raises(OutputError, match="Next: --existing resume, --existing overwrite, or another --out"):
            call("image", photos, "--concepts", "scratch,dent", *settings)

    def test_one_photo(self, photos, settings, tmp_path):
        said = call("image", photos / "0.png", "--concepts", "scratch", *settings, "--out", tmp_path / "out")
        assert str(tmp_path / "out") in said
        assert {path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."} == {
            "image.json", "heatmap.png", "findings.png", "masks",
        }  # fmt: skip

    @pytest.mark.parametrize(("name", "says"), [("clip.mp4", "Next: vidconcept track"), ("gone.png", "does not exist")])
    def test_what_is_no_photo_leaves_nothing(self, settings, tmp_path, name, says):
        if name == "clip.mp4":
            (tmp_path / name).write_bytes(b"film")
        with pytest.raises(InputError, match=says):
            call("image", tmp_path / name, "--concepts", "scratch", *settings)
        assert not (tmp_path / "clip.image").exists()
        assert not (tmp_path / "gone.image").exists()


class TestLearnFromVerdicts:
    def test_without_a_verdict_it_says_how_to_give_one(self, line, tmp_path, runs):
        with pytest.raises(UsageError, match=f"no event of {runs} is accepted. Next: vidconcept review {runs}"):
            call(*line, "--name", "scratch", "--out", tmp_path / "s.safetensors")
        assert not (tmp_path / "s.safetensors").exists()

    @pytest.mark.parametrize("option", [("--format", "davis2017"), ("--split", "val")])
    def test_options_of_a_data_set_are_refused(self, line, tmp_path, option):
        with pytest.raises(UsageError, match=f"{option[0]} is only for labelled data sets, and this is a reviewed run"):
            call(*line, "--name", "scratch", "--out", tmp_path / "s.safetensors", *option)

    def test_accepted_events_are_learnt_under_another_name(self, line, tmp_path, runs):
        for path in runs.glob("*/*/events.csv"):
            verdicts = {"scratch": "accept", "dent": "reject"}
            write_events(path, [replace(event, verdict=verdicts[event.concept]) for event in read_events(path)])
        out = tmp_path / "mine.safetensors"
        told = json.loads(call(*line, "--name", "mine", "--rename", "scratch=mine", "--out", out, "--json"))
        assert told["file"] == str(out)
        assert told["figures"]["parts"] == 2
        assert read_learnt(out).shape[0] == 1
        with pytest.raises(UsageError, match="has no 'dent'; it has scratch"):
            call(*line, "--name", "dent", "--out", tmp_path / "d.safetensors")
        assert [path for path in tmp_path.iterdir() if path.name[0] != "."] == [out]


def test_truth_is_learnt_from_up_to_the_megapixels_of_the_settings(line, runs, tmp_path):
    data = write_masked(tmp_path / "data", clips=1)
    for path in (data / "annotations" / "clip0").iterdir():
        Image.new("L", (192, 128)).save(path)
    learn = [data if argument == runs else argument for argument in line]
    with pytest.raises(InputError, match=r"\.png claims 192x128 pixels"):
        call(*learn, "--name", "spatter", "--out", tmp_path / "s.safetensors", "--set", "max_megapixels=0.01")


@pytest.mark.parametrize(
    ("parts", "interval", "begins"),
    [
        (2, (0.1, 0.2), "2 parts cannot tell whether it helps over the word"),
        (5, (0.1, 0.2), "It helps over the word"),
        (5, (-0.2, -0.1), "It does not help over the word"),
        (9, (-0.1, 0.2), "It is not surely better than the word"),
    ],
)
def test_few_parts_decide_nothing(parts, interval, begins):
    figures = {"parts": parts, "cross_validated": True, "ap": 0.5, "prevalence": 0.1, "others": {}}
    figures |= {"ap_word": 0.4, "gap": 0.1, "gap_interval": interval}
    assert list(phrase_figures("mine", "scratch", figures))[1].startswith(begins)
