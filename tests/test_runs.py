"""A run answers for the footage and the settings that it was made from, whatever became of its folder since."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLCogVideoX

from tests.helpers.bad_clips import BAD
from tests.helpers.clips import GOOD
from vidconcept.errors import InputError, OutputError, UsageError
from vidconcept.pipelines.explain import explain
from vidconcept.pipelines.maps import estimate_frame_count
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import make_plan
from vidconcept.pipelines.track import Run, track
from vidconcept.video.identity import hash_source
from vidconcept.writers.tables import read_events


def write_images(folder: Path, seed: int, count: int = 12) -> Path:
    """Uncompressed pictures of one size: their files are equally long whatever they show."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    for k in range(count):
        cv2.imwrite(str(folder / f"img_{k:04d}.bmp"), rng.integers(0, 255, (64, 96, 3), dtype=np.uint8))
    return folder


class TestSource:
    def test_images_of_the_same_size_are_told_apart(self, tmp_path):
        folder = write_images(tmp_path / "frames", seed=1)
        before = hash_source(folder), hash_source(folder / "img_%04d.bmp")
        write_images(folder, seed=2)
        assert hash_source(folder) != before[0]
        assert hash_source(folder / "img_%04d.bmp") != before[1]

    def test_what_is_no_image_does_not_count(self, tmp_path):
        folder = write_images(tmp_path / "frames", seed=1)
        before = hash_source(folder)
        (folder / "notes.txt").write_text("shift 2")
        assert hash_source(folder) == before

    def test_a_folder_given_as_a_dot_has_a_name(self, tmp_path, tiny_model, monkeypatch):
        monkeypatch.chdir(write_images(tmp_path / "frames", seed=1))
        run = track(".", ["scratch"], model=str(tiny_model), fps=25)
        assert run.manifest["video"]["name"] == "frames"
        assert {line.split(",")[0] for line in (run.path / "frames.csv").read_text().splitlines()[1:]} == {"frames"}

    def test_a_matroska_file_has_an_expected_length(self, tmp_path, tiny_model):
        clip = GOOD["vfr_mkv"](tmp_path)
        plan = make_plan(clip.path, {"concepts": ("scratch",), "model": str(tiny_model)})
        assert plan.info.declared_frames is None
        assert estimate_frame_count(plan) > 0


class TestFolder:
    @pytest.fixture
    def run(self, tiny_model, tmp_path) -> Run:
        frames = write_images(tmp_path / "frames", seed=1)
        return self.again(frames, tiny_model, tmp_path, "error")

    @staticmethod
    def again(frames: Path, model: Path, tmp_path: Path, existing, **changes) -> Run:
        settings = {"threshold": 0.01, "fps": 25} | changes
        return track(frames, "scratch, dent", model=str(model), out=tmp_path / "run", existing=existing, **settings)

    @pytest.mark.parametrize("existing", ["Error", "never", None])
    def test_an_unknown_word_does_not_open_a_finished_run(self, run, tiny_model, tmp_path, existing):
        with pytest.raises(UsageError, match=r"is not known\. Next: one of error, resume, overwrite, skip"):
            self.again(tmp_path / "frames", tiny_model, tmp_path, existing, threshold=0.9)

    @pytest.mark.parametrize("existing", ["error", "overwrite", "resume", "skip"])
    def test_maps_without_their_manifest_are_nobody_s(self, run, tiny_model, tmp_path, existing):
        (run.path / "run.json").unlink()
        with pytest.raises(OutputError, match="is not empty and not a run"):
            self.again(tmp_path / "frames", tiny_model, tmp_path, existing)
        assert list((run.path / "maps").iterdir())

    def test_thumbnails_of_events_that_are_no_more_are_removed(self, run, tiny_model, tmp_path):
        assert list((run.path / "thumbs").glob("*.jpg"))
        decided = self.again(tmp_path / "frames", tiny_model, tmp_path, "resume", threshold=0.99)
        assert not decided.events
        assert not list((run.path / "thumbs").glob("*.jpg"))

    def test_a_run_whose_page_could_not_be_written_is_not_done(self, run, tiny_model, tmp_path, monkeypatch):
        def full(*_, **__):
            raise OSError(28, os.strerror(28))

        monkeypatch.setattr("vidconcept.pipelines.track.write_review", full)
        with pytest.raises(OSError, match="No space left"):
            self.again(tmp_path / "frames", tiny_model, tmp_path, "resume", threshold=0.02)
        assert not json.loads((run.path / "run.json").read_text())["done"]

    def test_a_finished_page_does_not_say_unfinished(self, run):
        assert "was not finished" not in (run.path / "review.html").read_text()

    def test_explain_refuses_another_video(self, run, tmp_path):
        write_images(tmp_path / "frames", seed=2)
        with pytest.raises(UsageError, match=r"its video is another one.*Next: explain with the video"):
            explain(run.path, run.events[0].event_id, Monitor())

    def test_tables_that_are_not_there_yet(self, run):
        (run.path / "events.csv").unlink()
        with pytest.raises(InputError, match=r"has no events.csv: its run was not finished.*`existing=resume`"):
            read_events(run.path / "events.csv")


def test_a_folder_without_images_is_refused_before_anything_is_written(tmp_path, tiny_model):
    bad = BAD["folder_without_images"](tmp_path)
    with pytest.raises(InputError, match="folder holds no images"):
        track(bad.path, "scratch", model=str(tiny_model), fps=25, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


class TestMemory:
    """The VAE's first window does not fit."""

    # As torch says it on a GPU and on a CPU.
    SAID = (torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory"))

    @pytest.fixture(params=SAID, ids=("gpu", "cpu"))
    def tiled(self, monkeypatch, request) -> list[bool]:
        """Whether the VAE was tiled at each window that it was given."""
        encode, tiled = AutoencoderKLCogVideoX.encode, []

        def full_at_first(vae, video):
            tiled.append(vae.use_tiling)
            if len(tiled) == 1:
                raise request.param
            return encode(vae, video)

        monkeypatch.setattr(AutoencoderKLCogVideoX, "encode", full_at_first)
        return tiled

    @staticmethod
    def track(tmp_path: Path, model: Path, **settings) -> Run:
        frames = write_images(tmp_path / "frames", seed=1, count=5)
        return track(frames, "scratch", model=str(model), threshold=0.01, fps=25, out=tmp_path / "run", **settings)

    def test_it_goes_on_in_tiles_and_the_run_says_so(self, tmp_path, tiny_model, tiled):
        run = self.track(tmp_path, tiny_model)
        assert tiled == [False, True]
        assert len(list(run.frames())) == 5
        assert [said for said in run.manifest["fallbacks"] if "runs tiled" in said]

    def test_it_does_not_where_tiles_are_off(self, tmp_path, tiny_model, tiled):
        with pytest.raises(RuntimeError, match="memory"):
            self.track(tmp_path, tiny_model, vae_tiling="off")
        assert tiled == [False]


def test_the_libraries_of_models_are_not_imported_until_a_model_is_needed():
    asked = "import sys, vidconcept.pipelines.track as _; print({'torch', 'diffusers'} & set(sys.modules))"
    completed = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=120)
    assert completed.stdout.strip() == "set()"
