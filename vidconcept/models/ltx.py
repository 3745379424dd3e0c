"""Adapter of LTX-Video: cross-attention only; a token is a latent of 32x32 pixels and 8 frames."""

from __future__ import annotations

from typing import Any, ClassVar

from einops import rearrange
from torch import Tensor

from vidconcept.models.flow_folder import Facts
from vidconcept.models.flow_model import FlowModel
from vidconcept.models.loading import name_classes
from vidconcept.models.text_encoders import T5Text, TextEncoder

# Its pipeline's own, for the positions in time; the rate of the footage would put tokens where it was not trained.
FRAME_RATE = 25


class LTXVideo(FlowModel):
    """See `FlowModel`."""

    transformers: ClassVar = name_classes("LTXVideoTransformer3DModel")
    codecs: ClassVar = name_classes("AutoencoderKLLTXVideo")

    @classmethod
    def text_encoder(cls, facts: Facts) -> TextEncoder:
        return T5Text()

    def _scaled(self, latents: Tensor) -> Tensor:
        mean, std = (
            values.to(latents.device, latents.dtype).view(1, -1, 1, 1, 1)
            for values in (self.codec.latents_mean, self.codec.latents_std)
        )
        return (latents - mean) * self.codec.config.scaling_factor / std

    def arguments(self, latents: Tensor, timestep: Tensor, prompt: Tensor) -> dict[str, Any]:
        patch, patch_t = self.patch_px, self.patch_frames
        packed = rearrange(
            latents, "b c (t pt) (h ph) (w pw) -> b (t h w) (c pt ph pw)", pt=patch_t, ph=patch, pw=patch
        )
        return {
            "hidden_states": packed,
            "encoder_hidden_states": prompt,
            "timestep": timestep,
            "encoder_attention_mask": self.mask(),
            "num_frames": latents.shape[2] // patch_t,
            "height": latents.shape[3] // patch,
            "width": latents.shape[4] // patch,
            "rope_interpolation_scale": (self.latent_frames / FRAME_RATE, self.latent_px, self.latent_px),
        }
