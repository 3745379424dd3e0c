"""The embedded model's video codec: a linear picture code, and beside it features of a small convolutional net.

It stands where CogVideoX has `AutoencoderKLCogVideoX` and has the same interface. Its latents are 16 channels on a grid
of 4×4 pixels; frames are grouped 1, 4, 4, ….

* 8 picture channels: the principal components of 4×4 pixel patches of one frame, or of the four frames of a group,
  each scaled to unit deviation. Encoding is one strided convolution, decoding its transpose.
* 8 feature channels: how much each 8×8 pixel cell looks like each of 15 kinds of surface to `FeatureNet`, a
  convolutional net trained on generated footage beside a pretrained trunk. Of the group's frames both the largest and
  the mean are kept (a defect that crosses a cell in one frame of four is not averaged away), laid out on the cell's
  four patches. Decoding ignores these channels. They let a small transformer see a hair-thin crack without having to
  learn filters by attention.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, overload

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils.outputs import BaseOutput
from einops import rearrange
from torch import Tensor, nn

from vidconcept.models.line_head import LineHead
from vidconcept.models.trunk import CHANNELS, Trunk


def _conv(width_in: int, width_out: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    padding = size // 2 if stride == 1 else 0
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, size, stride, padding, bias=False), nn.BatchNorm2d(width_out), nn.SiLU()
    )


# Channels of the layers that see the trunk beside the convolutional net.
BESIDE = 64
# A share of 0..1 below this is as good as none on the logarithmic scale.
LEAST_SHARE = 1e-3


class _Residual(nn.Module):
    """A block that is its input until its second part is trained."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _conv(width, width), _conv(width, width)
        nn.init.zeros_(self.second[1].weight)  # pyright: ignore

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class FeatureNet(nn.Module):
    """Frames `(n, 3, h, w)` in [-1, 1] -> logits `(n, kinds, h/8, w/8)`, mostly from what lies within 150 px."""

    def __init__(self, kinds: int, widths: tuple[int, int, int, int], blocks: tuple[int, int, int]) -> None:
        super().__init__()
        fine, cell, coarse, broad = widths
        at_cell, at_coarse, at_broad = blocks
        self.stem = nn.Sequential(_conv(4 * 16, fine), _conv(fine, fine))
        self.to_cell = _conv(fine, cell, 2, 2)
        self.cell = nn.Sequential(*(_Residual(cell) for _ in range(at_cell)))
        self.to_coarse = _conv(cell, coarse, 2, 2)
        self.coarse = nn.Sequential(*(_Residual(coarse) for _ in range(at_coarse)))
        self.to_broad = _conv(coarse, broad, 2, 2)
        self.broad = nn.Sequential(*(_Residual(broad) for _ in range(at_broad)))
        self.from_broad = _conv(broad, coarse, 1)
        self.from_coarse = _conv(coarse, cell, 1)
        self.fuse = nn.Sequential(_conv(2 * cell, cell, 1), _Residual(cell))
        self.out = nn.Conv2d(cell, kinds, 1)
        self.trunk = Trunk()
        _, at_4, at_8, at_16 = CHANNELS
        self.beside = nn.Sequential(
            _conv(cell + 4 * at_4 + at_8 + at_16, BESIDE, 1), _Residual(BESIDE), nn.Conv2d(BESIDE, kinds, 1)
        )
        nn.init.zeros_(self.beside[2].weight)  # pyright: ignore
        nn.init.zeros_(self.beside[2].bias)  # pyright: ignore

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.fused(x), self.trunk(x))

    def read(self, fused: Tensor, trunk: list[Tensor]) -> Tensor:
        """Logits of what `fused` says, corrected by what the trunk adds to it."""
        _, at_4, at_8, at_16 = trunk
        seen = [fused, F.pixel_unshuffle(at_4, 2), at_8, _enlarge(at_16, at_8, "bilinear")]
        return self.out(fused) + self.beside(torch.cat(seen, 1))

    def fused(self, x: Tensor) -> Tensor:
        """The features that the logits are read from, `(n, cell, h/8, w/8)`."""
        # Luminance relative to its surroundings: a camera's exposure says nothing about a defect.
        grey = x.mean(1, keepdim=True)
        small = F.avg_pool2d(grey, 8)
        mean = F.avg_pool2d(small, 5, 1, 2, count_include_pad=False)
        square = F.avg_pool2d(F.avg_pool2d(grey * grey, 8), 5, 1, 2, count_include_pad=False)
        deviation = (square - mean * mean).clamp_min(0).sqrt() + 0.03
        relative = (grey - F.interpolate(mean, scale_factor=8.0, mode="bilinear")) / F.interpolate(
            deviation, scale_factor=8.0, mode="bilinear"
        )
        fine = self.stem(F.pixel_unshuffle(torch.cat([x, relative.clamp(-6, 6) * 0.5], 1), 4))
        cell = self.cell(self.to_cell(fine))
        coarse = self.coarse(self.to_coarse(_pad_to_even(cell)))
        broad = self.from_broad(self.broad(self.to_broad(_pad_to_even(coarse))))
        coarse = coarse + _enlarge(broad, coarse, "nearest")
        context = _enlarge(self.from_coarse(coarse), cell, "bilinear")
        return self.fuse(torch.cat([cell, context], 1))


