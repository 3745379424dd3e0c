"""The commands end to end on a clip of twelve frames and random weights: files, figures, resumption, errors."""

import json
import tomllib

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.helpers.films import write_video
from tests.helpers.refusals import put, rewrite
from vidconcept.cli import app
from vidconcept.errors import InputError, UsageError
from vidconcept.evaluation.datasets.read import read_dataset
from vidconcept.models.readout import read_scores
from vidconcept.pipelines.calibrate_labelled import count_events
from vidconcept.pipelines.explain import explain
from vidconcept.pipelines.maps import ModelShelf, cut_source_windows
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import make_plan
from vidconcept.pipelines.track import track
from vidconcept.pipelines.workspace import Workspace

runner = CliRunner()


def call(*arguments):
    result = runner.invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """A `clips.json` folder: one clip with a moving dark square, one without."""
    root = tmp_path_factory.mktemp("data") / "line"
    rng = np.random.default_rng(0)
    surface = rng.integers(90, 160, (64, 200, 3), dtype=np.uint8)
    for name in ("dent_0", "good_0"):
        frames, masks = [], []
        for k in range(12):
            image, mask = surface[:, 3 * k : 3 * k + 96].copy(), np.zeros((64, 96), np.uint8)
            if name == "dent_0":
                cv2.rectangle(image, (60 - 3 * k, 20), (76 - 3 * k, 36), (10, 10, 10), -1)
                cv2.rectangle(mask, (60 - 3 * k, 20), (76 - 3 * k, 36), 255, -1)
            frames.append(image)
            masks.append(mask)
            path = root / "annotations" / name / f"{k:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), mask)
        write_video(root / "videos" / f"{name}.mp4", np.stack(frames))
    rows = [{"clip": name, "concept": word, "truth": "mask"} for name, word in (("dent_0", "dent"), ("good_0", None))]
    (root / "clips.json").write_text(json.dumps(rows))
    return root


@pytest.fixture
def model(tiny_model):
    return ["--set", f"model={tiny_model}", "--set", "threshold=0.05", "--set", "smooth=none"]


def test_evaluate_writes_table_json_and_report_and_goes_on_from_its_maps(footage, model, tmp_path):
    out = tmp_path / "out"
    arguments = ["evaluate", footage, "--concepts", "dent", *model, "--out", out, "--json"]
    first = call(*arguments)
    assert first["figures"]["events"]["objects"] == 1
    assert 0 <= first["figures"]["scores"]["dent"]["average_precision"] <= 1
    assert set(first["clips"]) == {"dent_0", "good_0"}
    assert first["figures"]["good_footage"]["minutes"] == pytest.approx(12 / 25 / 60)
    text = (out / "report.md").read_text()
    assert "line with" in text
    assert "Versions" in text
    assert all((out / name).is_file() for name in ("evaluation.json", "precision_recall.svg"))
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")}
    assert call(*arguments)["figures"] == first["figures"]
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")} == stamps


def test_sweep_reads_all_layers_from_one_pass(footage, model, tmp_path):
    out = tmp_path / "out"
    found = call(
        "evaluate", footage, "--concepts", "dent", *model, "--out", out, "--json",
        "--sweep", "layers,timestep,method,reduce", "--timesteps", "500,20", "--windows", "1",
    )  # fmt: skip
    passes = list(out.rglob("window_*_t*.safetensors"))
    # Two clips, one window, two timesteps: four passes, however many readings.
    assert len(passes) == 4
    names = {(r["method"], r["layers_name"], r["timestep"]) for r in found["readings"]}
    assert {("cross-attention", "3", 20), ("concept-attention", "all", 500)} <= names
    assert (out / "sweep_concept-attention.svg").read_text().startswith("<svg")
    assert len(found["claims"]) >= 3


def test_calibrate_writes_what_track_takes(footage, model, tmp_path):
    config = tmp_path / "line.toml"
    video = footage / "videos" / "good_0.mp4"
    found = call("calibrate", video, "--concepts", "dent,scratch", "--false-alarms", "1/hour", *model,
                 "--out", config, "--json")  # fmt: skip
    assert any("too little" in line for line in found["says"])
    written = tomllib.loads(config.read_text())
    assert set(written["thresholds"]) == {"dent", "scratch"}
    assert written["provenance"]["footage"] == ["good_0.mp4"]
    run = track(video, out=tmp_path / "run", config=config)
    assert run.manifest["settings"]["thresholds"] == written["thresholds"]
    assert run.events == []


