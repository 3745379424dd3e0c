"""What a tiny transformer is made from, and the tensors that all of them are called with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tests.helpers.diffusers_at_hand import find_class, keep_known

FRAMES, HEIGHT, WIDTH = 3, 4, 6  # latents; tokens where a patch is one of them
TEXT, PADDING, TEXT_DIM = 5, 2, 24


def latents(channels: int) -> Tensor:
    return torch.randn(1, channels, FRAMES, HEIGHT, WIDTH)


def text(length: int = TEXT) -> Tensor:
    return torch.randn(1, length, TEXT_DIM)


def mask(dtype: torch.dtype = torch.long) -> Tensor:
    return torch.tensor([[1] * (TEXT - PADDING) + [0] * PADDING], dtype=dtype)


@dataclass(frozen=True)
class Tiny:
    """kind: the transformer's class in diffusers. config, call: its arguments and those of a forward pass.

    tokens: of video, (t, row, col).
    """

    kind: str
    config: dict[str, Any]
    call: Callable[[], dict[str, Any]]
    tokens: tuple[int, int, int]

    def make(self) -> Any:
        torch.manual_seed(0)
        transformer = find_class(self.kind)(**self.config).eval()
        with torch.no_grad():
            for name, parameter in transformer.named_parameters():
                scale = 1.0 if "norm" in name and parameter.ndim == 1 and name.endswith("weight") else 0.0
                parameter.copy_(torch.randn_like(parameter) * 0.2 + scale)
        return transformer

    def arguments(self) -> dict[str, Any]:
        """Of a forward pass; what only other releases of diffusers ask for is left out."""
        torch.manual_seed(1)
        return keep_known(self.kind, self.call())
