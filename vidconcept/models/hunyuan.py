"""Adapter of HunyuanVideo 1.0: joint attention in dual and then single blocks, a language model and CLIP for text."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from vidconcept.models.flow_folder import Facts
from vidconcept.models.flow_model import FlowModel
from vidconcept.models.loading import name_classes
from vidconcept.models.text_encoders import ChatText, ClipPooled, TextEncoder, Together

# Its pipeline's own strength of the guidance that was distilled into the weights.
GUIDANCE = 6.0
# The instruction that HunyuanVideo was trained with (its technical report, arXiv 2412.03603); the prompt follows it.
INSTRUCTION = (
    "<|start_header_id|>system<|end_header_id|>\n\nDescribe the video by detailing the following aspects: "
    "1. The main content and theme of the video."
    "2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects."
    "3. Actions, events, behaviors temporal relationships, physical movement changes of the objects."
    "4. background environment, light, style and atmosphere."
    "5. camera angles, movements, and transitions used in the video:<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n"
)


class HunyuanVideo(FlowModel):
    """See `FlowModel`."""

    transformers: ClassVar = name_classes("HunyuanVideoTransformer3DModel")
    codecs: ClassVar = name_classes("AutoencoderKLHunyuanVideo")

    @classmethod
    def text_encoder(cls, facts: Facts) -> TextEncoder:
        return Together(ChatText("LlamaModel", INSTRUCTION, "<|eot_id|>", (-3,)), (ClipPooled("_2"),))

    def arguments(self, latents: Tensor, timestep: Tensor, prompt: Tensor) -> dict[str, Any]:
        guidance = latents.new_full((1,), GUIDANCE) * 1000
        return {
            "hidden_states": latents,
            "timestep": timestep,
            "encoder_hidden_states": prompt,
            "encoder_attention_mask": self.mask(),
            "pooled_projections": self.pooled(),
            "guidance": guidance if self.transformer.config.guidance_embeds else None,
        }
