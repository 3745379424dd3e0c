"""Every family against a slow reading of the equations: `tests/helpers/slow_reading.py`."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import accelerate
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.helpers.diffusers_at_hand import find_class, offload_groups
from tests.helpers.slow_reading import (
    COUNTS,
    make_concepts,
    read_slowly,
)
from tests.helpers.tiny_transformers import TINY
from vidconcept.attention import METHODS, concept_attention
from vidconcept.attention.blocks.kinds import find_text
from vidconcept.attention.families import FAMILIES, find_family
from vidconcept.attention.methods import STANDARDISED

JOINT = ["hunyuan", "hunyuan15", "mochi", "flux", "flux2", "sd3", "qwen", "minimax"]
CROSS = ["wan", "ltx"]


def record(name: str, transformer=None, **options):
    tiny = TINY[name]
    transformer = tiny.make() if transformer is None else transformer
    family = find_family(transformer)
    every = range(len(family.layers_of(transformer)))
    options = {"layers": every, "methods": family.methods, "concepts": COUNTS, **options}
    with torch.no_grad(), concept_attention(transformer, make_concepts(), **options) as recorder:
        output = transformer(**tiny.arguments(), return_dict=False)[0]
    return output, recorder


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


class TestJointAttention:
    @pytest.mark.parametrize("name", JOINT)
    def test_maps_are_those_of_the_equations(self, name, monkeypatch):
        with monkeypatch.context() as patch:
            plain, slow = read_slowly(name, patch)
        output, recorder = record(name)
        assert torch.equal(output, plain)
        for method, expected in slow.items():
            ours = recorder.logits[method][:, 0]
            assert ours.shape == expected.shape
            for layer in range(len(ours)):
                assert relative_error(ours[layer], expected[layer]) < 2e-5, (method, layer)


class TestCrossAttention:
    @pytest.mark.parametrize("name", CROSS)
    def test_maps_are_those_of_the_equations(self, name):
        tiny, transformer = TINY[name], TINY[name].make()
        entrance = transformer.condition_embedder.text_embedder if name == "wan" else transformer.caption_projection
        inputs: list[tuple[Tensor, Tensor]] = []
        blocks = transformer.blocks if name == "wan" else transformer.transformer_blocks
        for block in blocks:
            block.attn2.register_forward_pre_hook(lambda _m, args, kwargs: inputs.append(args[0]), with_kwargs=True)
        with torch.no_grad():
            plain = transformer(**tiny.arguments(), return_dict=False)[0]
            concepts = entrance(make_concepts())
            expected = []
            for block, video in zip(blocks, inputs, strict=True):
                query, key = (
                    F.rms_norm(F.linear(x, linear.weight, linear.bias), (32,), norm.weight, norm.eps)
                    for x, linear, norm in (
                        (video[0], block.attn2.to_q, block.attn2.norm_q),
                        (concepts, block.attn2.to_k, block.attn2.norm_k),
                    )
                )
                # Two heads of sixteen; the mean over heads of <k_c, q_x>.
                expected.append(sum(key[:, h : h + 16] @ query[:, h : h + 16].T for h in (0, 16)) / 2)
        output, recorder = record(name)
        assert torch.equal(output, plain)
        assert relative_error(recorder.logits["cross-attention"][:, 0], torch.stack(expected)) < 1e-5

    @pytest.mark.parametrize("name", CROSS)
    def test_gramcol_compares_outputs_of_the_self_attention(self, name):
        tiny = TINY[name]
        _, recorder = record(name)
        frames, patches = tiny.tokens[0], tiny.tokens[1] * tiny.tokens[2]
        assert recorder.logits["gramcol"].shape == recorder.logits["cross-attention"].shape
        # One head: where it picks, and what it compares, can be read from the product itself.
        _, alone = record(name, _with_one_head(name), layers=[0], methods=["cross-attention", "gramcol"])
        picked = alone.logits["cross-attention"][0, 0].reshape(sum(COUNTS), frames, patches).argmax(-1)
        one = _first_output(name)
        grams = torch.stack([frame @ frame.T for frame in one.reshape(frames, patches, -1)])
        columns = torch.stack([grams[range(frames), picked[c]] for c in range(sum(COUNTS))]).double()
        expected = (columns - columns.mean(0)) / columns.std(0)
        found = alone.logits["gramcol"][0, 0].reshape(columns.shape)
        told_apart = columns.std(0) > 1e-4
        assert told_apart.any()
        assert relative_error(found[:, told_apart], expected[:, told_apart]) < 1e-3

    @pytest.mark.parametrize("name", CROSS)
    def test_concept_attention_is_refused_with_what_there_is(self, name):
        with pytest.raises(
            ValueError, match=r"has no concept-attention: its text never .* It has cross-attention, gramcol"
        ):
            record(name, methods=["concept-attention"])


def with_config(name: str, **changes):
    return replace(TINY[name], config=TINY[name].config | changes).make()


def _with_one_head(name: str):
    return with_config(name, num_attention_heads=1, attention_head_dim=32)


def _first_output(name: str) -> Tensor:
    transformer, outputs = _with_one_head(name), []
    blocks = transformer.blocks if name == "wan" else transformer.transformer_blocks
    blocks[0].attn1.to_out[0].register_forward_pre_hook(lambda _m, args: outputs.append(args[0]))
    with torch.no_grad():
        transformer(**TINY[name].arguments())
    return outputs[0][0]


class StoredAsIntegers(torch.nn.Linear):
    """A linear layer whose weights are stored as 8-bit integers with one scale."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features)
        self.bias, self.scale = linear.bias, linear.weight.detach().abs().max() / 127
        integers = (linear.weight.detach() / self.scale).round().to(torch.int8)
        self.weight = torch.nn.Parameter(integers, requires_grad=False)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight * self.scale, self.bias)


