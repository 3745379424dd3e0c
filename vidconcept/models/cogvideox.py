"""Adapter of the CogVideoX family: a window of frames in, concept scores out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel
from diffusers.schedulers.scheduling_ddim_cogvideox import CogVideoXDDIMScheduler
from diffusers.schedulers.scheduling_dpm_cogvideox import CogVideoXDPMScheduler
from einops import rearrange
from torch import Tensor

from vidconcept.errors import UsageError
from vidconcept.models import engine
from vidconcept.models.cogvideox_folder import EMBEDDED_CODEC, read_layout
from vidconcept.models.configs import CodecConfig, PipelineIndex, check_configs, check_kinds, read_config
from vidconcept.models.latent_model import LatentModel
from vidconcept.models.line_head import LineHead
from vidconcept.models.linecam_codec import PatchCodec
from vidconcept.models.loading import (
    errors_of,
    load_part,
    pick_class,
    prepare_machine,
    report_attention,
    take_turns_loading,
    tile_if_asked,
)
from vidconcept.models.placement import choose_text_device, place
from vidconcept.models.quantize import check_quantize, quantize
from vidconcept.models.text import encode_texts
from vidconcept.settings import TrackSettings

log = logging.getLogger(__name__)
# Components that a pipeline folder may name; anything else would be code from outside.
_CODECS = {
    # By its place: importing one autoencoder of diffusers imports them all, which takes longer than the embedded model.
    "AutoencoderKLCogVideoX": "diffusers.models.autoencoders.autoencoder_kl_cogvideox:AutoencoderKLCogVideoX",
    EMBEDDED_CODEC: PatchCodec,
}
_SCHEDULERS = {"CogVideoXDDIMScheduler": CogVideoXDDIMScheduler, "CogVideoXDPMScheduler": CogVideoXDPMScheduler}


@dataclass
class CogVideoX(LatentModel):
    """See `LatentModel`."""

    scheduler: Any = field(default=None, repr=False)

    @property
    def patch_frames(self) -> int:
        """1, or 2 where a token spans two latents (CogVideoX 1.5)."""
        return self.transformer.config.patch_size_t or 1

    @property
    def patch_px(self) -> int:
        return self.transformer.config.patch_size

    @property
    def latent_frames(self) -> int:
        return self.codec.config.temporal_compression_ratio

    @property
    def latent_px(self) -> int:
        return CodecConfig.model_validate(dict(self.codec.config)).pixels_per_latent

    def _scaled(self, latents: Tensor) -> Tensor:
        latents = rearrange(latents, "b c t h w -> b t c h w") * self.codec.config.scaling_factor
        # CogVideoX 1.5 wants an even number of latents; its pipeline repeats the first one in front.
        surplus = latents.shape[1] % self.patch_frames
        return torch.cat([latents[:, :surplus], latents], dim=1) if surplus else latents

    def add_noise(self, latents: Tensor, draw: int) -> tuple[Tensor, Tensor]:
        """Latents at the read-out timestep by the scheduler's own `add_noise`, and the timestep as a LongTensor."""
        timestep = torch.tensor([self.settings.timestep], dtype=torch.long, device=latents.device)
        return self.scheduler.add_noise(latents, self.draw_noise(latents, draw), timestep), timestep

    def _pass(self, latents: Tensor, timestep: Tensor) -> None:
        self.transformer(
            hidden_states=latents,
            encoder_hidden_states=self.texts.prompt.to(self.device, self.transformer.dtype),
            timestep=timestep,
            image_rotary_emb=self._rotary(latents),
            ofs=None if self.transformer.config.ofs_embed_dim is None else latents.new_full((1,), 2.0),
            return_dict=False,
        )

    def _rotary(self, latents: Tensor) -> tuple[Tensor, Tensor] | None:
        """Rotary tables as CogVideoX's own pipeline makes them, or None for a model with added positions (2B)."""
        config = self.transformer.config
        if not config.use_rotary_positional_embeddings:
            return None
        patch, patch_t = config.patch_size, config.patch_size_t
        grid = (latents.shape[3] // patch, latents.shape[4] // patch)
        base = (config.sample_height // patch, config.sample_width // patch)
        common: dict[str, Any] = {"embed_dim": config.attention_head_dim, "grid_size": grid, "device": latents.device}
        if patch_t is None:
            crops = fit_grid(grid, base)
            tables = get_3d_rotary_pos_embed(crops_coords=crops, temporal_size=latents.shape[1], **common)
        else:
            frames = latents.shape[1] // patch_t
            tables = get_3d_rotary_pos_embed(
                crops_coords=None, temporal_size=frames, grid_type="slice", max_size=base, **common
            )
        return cast(tuple[Tensor, Tensor], tables)


def fit_grid(grid: tuple[int, int], base: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where a grid of (rows, columns) lies when it fills one of `base` as far as its shape lets it, in the middle.

    First and last (row, column), the last not included; as CogVideoX's own pipeline has it.
    """
    rows, columns = grid
    scale = base[0] / rows if rows * base[1] > columns * base[0] else base[1] / columns
    size = round(scale * rows), round(scale * columns)
    top, left = (round((whole - part) / 2) for whole, part in zip(base, size, strict=True))
    return (top, left), (top + size[0], left + size[1])


@take_turns_loading()
def load(
    path: Path, settings: TrackSettings, words: Sequence[str], report: Callable[[str], None] = log.warning
) -> CogVideoX:
    """Load a pipeline folder. The text encoder is freed before the transformer loads; nothing comes from the network.

    words: every word in the softmax, in the order of the scores. Raises ModelError when a component cannot be loaded,
    lacks weights, asks for code of its own, or is far too large for the memory that is there;
    UsageError for a way to run it that needs a library which is not here.
    """
    check_quantize(settings.quantize, settings.offload)
    device, dtype, how = prepare_machine(settings, report)
    check_configs(path)
    index = read_config(path / "model_index.json", PipelineIndex)
    codec_class = pick_class("vae", index.vae, _CODECS)
    scheduler_class = pick_class("scheduler", index.scheduler, _SCHEDULERS)
    check_kinds(path / "vae" / "config.json", codec_class.__init__)
    check_kinds(path / "transformer" / "config.json", CogVideoXTransformer3DModel.__init__)
    check_kinds(path / "scheduler" / "scheduler_config.json", scheduler_class.__init__)
    layout = read_layout(path)
    if codec_class is not PatchCodec:
        height, width = layout.limit_size(settings.height, settings.width)
        read_at = settings.model_copy(update={"height": height, "width": width})
        _check_memory(path, read_at, device, dtype, report)
    text_device, text_dtype = choose_text_device(settings.offload, device, dtype)
    texts = encode_texts(
        path,
        settings.prompt,
        words,
        text_length=layout.text_length,
        dtype=text_dtype,
        device=text_device,
        report=report,
    )
    with errors_of(path, "scheduler"):
        scheduler = scheduler_class.from_pretrained(path / "scheduler", local_files_only=True)
    codec = load_part(path, "vae", codec_class, dtype)
    transformer = load_part(path, "transformer", CogVideoXTransformer3DModel, dtype)
    how["batch_norms_folded"] = engine.fold_batch_norms(codec)
    engine.lay_out_convolutions(codec)
    if settings.line_head:
        _attach_line_head(codec, Path(settings.line_head), device)
        how["line_head"] = True
    quantize(transformer, settings.quantize)
    place(codec, transformer, device, settings.offload)
    asked = {"offload": settings.offload, "quantize": settings.quantize}
    how |= {key: value for key, value in asked.items() if value != "none"}
    tile_if_asked(codec, settings, report)
    report_attention(transformer, report)
    return CogVideoX(transformer, codec, texts, settings, device, report, how, scheduler)


def _attach_line_head(codec: Any, path: Path, device: torch.device) -> None:
    if not isinstance(codec, PatchCodec):
        raise UsageError(f"line_head = {path} is for the embedded model. Next: leave it out")
    head = LineHead.read(path)
    if head.inputs != codec.cell_inputs:
        raise UsageError(f"line_head = {path} is for another codec. Next: vidconcept calibrate again, or leave it out")
    codec.line_head = head.to(device)


def _check_memory(
    path: Path, settings: TrackSettings, device: torch.device, dtype: torch.dtype, report: Callable[[str], None]
) -> None:
    # The estimate builds a model of this module.
    from vidconcept.models.memory import check_memory

    check_memory(path, settings, device, dtype, report)