def gather_cells(trunk: list[Tensor]) -> Tensor:
    """The trunk's features at strides 4, 8 and 16 brought to cells of 8 px: `(n, 176, h/8, w/8)`."""
    _, at_4, at_8, at_16 = trunk
    return torch.cat([F.avg_pool2d(at_4, 2), at_8, _enlarge(at_16, at_8, "bilinear")], 1)


def scale_logarithmically(shares: Tensor) -> Tensor:
    """Shares of 0..1 as 0..1 again, equal steps for equal factors: noise must not hide a faint one."""
    return 1 + torch.log(shares + LEAST_SHARE) / -math.log(LEAST_SHARE)


def _pad_to_even(x: Tensor) -> Tensor:
    """Padded to an even number of rows and columns, so that any multiple of 8 px fits."""
    return F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2), mode="replicate")


def _enlarge(x: Tensor, like: Tensor, mode: str) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode=mode)[..., : like.shape[-2], : like.shape[-1]]


class _Exact:
    """A posterior without spread: the codec is deterministic."""

    def __init__(self, latents: Tensor) -> None:
        self.latents = latents

    def mode(self) -> Tensor:
        return self.latents

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return self.latents


@dataclass
class Encoded(BaseOutput):
    """`latent_dist.mode()` is `(b, channels, t_lat, h/4, w/4)`."""

    latent_dist: _Exact


@dataclass
class Decoded(BaseOutput):
    """`sample` is `(b, 3, t, h, w)` in about [-1, 1]."""

    sample: Tensor


