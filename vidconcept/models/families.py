"""The flow-matching families that are built in: for each the class of its transformer, and how its folder is read."""

from __future__ import annotations

from typing import Any

from vidconcept.attention.method_names import OF_CROSS_ATTENTION, OF_STILLS
from vidconcept.models import family_configs as configs
from vidconcept.models.configs import PipelineIndex
from vidconcept.models.flow_folder import FlowAdapter


def _wan_preset(index: PipelineIndex | None, transformer: configs.WanTransformer) -> str:
    if index is not None and index.boundary_ratio is not None:
        return "wan2.2-14b"
    if transformer.in_channels == 48:
        return "wan2.2-5b"
    return "wan2.1-1.3b" if transformer.num_layers == 30 else "wan2.1-14b"


def _flux_preset(index: PipelineIndex | None, transformer: configs.FluxTransformer) -> str:
    return "flux.1-dev" if transformer.guidance_embeds else "flux.1-schnell"


def _sd3_preset(index: PipelineIndex | None, transformer: configs.SD3Transformer) -> str:
    return "sd3.5-large" if transformer.num_layers >= 38 else "sd3.5-medium"


def _always(name: str) -> Any:
    return lambda index, transformer: name


FLOW_ADAPTERS: dict[str, FlowAdapter] = {
    "WanTransformer3DModel": FlowAdapter(
        ("vidconcept.models.wan", "Wan"),
        configs.WanTransformer,
        configs.WanCodec,
        _wan_preset,
        text_length=512,
        methods=OF_CROSS_ATTENTION,
    ),
    "LTXVideoTransformer3DModel": FlowAdapter(
        ("vidconcept.models.ltx", "LTXVideo"),
        configs.LTXTransformer,
        configs.LTXCodec,
        _always("ltx-video"),
        text_length=128,
        methods=OF_CROSS_ATTENTION,
        own_channels=lambda transformer: (
            transformer.in_channels // (transformer.patch_size_t * transformer.patch_size**2)
        ),
    ),
    "MochiTransformer3DModel": FlowAdapter(
        ("vidconcept.models.mochi", "Mochi"),
        configs.MochiTransformer,
        configs.MochiCodec,
        _always("mochi"),
        text_length=256,
        text_width=lambda transformer: transformer.text_embed_dim,
    ),
    "HunyuanVideo15Transformer3DModel": FlowAdapter(
        ("vidconcept.models.hunyuan15", "HunyuanVideo15"),
        configs.Hunyuan15Transformer,
        configs.Hunyuan15Codec,
        _always("hunyuanvideo1.5"),
        text_length=1000,
        # The latents, those of a first picture, and a mask.
        own_channels=lambda transformer: (transformer.in_channels - 1) // 2,
        text_width=lambda transformer: transformer.text_embed_dim,
    ),
    "FluxTransformer2DModel": FlowAdapter(
        ("vidconcept.models.stills", "Flux"),
        configs.FluxTransformer,
        configs.PictureCodec,
        _flux_preset,
        text_length=512,
        methods=OF_STILLS,
        text_width=lambda transformer: transformer.joint_attention_dim,
    ),
    "Flux2Transformer2DModel": FlowAdapter(
        ("vidconcept.models.stills", "Flux2"),
        configs.FluxTransformer,
        configs.PictureCodec,
        _always("flux2"),
        text_length=512,
        methods=OF_STILLS,
        text_width=lambda transformer: transformer.joint_attention_dim,
    ),
    "SD3Transformer2DModel": FlowAdapter(
        ("vidconcept.models.stills", "SD3"),
        configs.SD3Transformer,
        configs.PictureCodec,
        _sd3_preset,
        text_length=256,
        methods=OF_STILLS,
        largest=lambda transformer: transformer.pos_embed_max_size,
        text_width=lambda transformer: transformer.joint_attention_dim,
    ),
    "QwenImageTransformer2DModel": FlowAdapter(
        ("vidconcept.models.qwen", "QwenImage"),
        configs.QwenTransformer,
        configs.QwenCodec,
        _always("qwen-image"),
        text_length=512,
        methods=OF_STILLS,
        text_width=lambda transformer: transformer.joint_attention_dim,
    ),
    "HunyuanVideoTransformer3DModel": FlowAdapter(
        ("vidconcept.models.hunyuan", "HunyuanVideo"),
        configs.HunyuanTransformer,
        configs.HunyuanCodec,
        _always("hunyuanvideo"),
        text_length=256,
        text_width=lambda transformer: transformer.text_embed_dim,
    ),
}
