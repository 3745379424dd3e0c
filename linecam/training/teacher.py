"""A trained model whose maps or shares of the same footage are targets beside the truth.

What a student with fewer layers cannot learn from masks alone, how sure to be of a thin scratch, its teacher has learnt
(Hinton et al. 2015, https://arxiv.org/abs/1503.02531).
"""

from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from linecam.training.alignment import attach, read_logits, word_logits
from linecam.training.model import encode_clip, load_parts
from vidconcept.models.linecam_codec import PatchCodec
from vidconcept.painting.cells import CELL_PX
from vidconcept.painting.kinds import CONCEPTS, IGNORE

# Where maps are read in use.
TIMESTEP = 20
# A teacher that gives more to defects where the truth has none is wrong there.
BELIEVED = 0.2


class Teacher:
    """A pipeline folder, to be read at its last layer."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.parts, self.device = load_parts(folder), device
        for model in (self.parts.codec, self.parts.transformer, self.parts.text_encoder):
            model.to(device).eval().requires_grad_(False)
        share = self.parts.scheduler.alphas_cumprod[TIMESTEP].item()
        self.signal, self.sigma = share**0.5, (1 - share) ** 0.5

    @torch.no_grad()
    def read(self, video: Tensor, query: list[int], rope: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
        """Log-probabilities of the queried classes, `(b, word, token)`, without a prompt, in one of four mirrorings.

        video `(b, 3, t, h, w)` in [-1, 1]; rope: of its tokens; generator: of the noise, and of the mirroring.
        """
        parts, b = self.parts, len(video)
        axes = [axis for axis in (3, 4) if torch.rand((), generator=generator) < 0.5]
        grid = ((video.shape[2] + 3) // 4, video.shape[3] // CELL_PX, video.shape[4] // CELL_PX)
        latents = rearrange(encode_clip(parts.codec, video.flip(axes)), "b c t h w -> b t c h w")
        noised = self.signal * latents + self.sigma * torch.randn(latents.shape, generator=generator).to(self.device)
        embeds, counts = parts.embed(["", *(CONCEPTS[k] for k in query)])
        words = torch.cat([embeds[1 + i, :n] for i, n in enumerate(counts[1:])])
        text = torch.cat([embeds[:1].expand(b, -1, -1), words.expand(b, -1, -1)], 1)
        processors = attach(parts.transformer, len(words), torch.bfloat16)
        with torch.autocast(self.device.type, torch.bfloat16):
            timesteps = torch.full((b,), TIMESTEP, device=self.device)
            parts.transformer(noised, text, timesteps, image_rotary_emb=rope, return_dict=False)
        logits = word_logits([read_logits(processors[-1])], counts[1:]).float()
        # (b, word, t_lat, row, column): the axes are those of the video.
        return torch.log_softmax(logits.unflatten(2, grid).flip(axes).flatten(2), 1)


class CodecTeacher:
    """A pipeline folder's codec, whose shares of the same frames are targets beside the truth."""

    def __init__(self, folder: Path, device: torch.device, seed: int) -> None:
        self.net = PatchCodec.from_pretrained(folder, subfolder="vae").feature_net  # type: ignore[union-attr]
        self.net.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore
        self.rng = np.random.default_rng(seed)

    @torch.no_grad()
    def read(self, frames: Tensor) -> Tensor:
        """Log-probabilities `(b, kind, token)` of frames `(b, 3, h, w)`, read in one of their four mirrorings.

        Another one each time: what a student follows is the mean over all, which is surer than any of them.
        """
        axes = [axis for axis in (2, 3) if self.rng.random() < 0.5]
        with torch.autocast(frames.device.type, torch.bfloat16):
            logits = self.net(frames.flip(axes).contiguous(memory_format=torch.channels_last))
        return torch.log_softmax(logits.float().flip(axes).flatten(2), 1)


def distillation_loss(
    logits: Tensor, taught: Tensor, wanted: Tensor, defects: Tensor, defect_weight: float, sample_weight: Tensor
) -> Tensor:
    """Divergence (Kullback-Leibler) of the maps from the teacher's.

    logits, taught `(b, word, token)`, the latter log-probabilities; wanted `(b, token)` word numbers of the truth or
    `IGNORE`; defects `(word,)` bool, which words are defects: a token weighs 1, and `defect_weight` more where the
    teacher is sure of one. Where it sees a defect on what the truth calls good it is not believed. sample_weight
    `(b,)`.
    """
    each = (taught.exp() * (taught - torch.log_softmax(logits.float(), 1))).sum(1)
    sure = taught.exp()[:, defects].sum(1)
    good = (wanted != IGNORE) & ~defects[wanted.clamp_max(len(defects) - 1)]
    weight = (1 + defect_weight * sure) * ~(good & (sure > BELIEVED)) * sample_weight[:, None]
    return (each * weight).sum() / weight.sum().clamp_min(1)
