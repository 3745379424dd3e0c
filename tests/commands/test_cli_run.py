"""The commands beside `track` that a run is followed by, and the exit code that says what it found."""

import json
from types import SimpleNamespace

import pytest
from huggingface_hub.utils import filter_repo_objects
from typer.testing import CliRunner

from tests.helpers.clips import GOOD
from vidconcept.cli import app
from vidconcept.errors import ExitCode, ModelError, OutputError, UsageError
from vidconcept.pipelines.track import Run, track


def call(*arguments, code=0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_model) -> Run:
    """Of two concepts one is found."""
    folder = tmp_path_factory.mktemp("runs")
    clip = GOOD["five_frames"](folder).path
    config = folder / "line.toml"
    config.write_text("threshold = 0.01\n[thresholds]\ndent = 0.99\n")
    run = track(clip, ["scratch", "dent"], model=str(tiny_model), config=config, out=folder / "run")
    assert {event.concept for event in run.events} == {"scratch"}
    return run


@pytest.mark.parametrize(("words", "code"), [("scratch", 10), ("dent", 0), ("dent, ,scratch,", 10), (",", 2)])
def test_fail_on_minds_the_concepts_that_it_names(run, tiny_model, words, code):
    folder = run.path.parent
    arguments = ["track", folder / "five.mp4", "--concepts", "scratch,dent", "--model", tiny_model]
    arguments += ["--config", folder / "line.toml", "--out", run.path, "--existing", "resume"]
    arguments += ["--fail-on", words]
    if code == ExitCode.USAGE:
        with pytest.raises(UsageError, match="--fail-on ','"):
            call(*arguments)
    else:
        call(*arguments, code=code)


def test_export_as_json(run, tmp_path):
    result = json.loads(call("export", run.path, "--to", "csv", "--out", tmp_path / "a.csv", "--json"))
    assert result["format"] == "csv"
    assert str(tmp_path / "a.csv") in result["told"]


def test_models_say_what_a_broken_download_lacks(monkeypatch):
    def incomplete(preset):
        raise ModelError(f"model {preset.name} in /hub is incomplete: no vae")

    monkeypatch.setattr("vidconcept.commands.doctor.find_folder", incomplete)
    assert "linecam in /hub is incomplete: no vae" in " ".join(call("models").split())
    assert all("incomplete" in model["problem"] for model in json.loads(call("models", "--json"))["models"])
    assert "incomplete" in json.loads(call("doctor", "--json"))["models"]["linecam"]


def test_probe_decodes_when_asked(tmp_path):
    path = GOOD["flipped_bytes"](tmp_path).path
    assert "no picture could be decoded" not in call("probe", path)
    assert "no picture could be decoded" in " ".join(call("probe", path, "--decode").split())


def test_a_stress_test_takes_one_file_of_settings(run, tmp_path):
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text("threshold = 0.5\n")
    with pytest.raises(UsageError, match="give one of them"):
        call(
            "stress",
            run.path.parent / "five.mp4",
            "--calibration",
            tmp_path / "a.toml",
            "--config",
            tmp_path / "b.toml",
        )


@pytest.mark.parametrize("command", ["stress", "calibrate"])
@pytest.mark.parametrize("option", [("--rename", "a=b"), ("--format", "davis2017")])
def test_what_says_nothing_of_a_bare_video_is_not_ignored(run, tmp_path, command, option):
    with pytest.raises(UsageError, match=f"{option[0]} is only for labelled data sets"):
        call(command, run.path.parent / "five.mp4", "--concepts", "dent", *option, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_export_says_where_it_wrote(run):
    summary = call("export", run.path, "--to", "coco")
    path = run.path / "exports" / "five.coco.json"
    assert summary.strip().endswith(f"as coco: {path}")
    assert json.loads(path.read_text())["annotations"]


def test_review_opens_the_page_unless_told_not_to(run, monkeypatch):
    opened, page = [], run.path / "review.html"
    monkeypatch.setattr("webbrowser.open", opened.append)
    page.unlink()
    assert f"open {page}" in call("review", run.path, "--no-open").splitlines()
    assert page.is_file()
    assert opened == []
    call("review", run.path)
    assert opened == [page.resolve().as_uri()]


class TestFetch:
    PUBLISHED = (
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model-00001-of-00002.safetensors",
        "text_encoder/model.safetensors.index.json",
        "tokenizer/spiece.model",
        "tokenizer/tokenizer_config.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    )
    NOT_WANTED = ("README.md", "assets/film.mp4", "transformer/diffusion_pytorch_model.bin", "vae/code.py")

    @pytest.fixture
    def asked(self, tmp_path, monkeypatch) -> list:
        """What the hub is asked for; it always answers with the same folder."""
        asked = []

        def download(source, **options):
            asked.append((source, options))
            return str(tmp_path / "snapshot")

        monkeypatch.setattr("huggingface_hub.snapshot_download", download)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        return asked

    def free(self, monkeypatch, gigabytes):
        monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=gigabytes * 1e9))

    def test_the_pipeline_is_asked_for_and_no_pickle(self, asked, monkeypatch, tmp_path):
        self.free(monkeypatch, 100)
        assert call("models", "fetch", "cogvideox-2b").strip() == str(tmp_path / "snapshot")
        ((source, options),) = asked
        assert source == "zai-org/CogVideoX-2b"
        assert (set(options), options.pop("revision")) == ({"allow_patterns", "revision"}, None)
        assert tuple(filter_repo_objects([*self.PUBLISHED, *self.NOT_WANTED], **options)) == self.PUBLISHED

    def test_a_commit_is_asked_for_by_its_digits(self, asked, monkeypatch):
        self.free(monkeypatch, 100)
        call("models", "fetch", f"cogvideox-2b@{'0' * 40}")
        assert asked[0][1]["revision"] == "0" * 40

    def test_nothing_is_asked_for_that_the_disk_cannot_hold(self, asked, monkeypatch):
        self.free(monkeypatch, 10)
        with pytest.raises(OutputError, match=r"needs .* GB, .* has 10.0 GB free"):
            call("models", "fetch", "cogvideox-2b")
        assert asked == []

    def test_a_broken_download_needs_only_the_rest(self, asked, monkeypatch, tmp_path):
        blobs = tmp_path / "hub" / "models--zai-org--CogVideoX-2b" / "blobs"
        blobs.mkdir(parents=True)
        with (blobs / "a.incomplete").open("wb") as file:
            file.truncate(5_000_000_000)  # holes take no space
        self.free(monkeypatch, 10)
        call("models", "fetch", "cogvideox-2b")
        assert len(asked) == 1

    def test_what_comes_with_the_package_is_not_fetched(self, asked):
        assert call("models", "fetch", "linecam").strip().endswith("linecam")
        assert asked == []
