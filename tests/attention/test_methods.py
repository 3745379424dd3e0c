"""Ways to read a map: the authors' own figures, slow readings of the equations, and where they divide."""

import numpy as np
import pytest
import torch
from einops import rearrange

from tests.attention.test_goldens import CASES, Golden, relative_error
from vidconcept.attention import hooks
from vidconcept.attention.hooks import METHODS
from vidconcept.attention.methods import (
    READERS,
    STANDARDISED,
    LayerTokens,
    Tokens,
    frame_separation,
    motion_heads,
    pick_patches,
    split_by_frame,
    standardise_columns,
)


@pytest.fixture(params=CASES)
def golden(request) -> Golden:
    return Golden(request.param)


def layers_of(golden: Golden, monkeypatch, **options) -> list[LayerTokens]:
    """Every layer's tokens as the hooks see them."""
    found = []

    class Keeps(hooks.ConceptStream):
        def read(self, layer, concept, seen):
            found.append(LayerTokens(concept, seen, self.frames, self.concepts, self.motion_heads))

    with monkeypatch.context() as patch:
        patch.setattr(hooks, "ConceptStream", Keeps)
        golden.record(**options)
    return found


def made(concepts: int = 4, frames: int = 3, patches: int = 6, heads: int = 3, dim: int = 5) -> LayerTokens:
    generator = torch.Generator().manual_seed(0)

    def tokens(count):
        query, key, value = torch.randn(3, 2, heads, count, dim, generator=generator)
        return Tokens(query, key, value, torch.randn(2, count, heads * dim, generator=generator))

    return LayerTokens(tokens(concepts), tokens(frames * patches), frames, concepts, 2)


class TestAgreesWithTheAuthors:
    def test_gramcol_and_imap(self, golden: Golden):
        recorder = golden.record(motion_heads=2)
        for name, theirs in {"gramcol": "nopad.imap", "imap": "nopad.sel_imap"}.items():
            ours = recorder.logits[name][:, 0]
            assert ours.shape == golden.out[theirs].shape
            for layer, expected in zip(ours, golden.out[theirs], strict=True):
                assert relative_error(layer, expected) < 1e-4, name

    def test_with_their_padding(self, golden: Golden):
        concepts = golden.inputs["concept_embeds"]
        padded = torch.zeros_like(golden.inputs["text_embeds"])
        padded[:, : concepts.shape[1]] = concepts
        golden.inputs["concept_embeds"] = padded
        recorder = golden.record(motion_heads=2)
        assert relative_error(recorder.logits["gramcol"][:, 0], golden.out["pad.imap"]) < 1e-4
        assert relative_error(recorder.logits["imap"][:, 0], golden.out["pad.sel_imap"]) < 1e-4

    def test_patches_and_heads_chosen(self, golden: Golden, monkeypatch):
        for number, layer in enumerate(layers_of(golden, monkeypatch)):
            separation = frame_separation(split_by_frame(layer))
            assert torch.equal(pick_patches(layer)[0].int(), golden.out["nopad.imap_selected_visual_idx"][number])
            assert relative_error(separation[0], golden.out["imap_chi_scores"][number]) < 1e-4
            assert torch.equal(motion_heads(separation, 2)[0].int(), golden.out["imap_selected_heads"][number])


class TestAgainstSlowReadings:
    def test_values(self, golden: Golden):
        """By a plain pass of its own through the first layer, whose concept tokens are the projected embeddings."""
        block, inputs = golden.transformer.transformer_blocks[0], []
        handle = block.register_forward_pre_hook(lambda _, args, kwargs: inputs.append(kwargs), with_kwargs=True)
        ours = golden.record(methods=["value-space"]).logits["value-space"][0, 0]
        handle.remove()
        with torch.no_grad():
            tokens = golden.transformer.patch_embed.text_proj(golden.inputs["concept_embeds"])
            kwargs = inputs[0]
            _, concept, _, _ = block.norm1(tokens, tokens, kwargs["temb"])
            video, _, _, _ = block.norm1(kwargs["hidden_states"], tokens, kwargs["temb"])
            values = [block.attn1.to_v(x)[0].double() for x in (concept, video)]
        slow = [[sum(a * b) for b in values[1].numpy()] for a in values[0].numpy()]
        assert relative_error(ours, torch.tensor(np.array(slow))) < 1e-5

    @pytest.mark.parametrize("concepts", [1, 2, 4])
    def test_columns(self, concepts: int):
        layer = made(concepts)
        ours = standardise_columns(layer)[1, 2].double().numpy()  # (concept, frame, patch)
        outputs = split_by_frame(layer)[1, 2].double().numpy()
        queries = rearrange(layer.video.query[1, 2], "(f p) d -> f p d", f=3).double().numpy()
        for frame in range(3):
            gram = outputs[frame] @ outputs[frame].T
            columns = [gram[np.argmax(queries[frame] @ key)] for key in layer.concept.key[1, 2].double().numpy()]
            against = columns if concepts > 2 else list(gram)
            expected = (np.array(columns) - np.mean(against, axis=0)) / np.std(against, axis=0, ddof=1)
            np.testing.assert_allclose(ours[:, frame], expected, rtol=1e-3, atol=1e-4)

    def test_separation_of_frames_by_its_definition(self):
        outputs = split_by_frame(made())
        tokens = outputs[0, 1].double().numpy()
        centre = tokens.reshape(-1, 5).mean(0)
        between = sum(len(frame) * sum((frame.mean(0) - centre) ** 2) for frame in tokens)
        within = sum(sum((token - frame.mean(0)) ** 2) for frame in tokens for token in frame)
        assert float(frame_separation(outputs)[0, 1]) == pytest.approx((between / 2) / (within / 15), rel=1e-5)


