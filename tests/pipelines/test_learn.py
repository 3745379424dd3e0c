"""A concept learnt from a few masks: what it is worth, what it is bound to, and that it moves nothing else."""

import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tests.helpers.masked import write_masked
from vidconcept.errors import InputError, UsageError
from vidconcept.evaluation.datasets.read import read_dataset
from vidconcept.models import teaching
from vidconcept.pipelines.learn import learn
from vidconcept.pipelines.maps import ModelShelf, compute_window_maps, cut_source_windows
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import make_plan
from vidconcept.pipelines.track import track
from vidconcept.pipelines.verdicts import is_reviewed, read_verdicts
from vidconcept.pipelines.workspace import Workspace
from vidconcept.writers.tables import read_events, write_events

SMALL = {"height": 32, "width": 48, "window_frames": 5, "overlap_frames": 1, "device": "cpu", "timestep": 20}


@pytest.fixture(scope="module")
def settings(tiny_model):
    return {"concepts": ("scratch",), "model": str(tiny_model), **SMALL}


@pytest.fixture(scope="module")
def masked(tmp_path_factory) -> Path:
    return write_masked(tmp_path_factory.mktemp("masked") / "data")


@pytest.fixture(scope="module")
def learnt(masked, settings, tmp_path_factory):
    work = tmp_path_factory.mktemp("learn")
    found = learn(read_dataset(masked), "spatter", settings, Workspace(work / "work"), word="dent", windows=1, steps=40)
    found.write(work / "spatter.safetensors")
    return work / "spatter.safetensors", found


@pytest.fixture(scope="module")
def loaded(masked, settings, learnt):
    """Plan and model with the learnt concept, and a window."""
    settings = {**settings, "concepts": (f"spatter@{learnt[0]}", "scratch")}
    plan = make_plan(masked / "videos" / "clip0.mp4", settings)
    model = ModelShelf()(plan, Monitor())
    return plan, model, next(cut_source_windows(plan, Monitor()))


class TestWorth:
    def test_it_finds_what_it_was_taught_where_it_was_not_taught(self, learnt):
        figures = learnt[1].figures
        assert figures["cross_validated"]
        assert figures["ap"] > 2 * figures["prevalence"]
        assert figures["ap"] > figures["ap_word"]
        assert "'dent'" in " ".join(learnt[1].says)

    def test_without_a_word_it_says_so(self, masked, settings, tmp_path):
        found = learn(read_dataset(masked), "spatter", settings, Workspace(tmp_path), windows=1, steps=2)
        assert "no word to compare" in " ".join(found.says)

    def test_what_the_data_does_not_show(self, masked, settings, tmp_path):
        with pytest.raises(UsageError, match=r"has no 'weld'; it has spatter.*rename=THEIRS=weld"):
            learn(read_dataset(masked), "weld", settings, Workspace(tmp_path))


class TestQuantized:
    @pytest.mark.parametrize("kind", ["int8", "fp8"])
    @pytest.mark.skipif(find_spec("torchao") is None, reason="needs torchao, extra `quantize`")
    def test_weights_of_eight_bits_can_be_taught(self, masked, settings, learnt, tmp_path, kind):
        quantized = {**settings, "quantize": kind}
        found = learn(read_dataset(masked), "spatter", quantized, Workspace(tmp_path), windows=1, steps=40)
        assert found.figures["ap"] > 2 * found.figures["prevalence"]
        # The same files: what is learnt in fewer bits serves all of them, and the other way round.
        assert found.weights == learnt[1].weights
        change = np.linalg.norm(found.vector - learnt[1].vector) / np.linalg.norm(learnt[1].vector)
        assert 0 < change < 0.2

    def test_weights_of_four_bits_are_refused(self, masked, settings, tmp_path):
        with pytest.raises(UsageError, match=r"`quantize=nf4` lets no gradient.*Next: `quantize=int8` or"):
            learn(read_dataset(masked), "spatter", {**settings, "quantize": "nf4"}, Workspace(tmp_path))


