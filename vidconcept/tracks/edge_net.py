"""A small convolutional network on arrays: what of a piece and its surroundings is the defect.

Three levels of 3×3 convolutions with ReLU, joined by sums as in LinkNet (Chaurasia and Culurciello 2017), about 8,000
weights. It is evaluated with NumPy: a window takes a millisecond, and deciding anew needs no torch.
"""

from collections.abc import Mapping

import cv2
import numpy as np

# Channels that the network looks at (see `edges.evidence`), and what each 3×3 layer makes of how many.
CHANNELS = 5
LAYERS = {
    "a1": (CHANNELS, 8), "a2": (8, 8), "b1": (8, 12), "b2": (12, 12), "c1": (12, 16), "c2": (16, 12), "b3": (12, 8),
    "a3": (8, 8),
}  # fmt: skip


class EdgeNet:
    """The network with its weights, as `linecam.training.train_edges` writes them.

    weights: `<layer>.weight` `(out, in, 3, 3)` and `<layer>.bias` `(out,)` float for each of `LAYERS`, and of the
    1×1 layer `o`. Raises KeyError for a layer that is missing.
    """

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self._layers: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name in (*LAYERS, "o"):
            weight = weights[f"{name}.weight"].astype(np.float32).transpose(0, 2, 3, 1)  # (out, y, x, in)
            bias = weights[f"{name}.bias"].astype(np.float32)
            self._layers[name] = np.ascontiguousarray(weight.reshape(len(weight), -1)), bias

    def logits(self, channels: np.ndarray) -> np.ndarray:
        """`(CHANNELS, h, w)` float32 -> `(h, w)` float32, above 0 where the defect is."""
        _, h, w = channels.shape
        x = np.pad(channels, ((0, 0), (0, -h % 4), (0, -w % 4)), mode="edge")
        a = self._apply_layer("a2", self._apply_layer("a1", x))  # (8, h, w)
        b = self._apply_layer("b2", self._apply_layer("b1", _halve(a)))  # (12, h / 2, w / 2)
        c = self._apply_layer("c2", self._apply_layer("c1", _halve(b)))  # (12, h / 4, w / 4)
        b = self._apply_layer("b3", _double(c) + b)
        a = self._apply_layer("a3", _double(b) + a)
        weight, bias = self._layers["o"]
        out = weight @ a.reshape(len(a), -1) + bias[:, None]
        return out.reshape(a.shape[1:])[:h, :w]

    def _apply_layer(self, name: str, x: np.ndarray) -> np.ndarray:
        return np.maximum(_convolve(x, *self._layers[name]), 0.0)


def _convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """`(in, h, w)` -> `(out, h, w)`, zeros beyond the border. weight: `(out, 9 · in)`, taps in rows."""
    channels, h, w = x.shape
    # Rows end in two zeros, so that a tap is one shift of the flat picture and its columns are copied in one go.
    pitch = w + 2
    flat = np.zeros((channels, (h + 3) * pitch), np.float32)
    flat[:, : (h + 2) * pitch].reshape(channels, h + 2, pitch)[:, 1 : h + 1, 1 : w + 1] = x
    taps = np.empty((9 * channels, h * pitch), np.float32)
    for tap in range(9):
        at = (tap // 3) * pitch + tap % 3
        taps[tap * channels : (tap + 1) * channels] = flat[:, at : at + h * pitch]
    out = weight @ taps
    out += bias[:, None]
    return out.reshape(-1, h, pitch)[:, :, :w]


def _halve(x: np.ndarray) -> np.ndarray:
    """Means of 2×2 pixels."""
    return 0.25 * (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2])


def _double(x: np.ndarray) -> np.ndarray:
    """Twice the side, bilinear."""
    size = (2 * x.shape[2], 2 * x.shape[1])
    return np.stack([cv2.resize(np.ascontiguousarray(own), size, interpolation=cv2.INTER_LINEAR) for own in x])
