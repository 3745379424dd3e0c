"""Every family against a slow reading of the equations, made with the stock blocks themselves.

The reading takes no hook of the package. It runs the model plainly and notes what each block is given and what each
attention sees. Then it gives each block the concept tokens *in place of the prompt*, beside the same video tokens: what
the block does with them is what ConceptAttention asks for, at twice the cost.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import accelerate
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.helpers.tiny_transformers import TEXT_DIM, TINY
from vidconcept.attention import METHODS, concept_attention
from vidconcept.attention.blocks.kinds import find_text
from vidconcept.attention.families import FAMILIES, find_family
from vidconcept.attention.methods import STANDARDISED

JOINT = ["hunyuan", "hunyuan15", "mochi", "flux", "flux2", "sd3"]
CROSS = ["wan", "ltx"]
# Two words of two and one sub-words, and a third of one.
COUNTS = (2, 1, 1)
# Which of the two comes first in the attention of each family; the reading is told, the hooks are not.
VIDEO_FIRST = {"hunyuan", "hunyuan15", "mochi", "sd3"}


def make_concepts() -> Tensor:
    return torch.randn(sum(COUNTS), TEXT_DIM, generator=torch.Generator().manual_seed(2))


class Tape:
    """Notes queries, keys and values of every attention, and what every block is given."""

    def __init__(self, monkeypatch) -> None:
        self.attentions: list[tuple[Tensor, Tensor, Tensor]] = []
        self.calls: list[dict[str, Any]] = []
        plain = F.scaled_dot_product_attention

        def noted(query, key, value, *args, **kwargs):
            self.attentions.append((query, key, value))
            return plain(query, key, value, *args, **kwargs)

        monkeypatch.setattr(F, "scaled_dot_product_attention", noted)
        monkeypatch.setattr(
            "diffusers.models.attention_dispatch.torch.nn.functional.scaled_dot_product_attention", noted
        )

    def follow(self, block) -> None:
        names = list(type(block).forward.__code__.co_varnames[1 : type(block).forward.__code__.co_argcount])

        def note(_module, args, kwargs):
            start = len(self.attentions)
            self.calls.append(dict(zip(names, args, strict=False)) | kwargs | {"attentions from": start})

        block.register_forward_pre_hook(note, with_kwargs=True)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention by its definition, `(b, heads, token, dim)`."""
    weights = torch.einsum("bhqd,bhkd->bhqk", query.double(), key.double()) / math.sqrt(query.shape[-1])
    return torch.einsum("bhqk,bhkd->bhqd", weights.exp() / weights.exp().sum(-1, keepdim=True), value.double())


def dots(ones: Tensor, others: Tensor) -> Tensor:
    """Sum over heads of dot products of `(b, heads, token, dim)`: `(b, token, token)`."""
    return sum(ones[:, h].double() @ others[:, h].double().transpose(1, 2) for h in range(ones.shape[1]))


def enter_by_hand(name: str, transformer, call: dict[str, Any]) -> Tensor:
    words = make_concepts()[None].split(COUNTS, dim=1)
    if name.startswith("hunyuan"):
        ones = [torch.ones(1, word.shape[1]) for word in words]
        refined = [transformer.context_embedder(w, call["timestep"], o) for w, o in zip(words, ones, strict=True)]
        tokens = torch.cat(refined, dim=1)
        return tokens + transformer.cond_type_embed(torch.tensor(0)) if name == "hunyuan15" else tokens
    module = transformer.time_embed.caption_proj if name == "mochi" else transformer.context_embedder
    return module(torch.cat(words, dim=1))


def at_no_position(rope, count: int, video: int):
    """Rotary tables of an image, with `count` tokens at position 0 in front in place of the prompt's."""
    cos, sin = (table[-video:] for table in rope)
    return torch.cat([torch.ones(count, cos.shape[1]), cos]), torch.cat([torch.zeros(count, sin.shape[1]), sin])


