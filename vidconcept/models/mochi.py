"""Adapter of Mochi 1: joint attention in which padded text is dropped; a latent is of 8x8 pixels and 6 frames."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import torch
from torch import Tensor

from vidconcept.models.flow_folder import Facts
from vidconcept.models.flow_model import FlowModel
from vidconcept.models.loading import name_classes
from vidconcept.models.text_encoders import T5Text, TextEncoder


class Mochi(FlowModel):
    """See `FlowModel`."""

    transformers: ClassVar = name_classes("MochiTransformer3DModel")
    codecs: ClassVar = name_classes("AutoencoderKLMochi")

    @classmethod
    def text_encoder(cls, facts: Facts) -> TextEncoder:
        return T5Text(masked=True, nothing_for_empty=facts.index.force_zeros_for_empty_prompt)

    @property
    def pixel_dtype(self) -> torch.dtype:
        """Of its Fourier features: they go round 128 times from grey to white, so that rounded pixels tell nothing."""
        return torch.float32

    def _posterior(self, video: Tensor) -> Tensor:
        dtype = next(self.codec.parameters()).dtype
        # The features of float32 pixels go on in the precision of the weights.
        with self.codec.encoder.fourier_features.register_forward_hook(lambda part, args, found: found.to(dtype)):
            return super()._posterior(video)

    def _scaled(self, latents: Tensor) -> Tensor:
        config = self.codec.config
        mean, std = (
            torch.tensor(values, device=latents.device, dtype=latents.dtype).view(1, -1, 1, 1, 1)
            for values in (config.latents_mean, config.latents_std)
        )
        return (latents - mean) * config.scaling_factor / std

    def _pass(self, latents: Tensor, timestep: Tensor) -> None:
        with warnings.catch_warnings():
            # diffusers asks for products in float32, and a processor knows no other way.
            warnings.filterwarnings("ignore", "In CPU autocast", UserWarning)
            super()._pass(latents, timestep)

    def arguments(self, latents: Tensor, timestep: Tensor, prompt: Tensor) -> dict[str, Any]:
        return {
            "hidden_states": latents,
            "encoder_hidden_states": prompt,
            "timestep": timestep.to(latents.dtype),
            "encoder_attention_mask": self.mask().bool(),
        }