class PatchCodec(ModelMixin, ConfigMixin):
    """See the module's text. Frames `(b, 3, t, h, w)` in [-1, 1]; t = 4k+1, h and w multiples of 8."""

    config: Any

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 16,
        picture_channels: int = 8,
        temporal_compression_ratio: int = 4,
        scaling_factor: float = 1.0,
        # Its length says the spatial compression, 2^(n-1), to CogVideoXPipeline.
        block_out_channels: tuple[int, ...] = (32, 64, 96),
        # Channels of the feature net at 4, 8, 16 and 32 px.
        feature_widths: tuple[int, int, int, int] = (48, 96, 192, 256),
        # Its residual blocks at 8, 16 and 32 px.
        feature_blocks: tuple[int, int, int] = (2, 2, 2),
        # Kinds of surface that it tells apart; twice their number fits the feature channels.
        feature_kinds: int = 15,
        # How their shares lie in the feature channels: as they are, or on a logarithmic scale.
        feature_scale: Literal["linear", "logarithmic"] = "linear",
    ) -> None:
        super().__init__()
        group = temporal_compression_ratio
        self.register_buffer("first_basis", torch.zeros(picture_channels, 3 * 16))
        self.register_buffer("first_mean", torch.zeros(3 * 16))
        self.register_buffer("first_std", torch.ones(picture_channels))
        self.register_buffer("later_basis", torch.zeros(picture_channels, 3 * 16 * group))
        self.register_buffer("later_mean", torch.zeros(3 * 16 * group))
        self.register_buffer("later_std", torch.ones(picture_channels))
        features = 4 * (latent_channels - picture_channels)
        self.feature_net = FeatureNet(feature_kinds, feature_widths, feature_blocks)
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_std", torch.ones(features))
        # What was learnt of the surface of one line; no part of the model's own weights.
        self.line_head: LineHead | None = None

    @property
    def cell_inputs(self) -> int:
        """Numbers that a cell is told by to a line head: features, those of the trunk, and shares."""
        return self.feature_net.out.in_channels + sum(CHANNELS[1:]) + self.config.feature_kinds

    def encode_picture(self, x: Tensor) -> Tensor:
        """The picture channels alone, `(b, c, t_lat, h/4, w/4)`."""
        group = self.config.temporal_compression_ratio
        first = rearrange(x[:, :, :1], "b c t (h p) (w q) -> b t h w (c p q)", p=4, q=4)
        z = ((first - self.first_mean) @ self.first_basis.T) / self.first_std
        if x.shape[2] > 1:
            later = rearrange(x[:, :, 1:], "b c (t g) (h p) (w q) -> b t h w (g c p q)", g=group, p=4, q=4)
            z = torch.cat([z, ((later - self.later_mean) @ self.later_basis.T) / self.later_std], 1)
        return rearrange(z, "b t h w c -> b c t h w")

    def classify_cells(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What each cell of each frame looks like, and what the trunk makes of it.

        The first is `(b, t, h/8, w/8, kind)`, summing to 1 over the kinds; the second `gather_cells` as
        `(b, t, h/8, w/8, 176)`.
        """
        logits, fused, described = self.look_at_cells(rearrange(x, "b c t h w -> (b t) c h w"))
        if self.line_head is not None:
            logits = self.line_head(logits, torch.cat([fused, described], 1))
        each, described = (
            rearrange(part, "(b t) c h w -> b t h w c", b=len(x)) for part in (logits.softmax(1), described)
        )
        return each, described

    def look_at_cells(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of frames `(n, 3, h, w)` the net's logits in float32, its features and `gather_cells`: `(n, c, h/8, w/8)`."""
        frames = frames.contiguous(memory_format=torch.channels_last)
        trunk = self.feature_net.trunk(frames)
        fused = self.feature_net.fused(frames)
        return self.feature_net.read(fused, trunk).float(), fused, gather_cells(trunk)

    def pool_features(self, kinds: Tensor) -> Tensor:
        """The features of each cell and latent step, `(b, t_lat, h/8, w/8, feature)` in 0..1, zeros at the end.

        kinds: as `classify_cells` gives them.
        """
        later = rearrange(kinds[:, 1:], "b (t g) h w c -> b t g h w c", g=self.config.temporal_compression_ratio)
        largest, mean = (torch.cat([kinds[:, :1], part], 1) for part in (later.amax(2), later.mean(2)))
        spare = self.feature_mean.numel() - 2 * self.config.feature_kinds
        pooled = torch.cat([largest, mean], -1)
        if self.config.feature_scale == "logarithmic":
            pooled = scale_logarithmically(pooled)
        return F.pad(pooled, (0, spare))

    def feature_latents(self, kinds: Tensor) -> Tensor:
        """The feature channels alone, `(b, c, t_lat, h/4, w/4)`. kinds: as `classify_cells` gives them."""
        z = (self.pool_features(kinds) - self.feature_mean) / self.feature_std
        return rearrange(z, "b t h w (c p q) -> b c t (h p) (w q)", p=2, q=2)

    @overload
    def encode(self, x: Tensor, return_dict: Literal[True] = True) -> Encoded: ...
    @overload
    def encode(self, x: Tensor, return_dict: Literal[False]) -> tuple[_Exact]: ...
    def encode(self, x: Tensor, return_dict: bool = True) -> Encoded | tuple[_Exact]:
        """Latents of frames `(b, 3, t, h, w)` in [-1, 1]. Raises ValueError for a size that does not fit."""
        latents, _ = self.encode_described(x)
        return Encoded(latent_dist=_Exact(latents)) if return_dict else (_Exact(latents),)

    def encode_described(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Latents as of `encode` and features as of `classify_cells`, in one pass. Raises ValueError as `encode`."""
        t, height, width = x.shape[2:]
        if (t - 1) % self.config.temporal_compression_ratio or height % 8 or width % 8:
            raise ValueError(f"frames must be 4k+1 of multiples of 8 px, got {t} of {height}x{width}")
        kinds, described = self.classify_cells(x)
        return torch.cat([self.encode_picture(x), self.feature_latents(kinds).to(x.dtype)], 1), described

    @overload
    def decode(self, z: Tensor, return_dict: Literal[True] = True) -> Decoded: ...
    @overload
    def decode(self, z: Tensor, return_dict: Literal[False]) -> tuple[Tensor]: ...
    def decode(self, z: Tensor, return_dict: bool = True) -> Decoded | tuple[Tensor]:
        """Frames `(b, 3, t, h, w)` of latents `(b, channels, t_lat, h/4, w/4)`; the feature channels are not used."""
        group = self.config.temporal_compression_ratio
        z = rearrange(z[:, : self.config.picture_channels], "b c t h w -> b t h w c")
        first = (z[:, :1] * self.first_std) @ self.first_basis + self.first_mean
        frames = [rearrange(first, "b t h w (c p q) -> b c t (h p) (w q)", p=4, q=4)]
        if z.shape[1] > 1:
            later = (z[:, 1:] * self.later_std) @ self.later_basis + self.later_mean
            frames.append(rearrange(later, "b t h w (g c p q) -> b c (t g) (h p) (w q)", g=group, p=4, q=4))
        sample = torch.cat(frames, 2)
        return Decoded(sample=sample) if return_dict else (sample,)