@pytest.mark.slow
@pytest.mark.slice
def test_calibrate_reads_footage_of_which_the_model_sees_some_windows_only(tiny_model, tmp_path):
    still = np.random.default_rng(1).integers(90, 160, (64, 96, 3), dtype=np.uint8)
    write_video(tmp_path / "good.mp4", np.stack([still] * 130))
    settings = {
        "model": str(tiny_model),
        "stride": "auto",
        "smooth": "flow",
        "window_frames": 5,
        "overlap_frames": 1,
        "height": 32,
        "width": 48,
        "threshold": 0.05,
    }
    options = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    found = call("calibrate", tmp_path / "good.mp4", "--concepts", "dent,scratch", *options,
                 "--out", tmp_path / "line.toml", "--json")  # fmt: skip
    windows = [path for path in tmp_path.rglob("run.json") if json.loads(path.read_text("utf-8"))["windows"] < 130 // 5]
    assert windows
    written = tomllib.loads((tmp_path / "line.toml").read_text("utf-8"))
    assert set(written["thresholds"]) == {"dent", "scratch"}
    assert written["provenance"]["alarms"] == found["alarms"]


def test_calibrate_with_masks_says_when_the_sample_is_too_small(footage, model, tmp_path):
    found = call("calibrate", "--labelled", footage, "--concepts", "ding", "--rename", "dent=ding", *model,
                 "--out", tmp_path / "line.toml", "--json")  # fmt: skip
    assert "too few" in found["says"][0]
    assert "too few" in found["says"][1]


def test_calibrate_with_masks_keeps_the_thresholds_that_were_given(footage, model, tmp_path):
    found = call("calibrate", "--labelled", footage, "--concepts", "dent", *model, "--set", "thresholds=dent=0.37",
                 "--out", tmp_path / "line.toml", "--json")  # fmt: skip
    assert found["thresholds"] == {"dent": 0.37}
    assert found["says"][1].endswith("0.37 stays.")


@pytest.mark.slow
@pytest.mark.slice
def test_an_earlier_calibration_does_not_come_into_a_new_one(footage, tiny_model, tmp_path):
    old = tmp_path / "old.toml"
    old.write_text("[place_lifts]\ndent = [[0.9]]\n")
    settings = {"concepts": ("dent",), "model": str(tiny_model), "height": 64, "width": 96, "smooth": "none"}
    data, shelf = read_dataset(footage), ModelShelf()
    plain, lifted = (
        count_events(data, settings, Workspace(tmp_path / "maps", Monitor(), config, shelf)) for config in (None, old)
    )
    assert any(counts["dent"].events for counts in plain["dent_0"].values())
    assert lifted == plain


@pytest.mark.slow
@pytest.mark.slice
def test_stress_reports_and_ends_in_a_checklist(footage, model, tmp_path):
    out = tmp_path / "out"
    found = call(
        "stress", footage / "videos" / "dent_0.mp4", "--concepts", "dent", *model, "--out", out, "--json",
        "--only", "sensor noise,low resolution,compression,dropped frames", "--severities", "3",
    )  # fmt: skip
    assert [r["name"] for r in found["results"]] == [
        "none", "sensor noise", "low resolution", "compression", "dropped frames",
    ]  # fmt: skip
    assert found["against"] == "the clean run's findings"
    assert len(found["says"]) == 4
    assert "Signed:" in (out / "checklist.md").read_text()
    assert not list(out.rglob("*.nut"))


def test_explain_draws_the_maps_of_the_peak_frame(footage, tiny_model, tmp_path):
    run = track(footage / "videos" / "dent_0.mp4", ["dent", "scratch"], model=str(tiny_model), threshold=0.05,
                out=tmp_path / "run")  # fmt: skip
    found = call("explain", run.path, "--event", run.events[0].event_id, "--json")
    assert len(found["by_layer"]) == 4
    assert sum(found["scores"].values()) == pytest.approx(1, abs=1e-3)
    picture = cv2.imread(found["picture"])
    assert picture is not None
    assert picture.std() > 10


def test_explain_finds_the_images_of_a_pattern(tiny_model, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"img_{number:04d}.png"), rng.integers(0, 255, (64, 96, 3), np.uint8))
    run = track(tmp_path / "img_%04d.png", ["dent"], model=str(tiny_model), threshold=0.01, fps=25, out=tmp_path / "r")
    monkeypatch.setenv("VIDCONCEPT_ROI", "0,0,32,32")  # another's: the run was made without
    assert call("explain", run.path, "--event", run.events[0].event_id, "--json")["scores"]


@pytest.mark.parametrize(
    ("asked", "idle"), [({"timesteps": (20, 30)}, {}), ({"smooth": "none"}, {"looks": 3, "stride": "auto"})]
)
def test_explain_passes_over_what_had_no_effect_on_the_run(footage, tiny_model, tmp_path, asked, idle):
    run = track(footage / "videos" / "dent_0.mp4", ["dent", "scratch"], model=str(tiny_model), threshold=0.05,
                out=tmp_path / "run", **asked)  # fmt: skip
    # Earlier versions took settings that have no effect.
    manifest = run.manifest | {"settings": run.manifest["settings"] | idle}
    (run.path / "run.json").write_text(json.dumps(manifest))
    assert explain(run.path, run.events[0].event_id, Monitor()).maps.shape[0] == 4


