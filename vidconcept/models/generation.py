"""Video from a prompt by the stock pipeline of diffusers, with concept maps gathered on the way."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.cogvideo.pipeline_cogvideox import CogVideoXPipeline
from torch import Tensor

from vidconcept.attention.families import find_family
from vidconcept.attention.hooks import attached, resolve_layers
from vidconcept.attention.lexicon import Lexicon
from vidconcept.attention.recorder import Recorder
from vidconcept.attention.stream import ConceptStream
from vidconcept.errors import UsageError
from vidconcept.models.adapter import choose_adapter
from vidconcept.models.cogvideox import CogVideoX
from vidconcept.models.cogvideox_folder import CogVideoXAdapter, read_layout
from vidconcept.models.configs import PipelineIndex, read_config
from vidconcept.models.text import encode_texts


@dataclass(frozen=True)
class Generation:
    """What to generate. frames: 1 + n·step. read_steps: of the denoising, counted from 1, at which maps are read."""

    frames: int
    height: int
    width: int
    steps: int
    guidance: float
    read_steps: Collection[int] = field(repr=False)
    negative: str = ""


def check_generates(folder: Path, name: str) -> None:
    """Raises UsageError for a model of a family whose pipeline is not run here, before anything of it is loaded."""
    if not isinstance(choose_adapter(folder), CogVideoXAdapter):
        raise UsageError(f"{name} cannot generate here. Next: `model=cogvideox-2b`, or another of the CogVideoX family")


def film_step(folder: Path, step: int) -> int:
    """Films have 1 + n times so many frames. CogVideoX's VAE decodes latents in pairs, so it makes no others."""
    codec = read_config(folder / "model_index.json", PipelineIndex).vae[1]
    return math.lcm(step, 8) if codec == "AutoencoderKLCogVideoX" else step


class MeanRecorder(Recorder):
    """Keeps no layer: what a layer shows goes into the mean of its pass, and a pass into the mean of all passes."""

    def __init__(self, layers: Sequence[int], counts: Sequence[int], lexicon: Lexicon, settings: Any) -> None:
        super().__init__(tuple(layers))
        self.counts, self.lexicon, self.settings = tuple(counts), lexicon, settings
        self.passes = 0
        self._pass: Tensor | None = None
        self._mean: Tensor | None = None

    def _put(self, name: str, layer: int, value: Tensor) -> None:
        # The last row is the conditional half; without guidance it is the only one.
        parts = value[-1].float().split(list(self.counts))
        kept = parts if self.settings.concept_tokens == "all" else [part[:1] for part in parts]
        words = torch.stack([part.mean(0) for part in kept])
        entries = torch.stack([words[list(entry)].mean(0) for entry in self.lexicon.entries])
        own = entries.softmax(0) if self.settings.reduce == "softmax-mean" else entries
        self._pass = own if self._pass is None else self._pass + own

    def end_pass(self, *, is_read: bool) -> None:
        """Take the pass into the mean, or forget it."""
        own, self._pass = self._pass, None
        if not is_read or own is None:
            return
        own = own / len(self.layers)
        own = own if self.settings.reduce == "softmax-mean" else own.softmax(0)
        self.passes += 1
        self._mean = own if self._mean is None else self._mean + (own - self._mean) / self.passes

    @property
    def scores(self) -> np.ndarray:
        """`(entry, token)` float32, the mean over the passes that were read."""
        if self._mean is None:
            raise RuntimeError("no pass was read")
        return self.lexicon.finish(self._mean.cpu().numpy())


def generate(
    model: Any, folder: Path, lexicon: Lexicon, asked: Generation, progress: Callable[[int, int], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Frames `(t, h, w, 3)` uint8 and scores `(entry, token)` of all entries, averaged over layers and read steps.

    The frames are those of diffusers' own pipeline with the same seed, to the last bit. model: of `check_generates`.
    """
    assert isinstance(model, CogVideoX)
    layers = resolve_layers(model.settings.layers, len(model.transformer.transformer_blocks))
    recorder = MeanRecorder(layers, model.word_tokens, lexicon, model.settings)
    family = find_family(model.transformer)
    embeds = torch.cat(model.vectors)[None]
    methods = ("concept-attention",)
    stream = ConceptStream(family, embeds, recorder, methods, vectors=False, counts=model.word_tokens)

    def after_step(_pipeline: Any, step: int, _timestep: Any, _tensors: dict[str, Any]) -> dict[str, Any]:
        recorder.end_pass(is_read=step + 1 in asked.read_steps)
        progress(step + 1, asked.steps)
        return {}

    pipeline = _pipeline_of(model)
    negative = encode_texts(
        folder, asked.negative, (), text_length=read_layout(folder).text_length, dtype=model.transformer.dtype,
        device=model.device,
    )  # fmt: skip
    with attached(model.transformer, stream, early_stop=False):
        frames = pipeline(
            prompt_embeds=model.texts.prompt.to(model.device, model.transformer.dtype),
            negative_prompt_embeds=negative.prompt.to(model.device, model.transformer.dtype),
            height=asked.height,
            width=asked.width,
            num_frames=asked.frames,
            num_inference_steps=asked.steps,
            guidance_scale=asked.guidance,
            generator=torch.Generator("cpu").manual_seed(model.settings.seed),
            output_type="np",
            callback_on_step_end=after_step,
            callback_on_step_end_tensor_inputs=["latents"],
        ).frames[0]
    if len(frames) != asked.frames:
        raise RuntimeError(f"the pipeline gave {len(frames)} frames where {asked.frames} were due")
    return np.rint(frames * 255).astype(np.uint8), recorder.scores


def _pipeline_of(model: CogVideoX) -> Any:
    """diffusers' pipeline around the loaded parts; texts are encoded already."""
    pipeline_class: Any = CogVideoXPipeline
    pipeline = pipeline_class(
        tokenizer=None, text_encoder=None, vae=model.codec, transformer=model.transformer,
        scheduler=copy.deepcopy(model.scheduler),
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
