"""What changes the pass that hooks read is refused, and what is without effect is said."""

from __future__ import annotations

import asyncio
import copy
import warnings
from concurrent.futures import ThreadPoolExecutor
from threading import Event
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


def run(transformer) -> torch.Tensor:
    return transformer(torch.randn(1, 3, 4, 4, 6), torch.randn(1, 5, TEXT_DIM), torch.tensor([500])).sample


def read(transformer) -> torch.Tensor:
    torch.manual_seed(1)
    with torch.no_grad(), concept_attention(transformer, torch.randn(2, TEXT_DIM)) as recorder:
        run(transformer)
    return recorder.logits["concept-attention"]


def compile_whole(transformer) -> Any:
    return torch.compile(transformer, backend="eager")


def compile_in_place(transformer) -> Any:
    transformer.compile(backend="eager")
    return transformer


def compile_repeated(transformer) -> Any:
    transformer._repeated_blocks = [type(transformer.transformer_blocks[0]).__name__]
    transformer.compile_repeated_blocks(backend="eager")
    return transformer


def compile_one_block(transformer) -> Any:
    transformer.transformer_blocks[1] = torch.compile(transformer.transformer_blocks[1], backend="eager")
    return transformer


def compile_one_forward(transformer) -> Any:
    block = transformer.transformer_blocks[1]
    block.forward = torch.compile(block.forward, backend="eager")
    return transformer


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

    @pytest.mark.parametrize(
        ("compile_it", "where"),
        [
            (compile_whole, "the transformer"),
            (compile_in_place, "the transformer"),
            (compile_repeated, r"transformer_blocks\.0"),
            (compile_one_block, r"transformer_blocks\.1"),
            (compile_one_forward, r"transformer_blocks\.1"),
        ],
    )
    def test_compiled_code(self, transformer, compile_it, where):
        compiled = compile_it(transformer)
        with pytest.raises(ModelError, match=rf"torch\.compile is on {where}, and .* Next: load the transformer anew"):
            read(compiled)

    def test_a_compiled_function_around_is_named_where_nothing_was_recorded(self, transformer):
        compiled = torch.compile(lambda: run(transformer), backend="eager")
        with torch.no_grad():
            compiled()
            with concept_attention(transformer, torch.randn(2, TEXT_DIM)) as recorder:
                compiled()
        with pytest.raises(RuntimeError, match=r"no logits recorded.* not by a function that torch\.compile made"):
            _ = recorder.logits

    @pytest.mark.parametrize("in_training", [True, False])
    def test_blocks_that_the_backward_pass_computes_again(self, transformer, in_training):
        transformer.train(in_training).enable_gradient_checkpointing()
        with (
            pytest.raises(ModelError, match=r"gradient checkpointing is on: .* Next: `transformer\.disable_gradient"),
            concept_attention(transformer, torch.randn(2, TEXT_DIM)),
        ):
            run(transformer)
        # The model is as it was, and the training step goes on without maps.
        run(transformer).sum().backward()

    @pytest.mark.parametrize("early_stop", [False, True])
    def test_a_pass_in_another_thread(self, transformer, early_stop):
        expected = read(transformer)
        torch.manual_seed(1)
        with (
            torch.no_grad(),
            ThreadPoolExecutor(1) as other,
            concept_attention(transformer, torch.randn(2, TEXT_DIM), early_stop=early_stop) as recorder,
        ):
            run(transformer)
            for call in (run, read):
                with pytest.raises(ModelError, match=r"in another thread|leaves blocks out"):
                    other.submit(call, transformer).result()
            assert torch.equal(recorder.logits["concept-attention"], expected)
        assert torch.equal(read(transformer), expected)

    def test_a_pass_that_another_thread_began_before(self, transformer):
        begun, opened = Event(), Event()

        def wait(*_: Any) -> None:
            begun.set()
            assert opened.wait(60)

        expected = read(transformer)
        remove = transformer.transformer_blocks[0].register_forward_hook(wait).remove
        with ThreadPoolExecutor(1) as other:
            whole = other.submit(run, transformer)
            assert begun.wait(60)
            with torch.no_grad(), concept_attention(transformer, torch.randn(2, TEXT_DIM)):
                opened.set()
                with pytest.raises(ModelError, match="in another thread"):
                    whole.result()
        remove()
        assert torch.equal(read(transformer), expected)

    def test_two_passes_of_one_context_at_once(self, transformer):
        begun, refused = Event(), Event()

        def wait(*_: Any) -> None:
            begun.set()
            assert refused.wait(60)

        async def run_twice() -> None:
            first = asyncio.create_task(asyncio.to_thread(run, transformer))
            await asyncio.to_thread(begun.wait, 60)
            with pytest.raises(ModelError, match="one after the other"):
                await asyncio.to_thread(run, transformer)
            refused.set()
            await first
            # The pass that was refused keeps none from coming after it.
            await asyncio.to_thread(run, transformer)

        with torch.no_grad(), concept_attention(transformer, torch.randn(2, TEXT_DIM)):
            transformer.transformer_blocks[0].register_forward_hook(wait)
            asyncio.run(run_twice())

    def test_a_copy_made_while_it_is_read(self, transformer):
        with concept_attention(transformer, torch.randn(2, TEXT_DIM)):
            copied = copy.deepcopy(transformer)
            with pytest.raises(ModelError, match="was copied while it was being read"):
                run(copied)


class TestTaken:
    def test_a_pass_that_asyncio_hands_to_a_thread(self, transformer):
        async def read_there() -> torch.Tensor:
            torch.manual_seed(1)
            with torch.no_grad(), concept_attention(transformer, torch.randn(2, TEXT_DIM)) as recorder:
                await asyncio.to_thread(torch.no_grad()(run), transformer)
            return recorder.logits["concept-attention"]

        assert torch.equal(asyncio.run(read_there()), read(transformer))

    def test_moved_weights(self, transformer):
        expected = read(transformer)
        offload_groups(transformer, "leaf_level")
        assert torch.equal(read(transformer), expected)

    def test_stored_in_another_precision(self, transformer):
        transformer.enable_layerwise_casting(torch.bfloat16, torch.float32)
        assert read(transformer).isfinite().all()

    def test_a_forward_that_is_kept_from_the_compiler(self, transformer):
        expected = read(transformer)
        block = transformer.transformer_blocks[1]
        block.forward = torch.compiler.disable(block.forward)
        assert torch.equal(read(transformer), expected)

    def test_gradient_checkpointing_where_no_gradients_are_kept(self, transformer):
        expected = read(transformer)
        transformer.enable_gradient_checkpointing()
        assert torch.equal(read(transformer), expected)


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
