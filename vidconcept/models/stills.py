"""Adapters of models of still pictures: Flux.1, Flux.2 and SD3.5. Frames of a window are read one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from vidconcept.attention.hooks import Method, Recorder, Vectors
from vidconcept.attention.replay import Observation
from vidconcept.errors import ModelError, UsageError
from vidconcept.models.flow_folder import Facts
from vidconcept.models.flow_model import FlowModel
from vidconcept.models.loading import name_classes
from vidconcept.models.text_encoders import ChatText, ClipPooled, T5Text, TextEncoder, Together

# Strength of the guidance that was distilled into the weights, as the models' own pipelines have it.
FLUX_GUIDANCE, FLUX2_GUIDANCE = 3.5, 4.0
# The number of denoising steps that Flux.2's shift is computed for, its pipeline's own.
FLUX2_STEPS = 50
# What Flux.2's language model was told in training (its own repository, Apache-2.0).
FLUX2_INSTRUCTION = (
    "You are an AI that reasons about image descriptions. You give structured responses focusing on object "
    "relationships, object\nattribution and actions without speculation."
)


class Stills(FlowModel):
    """See `FlowModel`. Latents are `(1, c, frame, h, w)`, each frame by itself with the same noise."""

    codecs: ClassVar = name_classes("AutoencoderKL")

    def _posterior(self, video: Tensor) -> Tensor:
        frames = rearrange(video, "1 c t h w -> t 1 c h w")
        return torch.stack([self.codec.encode(frame).latent_dist.mode() for frame in frames], dim=2)

    def _scaled(self, latents: Tensor) -> Tensor:
        return (latents - (self.codec.config.shift_factor or 0.0)) * self.codec.config.scaling_factor

    def observe(self, frames: np.ndarray) -> Observation:
        if len(frames) != 1:
            raise UsageError(
                f"a concept is learnt from single pictures here, not from {len(frames)} frames at once. "
                "Next: `window_frames=1`"
            )
        return super().observe(frames)

    def _read(self, latents: Tensor, draw: int, methods: Sequence[Method], vectors: Vectors = False) -> Recorder:
        return Recorder.join([super(Stills, self)._read(f, draw, methods, vectors) for f in latents.split(1, dim=2)])


class Flux(Stills):
    """Flux.1 dev and schnell."""

    transformers: ClassVar = name_classes("FluxTransformer2DModel")

    @classmethod
    def text_encoder(cls, facts: Facts) -> TextEncoder:
        return Together(T5Text(number="_2"), (ClipPooled(""),))

    def arguments(self, latents: Tensor, timestep: Tensor, prompt: Tensor) -> dict[str, Any]:
        rows, cols = latents.shape[3] // 2, latents.shape[4] // 2
        return {
            "hidden_states": rearrange(latents, "b c 1 (h ph) (w pw) -> b (h w) (c ph pw)", ph=2, pw=2),
            "encoder_hidden_states": prompt,
            "pooled_projections": self.pooled(),
            "timestep": (timestep / 1000).to(latents.dtype),
            "img_ids": grid_positions(rows, cols, 3).to(latents),
            "txt_ids": torch.zeros(prompt.shape[1], 3).to(latents),
            "guidance": timestep.new_full((1,), FLUX_GUIDANCE) if self.transformer.config.guidance_embeds else None,
        }


class Flux2(Stills):
    """Flux.2 dev and klein: one language model, of which three layers are taken side by side."""

    transformers: ClassVar = name_classes("Flux2Transformer2DModel")
    codecs: ClassVar = name_classes("AutoencoderKLFlux2")

    @classmethod
    def text_encoder(cls, facts: Facts) -> TextEncoder:
        kind = (facts.index.text_encoder or (None, None))[1]
        if kind == "Mistral3ForConditionalGeneration":
            instruction = f"[SYSTEM_PROMPT]{FLUX2_INSTRUCTION}[/SYSTEM_PROMPT][INST]"
            return ChatText(kind, instruction, "[/INST]", (10, 20, 30), is_cut=False)
        if kind == "Qwen3ForCausalLM":
            ending = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
            return ChatText(kind, "<|im_start|>user\n", ending, (9, 18, 27), is_cut=False)
        raise ModelError(
            f"{facts.path / 'model_index.json'} names the text encoder {kind!r}; of Flux.2 this tool loads Mistral3 "
            "and Qwen3. Next: a folder as it is published"
        )

    def _scaled(self, latents: Tensor) -> Tensor:
        packed = rearrange(latents, "b c t (h ph) (w pw) -> b (c ph pw) t h w", ph=2, pw=2)
        norm = self.codec.bn
        mean, variance = (x.to(packed).view(1, -1, 1, 1, 1) for x in (norm.running_mean, norm.running_var))
        return (packed - mean) / (variance + self.codec.config.batch_norm_eps).sqrt()

    def tokens_of(self, latents: Tensor) -> int:
        """The latents are packed already."""
        return latents[0, 0].numel()

    def sigma(self, latents: Tensor) -> float:
        # What the shift depends on was fitted by the model's makers; the numbers stay where they are.
        from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu

        tokens = self.tokens_of(latents)
        return self.facts.schedule.sigma(self.settings.timestep, tokens, compute_empirical_mu(tokens, FLUX2_STEPS))

    def arguments(self, latents: Tensor, timestep: Tensor, prompt: Tensor) -> dict[str, Any]:
        number = torch.arange(prompt.shape[1], dtype=torch.float32)
        return {
            "hidden_states": rearrange(latents, "b c 1 h w -> b (h w) c"),
            "encoder_hidden_states": prompt,
            "timestep": (timestep / 1000).to(latents.dtype),
            "img_ids": grid_positions(latents.shape[3], latents.shape[4], 4).to(latents.device),
            "txt_ids": torch.nn.functional.pad(number[:, None], (3, 0)).to(latents.device),
            "guidance": timestep.new_full((1,), FLUX2_GUIDANCE) if self.transformer.config.guidance_embeds else None,
        }


class SD3(Stills):
    """Stable Diffusion 3 and 3.5: two CLIPs and a T5."""

    transformers: ClassVar = name_classes("SD3Transformer2DModel")

    @classmethod
    def text_encoder(cls, facts: Facts) -> TextEncoder:
        if "text_encoder_3" not in facts.index.components:
            raise ModelError(
                f"{facts.path} has no text_encoder_3: words are read from SD3's T5, which some folders leave out. "
                "Next: fetch the whole model"
            )
        clips = (ClipPooled("", projected=True), ClipPooled("_2", projected=True))
        return Together(T5Text(number="_3"), clips, in_front=True)

    def arguments(self, latents: Tensor, timestep: Tensor, prompt: Tensor) -> dict[str, Any]:
        return {
            "hidden_states": latents[:, :, 0],
            "timestep": timestep,
            "encoder_hidden_states": prompt,
            "pooled_projections": self.pooled(),
        }


def grid_positions(rows: int, cols: int, axes: int) -> Tensor:
    """Positions of a picture's tokens `(token, axes)`, row and column on the second and third axis."""
    positions = torch.zeros(rows, cols, axes)
    positions[..., 1], positions[..., 2] = torch.arange(rows)[:, None], torch.arange(cols)[None]
    return positions.reshape(-1, axes)
