"""The published configurations at full size without memory, hooks attached, against the table of the page on models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tests.helpers.diffusers_at_hand import find_class, keep_known
from tests.helpers.meta_masks import selecting
from vidconcept.attention import concept_attention
from vidconcept.attention.families import find_family
from vidconcept.models.presets import presets

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "models.md"
SD35_MEDIUM = {
    "num_layers": 24,
    "num_attention_heads": 24,
    "caption_projection_dim": 1536,
    "pos_embed_max_size": 384,
    "dual_attention_layers": tuple(range(13)),
    "qk_norm": "rms_norm",
}
SD35_LARGE = {
    "num_layers": 38,
    "num_attention_heads": 38,
    "caption_projection_dim": 2432,
    "pos_embed_max_size": 192,
    "qk_norm": "rms_norm",
}
WAN_SMALL = {"ffn_dim": 8960, "num_attention_heads": 12, "num_layers": 30}
WAN_5B = {"ffn_dim": 14336, "num_attention_heads": 24, "num_layers": 30, "in_channels": 48, "out_channels": 48}


def wan(channels: int, *latents: int) -> dict:
    return {
        "hidden_states": torch.empty(1, channels, *latents),
        "timestep": torch.empty(1, dtype=torch.long),
        "encoder_hidden_states": torch.empty(1, 512, 4096),
    }


def ltx() -> dict:
    return {
        "hidden_states": torch.empty(1, 5632, 128),
        "encoder_hidden_states": torch.empty(1, 128, 4096),
        "timestep": torch.empty(1),
        "encoder_attention_mask": torch.empty(1, 128, dtype=torch.long),
        "num_frames": 16,
        "height": 16,
        "width": 22,
    }


def hunyuan() -> dict:
    return {
        "hidden_states": torch.empty(1, 16, 16, 68, 120),
        "timestep": torch.empty(1),
        "encoder_hidden_states": torch.empty(1, 256, 4096),
        "encoder_attention_mask": torch.empty(1, 256, dtype=torch.long),
        "pooled_projections": torch.empty(1, 768),
        "guidance": torch.empty(1),
    }


def mochi() -> dict:
    return {
        "hidden_states": torch.empty(1, 12, 15, 60, 106),
        "timestep": torch.empty(1),
        "encoder_hidden_states": torch.empty(1, 256, 4096),
        "encoder_attention_mask": torch.empty(1, 256, dtype=torch.bool),
    }


def hunyuan15() -> dict:
    return {
        "hidden_states": torch.empty(1, 65, 31, 30, 53),
        "timestep": torch.empty(1),
        "encoder_hidden_states": torch.empty(1, 1000, 3584),
        "encoder_attention_mask": torch.ones(1, 1000, dtype=torch.long, device="cpu"),
        "encoder_hidden_states_2": torch.empty(1, 256, 1472),
        "encoder_attention_mask_2": torch.zeros(1, 256, dtype=torch.long, device="cpu"),
        "image_embeds": torch.empty(1, 729, 1152),
    }


def flux(channels: int, text: int, axes: int) -> dict:
    pooled = {"pooled_projections": torch.empty(1, 768)} if axes == 3 else {}
    return pooled | {
        "hidden_states": torch.empty(1, 1024, channels),
        "encoder_hidden_states": torch.empty(1, 512, text),
        "timestep": torch.empty(1),
        "img_ids": torch.empty(1024, axes),
        "txt_ids": torch.empty(512, axes),
        "guidance": torch.empty(1),
    }


def sd3() -> dict:
    return {
        "hidden_states": torch.empty(1, 16, 64, 64),
        "encoder_hidden_states": torch.empty(1, 333, 4096),
        "pooled_projections": torch.empty(1, 2048),
        "timestep": torch.empty(1),
    }


def qwen() -> dict:
    return {
        "hidden_states": torch.empty(1, 1024, 64),
        "encoder_hidden_states": torch.empty(1, 20, 3584),
        "timestep": torch.empty(1),
        "img_shapes": [[(1, 32, 32)]],
        "txt_seq_lens": [20],
    }


# Preset -> class, configuration, and a call.
PUBLISHED = {
    "wan2.1-1.3b": ("WanTransformer3DModel", WAN_SMALL, lambda: wan(16, 21, 60, 104)),
    "wan2.1-14b": ("WanTransformer3DModel", {}, lambda: wan(16, 21, 60, 104)),
    "wan2.2-5b": ("WanTransformer3DModel", WAN_5B, lambda: wan(48, 31, 44, 80)),
    "ltx-video": ("LTXVideoTransformer3DModel", {}, ltx),
    "mochi": ("MochiTransformer3DModel", {}, mochi),
    "hunyuanvideo": ("HunyuanVideoTransformer3DModel", {}, hunyuan),
    "hunyuanvideo1.5": ("HunyuanVideo15Transformer3DModel", {}, hunyuan15),
    "flux.1-dev": ("FluxTransformer2DModel", {"guidance_embeds": True}, lambda: flux(64, 4096, 3)),
    "flux2": ("Flux2Transformer2DModel", {}, lambda: flux(128, 15360, 4)),
    "sd3.5-medium": ("SD3Transformer2DModel", SD35_MEDIUM, sd3),
    "sd3.5-large": ("SD3Transformer2DModel", SD35_LARGE, sd3),
    "qwen-image": ("QwenImageTransformer2DModel", {}, qwen),
}


def row_of(preset: str) -> list[str]:
    """The cells of a preset's row in the table of sizes."""
    table = PAGE.read_text("utf-8").split("## Size and cost")[1]
    (row,) = re.findall(rf"^\| (`{re.escape(preset)}`.*) \|$", table, re.MULTILINE)
    return [cell.strip() for cell in row.split(" | ")]


@pytest.mark.parametrize("name", PUBLISHED)
def test_full_size_on_the_meta_device(name, monkeypatch):
    kind, config, call = PUBLISHED[name]
    _, _, _, tokens, weights, memory, *_ = row_of(name)
    preset = presets()[name]
    with torch.device("meta"):
        transformer = find_class(kind)(**config).eval()
        family = find_family(transformer)
        layers = len(family.layers_of(transformer))
        assert max(preset.settings["layers"]) < layers
        assert preset.settings["method"] in family.methods
        assert sum(p.numel() for p in transformer.parameters()) / 1e9 == pytest.approx(float(weights), abs=0.005)
        assert float(memory) == preset.memory_gb
        # One block of each kind that comes first is enough for shapes.
        concepts = torch.empty(5, family.text_width(transformer))
        with (
            torch.no_grad(),
            selecting([block for block, _ in family.layers_of(transformer)], monkeypatch),
            concept_attention(transformer, concepts, layers=[0, 1], early_stop=True, concepts=(2, 2, 1)) as recorder,
        ):
            transformer(**keep_known(kind, call()))
    (logits,) = recorder.logits.values()
    assert logits.shape == (2, 1, 5, int(tokens.replace(",", "")))


def test_every_preset_is_on_the_page():
    text = PAGE.read_text("utf-8")
    assert all(f"`{name}`" in text for name in presets())
