"""What families offer beside maps: which can be taught a concept, and which generate; the others say why not."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.family_reading import CROSS, STILLS, TOKENS, load, small, window
from tests.helpers.masked import write_masked
from vidconcept.errors import UsageError
from vidconcept.evaluation.datasets.read import read_dataset
from vidconcept.models import teaching
from vidconcept.models.adapter import read_layout
from vidconcept.pipelines.generate import Wish, generate_run
from vidconcept.pipelines.learn import learn
from vidconcept.pipelines.maps import ModelShelf, compute_window_maps, cut_source_windows
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import make_plan
from vidconcept.pipelines.track import track
from vidconcept.pipelines.workspace import Workspace
from vidconcept.runs import open_run

JOINT = [name for name in TOKENS if name not in CROSS]


def one_window(name: str) -> np.ndarray:
    return window(name, frames=1 if name in STILLS else None)


@pytest.mark.parametrize("name", JOINT)
def test_a_lesson_is_the_pass_itself_and_has_a_gradient(folders, name):
    model: Any = load(folders(name), name)
    assert read_layout(folders(name)).text_width == model.vectors[0].shape[1]
    seen = teaching.observe(model, one_window(name))
    vectors = [vector.clone().requires_grad_(True) for vector in model.vectors]
    again = seen.logits(torch.cat(vectors), [len(vector) for vector in vectors])
    direct = model.logits(one_window(name))["concept-attention"]
    np.testing.assert_allclose(again.detach().numpy(), direct, rtol=1e-5, atol=1e-4)
    again[:, 0].sum().backward()
    assert all(vector.grad.abs().max() > 0 for vector in vectors[:1])


@pytest.mark.parametrize("name", ["mochi", "sd3"])
def test_what_is_learnt_is_read_by_its_file(folders, name, tmp_path):
    data = read_dataset(write_masked(tmp_path / "data", clips=1))
    settings = {**small(name), "concepts": ("scratch",), "model": str(folders(name))}
    found = learn(data, "spatter", settings, Workspace(tmp_path / "work"), windows=1, steps=2, cross_validate=False)
    found.write(tmp_path / "spatter.safetensors")
    plan = make_plan(data.clips[0].source, settings | {"concepts": (f"spatter@{tmp_path / 'spatter.safetensors'}",)})
    model: Any = ModelShelf()(plan, Monitor())
    cut = next(cut_source_windows(plan, Monitor()))
    maps = compute_window_maps(plan, model, cut).scores
    scores = teaching.scores_of(model, plan.lexicon, teaching.observe(model, cut.frames), found.vector)
    assert scores[0] == pytest.approx(maps[0].ravel(), abs=1e-5)


def test_one_picture_after_the_other_is_tracked_as_a_film(folders, tmp_path):
    """Rarity asks how far the surface moved, which windows of one frame do not show by themselves."""
    film = read_dataset(write_masked(tmp_path / "data", clips=1)).clips[0].source
    run = track(film, "scratch,dent", model=str(folders("sd3")), out=tmp_path / "run", **small("sd3"))
    assert (run.manifest["frames"], run.manifest["settings"]["rarity"]) == (5, "auto")
    memory = open_run(run.path, run.manifest, "resume", [])[0].load_memory()
    assert len(memory.cuts) == 5


def test_what_cannot_be_taught_is_refused_with_the_reason(folders, tmp_path):
    data = read_dataset(write_masked(tmp_path / "data", clips=1))
    settings = {**small("wan"), "concepts": ("scratch",), "model": str(folders("wan"))}
    with pytest.raises(UsageError, match=r"its text never attends to the video\. Next: a model with joint attention"):
        learn(data, "spatter", settings, Workspace(tmp_path / "work"))
    with pytest.raises(UsageError, match=r"not from 2 frames at once\. Next: `window_frames=1`"):
        teaching.observe(load(folders("flux"), "flux"), window("flux"))


def test_a_family_that_does_not_generate_says_so_before_it_is_loaded(folders, tmp_path):
    folder = shutil.copytree(folders("mochi"), tmp_path / "mochi")
    # Weights that nothing could load.
    next((folder / "transformer").glob("*.safetensors")).write_bytes(b"")
    settings = {**small("mochi"), "concepts": ("scratch",), "model": str(folder)}
    out = tmp_path / "run"
    with pytest.raises(UsageError, match=r"mochi cannot generate here\. Next: `model=cogvideox-2b`"):
        generate_run("a scratch", settings, Wish(), tmp_path / "film.mp4", out, "error", Monitor())
    assert not out.exists()
