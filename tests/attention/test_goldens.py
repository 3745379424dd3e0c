"""The hooks against vectors computed by the paper authors' own code on random weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import CogVideoXTransformer3DModel
from safetensors.torch import load_file

from vidconcept.attention import hooks
from vidconcept.attention.blocks.cogvideox import CogVideoXKind
from vidconcept.attention.blocks.kinds import rotate
from vidconcept.attention.hooks import METHODS, concept_attention
from vidconcept.attention.methods import STANDARDISED, Tokens
from vidconcept.errors import ModelError

GOLDENS = Path(__file__).parent / "goldens"
CASES = ["cogvideox_2b_like_s0", "cogvideox_5b_like_s0", "cogvideox_15_like_s0"]


class Golden:
    def __init__(self, case: str) -> None:
        tensors = load_file(GOLDENS / f"{case}.safetensors")
        config = json.loads((GOLDENS / f"{case}.json").read_text())["config"]
        self.out = {k.removeprefix("out."): v for k, v in tensors.items() if k.startswith("out.")}
        self.inputs = {k.removeprefix("in."): v for k, v in tensors.items() if k.startswith("in.")}
        self.transformer = CogVideoXTransformer3DModel(**config).eval()
        self.transformer.load_state_dict({k.removeprefix("sd."): v for k, v in tensors.items() if k.startswith("sd.")})

    def forward(self, batch: int = 1) -> torch.Tensor:
        text = self.inputs["text_embeds"]
        if batch == 2:
            text = torch.cat([self.inputs["text_embeds_uncond"], text])
        rope = (self.inputs["rope_cos"], self.inputs["rope_sin"]) if "rope_cos" in self.inputs else None
        with torch.no_grad():
            return self.transformer(
                self.inputs["latents"].expand(batch, -1, -1, -1, -1),
                text,
                self.inputs["timestep"].expand(batch),
                image_rotary_emb=rope,
                return_dict=False,
            )[0]

    def record(self, **options):
        options = {"layers": range(len(self.transformer.transformer_blocks)), "methods": METHODS, **options}
        with concept_attention(self.transformer, self.inputs["concept_embeds"], **options) as recorder:
            self.noise_pred = self.forward()
        return recorder


@pytest.fixture(params=CASES)
def golden(request) -> Golden:
    return Golden(request.param)


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


class TestAgreesWithTheAuthors:
    def test_maps_and_vectors(self, golden: Golden):
        recorder = golden.record(vectors=True)
        ours = {
            "nopad.concept_attention_maps": recorder.logits["concept-attention"][:, 0],
            "nopad.cross_attention_maps": recorder.logits["cross-attention"][:, 0],
            "nopad.concept_output_vectors": recorder.concept_vectors[:, 0],
            "image_output_vectors": recorder.video_vectors[:, 0],
        }
        for name, tensor in ours.items():
            assert tensor.shape == golden.out[name].shape
            assert relative_error(tensor, golden.out[name]) < 5e-6, name

    def test_padding_as_the_paper_code_does_it(self, golden: Golden):
        """Zero vectors up to the text length, on request of the caller only: they change the maps."""
        concepts = golden.inputs["concept_embeds"]
        padded = torch.zeros_like(golden.inputs["text_embeds"])
        padded[:, : concepts.shape[1]] = concepts
        golden.inputs["concept_embeds"] = padded
        maps = golden.record().logits["concept-attention"][:, 0]
        assert relative_error(maps, golden.out["pad.concept_attention_maps"]) < 5e-6

    def test_reduction_of_the_paper_code(self, golden: Golden):
        logits = golden.record().logits["concept-attention"][:, 0]
        assert relative_error(logits.softmax(1).mean(0), golden.out["nopad.ref_aggregated_concept_map"]) < 5e-6

    def test_batch_with_guidance_reads_every_row(self, golden: Golden):
        layers = range(len(golden.transformer.transformer_blocks))
        with concept_attention(golden.transformer, golden.inputs["concept_embeds"], layers=layers) as recorder:
            noise_pred = golden.forward(batch=2)
        assert relative_error(noise_pred, golden.out["noise_pred_cfg"]) < 1e-5
        maps = recorder.logits["concept-attention"]
        assert relative_error(maps[:, 1], golden.out["nopad.concept_attention_maps"]) < 5e-6


class TestLeavesTheModelAlone:
    def test_noise_prediction_is_bit_for_bit_the_same(self, golden: Golden):
        plain = golden.forward()
        golden.record()
        assert (golden.noise_pred - plain).abs().max().item() == 0.0
        assert relative_error(plain, golden.out["noise_pred"]) < 5e-6

    @pytest.mark.parametrize("early_stop", [False, True])
    def test_processors_and_hooks_after_use_and_after_an_exception(self, golden: Golden, early_stop: bool):
        transformer = golden.transformer
        plain, latents = golden.forward(), golden.inputs["latents"]
        before = dict(transformer.attn_processors)
        blocks = transformer.transformer_blocks

        def unchanged() -> bool:
            hooked = [m for m in transformer.modules() if m._forward_hooks or m._forward_pre_hooks]
            same = {k: id(v) for k, v in transformer.attn_processors.items()} == {k: id(v) for k, v in before.items()}
            return same and not hooked and transformer.transformer_blocks is blocks

        for _ in range(2):
            golden.record(layers=[1], early_stop=early_stop)
            assert unchanged()
        golden.inputs["latents"] = golden.inputs["latents"][:, :, :3]
        with pytest.raises(RuntimeError):
            golden.record(layers=[1], early_stop=early_stop)
        assert unchanged()
        golden.inputs["latents"] = latents
        assert torch.equal(golden.forward(), plain)

    def test_two_contexts_at_once_do_not_disturb_each_other(self, golden: Golden):
        alone = golden.record().logits["concept-attention"]
        with concept_attention(golden.transformer, golden.inputs["concept_embeds"], layers=[0, 1, 2]) as outer:
            inner = golden.record().logits["concept-attention"]
        assert torch.equal(inner, alone)
        assert torch.equal(outer.logits["concept-attention"], alone[:3])

    def test_fused_projections_give_the_same_maps(self, golden: Golden):
        expected = golden.record().logits
        golden.transformer.fuse_qkv_projections()
        fused = golden.record().logits
        for name in METHODS:
            # Standardising divides by differences among concepts, which may be small.
            assert relative_error(fused[name], expected[name]) < (1e-4 if name in STANDARDISED else 1e-5), name


class TestEarlyStop:
    def test_gives_the_same_maps(self, golden: Golden):
        full = golden.record(layers=[0, 2])
        stopped = golden.record(layers=[0, 2], early_stop=True)
        for name in METHODS:
            assert torch.equal(full.logits[name], stopped.logits[name])

    def test_needs_to_be_asked_for(self, golden: Golden):
        plain = golden.forward()
        golden.record(layers=[0])
        assert torch.equal(golden.noise_pred, plain)
        golden.record(layers=[0], early_stop=True)
        assert not torch.equal(golden.noise_pred, plain)

    @pytest.mark.parametrize("layers", [None, [2]])
    def test_no_other_context_is_opened_until_it_is_left(self, golden: Golden, layers):
        blocks = golden.transformer.transformer_blocks
        with (
            concept_attention(golden.transformer, golden.inputs["concept_embeds"], layers=[1], early_stop=True),
            pytest.raises(ModelError, match=r"`early_stop=True` is open on this transformer .* Next: leave"),
        ):
            golden.record(layers=layers, early_stop=True)
        assert golden.transformer.transformer_blocks is blocks
        golden.record(layers=layers)

    def test_takes_no_layer_from_a_context_that_is_open(self, golden: Golden):
        embeds = golden.inputs["concept_embeds"]
        with concept_attention(golden.transformer, embeds, layers=[0, 1]) as recorder:
            with pytest.raises(
                ModelError, match=r"reads layer 1, which `early_stop=True` after layer 0 .* Next: leave"
            ):
                golden.record(layers=[0], early_stop=True)
            golden.record(layers=[1], early_stop=True)
        assert len(recorder.logits["concept-attention"]) == 2


class TestSecondPass:
    def test_a_pass_that_fails_half_way_leaves_no_records_of_the_one_before(self, golden: Golden):
        def fail(*_: object) -> None:
            raise MemoryError

        with concept_attention(golden.transformer, golden.inputs["concept_embeds"], layers=[0, 1, 2]) as recorder:
            golden.forward()
            handle = golden.transformer.transformer_blocks[1].register_forward_pre_hook(fail)
            with pytest.raises(MemoryError):
                golden.forward()
            with pytest.raises(RuntimeError, match=r"no concept-attention recorded for layers \[1, 2\]\. Next: "):
                _ = recorder.logits
            handle.remove()
            golden.forward()
        assert torch.equal(
            recorder.logits["concept-attention"], golden.record(layers=[0, 1, 2]).logits["concept-attention"]
        )


def attends_to_video_only(monkeypatch):
    true = hooks.ConceptStream.attend

    def attend(self, query, key, value, seen):
        return true(self, query, key[:, :, :0], value[:, :, :0], seen)

    monkeypatch.setattr(hooks.ConceptStream, "attend", attend)


def attends_to_the_prompt(monkeypatch):
    true = CogVideoXKind.find_video

    def find_video(self, block, inputs, seen):
        video = true(self, block, inputs, seen)
        nowhere = {"encoder_hidden_states": inputs["encoder_hidden_states"][:, :0]}
        everything, length = true(self, block, nowhere, seen), inputs["encoder_hidden_states"].shape[1]
        keys = torch.cat([everything.key[:, :, :length], video.key], dim=2)
        values = torch.cat([everything.value[:, :, :length], video.value], dim=2)
        return Tokens(video.query, keys, values, video.output)

    monkeypatch.setattr(CogVideoXKind, "find_video", find_video)


def reads_after_to_out(monkeypatch):
    true_leave, true_read = CogVideoXKind.enter_attention, hooks.ConceptStream.read
    blocks = []

    def enter_attention(self, block, tokens, inputs):
        blocks.append(block)
        return true_leave(self, block, tokens, inputs)

    def read(self, layer, concept, seen):
        to_out = blocks[-1].attn1.to_out[0]
        true_read(self, layer, *(replace(x, output=to_out.forward(x.output)) for x in (concept, seen)))

    monkeypatch.setattr(CogVideoXKind, "enter_attention", enter_attention)
    monkeypatch.setattr(hooks.ConceptStream, "read", read)


def drops_the_residual(monkeypatch):
    true = CogVideoXKind.leave_attention
    monkeypatch.setattr(
        CogVideoXKind, "leave_attention", lambda self, block, tokens, *rest: true(self, block, tokens, *rest) - tokens
    )


def drops_the_feed_forward(monkeypatch):
    monkeypatch.setattr(CogVideoXKind, "feed_forward", lambda self, block, tokens, temb: tokens)


def rotates_concepts(monkeypatch):
    true = CogVideoXKind.enter_attention

    def enter_attention(self, block, tokens, inputs):
        (query, key, value), carried = true(self, block, tokens, inputs)
        rope = tuple(table[-tokens.shape[1] :] for table in inputs["image_rotary_emb"])
        return (rotate(query, rope), rotate(key, rope), value), carried

    monkeypatch.setattr(CogVideoXKind, "enter_attention", enter_attention)


EVERYWHERE = [
    attends_to_video_only,
    attends_to_the_prompt,
    reads_after_to_out,
    drops_the_residual,
    drops_the_feed_forward,
]


class TestClassicMistakesAreCaught:
    """Each mistake moves the maps far beyond the tolerance of 1e-5 that the goldens hold."""

    def error_of(self, golden: Golden) -> float:
        maps = golden.record().logits["concept-attention"][:, 0]
        return relative_error(maps, golden.out["nopad.concept_attention_maps"])

    @pytest.mark.parametrize("mistake", EVERYWHERE, ids=lambda mistake: mistake.__name__)
    def test_mistake(self, golden: Golden, mistake, monkeypatch):
        mistake(monkeypatch)
        assert self.error_of(golden) > 5e-3

    @pytest.mark.parametrize("case", ["cogvideox_5b_like_s0", "cogvideox_15_like_s0"])
    def test_rotary_on_concepts(self, case: str, monkeypatch):
        rotates_concepts(monkeypatch)
        assert self.error_of(Golden(case)) > 5e-3


class TestRefusesWrongInput:
    def test_layers_methods_and_widths(self, golden: Golden):
        concepts = golden.inputs["concept_embeds"]
        for options, match in [
            ({"layers": [99]}, "layers must lie in"),
            ({"layers": []}, "layers must lie in"),
            ({"layers": [1.5]}, "layers are a sequence of whole numbers"),
            ({"layers": 2}, "layers are a sequence of whole numbers"),
            ({"methods": "imap"}, "methods are a sequence of names, got 'imap'"),
            ({"methods": ["attention-rollout"]}, "attention-rollout"),
            ({"methods": [1, "x"]}, "; got 1, x"),
            ({"motion_heads": None}, "motion_heads is a whole number of at least 1, got None"),
            ({"motion_heads": 1.5}, r"motion_heads is a whole number of at least 1, got 1\.5"),
            ({"concepts": "ab"}, "concepts are a whole number or a sequence of them, got 'ab'"),
            ({"concepts": 1.0}, r"concepts are a whole number or a sequence of them, got 1\.0"),
            ({"vectors": "first"}, 'vectors are True, False or "last", got .first.'),
        ]:
            with pytest.raises(ValueError, match=match), concept_attention(golden.transformer, concepts, **options):
                pass
        with (
            pytest.raises(ValueError, match="concept_embeds"),
            concept_attention(golden.transformer, concepts[..., :-1]),
        ):
            pass
        with (
            pytest.raises(ValueError, match="concept_embeds are a torch tensor, got ndarray"),
            concept_attention(golden.transformer, concepts.float().numpy()),
        ):
            pass

    def test_a_number_of_concepts_may_be_numpys(self, golden: Golden):
        expected = golden.record(concepts=1).logits["gramcol"]
        assert torch.equal(golden.record(concepts=np.int64(1)).logits["gramcol"], expected)

    @pytest.mark.parametrize("records", ["logits", "concept_vectors", "video_vectors", "last_video_vectors"])
    def test_reading_before_running(self, golden: Golden, records: str):
        with (
            concept_attention(golden.transformer, golden.inputs["concept_embeds"], vectors=True) as recorder,
            pytest.raises(RuntimeError, match=r"recorded.* Next: run the transformer inside the context first"),
        ):
            getattr(recorder, records)

    def test_vectors_that_were_not_asked_for(self, golden: Golden):
        recorder = golden.record()
        with pytest.raises(RuntimeError, match=r"no video vectors recorded.*, with `vectors=True`"):
            _ = recorder.video_vectors