class TestLeavesTheModelAlone:
    @pytest.mark.parametrize("name", TINY)
    def test_no_hook_is_left_and_early_stop_gives_the_same_maps(self, name):
        transformer = TINY[name].make()
        full, whole = record(name, transformer, layers=[1])
        with pytest.raises(TypeError), concept_attention(transformer, make_concepts(), early_stop=True):
            transformer(nothing="of the kind")
        stopped, recorder = record(name, transformer, layers=[1], early_stop=True)
        for method, logits in whole.logits.items():
            assert torch.equal(recorder.logits[method], logits)
        assert not torch.equal(stopped, full)
        assert not [m for m in transformer.modules() if m._forward_hooks or m._forward_pre_hooks]
        assert torch.equal(record(name, transformer, layers=[1])[0], full)

    @pytest.mark.parametrize("name", TINY)
    def test_fused_projections_give_the_same_maps(self, name):
        # What diffusers fuses of SD3.5 has no norms of queries and keys, and fails on its second attention.
        transformer = with_config(name, **({"qk_norm": None, "dual_attention_layers": ()} if name == "sd3" else {}))
        if not hasattr(transformer, "fuse_qkv_projections"):
            pytest.skip("diffusers does not fuse this one")
        output, expected = record(name, transformer)
        transformer.fuse_qkv_projections()
        fused, recorder = record(name, transformer)
        assert relative_error(fused, output) < 1e-5
        for method, logits in expected.logits.items():
            tolerance = 5e-3 if method in STANDARDISED else 1e-5
            assert relative_error(recorder.logits[method], logits) < tolerance, method

    def test_a_processor_that_passes_the_norms_by_is_an_error(self):
        transformer = with_config("sd3", dual_attention_layers=())
        transformer.fuse_qkv_projections()
        with pytest.raises(RuntimeError, match=r"block 0 \(JointTransformerBlock\) showed no (key|query)"):
            record("sd3", transformer)

    @pytest.mark.parametrize("name", TINY)
    def test_weights_that_are_moved_in_and_out_give_the_same_maps(self, name):
        """Between its turns a module has no weights at all: what is read at the wrong moment fails."""
        transformer = TINY[name].make()
        output, expected = record(name, transformer)
        accelerate.cpu_offload(transformer, execution_device=torch.device("cpu"))
        moved, recorder = record(name, transformer)
        assert torch.equal(moved, output)
        for method, logits in expected.logits.items():
            assert torch.equal(recorder.logits[method], logits), method

    @pytest.mark.parametrize("name", TINY)
    def test_weights_that_are_moved_by_blocks_give_the_same_maps(self, name, tmp_path):
        """To rounding: how weights read from a disk lie in memory changes the order of sums on some processors."""
        transformer = TINY[name].make()
        output, expected = record(name, transformer)
        offload_groups(transformer, "block_level", num_blocks_per_group=1, offload_to_disk_path=str(tmp_path))
        moved, recorder = record(name, transformer)
        assert relative_error(moved, output) < 1e-5
        for method, logits in expected.logits.items():
            tolerance = 5e-3 if method in STANDARDISED else 1e-5
            assert relative_error(recorder.logits[method], logits) < tolerance, method

    @pytest.mark.parametrize("name", TINY)
    def test_weights_that_are_stored_in_eight_bits_give_the_maps_of_what_they_round_to(self, name):
        stored, rounded = TINY[name].make(), TINY[name].make()
        stored.enable_layerwise_casting(torch.float8_e4m3fn, torch.float32)
        with torch.no_grad():
            for own, other in zip(rounded.parameters(), stored.parameters(), strict=True):
                own.copy_(other)
        output, expected = record(name, rounded)
        cast, recorder = record(name, stored)
        assert torch.equal(cast, output)
        for method, logits in expected.logits.items():
            assert torch.equal(recorder.logits[method], logits), method

    def test_words_are_not_rounded_to_the_integers_that_weights_are_stored_in(self):
        stored, rounded = TINY["qwen"].make(), TINY["qwen"].make()
        stored.txt_in = StoredAsIntegers(rounded.txt_in)
        with torch.no_grad():
            rounded.txt_in.weight.copy_(stored.txt_in.weight * stored.txt_in.scale)
        output, expected = record("qwen", rounded)
        integers, recorder = record("qwen", stored)
        assert torch.equal(integers, output)
        for method, logits in expected.logits.items():
            assert torch.equal(recorder.logits[method], logits), method

    def test_a_model_that_casts_its_prompt_casts_the_words_too(self):
        transformer = TINY["minimax"].make().to(torch.bfloat16)
        with torch.no_grad(), concept_attention(transformer, make_concepts(), concepts=COUNTS) as recorder:
            transformer(**TINY["minimax"].arguments())
        assert recorder.logits["concept-attention"].isfinite().all()

    @pytest.mark.parametrize("name", TINY)
    def test_half_precision_gives_numbers(self, name):
        transformer = TINY[name].make().to(torch.bfloat16)
        arguments = {
            key: value.to(torch.bfloat16) if isinstance(value, Tensor) and value.is_floating_point() else value
            for key, value in TINY[name].arguments().items()
        }
        with torch.no_grad(), concept_attention(transformer, make_concepts(), concepts=COUNTS) as recorder:
            transformer(**arguments)
        (logits,) = recorder.logits.values()
        assert logits.isfinite().all()
        assert logits.dtype == torch.float32

    @pytest.mark.parametrize("name", TINY)
    def test_dropout_falls_on_the_same_numbers_in_training(self, name):
        transformer = TINY[name].make().train()
        for module in transformer.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.5
        arguments = TINY[name].arguments()
        outputs = []
        for context in (nullcontext(), concept_attention(transformer, make_concepts(), concepts=COUNTS)):
            with context:
                torch.manual_seed(3)
                outputs.append(transformer(**arguments, return_dict=False)[0])
        assert torch.equal(*outputs)
        assert all(module.training for module in transformer.modules())
        assert not torch.equal(outputs[0], transformer(**arguments, return_dict=False)[0])


