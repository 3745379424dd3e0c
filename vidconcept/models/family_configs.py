"""Configuration files of the flow-matching families: what they say of sizes, each number bounded."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field

from vidconcept.models.configs import Few, Size, _Config

Patch = Annotated[int, Field(ge=1, le=64)]
Sizes = Annotated[tuple[Size, ...], Field(min_length=1, max_length=16)]
Flags = Annotated[tuple[bool, ...], Field(min_length=1, max_length=16)]


class FamilyTransformer(_Config):
    """What every transformer says. patch_px, patch_frames: latents that a token spans."""

    num_layers: Few = 1
    num_attention_heads: Few = 24
    attention_head_dim: Size = 128
    in_channels: Size = 16

    @property
    def layers(self) -> int:
        return self.num_layers + getattr(self, "num_single_layers", 0)

    @property
    def patch_px(self) -> int:
        return getattr(self, "patch_size", 1)

    @property
    def patch_frames(self) -> int:
        return getattr(self, "patch_size_t", 1)

    @property
    def latent_channels(self) -> int:
        """Channels of the latents that it takes."""
        return self.in_channels


class FamilyCodec(_Config):
    """What every VAE says. latent_px, latent_frames: pixels and frames that a latent spans."""

    latent_channels: Size = 16

    @property
    def channels(self) -> int:
        return self.latent_channels

    @property
    def latent_px(self) -> int:
        raise NotImplementedError

    @property
    def latent_frames(self) -> int:
        return 1


class WanTransformer(FamilyTransformer):
    num_layers: Few = 40
    patch_size: tuple[Patch, Patch, Patch] = (1, 2, 2)
    text_dim: Size = 4096
    freq_dim: Size = 256
    ffn_dim: Annotated[int, Field(ge=1, le=1 << 20)] = 13824

    @property
    def patch_px(self) -> int:
        return self.patch_size[1]

    @property
    def patch_frames(self) -> int:
        return self.patch_size[0]


class WanCodec(FamilyCodec):
    z_dim: Size = 16
    base_dim: Size = 96
    dim_mult: Sizes = (1, 2, 4, 4)
    num_res_blocks: Few = 2
    temperal_downsample: Flags = (False, True, True)
    patch_size: Patch | None = None

    @property
    def channels(self) -> int:
        return self.z_dim

    @property
    def latent_px(self) -> int:
        return 2 ** len(self.temperal_downsample) * (self.patch_size or 1)

    @property
    def latent_frames(self) -> int:
        return 2 ** sum(self.temperal_downsample)


class LTXTransformer(FamilyTransformer):
    num_layers: Few = 28
    in_channels: Size = 128
    patch_size: Patch = 1
    patch_size_t: Patch = 1
    caption_channels: Size = 4096
    cross_attention_dim: Size = 2048


class LTXCodec(FamilyCodec):
    latent_channels: Size = 128
    block_out_channels: Sizes = (128, 256, 512, 512)
    layers_per_block: Sizes = (4, 3, 3, 3, 4)
    spatio_temporal_scaling: Flags = (True, True, True, False)
    patch_size: Patch = 4
    patch_size_t: Patch = 1
    spatial_compression_ratio: Annotated[int, Field(ge=1, le=256)] | None = None
    temporal_compression_ratio: Annotated[int, Field(ge=1, le=64)] | None = None

    @property
    def latent_px(self) -> int:
        return self.spatial_compression_ratio or self.patch_size * 2 ** sum(self.spatio_temporal_scaling)

    @property
    def latent_frames(self) -> int:
        return self.temporal_compression_ratio or self.patch_size_t * 2 ** sum(self.spatio_temporal_scaling)


class MochiTransformer(FamilyTransformer):
    num_layers: Few = 48
    in_channels: Size = 12
    patch_size: Patch = 2
    pooled_projection_dim: Size = 1536
    text_embed_dim: Size = 4096
    time_embed_dim: Size = 256


class MochiCodec(FamilyCodec):
    latent_channels: Size = 12
    encoder_block_out_channels: Sizes = (64, 128, 256, 384)
    decoder_block_out_channels: Sizes = (128, 256, 512, 768)
    layers_per_block: Sizes = (3, 3, 4, 6, 3)
    temporal_expansions: Annotated[tuple[Patch, ...], Field(min_length=1, max_length=8)] = (1, 2, 3)
    spatial_expansions: Annotated[tuple[Patch, ...], Field(min_length=1, max_length=8)] = (2, 2, 2)

    @property
    def latent_px(self) -> int:
        return math.prod(self.spatial_expansions)

    @property
    def latent_frames(self) -> int:
        return math.prod(self.temporal_expansions)


class HunyuanTransformer(FamilyTransformer):
    num_layers: Few = 20
    num_single_layers: Few = 40
    num_refiner_layers: Few = 2
    patch_size: Patch = 2
    patch_size_t: Patch = 1
    text_embed_dim: Size = 4096
    pooled_projection_dim: Size = 768
    guidance_embeds: bool = True
    image_condition_type: str | None = None


class HunyuanCodec(FamilyCodec):
    block_out_channels: Sizes = (128, 256, 512, 512)
    layers_per_block: Few = 2
    spatial_compression_ratio: Annotated[int, Field(ge=1, le=256)] = 8
    temporal_compression_ratio: Annotated[int, Field(ge=1, le=64)] = 4

    @property
    def latent_px(self) -> int:
        return self.spatial_compression_ratio

    @property
    def latent_frames(self) -> int:
        return self.temporal_compression_ratio


class Hunyuan15Transformer(FamilyTransformer):
    num_layers: Few = 54
    num_refiner_layers: Few = 2
    in_channels: Size = 65
    patch_size: Patch = 1
    patch_size_t: Patch = 1
    text_embed_dim: Size = 3584
    text_embed_2_dim: Size = 1472
    image_embed_dim: Size = 1152


class Hunyuan15Codec(HunyuanCodec):
    latent_channels: Size = 32
    block_out_channels: Sizes = (128, 256, 512, 1024, 1024)
    spatial_compression_ratio: Annotated[int, Field(ge=1, le=256)] = 16


class PackedTransformer(FamilyTransformer):
    """Two by two latents are packed into the channels of a token before the transformer."""

    in_channels: Size = 64
    joint_attention_dim: Size = 4096

    @property
    def patch_px(self) -> int:
        return 2

    @property
    def latent_channels(self) -> int:
        return self.in_channels // 4


class FluxTransformer(PackedTransformer):
    """Flux.1 and Flux.2."""

    num_layers: Few = 19
    num_single_layers: Few = 38
    guidance_embeds: bool = False


class QwenTransformer(PackedTransformer):
    """Qwen-Image: dual blocks only."""

    num_layers: Few = 60
    joint_attention_dim: Size = 3584


class QwenCodec(WanCodec):
    """A codec of films that is given one picture at a time."""

    @property
    def latent_frames(self) -> int:
        return 1


class SD3Transformer(FamilyTransformer):
    num_layers: Few = 18
    num_attention_heads: Few = 18
    attention_head_dim: Size = 64
    patch_size: Patch = 2
    joint_attention_dim: Size = 4096
    caption_projection_dim: Size = 1152
    pooled_projection_dim: Size = 2048
    pos_embed_max_size: Annotated[int, Field(ge=1, le=4096)] = 96


class PictureCodec(FamilyCodec):
    """`AutoencoderKL` and that of Flux.2: a picture at a time."""

    latent_channels: Size = 4
    block_out_channels: Sizes = (64,)
    layers_per_block: Few = 1

    @property
    def latent_px(self) -> int:
        return 2 ** (len(self.block_out_channels) - 1)


class LanguageModel(_Config):
    """T5, CLIP, Llama and their kin name the same few sizes in two ways."""

    vocab_size: Annotated[int, Field(ge=1, le=4_000_000)] = 32_128
    d_model: Size = 512
    d_ff: Annotated[int, Field(ge=1, le=1 << 20)] = 2048
    num_layers: Few = 6
    num_heads: Few = 8
    hidden_size: Size = 512
    intermediate_size: Annotated[int, Field(ge=1, le=1 << 20)] = 2048
    num_hidden_layers: Few = 6
    num_attention_heads: Few = 8
    max_position_embeddings: Annotated[int, Field(ge=1, le=1 << 24)] = 512
    text_config: dict[str, Any] | None = None
