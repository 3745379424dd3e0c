"""What changes the pass that hooks read is refused, and what is without effect is said."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import diffusers
import pytest
import torch
from diffusers import (
    CogVideoXTransformer3DModel,
    FirstBlockCacheConfig,
    LayerSkipConfig,
)
from diffusers.hooks import apply_first_block_cache, apply_layer_skip
from diffusers.models.attention_dispatch import _AttentionBackendRegistry, attention_backend

from tests.helpers.diffusers_at_hand import find_class, offload_groups
from tests.helpers.tiny_transformers import TINY
from vidconcept.attention.hooks import concept_attention
from vidconcept.attention.undisturbed import UnheededBackend, check_undisturbed, find_unheeded_backend
from vidconcept.errors import ModelError

TEXT_DIM = 16
# As the libraries' own examples have them.
STEPS = {"spatial_attention_block_skip_range": 2, "spatial_attention_timestep_skip_range": (100, 800)}
CACHES: dict[str, dict[str, Any]] = {
    "FirstBlockCache": {"threshold": 0.2},
    "FasterCache": {"current_timestep_callback": lambda: 500, **STEPS},
    "PyramidAttentionBroadcast": {"current_timestep_callback": lambda: 500, **STEPS},
    "TaylorSeerCache": {},
}


@pytest.fixture
def transformer():
    torch.manual_seed(0)
    return CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=8,
        text_embed_dim=TEXT_DIM,
        num_layers=3,
        sample_height=4,
        sample_width=6,
        sample_frames=9,
        max_text_seq_length=5,
    ).eval()


def read(transformer) -> torch.Tensor:
    torch.manual_seed(1)
    with torch.no_grad(), concept_attention(transformer, torch.randn(2, TEXT_DIM)) as recorder:
        transformer(torch.randn(1, 3, 4, 4, 6), torch.randn(1, 5, TEXT_DIM), torch.tensor([500]))
    return recorder.logits["concept-attention"]


class TestRefused:
    @pytest.mark.parametrize("name", CACHES)
    def test_caches_until_they_are_off(self, transformer, name):
        expected = read(transformer)
        transformer.enable_cache(find_class(f"{name}Config")(**CACHES[name]))
        with pytest.raises(ModelError, match=rf"runs with {name}, and maps .* Next: `transformer.disable_cache\(\)`"):
            read(transformer)
        transformer.disable_cache()
        assert torch.equal(read(transformer), expected)

    def test_hooks_that_were_put_on_by_hand(self, transformer):
        apply_first_block_cache(transformer, FirstBlockCacheConfig(**CACHES["FirstBlockCache"]))
        with pytest.raises(ModelError, match=r"'fbc_leader_block_hook' is on transformer_blocks\.0, and maps"):
            read(transformer)

    def test_skipped_layers(self, transformer):
        apply_layer_skip(transformer, LayerSkipConfig(indices=[1], fqn="transformer_blocks"))
        with pytest.raises(ModelError, match=r"'layer_skip_hook.*' is on transformer_blocks\.1, and maps"):
            read(transformer)

    def test_several_devices(self, transformer):
        # What `enable_parallelism` leaves on the model; the rest of it needs a process group of several machines.
        transformer._parallel_config = SimpleNamespace(context_parallel_config=None)
        with pytest.raises(ModelError, match=r"spread over several devices .* Next: load it without"):
            read(transformer)


class TestTaken:
    def test_moved_weights(self, transformer):
        expected = read(transformer)
        offload_groups(transformer, "leaf_level")
        assert torch.equal(read(transformer), expected)

    def test_stored_in_another_precision(self, transformer):
        transformer.enable_layerwise_casting(torch.bfloat16, torch.float32)
        assert read(transformer).isfinite().all()


class TestAttentionBackends:
    def test_one_without_effect_is_said(self, transformer):
        expected = read(transformer)
        with attention_backend("_native_math"), pytest.warns(UnheededBackend, match="'_native_math' set, which has no"):
            assert torch.equal(read(transformer), expected)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read(transformer)

    def test_set_on_the_transformer_it_is_the_same(self, transformer):
        with attention_backend("native"):
            transformer.set_attention_backend("_native_math")
            if "native" in _AttentionBackendRegistry.get_active_backend():
                pytest.skip(f"diffusers {diffusers.__version__} keeps the choice on processors that look at it")
            assert "CogVideoXAttnProcessor2_0 of CogVideoXTransformer3DModel" in find_unheeded_backend(transformer)

    def test_processors_that_look_at_it_are_not_warned_of(self):
        flux = TINY["flux"].make()
        check_undisturbed(flux)
        with attention_backend("_native_math"):
            assert find_unheeded_backend(flux) is None
