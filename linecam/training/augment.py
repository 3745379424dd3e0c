"""Crops made more various than the generator paints them, so that less depends on what its painters know.

Turned and zoomed crops, a camera's exposure and contrast, filters as its electronics have them, and a texture on top.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vidconcept.painting.textures import Rng

_FILTER_PX = 5


def cut_rotated(
    rng: Rng, frame: np.ndarray, classes: np.ndarray, size: tuple[int, int], centre: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """A crop of `size` (height, width) about `centre` (y, x) by a random zoom, stretch and turn.

    frame `(h, w, 3)` uint8, classes `(h, w)` uint8; both are mirrored beyond their border.
    """
    height, width = size
    zoom, stretch = np.exp(rng.uniform(-0.45, 0.35)), np.exp(rng.normal(0, 0.08))
    angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.5 else rng.normal(0, 0.05)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([zoom * stretch, zoom / stretch])
    offset = np.array(centre[::-1]) - linear @ [(width - 1) / 2, (height - 1) / 2]
    matrix = np.column_stack([linear, offset])
    parts = (
        cv2.warpAffine(a, matrix, (width, height), flags=how | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT_101)
        for a, how in ((frame, cv2.INTER_LINEAR), (classes, cv2.INTER_NEAREST))
    )
    image, labels = (np.asarray(a) for a in parts)
    return image, labels


def jitter(video: Tensor, generator: torch.Generator) -> Tensor:
    """Random exposure, gamma and loss of colour of clips `(b, 3, t, h, w)` in [-1, 1]."""
    b = video.shape[0]
    draw = lambda low, high: low + (high - low) * torch.rand(b, 1, 1, 1, 1, generator=generator)  # noqa: E731
    x = ((video + 1) / 2).clamp_min(1e-4) ** torch.exp(draw(-0.35, 0.35)) * draw(0.6, 1.3)
    mono = (draw(0, 1) < 0.2).float()
    x = mono * x.mean(1, keepdim=True) + (1 - mono) * x
    return x.clamp(0, 1) * 2 - 1


def roughen(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Random contrast, texture and filter, each on a part of the frames `(b, 3, h, w)` in [-1, 1].

    The texture deviates by 1 to 6 % of the brightness: it may hide the faintest defects, and makes none.
    """
    b, _, height, width = frames.shape
    draw = lambda low, high: low + (high - low) * torch.rand(b, 1, 1, 1, generator=generator)  # noqa: E731
    some = lambda share: (draw(0, 1) < share).float()  # noqa: E731
    x = (frames + 1) / 2
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (x - mean) * torch.exp(some(0.4) * draw(-0.5, 0.35))
    strength = some(0.4) * torch.exp(draw(np.log(0.01), np.log(0.06)))
    x = x * torch.exp(strength * _draw_textures(b, height, width, generator)[:, None])
    return _filter(x, some(0.3) * draw(0.05, 0.5), generator).clamp(0, 1) * 2 - 1


def _draw_textures(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Noise `(count, h, w)` of unit deviation, each of a random pitch, bandwidth, direction and directedness."""
    draw = lambda low, high: low + (high - low) * torch.rand(count, 1, 1, generator=generator)  # noqa: E731
    fy = torch.fft.fftfreq(height)[:, None]
    fx = torch.fft.rfftfreq(width)[None]
    frequency = (fy * fy + fx * fx).sqrt().clamp_min(1e-3)
    octaves_off = (frequency.log() - draw(np.log(0.015), np.log(0.35))) / draw(0.3, 1.5)
    direction = torch.atan2(fy, fx) - draw(0, np.pi)
    spread = torch.exp(draw(np.log(0.15), np.log(3.0)))
    spectrum = torch.exp(-(octaves_off**2) - (torch.sin(direction) / spread) ** 2)
    noise = torch.randn(count, height, width, generator=generator)
    field = torch.fft.irfft2(torch.fft.rfft2(noise) * spectrum, s=(height, width))
    return (field / field.std((1, 2), keepdim=True).clamp_min(1e-6)).clamp(-3, 3)


def _filter(x: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Each picture `(b, 3, h, w)` by a random filter that leaves even areas as they are; strength `(b, 1, 1, 1)`."""
    b, channels = x.shape[:2]
    kernels = torch.randn(b, 1, _FILTER_PX, _FILTER_PX, generator=generator)
    kernels = kernels - kernels.mean((2, 3), keepdim=True)
    kernels = strength * kernels / kernels.norm(dim=(2, 3), keepdim=True)
    kernels[:, :, _FILTER_PX // 2, _FILTER_PX // 2] += 1
    padded = F.pad(x, (_FILTER_PX // 2,) * 4, mode="reflect").flatten(0, 1)[None]
    return F.conv2d(padded, kernels.repeat_interleave(channels, 0), groups=b * channels)[0].view_as(x)
