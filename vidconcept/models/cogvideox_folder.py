"""What a CogVideoX folder says before its weights are loaded, and the adapter that loads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidconcept.errors import ModelError
from vidconcept.models import light
from vidconcept.models.configs import CodecConfig, PipelineIndex, SchedulerConfig, TransformerConfig, read_config
from vidconcept.models.layout import ModelLayout, compute_fingerprint
from vidconcept.settings import TrackSettings

if TYPE_CHECKING:
    from vidconcept.models.cogvideox import CogVideoX

# The class of the embedded model's codec, `linecam_codec.PatchCodec`.
EMBEDDED_CODEC = "PatchCodec"


class CogVideoXAdapter:
    """The CogVideoX family, the embedded model among it."""

    def read_layout(self, folder: Path) -> ModelLayout:
        return read_layout(folder)

    def base_preset(self, folder: Path) -> str:
        return base_preset(folder)

    def trained_settings(self, folder: Path, base: Mapping[str, Any]) -> dict[str, Any]:
        return trained_settings(folder, base)

    def load(
        self, folder: Path, settings: TrackSettings, words: Sequence[str], report: Callable[[str], None]
    ) -> CogVideoX:
        # torch and diffusers take seconds to import: only who reads footage waits for them.
        if read_config(folder / "model_index.json", PipelineIndex).vae[1] == EMBEDDED_CODEC:
            light.import_diffusers()
        from vidconcept.models.cogvideox import load

        return load(folder, settings, words, report)


def read_layout(path: Path) -> ModelLayout:
    """Read the configs of a pipeline folder. Raises ModelError when one is missing or makes no sense."""
    transformer = read_config(path / "transformer" / "config.json", TransformerConfig)
    codec = read_config(path / "vae" / "config.json", CodecConfig)
    scheduler = read_config(path / "scheduler" / "scheduler_config.json", SchedulerConfig)
    _check_channels(path, transformer, codec)
    pitch_px = codec.pixels_per_latent * transformer.patch_size
    return ModelLayout(
        pitch_px=pitch_px,
        step=codec.temporal_compression_ratio * (transformer.patch_size_t or 1),
        num_layers=transformer.num_layers,
        text_length=transformer.max_text_seq_length,
        fingerprint=compute_fingerprint(path),
        largest_px=_largest_px(transformer, pitch_px),
        text_width=transformer.text_embed_dim,
        noise_levels=scheduler.num_train_timesteps,
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
    if transformer.patch_size_t is None:
        return None
    height, width = transformer.sample_height, transformer.sample_width
    return height // transformer.patch_size * pitch_px, width // transformer.patch_size * pitch_px


def base_preset(folder: Path) -> str:
    """The preset whose architecture the folder's transformer has; that of CogVideoX-2B where there is no config yet."""
    config = _transformer_config(folder)
    if config is not None and config.patch_size_t is not None:
        return "cogvideox1.5-5b"
    return "cogvideox-5b" if config is not None and config.use_rotary_positional_embeddings else "cogvideox-2b"


def trained_settings(folder: Path, base: Mapping[str, Any]) -> dict[str, Any]:
    """Picture and window that a folder without a preset was trained at, from its configs; empty if they do not say.

    base: the preset's settings. The size that CogVideoX 1.5 names is the largest that its rotary table serves, so no
    more than the preset's is taken.
    """
    config, vae = _transformer_config(folder), folder / "vae" / "config.json"
    if config is None or not vae.is_file() or not {"sample_height", "sample_width"} <= config.model_fields_set:
        return {}
    scale = read_config(vae, CodecConfig).pixels_per_latent
    step = config.temporal_compression_ratio * (config.patch_size_t or 1)
    frames = 1 + max((config.sample_frames - 1) // step, 1) * step
    height, width = config.sample_height * scale, config.sample_width * scale
    if config.patch_size_t is not None:
        height, width = min(height, base["height"]), min(width, base["width"])
    return {
        "height": height,
        "width": width,
        "window_frames": frames,
        "overlap_frames": 1 + step if frames > 1 + step else 1,
    }


def _transformer_config(folder: Path) -> TransformerConfig | None:
    path = folder / "transformer" / "config.json"
    return read_config(path, TransformerConfig) if path.is_file() else None
