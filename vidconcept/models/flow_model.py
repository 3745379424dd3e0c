"""Flow-matching models of diffusers: what they share when they read a window, and how they are loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from vidconcept.errors import UsageError
from vidconcept.models.configs import check_configs, check_kinds
from vidconcept.models.flow_folder import Facts, FlowAdapter
from vidconcept.models.latent_model import LatentModel
from vidconcept.models.loading import (
    load_part,
    pick_class,
    prepare_machine,
    report_attention,
    take_turns_loading,
    tile_if_asked,
)
from vidconcept.models.text import encode_texts
from vidconcept.models.text_encoders import TextEncoder
from vidconcept.settings import TrackSettings

log = logging.getLogger(__name__)


@dataclass
class FlowModel(LatentModel):
    """A loaded model whose latents are noised as x_t = (1 − σ)x₀ + σε. facts: of its folder."""

    # Classes of diffusers that a folder of the family may name; anything else would be code from outside.
    transformers: ClassVar[dict[str, Any]] = {}
    codecs: ClassVar[dict[str, Any]] = {}
    facts: Facts = field(default=None, repr=False)  # type: ignore[assignment]

    @classmethod
    def text_encoder(cls, facts: Facts) -> TextEncoder:
        raise NotImplementedError

    @classmethod
    def transformer_part(cls, facts: Facts, settings: TrackSettings) -> str:
        """The folder of the transformer that reads at the settings' noise level."""
        return "transformer"

    @property
    def patch_frames(self) -> int:
        return self.facts.transformer.patch_frames

    @property
    def patch_px(self) -> int:
        return self.facts.transformer.patch_px

    @property
    def latent_px(self) -> int:
        return self.facts.codec.latent_px

    @property
    def latent_frames(self) -> int:
        return self.facts.codec.latent_frames

    def _scaled(self, latents: Tensor) -> Tensor:
        """`(1, c, t_lat, h_lat, w_lat)`, in the VAE's own scale."""
        return latents * self.codec.config.scaling_factor

    def tokens_of(self, latents: Tensor) -> int:
        """How many video tokens latents `(1, c, t, h, w)` make; a shift may depend on it."""
        return latents[0, 0].numel() // (self.patch_frames * self.patch_px**2)

    def sigma(self, latents: Tensor) -> float:
        """The share of noise at the settings' timestep, with the model's own shift."""
        return self.facts.schedule.sigma(self.settings.timestep, self.tokens_of(latents))

    def add_noise(self, latents: Tensor, draw: int) -> tuple[Tensor, Tensor]:
        """Latents with noise number `draw`, and what the model is told of it, `(1,)`."""
        sigma = self.sigma(latents)
        time = torch.tensor([self.facts.schedule.time(sigma)], dtype=torch.float32, device=latents.device)
        return (1 - sigma) * latents + sigma * self.draw_noise(latents, draw), time

    def _pass(self, latents: Tensor, timestep: Tensor) -> None:
        dtype, prompt = self.transformer.dtype, self.texts.prompt.to(self.device, self.transformer.dtype)
        arguments = self.arguments(latents.to(dtype), timestep, prompt)
        self.transformer(**arguments, return_dict=False)

    def arguments(self, latents: Tensor, timestep: Tensor, prompt: Tensor) -> dict[str, Any]:
        """What the family's own pipeline calls the transformer with."""
        raise NotImplementedError

    def mask(self) -> Tensor:
        """Which of the prompt's tokens are not padding, `(1, text length)`."""
        assert self.texts.mask is not None
        return self.texts.mask.to(self.device)

    def pooled(self) -> Tensor:
        """One vector of the whole prompt, `(1, dim)`."""
        assert self.texts.pooled is not None
        return self.texts.pooled.to(self.device, self.transformer.dtype)


def standardise(latents: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """`(1, c, t_lat, h_lat, w_lat)` with the mean and deviation that a VAE was trained with, one a channel."""
    middle, spread = (
        torch.tensor(values, device=latents.device, dtype=latents.dtype).view(1, -1, 1, 1, 1) for values in (mean, std)
    )
    return (latents - middle) / spread


@take_turns_loading()
def load(
    model: type[FlowModel],
    adapter: FlowAdapter,
    path: Path,
    settings: TrackSettings,
    words: Sequence[str],
    report: Callable[[str], None] = log.warning,
) -> FlowModel:
    """Load a pipeline folder. Text encoders are freed before the transformer loads; nothing comes from the network.

    words: every word in the softmax, in the order of the scores. Raises ModelError when a component cannot be loaded,
    lacks weights, or asks for code of its own, UsageError for what these models are not run with.
    """
    for key in ("offload", "quantize"):
        if (value := getattr(settings, key)) != "none":
            raise UsageError(
                f"`{key}={value}` is for models of the CogVideoX kind, and {path} is none. Next: `{key}=none`"
            )
    device, dtype, how = prepare_machine(settings, report)
    check_configs(path, adapter.shapes)
    facts = adapter.read_facts(path)
    codec_class = pick_class("vae", facts.index.vae, model.codecs)
    transformer_class = pick_class("transformer", facts.index.transformer, model.transformers)
    check_kinds(path / "vae" / "config.json", codec_class)
    check_kinds(path / "transformer" / "config.json", transformer_class)
    texts = encode_texts(
        path,
        settings.prompt,
        words,
        text_length=adapter.text_length,
        dtype=dtype,
        device=device,
        encoder=model.text_encoder(facts),
        report=report,
    )
    codec = load_part(path, "vae", codec_class, dtype).to(device)
    transformer = load_part(path, model.transformer_part(facts, settings), transformer_class, dtype).to(device)
    tile_if_asked(codec, settings, report)
    report_attention(transformer, report)
    return model(transformer, codec, texts, settings, device, report, how, facts)
