"""A loaded model of any family as it reads a window: pixels to latents, latents to logits and features."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from vidconcept.attention.hooks import Method, Recorder, Vectors, attached, concept_attention
from vidconcept.attention.maps import find_unusable_layer
from vidconcept.attention.methods import STANDARDISED
from vidconcept.attention.replay import Observation, Witness
from vidconcept.errors import ModelError
from vidconcept.models.text import TextEmbeds
from vidconcept.models.text_encoders import is_out_of_memory
from vidconcept.rarity.features import random_projection
from vidconcept.settings import TrackSettings

log = logging.getLogger(__name__)
# Dimensions that attention outputs are reduced to: distances among them are kept to about a tenth.
VECTOR_DIM = 96


@dataclass
class LatentModel(ABC):
    """A loaded model with its texts encoded. `report` is told of every fallback, and `engine` is how it runs."""

    transformer: Any = field(repr=False)
    codec: Any = field(repr=False)
    texts: TextEmbeds = field(repr=False)
    settings: TrackSettings
    device: torch.device
    report: Callable[[str], None] = field(default=log.warning, repr=False)
    engine: dict[str, Any] = field(default_factory=dict)
    # Windows that the codec has read already, by the identity of their frames, which are kept with them.
    _ahead: dict[int, tuple[np.ndarray, tuple[Tensor, Tensor | None]]] = field(
        default_factory=dict, repr=False, kw_only=True
    )

    @property
    @abstractmethod
    def patch_frames(self) -> int:
        """Latents in time per token."""

    @property
    @abstractmethod
    def patch_px(self) -> int:
        """Latents along a side per token."""

    @property
    @abstractmethod
    def latent_frames(self) -> int:
        """Frames per latent in time; the first latent is of one frame."""

    @property
    @abstractmethod
    def latent_px(self) -> int:
        """Pixels of the model's picture per latent."""

    @property
    def pixel_dtype(self) -> torch.dtype:
        """The precision in which the codec takes pixels."""
        return next(self.codec.parameters()).dtype

    @abstractmethod
    def _scaled(self, latents: Tensor) -> Tensor:
        """`(1, c, t_lat, h_lat, w_lat)` as the codec gives them -> as the transformer takes them."""

    @abstractmethod
    def add_noise(self, latents: Tensor, draw: int) -> tuple[Tensor, Tensor]:
        """Latents with noise number `draw` at the settings' level, and what the transformer is told of it."""

    def draw_noise(self, latents: Tensor, draw: int) -> Tensor:
        """Noise number `draw` in the shape of the latents, the same on every device."""
        generator = torch.Generator("cpu").manual_seed(self.settings.seed + draw)
        return torch.randn(latents.shape, generator=generator).to(latents.device, latents.dtype)

    @abstractmethod
    def _pass(self, latents: Tensor, timestep: Tensor) -> None:
        """One forward pass of the transformer, for its hooks alone."""

    @property
    def step(self) -> int:
        """Frames per token in time."""
        return self.latent_frames * self.patch_frames

    @property
    def pitch_px(self) -> int:
        """Pixels of the model's picture per token."""
        return self.latent_px * self.patch_px

    @property
    def word_tokens(self) -> list[int]:
        """Sub-words of each word."""
        return [len(word) for word in self.texts.words]

    def with_settings(self, settings: TrackSettings) -> Self:
        """The same weights and texts, read with other settings."""
        return replace(self, settings=settings)

    def encode(self, frames: np.ndarray) -> Tensor:
        """`(t, h, w, 3)` uint8, t = 1 + n·step -> `(1, t_lat, c, h_lat, w_lat)` latents: posterior mode, scaled."""
        return self._encode_and_describe(frames)[0]

    @property
    def encodes_ahead(self) -> bool:
        """Whether `encode_ahead` pays: on a processor, with a codec that takes as long as the transformer."""
        return self.device.type == "cpu" and hasattr(self.codec, "encode_described")

    @contextmanager
    def overlapping(self) -> Iterator[None]:
        """For a block with `encode_ahead` in a thread of its own: either side takes half of the processors.

        That is quicker than all of them on one thing at a time. Afterwards nothing is left of what was encoded.
        """
        before = torch.get_num_threads()
        torch.set_num_threads(max(before // 2, 1))
        try:
            yield
        finally:
            torch.set_num_threads(before)
            self._ahead.clear()

    def encode_ahead(self, frames: np.ndarray) -> None:
        """The codec's part of `described` for these very frames."""
        # Of this thread, which otherwise has its own number.
        torch.set_num_threads(torch.get_num_threads())
        self._ahead[id(frames)] = frames, self._encode_and_describe(frames, describe=True)

    @torch.inference_mode()
    def _encode_and_describe(self, frames: np.ndarray, *, describe: bool = False) -> tuple[Tensor, Tensor | None]:
        """Latents, and where it is asked for and the codec has any, its features of each frame `(t, row, col, dim)`."""
        count, height, width, _ = frames.shape
        if count % self.step != 1 % self.step:
            raise ValueError(f"a window is (1 + n·{self.step}, h, w), got {frames.shape = }")
        frames = self._padded(frames)
        height, width = frames.shape[1:3]
        video = rearrange(torch.from_numpy(frames).to(self.device), "t h w c -> 1 c t h w")
        # Rounded once, at the end: in bfloat16 the arithmetic would lose half a grey level.
        video = video.float().div_(127.5).sub_(1).to(self.pixel_dtype)
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
        _, encoded = self._ahead.pop(id(frames), (None, None))
        latents, of_frames = encoded or self._encode_and_describe(frames, describe=True)
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
