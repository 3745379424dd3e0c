"""Adapter of HunyuanVideo 1.5: dual blocks only, one language model; an encoder of quoted letters is left out."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from vidconcept.models.flow_folder import Facts
from vidconcept.models.flow_model import FlowModel
from vidconcept.models.loading import name_classes
from vidconcept.models.text_encoders import ChatText, TextEncoder

# Tokens of a picture and of quoted letters that its pipeline fills with nothing and masks, where there are none.
PICTURE_TOKENS, LETTER_TOKENS = 729, 256
_ASPECTS = (
    "You are a helpful assistant. Describe the video by detailing the following aspects:",
    "1. The main content and theme of the video.",
    "2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects.",
    "3. Actions, events, behaviors temporal relationships, physical movement changes of the objects.",
    "4. background environment, light, style and atmosphere.",
    "5. camera angles, movements, and transitions used in the video.",
)
# Between its sentences there are nine blanks, as in training.
INSTRUCTION = f"<|im_start|>system\n{(' ' * 9).join(_ASPECTS)}<|im_end|>\n<|im_start|>user\n"
ENDING = "<|im_end|>\n<|im_start|>assistant\n"


class HunyuanVideo15(FlowModel):
    """See `FlowModel`."""

    transformers: ClassVar = name_classes("HunyuanVideo15Transformer3DModel")
    codecs: ClassVar = name_classes("AutoencoderKLHunyuanVideo15")

    @classmethod
    def text_encoder(cls, facts: Facts) -> TextEncoder:
        return ChatText("Qwen2_5_VLTextModel", INSTRUCTION, ENDING, (-3,), for_empty=" ")

    def arguments(self, latents: Tensor, timestep: Tensor, prompt: Tensor) -> dict[str, Any]:
        config, mask = self.transformer.config, self.mask()
        # Beside the latents stand those of a first picture, and a mask of where it is: none.
        nothing = latents.new_zeros(1, config.in_channels - latents.shape[1], *latents.shape[2:])
        return {
            "hidden_states": torch.cat([latents, nothing], dim=1),
            "timestep": timestep.to(latents.dtype),
            "encoder_hidden_states": prompt,
            "encoder_attention_mask": mask,
            "encoder_hidden_states_2": latents.new_zeros(1, LETTER_TOKENS, config.text_embed_2_dim),
            "encoder_attention_mask_2": mask.new_zeros(1, LETTER_TOKENS),
            "image_embeds": latents.new_zeros(1, PICTURE_TOKENS, config.image_embed_dim),
        }
