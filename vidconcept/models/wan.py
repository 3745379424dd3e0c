"""Adapter of Wan 2.1 and 2.2: cross-attention only; 2.2 may have two transformers, one for high noise, one for low."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from torch import Tensor

from vidconcept.models.flow_folder import Facts
from vidconcept.models.flow_model import FlowModel, standardise
from vidconcept.models.loading import load_part, name_classes
from vidconcept.models.text_encoders import T5Text, TextEncoder
from vidconcept.settings import TrackSettings


@dataclass
class Wan(FlowModel):
    """See `FlowModel`. experts: the transformers that were loaded, by their folder; copies of the model share them."""

    transformers: ClassVar = name_classes("WanTransformer3DModel")
    codecs: ClassVar = name_classes("AutoencoderKLWan")
    experts: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def text_encoder(cls, facts: Facts) -> TextEncoder:
        return T5Text("UMT5EncoderModel", masked=True, zero_padding=True)

    @classmethod
    def transformer_part(cls, facts: Facts, settings: TrackSettings) -> str:
        boundary = facts.index.boundary_ratio
        # Wan's shift is a constant, so the level does not depend on the picture.
        is_low = boundary is not None and facts.schedule.sigma(settings.timestep, 0) < boundary
        return "transformer_2" if is_low and "transformer_2" in facts.index.components else "transformer"

    def with_settings(self, settings: TrackSettings) -> Wan:
        """The same weights and texts read with other settings; of another noise level, the other transformer.

        Each transformer is loaded once. From then on both are in memory.
        """
        self.experts.setdefault(self.transformer_part(self.facts, self.settings), self.transformer)
        part = self.transformer_part(self.facts, settings)
        if part not in self.experts:
            kind, dtype = type(self.transformer), self.transformer.dtype
            self.experts[part] = load_part(self.facts.path, part, kind, dtype).to(self.device)
        return replace(self, settings=settings, transformer=self.experts[part])

    def _scaled(self, latents: Tensor) -> Tensor:
        return standardise(latents, self.codec.config.latents_mean, self.codec.config.latents_std)

    def arguments(self, latents: Tensor, timestep: Tensor, prompt: Tensor) -> dict[str, Any]:
        # Of Wan 2.2 5B every token has a timestep; here all have the same.
        each = timestep.expand(1, self.tokens_of(latents)) if self.facts.index.expand_timesteps else timestep
        return {"hidden_states": latents, "timestep": each, "encoder_hidden_states": prompt}