def give_concepts(name: str, block, call: dict[str, Any], tokens: Tensor, video: int) -> Any:
    """Run a stock block with the concept tokens as its only text."""
    given = {key: value for key, value in call.items() if key != "attentions from"}
    count = tokens.shape[1]
    if given.get("encoder_hidden_states", tokens) is None:  # Flux.2 joins before its single blocks
        given["hidden_states"] = torch.cat([tokens, given["hidden_states"][:, -video:]], dim=1)
    else:
        given["encoder_hidden_states"] = tokens
    if name in ("flux", "flux2"):
        given["image_rotary_emb"] = at_no_position(given["image_rotary_emb"], count, video)
    if name == "hunyuan":
        given["attention_mask"] = torch.ones(1, 1, 1, video + count, dtype=torch.bool)
    if name == "hunyuan15":
        given["attention_mask"] = torch.ones(1, count, dtype=torch.bool)
    if name == "mochi":
        given["encoder_attention_mask"] = torch.ones(1, count, dtype=torch.bool)
    output = block(**given)
    if isinstance(output, Tensor):
        return output[:, :count]
    return output[1] if name in ("hunyuan", "hunyuan15", "mochi") else output[0]


def read_slowly(name: str, monkeypatch) -> tuple[Tensor, dict[str, Tensor]]:
    """The model's output, and for each method `(layer, concept token, video token)`."""
    tiny, count = TINY[name], sum(COUNTS)
    transformer, video = tiny.make(), math.prod(tiny.tokens)
    tape = Tape(monkeypatch)
    blocks = [block for block, _ in find_family(transformer).layers_of(transformer)]
    for block in blocks:
        tape.follow(block)

    def cut(tensors, first):
        return [t[:, :, :video] if name in VIDEO_FIRST else t[:, :, -video:] for t in tensors], [
            t[:, :, video:] if name in VIDEO_FIRST else t[:, :, :first] for t in tensors
        ]

    found: dict[str, list[Tensor]] = {"concept-attention": [], "cross-attention": [], "value-space": []}
    with torch.no_grad():
        output = transformer(**tiny.arguments(), return_dict=False)[0]
        calls = tape.calls[:]
        tokens = enter_by_hand(name, transformer, tiny.arguments())
        for block, call in zip(blocks, calls, strict=True):
            seen = tape.attentions[call["attentions from"]]
            (query_x, _, value_x), _ = cut(seen, 0)
            outputs_x = attend(query_x, *seen_by_video(name, seen, tiny))
            start = len(tape.attentions)
            tokens = give_concepts(name, block, call, tokens, video)
            given = tape.attentions[start]
            _, (query_c, key_c, value_c) = cut(given, count)
            found["concept-attention"].append(dots(attend(query_c, given[1], given[2]), outputs_x))
            found["cross-attention"].append(dots(key_c, query_x) / query_x.shape[1])
            found["value-space"].append(dots(value_c, value_x))
    return output, {method: torch.cat(rows) for method, rows in found.items()}


def seen_by_video(name: str, seen, tiny) -> tuple[Tensor, Tensor]:
    """Keys and values that the video tokens attend to: padded text is not among them where the model masks it."""
    _, key, value = seen
    if name not in ("hunyuan", "hunyuan15"):
        return key, value
    kept = math.prod(tiny.tokens) + int(tiny.arguments()["encoder_attention_mask"].sum())
    return key[:, :, :kept], value[:, :, :kept]


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
        transformer = TINY[name].make()
        output, expected = record(name, transformer)
        transformer.enable_group_offload(
            onload_device=torch.device("cpu"),
            offload_device=torch.device("cpu"),
            offload_type="block_level",
            num_blocks_per_group=1,
            offload_to_disk_path=str(tmp_path),
        )
        moved, recorder = record(name, transformer)
        assert torch.equal(moved, output)
        for method, logits in expected.logits.items():
            assert torch.equal(recorder.logits[method], logits), method

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


class TestWhichTransformers:
    def test_all_are_covered_here(self):
        assert {tiny.cls.__name__ for tiny in TINY.values()} | {"CogVideoXTransformer3DModel"} == set(FAMILIES)

    def test_one_whose_text_never_sees_video_is_refused_with_the_reason(self):
        from diffusers import Cosmos3OmniTransformer

        transformer = Cosmos3OmniTransformer.__new__(Cosmos3OmniTransformer)
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