class TestWhichTransformers:
    def test_all_are_covered_here(self):
        assert {tiny.kind for tiny in TINY.values()} | {"CogVideoXTransformer3DModel"} == set(FAMILIES)

    def test_one_whose_text_never_sees_video_is_refused_with_the_reason(self):
        kind = find_class("Cosmos3OmniTransformer")
        transformer = kind.__new__(kind)
        with pytest.raises(
            ValueError, match=r"Cosmos3OmniTransformer cannot be read: its text .* never sees the video"
        ):
            find_family(transformer)

    def test_another_is_refused_with_what_is_read(self):
        with pytest.raises(ValueError, match=r"Linear is no transformer that is read here: CogVideoX"):
            find_family(torch.nn.Linear(1, 1))

    def test_stills_have_no_heads_of_motion(self):
        with pytest.raises(ValueError, match="has no imap: it reads single frames"):
            record("flux", methods=["imap"])
        assert set(METHODS) - {"imap"} == set(record("flux")[1].logits)


class TestOrderOfTokens:
    def test_is_read_from_the_tokens(self):
        text, video = torch.randn(1, 3, 4), torch.randn(1, 6, 4)
        assert find_text(torch.cat([text, video], 1), text) == (slice(0, 3), slice(3, 9))
        assert find_text(torch.cat([video, text], 1), text) == (slice(6, 9), slice(0, 6))
        assert find_text(video, text[:, :0]) == (slice(0, 0), slice(0, 6))

    def test_text_in_the_middle_is_an_error(self):
        text, video = torch.randn(1, 3, 4), torch.randn(1, 6, 4)
        with pytest.raises(RuntimeError, match="at neither end"):
            find_text(torch.cat([video[:, :2], text, video[:, 2:]], 1), text)


def test_counts_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match=r"\[2, 1\] tokens do not add up to the 4 concept tokens"):
        record("mochi", concepts=(2, 1))