@pytest.mark.parametrize(
    ("smooth", "judged", "said"),
    [
        ("none", 0, ". Its score is"),
        ("ema", 0, ". After smoothing its score is"),
        ("none", 3, ". After rarity its score is"),
        ("ema", 3, ". After smoothing and rarity its score is"),
    ],
)
def test_explain_names_what_the_run_did_with_the_maps(footage, tiny_model, tmp_path, smooth, judged, said):
    run = track(footage / "videos" / "dent_0.mp4", ["dent"], model=str(tiny_model), threshold=0.05, smooth=smooth,
                rarity="off", out=tmp_path / "run")  # fmt: skip
    rewrite(run.path / "run.json", put("rarity", "tokens_judged", to=judged))
    assert said in explain(run.path, run.events[0].event_id, Monitor()).describe()


@pytest.mark.slow
@pytest.mark.slice
def test_explain_says_what_track_read(footage, tiny_model, tmp_path):
    """The mean over noise draws, and what a calibration did to the score."""
    config = tmp_path / "line.toml"
    config.write_text("[thresholds]\ndent = 0.05\n[place_lifts]\ndent = [[0.01]]\n")
    run = track(footage / "videos" / "dent_0.mp4", ["dent", "scratch"], model=str(tiny_model), noise_samples=2,
                window_frames=13, overlap_frames=1, height=64, width=96, smooth="none", out=tmp_path / "run",
                config=config)  # fmt: skip
    event = next(e for e in run.events if e.concept == "dent")
    shelf = ModelShelf()
    found = explain(run.path, event.event_id, Monitor(), shelf)
    plan = make_plan(footage / "videos" / "dent_0.mp4", run.manifest["settings"])
    window = next(cut_source_windows(plan, Monitor()))
    read = read_scores(shelf(plan, Monitor()), window.frames)[0]
    assert any(step == pytest.approx(found.combined[0], abs=1e-5) for step in read)
    assert "less 0.01 at this place of the picture, against a threshold of 0.05." in found.describe()


class TestErrors:
    def test_a_run_in_tiles_is_not_explained(self, footage, tiny_model, tmp_path):
        run = track(footage / "videos" / "dent_0.mp4", ["dent"], model=str(tiny_model), threshold=0.05, tile=(2, 1),
                    height=64, width=96, out=tmp_path / "run")  # fmt: skip
        with pytest.raises(UsageError, match="without --tile"):
            call("explain", run.path, "--event", 1)

    def test_an_event_that_is_not_there(self, footage, tiny_model, tmp_path):
        run = track(footage / "videos" / "good_0.mp4", ["dent"], model=str(tiny_model), threshold=0.99,
                    out=tmp_path / "run")  # fmt: skip
        with pytest.raises(UsageError, match="not an event of the run"):
            call("explain", run.path, "--event", 99)

    def test_words_that_the_data_set_lacks(self, footage, model, tmp_path):
        with pytest.raises(UsageError, match="--rename"):
            call("evaluate", footage, "--concepts", "fork", *model, "--out", tmp_path / "out")

    @pytest.mark.parametrize("option", [("--windows", "1"), ("--timesteps", "20")])
    def test_options_of_a_sweep_without_one(self, footage, option):
        with pytest.raises(UsageError, match=f"{option[0]} is only for --sweep"):
            call("evaluate", footage, "--concepts", "dent", *option)

    @pytest.mark.parametrize("option", [("--limit", "1"), ("--split", "val")])
    def test_options_of_a_data_set_for_a_video(self, footage, option):
        with pytest.raises(UsageError, match=f"{option[0]} is only for labelled data sets"):
            call("stress", footage / "videos" / "good_0.mp4", "--concepts", "dent", *option)

    def test_a_calibration_that_cannot_be_told_of_is_refused_before_the_work(self, footage, model, tmp_path):
        config, out = tmp_path / "line.toml", tmp_path / "out"
        config.write_text('[provenance]\ncreated = "some day"\n')
        with pytest.raises(InputError, match="created"):
            call("stress", footage, "--concepts", "dent", *model, "--calibration", config, "--out", out)
        assert not out.exists()

    def test_unknown_keys_and_axes_name_what_is_known(self, footage, model):
        with pytest.raises(UsageError, match="threshold"):
            call("evaluate", footage, "--concepts", "dent", "--set", "treshold=0.3")
        with pytest.raises(UsageError, match="noise-samples"):
            call("evaluate", footage, "--concepts", "dent", *model, "--sweep", "colour")
        with pytest.raises(UsageError, match="--labelled"):
            call("calibrate", "--concepts", "dent")
