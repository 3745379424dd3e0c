"""Adapter of the CogVideoX family: a window of frames in, concept scores out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel
from diffusers.schedulers.scheduling_ddim_cogvideox import CogVideoXDDIMScheduler
from diffusers.schedulers.scheduling_dpm_cogvideox import CogVideoXDPMScheduler
from einops import rearrange
from torch import Tensor

from vidconcept.attention.hooks import Method, Recorder, Vectors, attached, concept_attention
from vidconcept.attention.maps import find_unusable_layer
from vidconcept.attention.methods import STANDARDISED
from vidconcept.attention.replay import Observation, Witness
from vidconcept.errors import ModelError
from vidconcept.models import engine
from vidconcept.models.cogvideox_folder import read_layout
from vidconcept.models.configs import CodecConfig, PipelineIndex, check_configs, check_kinds, read_config
from vidconcept.models.linecam_codec import PatchCodec
from vidconcept.models.loading import (
    errors_of,
    is_out_of_memory,
    load_part,
    pick_class,
    prepare_machine,
    silence_libraries,
    tile_if_asked,
)
from vidconcept.models.text import TextEmbeds, encode_texts
from vidconcept.rarity.features import random_projection
from vidconcept.settings import TrackSettings

log = logging.getLogger(__name__)
# Components that a pipeline folder may name; anything else would be code from outside.
_CODECS = {
    # By its place: importing one autoencoder of diffusers imports them all, which takes longer than the embedded model.
    "AutoencoderKLCogVideoX": "diffusers.models.autoencoders.autoencoder_kl_cogvideox:AutoencoderKLCogVideoX",
    "PatchCodec": PatchCodec,
}
# Dimensions that attention outputs are reduced to: distances among them are kept to about a tenth.
VECTOR_DIM = 96
_SCHEDULERS = {"CogVideoXDDIMScheduler": CogVideoXDDIMScheduler, "CogVideoXDPMScheduler": CogVideoXDPMScheduler}


@dataclass
class CogVideoX:
    """A loaded model with its texts encoded. `report` is told of every fallback, and `engine` is how it runs."""

    transformer: Any = field(repr=False)
    codec: Any = field(repr=False)
    scheduler: Any = field(repr=False)
    texts: TextEmbeds = field(repr=False)
    settings: TrackSettings
    device: torch.device
    report: Callable[[str], None] = field(default=log.warning, repr=False)
    engine: dict[str, Any] = field(default_factory=dict)

    @property
    def word_tokens(self) -> list[int]:
        """Sub-words of each word."""
        return [len(word) for word in self.texts.words]

    def with_settings(self, settings: TrackSettings) -> CogVideoX:
        """The same weights and texts, read with other settings."""
        return replace(self, settings=settings)

    @property
    def step(self) -> int:
        """Frames per token in time: 4, or 8 where a token spans two latents (CogVideoX 1.5)."""
        return self.codec.config.temporal_compression_ratio * (self.transformer.config.patch_size_t or 1)

    @property
    def pitch_px(self) -> int:
        """Pixels of the model's picture per token."""
        return self.latent_px * self.transformer.config.patch_size

    @property
    def latent_frames(self) -> int:
        """Frames per latent in time; the first latent is of one frame."""
        return self.codec.config.temporal_compression_ratio

    @property
    def latent_px(self) -> int:
        """Pixels of the model's picture per latent."""
        return CodecConfig.model_validate(dict(self.codec.config)).pixels_per_latent

    def encode(self, frames: np.ndarray) -> Tensor:
        """`(t, h, w, 3)` uint8, t = 1 + n·step -> `(1, t_lat, c, h_lat, w_lat)` latents: posterior mode, scaled."""
        return self._encode_and_describe(frames)[0]

    @torch.inference_mode()
    def _encode_and_describe(self, frames: np.ndarray, *, describe: bool = False) -> tuple[Tensor, Tensor | None]:
        """Latents, and where it is asked for and the codec has any, its features of each frame `(t, row, col, dim)`."""
        count, height, width, _ = frames.shape
        if count % self.step != 1 % self.step:
            raise ValueError(f"a window is (1 + n·{self.step}, h, w), got {frames.shape = }")
        frames = self._padded(frames)
        height, width = frames.shape[1:3]
        parameter = next(self.codec.parameters())
        video = torch.from_numpy(frames).to(self.device)
        video = rearrange(video, "t h w c -> 1 c t h w").to(parameter.dtype) / 127.5 - 1
        latents = features = None
        try:
            if describe and hasattr(self.codec, "encode_described"):
                latents, features = self.codec.encode_described(video)
            else:
                latents = self._posterior(video)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if self.settings.vae_tiling != "auto" or getattr(self.codec, "use_tiling", True):
                raise
        if latents is None:
            # Outside of the handler: the error holds what the failed attempt had in memory.
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            self.codec.enable_tiling()
            self.report(
                "the VAE did not fit into memory whole and runs tiled, which changes the latents by some percent"
            )
            latents = self._posterior(video)
        scale = self.latent_px
        ratio = self.latent_frames
        expected = (1, latents.shape[1], (count - 1) // ratio + 1, height // scale, width // scale)
        if tuple(latents.shape) != expected:
            raise RuntimeError(f"the VAE gave latents {tuple(latents.shape)} where {expected} were due")
        return self._scaled(latents), None if features is None else features[0]

    def _padded(self, frames: np.ndarray) -> np.ndarray:
        """Sides of whole tokens, by repeating the picture's edge; the maps cover a little more than the picture."""
        height, width = frames.shape[1:3]
        below, right = -height % self.pitch_px, -width % self.pitch_px
        if not (below or right):
            return frames
        self.report(
            f"pictures of {width}x{height} do not fill whole tokens of {self.pitch_px} px: they are padded at the "
            f"right and below to {width + right}x{height + below}, and what lies in the padding is cut off"
        )
        return np.pad(frames, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")

    def _posterior(self, video: Tensor) -> Tensor:
        """`(1, 3, t, h, w)` in -1 to 1 -> the mode of the latents, `(1, c, t_lat, h_lat, w_lat)`."""
        return self.codec.encode(video).latent_dist.mode()

    def _scaled(self, latents: Tensor) -> Tensor:
        """`(1, c, t_lat, h_lat, w_lat)` as the codec gives them -> as the transformer takes them."""
        latents = rearrange(latents, "b c t h w -> b t c h w") * self.codec.config.scaling_factor
        # CogVideoX 1.5 wants an even number of latents; its pipeline repeats the first one in front.
        surplus = latents.shape[1] % (self.transformer.config.patch_size_t or 1)
        return torch.cat([latents[:, :surplus], latents], dim=1) if surplus else latents

    def add_noise(self, latents: Tensor, draw: int) -> tuple[Tensor, Tensor]:
        """Latents at the read-out timestep by the scheduler's own `add_noise`, and the timestep as a LongTensor."""
        generator = torch.Generator("cpu").manual_seed(self.settings.seed + draw)
        noise = torch.randn(latents.shape, generator=generator).to(latents.device, latents.dtype)
        timestep = torch.tensor([self.settings.timestep], dtype=torch.long, device=latents.device)
        return self.scheduler.add_noise(latents, noise, timestep), timestep

    @torch.inference_mode()
    def logits(
        self, frames: np.ndarray, draw: int = 0, methods: Sequence[Method] = ("concept-attention",)
    ) -> dict[str, np.ndarray]:
        """One forward pass over a window: method -> `(layer, concept token, video token)` float32 logits.

        Raises ModelError where a layer gives what is no number, or the same everywhere: nothing could be found in that.
        """
        return self._checked_logits(self._read(self.encode(frames), draw, methods))

    @torch.inference_mode()
    def _read(self, latents: Tensor, draw: int, methods: Sequence[Method], vectors: Vectors = False) -> Recorder:
        latents, timestep = self.add_noise(latents.to(self.transformer.dtype), draw)
        with concept_attention(
            self.transformer,
            torch.cat(self.texts.words).to(self.device),
            layers=self.settings.layers,
            methods=methods,
            vectors=vectors,
            early_stop=True,
            concepts=self.word_tokens,
        ) as recorder:
            self._pass(latents, timestep)
        return recorder

    @property
    def vectors(self) -> list[Tensor]:
        """`(sub-word, text dim)` of every word."""
        return [word.to(self.device) for word in self.texts.words]

    def observe(self, frames: np.ndarray) -> Observation:
        """See `teaching.Teachable`. Tensors are those of a usual pass, on which gradients can be taken later."""
        with torch.no_grad():
            latents, timestep = self.add_noise(self.encode(frames).clone().to(self.transformer.dtype), 0)
            witness = Witness(self.transformer, torch.cat(self.vectors)[None], self.settings.layers)
            with attached(self.transformer, witness, early_stop=True):
                self._pass(latents, timestep)
        return Observation.of(witness)

    def _pass(self, latents: Tensor, timestep: Tensor) -> None:
        """One forward pass of the transformer, for its hooks alone."""
        self.transformer(
            hidden_states=latents,
            encoder_hidden_states=self.texts.prompt.to(self.device, self.transformer.dtype),
            timestep=timestep,
            image_rotary_emb=self._rotary(latents),
            ofs=None if self.transformer.config.ofs_embed_dim is None else latents.new_full((1,), 2.0),
            return_dict=False,
        )

    def _checked_logits(self, recorder: Recorder) -> dict[str, np.ndarray]:
        found = {method: values[:, 0].cpu().numpy() for method, values in recorder.logits.items()}
        for method, values in found.items():
            self._check_usable(method, values, recorder.layers)
        return found

    def _check_usable(self, method: str, logits: np.ndarray, layers: Sequence[int]) -> None:
        unusable = find_unusable_layer(logits, may_be_constant=method in STANDARDISED)
        if unusable is not None:
            index, trouble = unusable
            dtype = str(self.transformer.dtype).removeprefix("torch.")
            other = "float32" if dtype != "float32" else "bfloat16"
            raise ModelError(
                f"layer {layers[index]} gives {trouble} in {dtype}, so nothing could be found. Next: `dtype={other}`; "
                "if that gives the same, the weights are damaged: fetch the model again"
            )

    @torch.inference_mode()
    def described(self, frames: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """See `Model.described`.

        Features are of each frame where the codec has such (the embedded model). Else they are the attention outputs of
        the last layer read, reduced by a fixed projection: any model of the family has those.
        """
        latents, of_frames = self._encode_and_describe(frames, describe=True)
        grid = (-(-frames.shape[1] // self.pitch_px), -(-frames.shape[2] // self.pitch_px))
        if of_frames is not None and tuple(of_frames.shape[1:3]) != grid:
            of_frames = None
        draws, vectors = [], []
        for draw in range(self.settings.noise_samples):
            method = self.settings.method
            recorder = self._read(latents, draw, (method,), vectors="last" if of_frames is None else False)
            draws.append(self._checked_logits(recorder)[method])
            if of_frames is None:
                vectors.append(recorder.last_video_vectors[0].float())
        if of_frames is not None:
            return draws, of_frames.float().cpu().numpy()
        mean = torch.stack(vectors).mean(0)  # (token, dim)
        projection = torch.from_numpy(random_projection(mean.shape[1], min(mean.shape[1], VECTOR_DIM))).to(mean.device)
        return draws, (mean @ projection).cpu().numpy().reshape(-1, *grid, projection.shape[1])

    def _rotary(self, latents: Tensor) -> tuple[Tensor, Tensor] | None:
        """Rotary tables as CogVideoX's own pipeline makes them, or None for a model with added positions (2B)."""
        config = self.transformer.config
        if not config.use_rotary_positional_embeddings:
            return None
        patch, patch_t = config.patch_size, config.patch_size_t
        grid = (latents.shape[3] // patch, latents.shape[4] // patch)
        base = (config.sample_height // patch, config.sample_width // patch)
        common: dict[str, Any] = {"embed_dim": config.attention_head_dim, "grid_size": grid, "device": latents.device}
        if patch_t is None:
            crops = fit_grid(grid, base)
            tables = get_3d_rotary_pos_embed(crops_coords=crops, temporal_size=latents.shape[1], **common)
        else:
            frames = latents.shape[1] // patch_t
            tables = get_3d_rotary_pos_embed(
                crops_coords=None, temporal_size=frames, grid_type="slice", max_size=base, **common
            )
        return cast(tuple[Tensor, Tensor], tables)


def fit_grid(grid: tuple[int, int], base: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where a grid of (rows, columns) lies when it fills one of `base` as far as its shape lets it, in the middle.

    First and last (row, column), the last not included; as CogVideoX's own pipeline has it.
    """
    rows, columns = grid
    scale = base[0] / rows if rows * base[1] > columns * base[0] else base[1] / columns
    size = round(scale * rows), round(scale * columns)
    top, left = (round((whole - part) / 2) for whole, part in zip(base, size, strict=True))
    return (top, left), (top + size[0], left + size[1])


@silence_libraries()
def load(
    path: Path, settings: TrackSettings, words: Sequence[str], report: Callable[[str], None] = log.warning
) -> CogVideoX:
    """Load a pipeline folder. The text encoder is freed before the transformer loads; nothing comes from the network.

    words: every word in the softmax, in the order of the scores. Raises ModelError when a component cannot be loaded,
    lacks weights, or asks for code of its own.
    """
    device, dtype, how = prepare_machine(settings, report)
    check_configs(path)
    index = read_config(path / "model_index.json", PipelineIndex)
    codec_class = pick_class("vae", index.vae, _CODECS)
    scheduler_class = pick_class("scheduler", index.scheduler, _SCHEDULERS)
    check_kinds(path / "vae" / "config.json", codec_class.__init__)
    check_kinds(path / "transformer" / "config.json", CogVideoXTransformer3DModel.__init__)
    check_kinds(path / "scheduler" / "scheduler_config.json", scheduler_class.__init__)
    length = read_layout(path).text_length
    texts = encode_texts(path, settings.prompt, words, text_length=length, dtype=dtype, device=device)
    with errors_of(path, "scheduler"):
        scheduler = scheduler_class.from_pretrained(path / "scheduler", local_files_only=True)
    codec = load_part(path, "vae", codec_class, dtype).to(device)
    transformer = load_part(path, "transformer", CogVideoXTransformer3DModel, dtype).to(device)
    how["batch_norms_folded"] = engine.fold_batch_norms(codec)
    engine.lay_out_convolutions(codec)
    tile_if_asked(codec, settings, report)
    return CogVideoX(transformer, codec, scheduler, texts, settings, device, report, how)
