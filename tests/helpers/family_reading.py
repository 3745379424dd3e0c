"""The small models of `family_folders`, loaded and given footage of their own size."""

from pathlib import Path

import numpy as np

from vidconcept.models.adapter import choose_adapter
from vidconcept.settings import TrackSettings

WORDS = ("scratch", "dent", "clean surface")
# Frames a token covers in time, and pixels.
TOKENS = {
    "wan": (4, 16),
    "wan22": (4, 16),
    "ltx": (8, 32),
    "mochi": (6, 16),
    "hunyuan": (4, 16),
    "hunyuan15": (4, 16),
    "flux": (1, 16),
    "flux2": (1, 16),
    "sd3": (1, 16),
    "qwen": (1, 16),
}
STILLS = ("flux", "flux2", "sd3", "qwen")
CROSS = ("wan", "wan22", "ltx")


def small(name: str, **changes) -> dict:
    step, pitch = TOKENS[name]
    frames = 1 if name in STILLS else 1 + step
    sizes = {"height": 2 * pitch, "width": 3 * pitch, "window_frames": frames, "overlap_frames": 1}
    method = "cross-attention" if name in CROSS else "concept-attention"
    return {"dtype": "float32", "device": "cpu", "method": method, "layers": (1, 2), **sizes, **changes}


def load(folder: Path, name: str, report=lambda text: None, **changes):
    return choose_adapter(folder).load(folder, TrackSettings(**small(name, **changes)), WORDS, report)


def window(name: str, frames: int | None = None, height: int | None = None, width: int | None = None) -> np.ndarray:
    step, pitch = TOKENS[name]
    shape = (frames or 1 + step, height or 2 * pitch, width or 3 * pitch, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