class TestWhereItDivides:
    @pytest.mark.parametrize("count", [1, 2])
    def test_few_concepts_have_maps(self, golden: Golden, count: int):
        golden.inputs["concept_embeds"] = golden.inputs["concept_embeds"][:, :count]
        for name, logits in golden.record().logits.items():
            assert logits.isfinite().all(), name
            assert (logits.std(-1) > 0).all(), name
            # More than a sign.
            assert len(logits[0, 0, 0].unique()) > 10, name

    def test_one_concept_of_several_tokens_is_not_its_own_baseline(self, golden: Golden):
        """Standardised against each other, its tokens would cancel out."""
        for name in ("gramcol", "imap"):
            alone = golden.record(concepts=1).logits[name].mean(2)
            cancelled = golden.record().logits[name].mean(2)
            assert alone.abs().max() > 0.1
            assert cancelled.abs().max() < 1e-3

    @pytest.mark.parametrize("concepts", [1, 3, 7])
    def test_a_head_whose_every_concept_picks_the_same_patch_has_no_say(self, concepts: int):
        layer = made(concepts)
        layer.concept.key[:, 1] = layer.concept.key[:, 1, :1].clone()
        columns = standardise_columns(layer)
        assert columns.isfinite().all()
        assert bool((columns[:, 1] == 0).all()) == (concepts > 1)
        assert (columns[:, 0] != 0).any()

    @pytest.mark.parametrize("concepts", [1, 3])
    def test_patches_that_are_all_alike(self, concepts: int):
        layer = made(concepts)
        layer.video.output[:] = layer.video.output[:, :1].clone()
        for name in ("gramcol", "imap"):
            assert (READERS[name](layer) == 0).all()

    def test_separation_of_one_frame_of_equal_tokens_and_of_equal_frames(self):
        outputs = split_by_frame(made())
        assert (frame_separation(outputs[:, :, :1]) == 0).all()
        assert (frame_separation(torch.zeros_like(outputs)) == 0).all()
        assert frame_separation(torch.arange(3.0)[:, None, None].expand(1, 1, 3, 6, 5)).isinf().all()
        assert READERS["imap"](made(frames=1, patches=1)).isfinite().all()

    def test_more_motion_heads_than_heads_are_all_heads(self, golden: Golden):
        recorder = golden.record(motion_heads=99)
        heads = golden.transformer.config.num_attention_heads
        assert relative_error(recorder.logits["imap"] * heads, recorder.logits["gramcol"]) < 1e-5

    def test_none_is_refused(self, golden: Golden):
        with pytest.raises(ValueError, match="motion_heads is a whole number of at least 1, got 0"):
            golden.record(motion_heads=0)


class TestOnePass:
    def test_the_models_output_is_bit_for_bit_the_same(self, golden: Golden):
        plain = golden.forward()
        recorder = golden.record(methods=METHODS)
        assert torch.equal(golden.noise_pred, plain)
        assert set(recorder.logits) == set(METHODS)

    @pytest.mark.parametrize("method", METHODS)
    def test_a_method_alone_reads_what_it_reads_among_all(self, golden: Golden, method: str):
        assert torch.equal(golden.record(methods=[method]).logits[method], golden.record().logits[method])

    def test_rows_of_a_batch_do_not_mix(self, golden: Golden, monkeypatch):
        golden_alone = golden.record(motion_heads=2).logits
        layers = range(len(golden.transformer.transformer_blocks))
        with hooks.concept_attention(
            golden.transformer, golden.inputs["concept_embeds"], layers=layers, methods=METHODS, motion_heads=2
        ) as recorder:
            golden.forward(batch=2)
        for name in METHODS:
            assert relative_error(recorder.logits[name][:, 1], golden_alone[name][:, 0]) < 1e-4, name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_logits_are_float32_under_autocast(golden: Golden, dtype: torch.dtype):
    exact = golden.record()
    with torch.autocast("cpu", dtype):
        recorder = golden.record()
        output, alone = golden.noise_pred, golden.forward()
    assert torch.equal(output, alone)
    for method, logits in recorder.logits.items():
        assert logits.dtype == torch.float32, method
        if method not in STANDARDISED:
            assert relative_error(logits, exact.logits[method]) < 0.05, method
