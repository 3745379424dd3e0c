"""EfficientNet-Lite0 up to its eleventh block: frames in, features at strides 2, 4, 8 and 16 out.

The architecture is that of Tan and Le, "EfficientNet" (ICML 2019), in its Lite variant: ReLU6, no squeeze and
excitation. Batch norms are folded into the convolutions; strides of 2 pad as TensorFlow does, more at the end than at
the start.
The weights are ImageNet's, Apache-2.0; their notice lies beside them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Expansion, kernel, stride, channels in, channels out, repeats of each stage; nothing follows the fifth.
STAGES = ((1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2), (6, 3, 2, 40, 80, 3), (6, 5, 1, 80, 112, 3))
# Frames that are looked at together on a processor: what a layer makes of them stays in its cache.
FRAMES_AT_ONCE = 3
# Channels at strides 2, 4, 8 and 16, and the block that each comes from.
CHANNELS = (16, 24, 40, 112)
_OUTPUTS = (0, 2, 4, 10)


class _Conv(nn.Module):
    def __init__(self, width_in: int, width_out: int, size: int, stride: int, groups: int, active: bool) -> None:
        super().__init__()
        self.size, self.stride, self.active = size, stride, active
        self.conv = nn.Conv2d(width_in, width_out, size, stride, 0 if stride > 1 else size // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            height, width = (max((-(-n // self.stride) - 1) * self.stride + self.size - n, 0) for n in x.shape[-2:])
            x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        if self.active and _can_fuse(self.conv, x):
            return _convolve_and_limit(self.conv, x)
        x = self.conv(x)
        return F.relu6(x, inplace=True) if self.active else x


def _can_fuse(conv: nn.Module, x: Tensor) -> bool:
    """Whether oneDNN can limit what a convolution gives before it is written to memory.

    Its operator takes no part in autocast, and refuses bfloat16 where the processor has nothing for it.
    """
    if type(conv) is not nn.Conv2d or x.device.type != "cpu" or x.dtype != conv.weight.dtype:
        return False
    if torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or not torch.backends.mkldnn.is_available():
        return False
    return x.dtype == torch.float32 or (
        x.dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def _convolve_and_limit(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """`relu6(conv(x))` in one pass, by the operator that torch's own compiler uses for it."""
    sizes = ([int(n) for n in size] for size in (conv.padding, conv.stride, conv.dilation))
    return torch.ops.mkldnn._convolution_pointwise(
        x, conv.weight, conv.bias, *sizes, conv.groups, "hardtanh", [0.0, 6.0], ""
    )


class _Block(nn.Module):
    """Inverted residual: expand, filter each channel, project."""

    def __init__(self, expansion: int, size: int, stride: int, width_in: int, width_out: int) -> None:
        super().__init__()
        middle = width_in * expansion
        self.residual = stride == 1 and width_in == width_out
        self.expand = _Conv(width_in, middle, 1, 1, 1, True) if expansion > 1 else nn.Identity()
        self.depthwise = _Conv(middle, middle, size, stride, middle, True)
        self.project = _Conv(middle, width_out, 1, 1, 1, False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class Trunk(nn.Module):
    """Frames `(n, 3, h, w)` in [-1, 1] -> features `(n, CHANNELS[k], ceil(h/s), ceil(w/s))` for s = 2, 4, 8, 16."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Conv(3, 32, 3, 2, 1, True)
        self.blocks = nn.ModuleList(
            _Block(expansion, size, stride if k == 0 else 1, width_in if k == 0 else width_out, width_out)
            for expansion, size, stride, width_in, width_out, repeats in STAGES
            for k in range(repeats)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        parts = x.split(FRAMES_AT_ONCE if x.device.type == "cpu" else max(len(x), 1))
        seen = [self._see(part) for part in parts]
        return seen[0] if len(seen) == 1 else [torch.cat(features) for features in zip(*seen, strict=True)]

    def _see(self, x: Tensor) -> list[Tensor]:
        # Its weights expect (level - 127) / 128 of 8-bit levels.
        x = self.stem((x * 127.5 + 0.5) / 128)
        features = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in _OUTPUTS:
                features.append(x)
        return features


def fold_weights(published: dict[str, Tensor], epsilon: float = 1e-3) -> dict[str, Tensor]:
    """State dict of `Trunk` from the published one of the whole network, batch norms folded into the convolutions.

    Raises KeyError when a tensor is missing.
    """
    layers = [("_conv_stem", "_bn0", "stem")]
    blocks = sum(stage[-1] for stage in STAGES)
    for k in range(blocks):
        names = [("_expand_conv", "_bn0", "expand")] if k else []
        names += [("_depthwise_conv", "_bn1", "depthwise"), ("_project_conv", "_bn2", "project")]
        layers += [(f"_blocks.{k}.{conv}", f"_blocks.{k}.{norm}", f"blocks.{k}.{ours}") for conv, norm, ours in names]
    out = {}
    for conv, norm, ours in layers:
        scale = published[f"{norm}.weight"] / torch.sqrt(published[f"{norm}.running_var"] + epsilon)
        out[f"{ours}.conv.weight"] = published[f"{conv}.weight"] * scale[:, None, None, None]
        out[f"{ours}.conv.bias"] = published[f"{norm}.bias"] - published[f"{norm}.running_mean"] * scale
    return out