class TestUse:
    def test_it_is_tracked_by_its_name(self, masked, settings, learnt, tmp_path):
        settings = {**settings, "concepts": (f"spatter@{learnt[0]}", "scratch"), "threshold": 0.3}
        run = track(masked / "videos" / "clip0.mp4", out=tmp_path / "run", **settings)
        assert run.manifest["concepts"] == ["spatter", "scratch"]
        assert run.manifest["maps_from"]["learnt"]
        # The word that it takes the place of is not beside it.
        assert "dent" not in run.manifest["model"]["words"]

    def test_maps_of_the_run_are_those_of_the_lesson(self, loaded, learnt):
        plan, model, window = loaded
        maps = compute_window_maps(plan, model, window).scores
        seen = teaching.observe(model, window.frames)
        again = teaching.scores_of(model, plan.lexicon, seen, learnt[1].vector)
        assert again[:2] == pytest.approx(maps.reshape(2, -1), abs=1e-5)

    def test_another_model_refuses_it(self, learnt, masked, tmp_path):
        with pytest.raises(UsageError, match="learnt with other weights"):
            make_plan(masked / "videos" / "clip0.mp4", {"concepts": (f"spatter@{learnt[0]}",)})
        (tmp_path / "no.safetensors").write_bytes(b"nothing")
        with pytest.raises(InputError, match="is not a learnt concept"):
            make_plan(masked / "videos" / "clip0.mp4", {"concepts": (f"spatter@{tmp_path / 'no.safetensors'}",)})
        tensors = load_file(learnt[0])
        save_file({"embeds": tensors["embeds"] * np.float32("nan")}, tmp_path / "nan.safetensors")
        with pytest.raises(InputError, match="is not a learnt concept"):
            make_plan(masked / "videos" / "clip0.mp4", {"concepts": (f"spatter@{tmp_path / 'nan.safetensors'}",)})

    def test_the_file_says_where_it_comes_from(self, learnt):
        with safe_open(learnt[0], framework="numpy") as stored:
            facts = stored.metadata()
        assert (facts["name"], facts["instead_of"]) == ("spatter", "dent")


class TestReplay:
    def test_it_is_the_pass_itself(self, loaded):
        _, model, window = loaded
        seen = teaching.observe(model, window.frames)
        direct = model.logits(window.frames)["concept-attention"]
        again = seen.logits(torch.cat(model.vectors), [len(v) for v in model.vectors]).detach().numpy()
        assert again == pytest.approx(direct, abs=1e-4)

    def test_weights_get_no_gradient_and_stay(self, loaded):
        plan, model, window = loaded
        before = [parameter.clone() for parameter in model.transformer.parameters()]
        seen = teaching.observe(model, window.frames)
        share = np.zeros(seen.blocks[0][4].output.shape[1], np.float32)
        share[3] = 1
        start = teaching.start_vector(model, 2, 0)
        teaching.teach(model, plan.lexicon, [teaching.Lesson(seen, share)], start, seed=0, steps=2)
        assert all(torch.equal(a, b) for a, b in zip(before, model.transformer.parameters(), strict=True))
        assert all(parameter.grad is None for parameter in model.transformer.parameters())


class TestVerdicts:
    @pytest.fixture
    def reviewed(self, masked, settings, tmp_path):
        noisy = {"threshold": 0.02, "floor": 0.01, "min_area_px": 1, "min_duration_s": 0.0}
        return track(masked / "videos" / "clip0.mp4", out=tmp_path / "run", **{**settings, **noisy})

    def test_accepted_events_are_truth(self, reviewed):
        with pytest.raises(UsageError, match="is accepted"):
            read_verdicts(reviewed.path)
        events = read_events(reviewed.path / "events.csv")
        verdicts = ["accept"] + ["reject"] * (len(events) - 1)
        write_events(
            reviewed.path / "events.csv", [replace(e, verdict=v) for e, v in zip(events, verdicts, strict=True)]
        )
        assert is_reviewed(reviewed.path)
        data = read_verdicts(reviewed.path, {"scratch": "spatter"})
        assert data.concepts == ("spatter",)
        truth = data.clips[0].truth(events[0].peak_frame)
        assert truth.concepts == ("spatter",)
        assert truth.masks[0].any()
        assert data.clips[0].truth(99) is None
        assert [clip.name for clip in data.clips] == ["run"]
        # Two cameras name their recordings alike.
        for camera in ("cam1", "cam2"):
            shutil.copytree(reviewed.path, reviewed.path.parent / "line" / camera / "shift")
        named = [clip.name for clip in read_verdicts(reviewed.path.parent / "line").clips]
        assert named == ["cam1/shift", "cam2/shift"]
        # Pictures of another video would be learnt in their place.
        video = reviewed.find_video()
        kept = video.read_bytes()
        try:
            video.write_bytes(kept + b"\0")
            with pytest.raises(InputError, match="is not the video"):
                read_verdicts(reviewed.path)
            video.unlink()
            with pytest.raises(InputError, match=r"is not at .* any more"):
                read_verdicts(reviewed.path)
        finally:
            video.write_bytes(kept)
