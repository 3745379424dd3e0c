"""Facts of a pipeline folder that are known before its weights are loaded."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from vidconcept.errors import ModelError
from vidconcept.models.configs import CodecConfig, TransformerConfig, component_files, read_config

# Files from this size on are known by samples, spread evenly: hashing 20 GB would take a minute.
LARGE_BYTES, SAMPLES, SAMPLE_BYTES = 32_000_000, 64, 65_536


@dataclass(frozen=True)
class ModelLayout:
    """pitch_px: pixels of the model's picture per token. step: frames per token. fingerprint: of all files.

    largest_px: height and width of the largest picture that the model's table of positions serves; None: any.
    """

    pitch_px: int
    step: int
    num_layers: int
    text_length: int
    fingerprint: str
    largest_px: tuple[int, int] | None = None

    @property
    def multiple_px(self) -> int:
        """The model's picture is a multiple of this: whole tokens, and the 16 pixels of the codecs' coarsest grid."""
        return math.lcm(self.pitch_px, 16)


def read_layout(path: Path) -> ModelLayout:
    """Read the configs of a pipeline folder. Raises ModelError when one is missing or makes no sense."""
    transformer = read_config(path / "transformer" / "config.json", TransformerConfig)
    codec = read_config(path / "vae" / "config.json", CodecConfig)
    _check_channels(path, transformer, codec)
    pitch_px = codec.pixels_per_latent * transformer.patch_size
    return ModelLayout(
        pitch_px=pitch_px,
        step=codec.temporal_compression_ratio * (transformer.patch_size_t or 1),
        num_layers=transformer.num_layers,
        text_length=transformer.max_text_seq_length,
        fingerprint=_fingerprint(path),
        largest_px=_largest_px(transformer, pitch_px),
    )


def _check_channels(path: Path, transformer: TransformerConfig, codec: CodecConfig) -> None:
    """Raises ModelError for a model that wants a picture beside the noise: its maps would need an input nobody gave."""
    own, latent = transformer.in_channels, codec.latent_channels
    if own != latent:
        raise ModelError(
            f"the transformer in {path} takes {own} channels and the VAE gives {latent}: an image-to-video or control "
            "model. Next: take the text-to-video model of the family"
        )


def _largest_px(transformer: TransformerConfig, pitch_px: int) -> tuple[int, int] | None:
    """CogVideoX 1.5 cuts its rotary positions out of a table of the largest picture; the others scale theirs."""
    height, width = transformer.sample_height, transformer.sample_width
    if transformer.patch_size_t is None or height is None or width is None:
        return None
    return height // transformer.patch_size * pitch_px, width // transformer.patch_size * pitch_px


def _fingerprint(path: Path) -> str:
    """Of small files the content, of large ones samples of it: enough to notice other weights under the same name."""
    digest = hashlib.sha256()
    for part in ("transformer", "vae", "text_encoder", "tokenizer", "scheduler"):
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
