"""Weights that come when they are called: the maps are the same, and the parts take turns."""

from __future__ import annotations

import diffusers
import numpy as np
import pytest
import torch
from accelerate.hooks import CpuOffload
from diffusers.models.attention_dispatch import attention_backend

from vidconcept.errors import ModelError
from vidconcept.models.cogvideox import CogVideoX, load
from vidconcept.settings import TrackSettings

WORDS = ("scratch", "dent")
FRAMES = np.random.default_rng(0).integers(0, 256, (9, 64, 96, 3), np.uint8)


def load_tiny(folder, report=lambda _: None, **settings) -> CogVideoX:
    settings = {"dtype": "float32", "device": "cpu", "height": 64, "width": 96, "window_frames": 9, **settings}
    try:
        return load(folder, TrackSettings(**settings), WORDS, report)
    except ModelError as error:
        if "cannot move the blocks" not in str(error):
            raise
        pytest.skip(f"diffusers {diffusers.__version__} moves weights only where there is an accelerator")


@pytest.fixture(scope="module")
def plain(tiny_model):
    return load_tiny(tiny_model).logits(FRAMES)["concept-attention"]


@pytest.mark.parametrize("offload", ["model", "group"])
def test_maps_are_the_same(tiny_model, plain, offload):
    said = []
    model = load_tiny(tiny_model, said.append, offload=offload)
    for _ in range(2):
        assert np.array_equal(model.logits(FRAMES)["concept-attention"], plain)
    assert model.engine["offload"] == offload
    assert any(f"`offload={offload}` saves nothing there" in text for text in said)


def test_by_model_each_part_sends_the_other_one_away(tiny_model, monkeypatch):
    """On a processor accelerate moves nothing; whom it would move stands in its hooks."""
    model = load_tiny(tiny_model, offload="model")
    calls = []
    come = CpuOffload.pre_forward

    def note(hook, module, *args, **kwargs):
        calls.append((module, hook.prev_module_hook.model, hook.execution_device))
        return come(hook, module, *args, **kwargs)

    monkeypatch.setattr(CpuOffload, "pre_forward", note)
    model.logits(FRAMES)
    cpu = torch.device("cpu")
    assert calls == [(model.codec, model.transformer, cpu), (model.transformer, model.codec, cpu)]


def test_by_group_every_block_is_a_group_of_its_own(tiny_model):
    model = load_tiny(tiny_model, offload="group")
    groups = [block._diffusers_hook.hooks["group_offloading"].group for block in model.transformer.transformer_blocks]
    assert [len(group.modules) for group in groups] == [1] * len(groups)


def test_a_backend_without_effect_is_said_when_a_model_is_loaded(tiny_model):
    said = []
    with attention_backend("_native_math"):
        load_tiny(tiny_model, said.append)
    assert [text for text in said if "'_native_math' set, which has no effect" in text]
