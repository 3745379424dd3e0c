"""Facts of a model that are known before its weights are loaded."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from vidconcept.attention.method_names import METHODS, Method
from vidconcept.models.configs import COMPONENTS, component_files, components_of

# Files from this size on are known by samples, spread evenly: hashing 20 GB would take a minute.
LARGE_BYTES, SAMPLES, SAMPLE_BYTES = 32_000_000, 64, 65_536


@dataclass(frozen=True)
class ModelLayout:
    """pitch_px: pixels of the model's picture per token. step: frames per token. fingerprint: of all files.

    largest_px: height and width of the largest picture that the model's table of positions serves; None: any.
    methods: the ways in which its maps can be read. text_width: numbers of a word's vector; None where no vector can be
    learnt for the model, because its text and video meet in cross-attention alone. noise_levels: timesteps from 0 to
    below this can be read.
    """

    pitch_px: int
    step: int
    num_layers: int
    text_length: int
    fingerprint: str
    largest_px: tuple[int, int] | None = None
    methods: tuple[Method, ...] = METHODS
    text_width: int | None = None
    noise_levels: int = 1000

    @property
    def multiple_px(self) -> int:
        """The model's picture is a multiple of this."""
        return find_multiple_px(self.pitch_px)

    def limit_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in pixels, neither more than the model reads."""
        most_height, most_width = self.largest_px or (height, width)
        return min(height, most_height), min(width, most_width)


def find_multiple_px(pitch_px: int) -> int:
    """What sides of a picture are multiples of: whole tokens, and the 16 pixels of the codecs' coarsest grid."""
    return math.lcm(pitch_px, 16)


def compute_fingerprint(path: Path) -> str:
    """Of small files the content, of large ones samples of it: enough to notice other weights under the same name."""
    digest = hashlib.sha256()
    further = [part for part in components_of(path) if part not in COMPONENTS]
    for part in ("transformer", "vae", "text_encoder", "tokenizer", "scheduler", *further):
        for file in component_files(path, part):
            size = file.stat().st_size
            digest.update(f"{part}/{file.name}:{size}".encode())
            if size < LARGE_BYTES:
                digest.update(file.read_bytes())
                continue
            with file.open("rb") as content:
                for number in range(SAMPLES):
                    content.seek(number * (size - SAMPLE_BYTES) // (SAMPLES - 1))
                    digest.update(content.read(SAMPLE_BYTES))
    return digest.hexdigest()[:16]
