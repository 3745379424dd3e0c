"""Adapter of Qwen-Image: dual blocks only, one language model; a codec of films, given one picture at a time."""

from __future__ import annotations

from inspect import signature
from typing import Any, ClassVar

import torch
from einops import rearrange
from torch import Tensor

from vidconcept.models.flow_folder import Facts
from vidconcept.models.flow_model import standardise
from vidconcept.models.loading import name_classes
from vidconcept.models.stills import Stills
from vidconcept.models.text_encoders import ChatText, TextEncoder

INSTRUCTION = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, "
    "spatial relationships of the objects and background:<|im_end|>\n<|im_start|>user\n"
)
ENDING = "<|im_end|>\n<|im_start|>assistant\n"


class QwenImage(Stills):
    """See `FlowModel`."""

    transformers: ClassVar = name_classes("QwenImageTransformer2DModel")
    codecs: ClassVar = name_classes("AutoencoderKLQwenImage")

    @classmethod
    def text_encoder(cls, facts: Facts) -> TextEncoder:
        # Its folder has the vocabulary and the merges, from which this class makes the rest.
        kind, tokenizer = "Qwen2_5_VLForConditionalGeneration", "Qwen2TokenizerFast"
        return ChatText(kind, INSTRUCTION, ENDING, (-1,), tokenizer=tokenizer)

    def _posterior(self, video: Tensor) -> Tensor:
        return torch.cat([self.codec.encode(frame).latent_dist.mode() for frame in video.split(1, dim=2)], dim=2)

    def _scaled(self, latents: Tensor) -> Tensor:
        return standardise(latents, self.codec.config.latents_mean, self.codec.config.latents_std)

    def arguments(self, latents: Tensor, timestep: Tensor, prompt: Tensor) -> dict[str, Any]:
        rows, cols = latents.shape[3] // 2, latents.shape[4] // 2
        # Without padding, as its pipeline gives a single prompt: then no mask is needed.
        text = prompt[:, : int(self.mask().sum())]
        # The first releases of diffusers that have it must be told how long the text is.
        asks_length = "txt_seq_lens" in signature(self.transformer.forward).parameters
        return {
            "hidden_states": rearrange(latents, "b c 1 (h ph) (w pw) -> b (h w) (c ph pw)", ph=2, pw=2),
            "encoder_hidden_states": text,
            "timestep": (timestep / 1000).to(latents.dtype),
            "img_shapes": [[(1, rows, cols)]],
            **({"txt_seq_lens": [text.shape[1]]} if asks_length else {}),
        }
