"""Weights of eight and four bits: how far the maps move, what they weigh, and what is said where it cannot be done."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from diffusers import CogVideoXTransformer3DModel

from vidconcept.errors import UsageError
from vidconcept.models.cogvideox import CogVideoX, load
from vidconcept.models.fit import QUANTIZED_BYTES
from vidconcept.models.quantize import LIBRARIES, quantize
from vidconcept.settings import TrackSettings

FRAMES = np.random.default_rng(0).integers(0, 256, (9, 64, 96, 3), np.uint8)
# Relative error of the maps of a small model with random weights.
DRIFT = {"int8": 0.02, "fp8": 0.1, "nf4": 0.3}
KINDS = [
    pytest.param(
        kind, marks=pytest.mark.skipif(find_spec(library) is None, reason=f"needs {library}, extra `quantize`")
    )
    for kind, library in LIBRARIES.items()
]


def load_tiny(folder, **settings) -> CogVideoX:
    settings = {"dtype": "float32", "device": "cpu", "height": 64, "width": 96, "window_frames": 9, **settings}
    return load(folder, TrackSettings(**settings), ("scratch", "dent"))


@pytest.mark.parametrize("kind", KINDS)
def test_maps_move_a_little(tiny_model, kind):
    plain = load_tiny(tiny_model).logits(FRAMES)["concept-attention"]
    model = load_tiny(tiny_model, quantize=kind)
    found = model.logits(FRAMES)["concept-attention"]
    drift = np.linalg.norm(found - plain) / np.linalg.norm(plain)
    assert 0 < drift < DRIFT[kind]
    assert model.engine["quantize"] == kind
    by_parts = load_tiny(tiny_model, quantize=kind, offload="model")
    assert np.array_equal(by_parts.logits(FRAMES)["concept-attention"], found)


def count_bytes(weight: torch.Tensor) -> int:
    """Of a quantized weight, with its scales."""
    if (state := getattr(weight, "quant_state", None)) is not None:
        nested = state.state2.absmax.nbytes + state.offset.nbytes
        return weight.nbytes + state.absmax.nbytes + nested
    names, _ = weight.__tensor_flatten__()
    parts = [getattr(weight, name) for name in names]
    return sum(part.nbytes for part in parts if isinstance(part, torch.Tensor))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_take_what_the_estimate_says(kind):
    """Within 3 %, at a width of a third of CogVideoX-2B's: scales of rows weigh less the wider a row is."""
    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=10, num_layers=1, text_embed_dim=32, sample_height=8, sample_width=8, sample_frames=9
    ).to(torch.bfloat16)
    layers = [part for part in transformer.transformer_blocks.modules() if isinstance(part, torch.nn.Linear)]
    numbers = sum(layer.weight.numel() for layer in layers)
    quantize(transformer, kind)
    quantized = [part for part in transformer.transformer_blocks.modules() if isinstance(part, torch.nn.Linear)]
    assert len(quantized) == len(layers)
    found = sum(count_bytes(layer.weight) for layer in quantized)
    assert found == pytest.approx(numbers * QUANTIZED_BYTES[kind], rel=0.03)


class TestRefused:
    @pytest.mark.parametrize("kind", LIBRARIES)
    def test_without_its_library(self, tiny_model, monkeypatch, kind):
        for name in ("torchao.quantization", "bitsandbytes"):
            monkeypatch.setitem(sys.modules, name, None)
        expected = rf"`quantize={kind}` needs {LIBRARIES[kind]}, .* Next: pip install 'vidconcept\[quantize\]'"
        with pytest.raises(UsageError, match=expected):
            load_tiny(tiny_model, quantize=kind)

    def test_with_one_block_at_a_time(self, tiny_model):
        with pytest.raises(UsageError, match="`quantize=int8` and `offload=group` do not go together"):
            load_tiny(tiny_model, quantize="int8", offload="group")
