"""How much memory a CogVideoX takes, before a weight is loaded: its own code, run on tensors that have only shapes."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel
from diffusers.schedulers.scheduling_ddim_cogvideox import CogVideoXDDIMScheduler
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from vidconcept.errors import ModelError
from vidconcept.machine import usable_memory
from vidconcept.models.cogvideox import CogVideoX
from vidconcept.models.configs import TextEncoderConfig
from vidconcept.models.fit import RESERVED_BYTES, TRUST, WAYS, WAYS_OF_CPU, Needs, Way, format_gb
from vidconcept.models.placement import has_own_memory
from vidconcept.models.published import Architecture
from vidconcept.models.text import TextEmbeds
from vidconcept.models.text_encoders import summarise_error
from vidconcept.settings import TrackSettings

# Folders below this are loaded without a look at their needs.
SMALL_BYTES = 1_000_000_000
# What a run is likely to have in the softmax.
_WORDS, _WORD_TOKENS = 8, 2


def estimate(architecture: Architecture, settings: TrackSettings, dtype: torch.dtype) -> Needs:
    """The memory of a window of the settings' size, without what allocators and the driver take on top."""
    model = build_empty(architecture, settings, dtype)
    transformer, codec = model.transformer, model.codec
    codec_pass, transformer_pass = measure_passes(model)
    blocks = list(transformer.transformer_blocks)
    linear = [[part.weight.numel() for part in block.modules() if isinstance(part, nn.Linear)] for block in blocks]
    return Needs(
        itemsize=dtype.itemsize,
        text_encoder=_weigh_text_encoder(TextEncoderConfig.model_validate(architecture.text_encoder), dtype),
        codec=_weigh(codec),
        codec_pass=codec_pass,
        codec_pass_tiled=min(codec_pass, _measure_tiled(architecture, settings, dtype)),
        transformer=_weigh(transformer),
        transformer_pass=transformer_pass,
        block=max(map(_weigh, blocks)),
        rest=_weigh(transformer) - sum(map(_weigh, blocks)),
        linear=(sum(map(sum, linear)), max(map(sum, linear)), max(map(max, linear))),
    )


def check_memory(
    folder: Path, settings: TrackSettings, device: torch.device, dtype: torch.dtype, report: Callable[[str], None]
) -> None:
    """Compare what a folder needs with the memory of the device, before any of it is loaded.

    settings: with the size that the model reads, which may be less than what was asked for. report: told where it may
    not fit. Raises ModelError where it is far from it, with what to set. Small models pass unseen: to load them takes
    less than to look.
    """
    if sum(path.stat().st_size for path in folder.glob("*/*.safetensors")) < SMALL_BYTES:
        return
    architecture = Architecture.read(folder)
    try:
        needs = estimate(architecture, settings, dtype)
    except Exception as error:
        # Whatever is wrong with the folder, or with the size that is asked for, loading and reading say it better.
        report(f"the memory that the model needs could not be estimated: {summarise_error(error)}")
        return
    memory, has_gpu = measure_memory(device), has_own_memory(device)
    asked = Way(settings.offload if has_gpu else "none", settings.quantize, settings.vae_tiling == "on")
    peak = needs.peak(asked) + RESERVED_BYTES
    if settings.vae_tiling == "auto":
        # The VAE goes over to tiles by itself, and says so.
        peak = min(peak, needs.peak(replace(asked, tiled=True)) + RESERVED_BYTES)
    if peak <= memory:
        return
    place = "the GPU" if has_gpu else "this machine"
    size = f"{settings.width}x{settings.height} and {settings.window_frames} frames"
    text = f"the model needs about {format_gb(peak)} of memory at {size}, and {place} has {format_gb(memory)}"
    way = needs.find_way(memory, quantize=settings.quantize, ways=WAYS if has_gpu else WAYS_OF_CPU)
    if way is None:
        halve = "" if dtype != torch.float32 else "`dtype=bfloat16`, which takes half of it, or "
        text += f". Next: {halve}fewer `window_frames`, or a smaller `height` and `width`"
    else:
        text += f". Next: {way.settings}, with which it needs about {format_gb(needs.peak(way) + RESERVED_BYTES)}"
    if peak > TRUST * memory:
        raise ModelError(text)
    report(text)


def measure_memory(device: torch.device) -> float:
    """Bytes of memory of a GPU, or what this process may take of the machine's; see `usable_memory`."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return usable_memory()


def build_empty(
    architecture: Architecture, settings: TrackSettings, dtype: torch.dtype, device: str = "meta"
) -> CogVideoX:
    """The model without its weights; on the device `meta` its tensors have only shapes."""
    place = torch.device(device)
    with place:
        # With no more than a configuration they are models, which their annotations do not say.
        parts: Any = (
            CogVideoXTransformer3DModel.from_config(dict(architecture.transformer)),
            AutoencoderKLCogVideoX.from_config(dict(architecture.codec)),
        )
    # The plain way of torch: diffusers' own warns of layers that it would keep in float32, even where there are none.
    transformer: Any
    transformer, codec = (nn.Module.to(part, dtype).eval() for part in parts)
    dim, length = transformer.config.text_embed_dim, transformer.config.max_text_seq_length
    words = tuple(torch.empty(_WORD_TOKENS, dim, dtype=dtype, device=place) for _ in range(_WORDS))
    texts = TextEmbeds(torch.empty(1, length, dim, dtype=dtype, device=place), words)
    return CogVideoX(transformer, codec, texts, settings, place, _say_nothing, scheduler=CogVideoXDDIMScheduler())


def _say_nothing(_message: str) -> None:
    pass


def _measure_tiled(architecture: Architecture, settings: TrackSettings, dtype: torch.dtype) -> int:
    """Of a window that is encoded tile by tile: one tile and the whole window, with as much again for its scaling."""
    model = build_empty(architecture, settings, dtype)
    high, wide = model.codec.tile_sample_min_height, model.codec.tile_sample_min_width
    tile = settings.model_copy(update={"height": min(high, settings.height), "width": min(wide, settings.width)})
    pixels = settings.window_frames * settings.height * settings.width * 3
    encoding, _ = measure_passes(replace(model, settings=tile), transformer=False)
    return encoding + 2 * pixels * dtype.itemsize


def measure_passes(model: CogVideoX, *, transformer: bool = True) -> tuple[int, int]:
    """Peak bytes beside the weights of a window's encoding, and of its way through the transformer where asked for."""
    settings = model.settings
    height, width = (-(-side // model.pitch_px) * model.pitch_px for side in (settings.height, settings.width))
    frames = np.empty((settings.window_frames, height, width, 3), np.uint8)
    weights = [*model.codec.parameters(), *model.transformer.parameters()]
    latents, codec_pass = _measure(lambda: model.encode(frames), weights)
    if not transformer:
        return codec_pass, 0
    reading = lambda: model._read(latents, 0, ("concept-attention",), vectors="last")  # noqa: E731
    _, transformer_pass = _measure(reading, weights)
    return codec_pass, transformer_pass


def _measure(call: Callable[[], Any], weights: Sequence[Tensor]) -> tuple[Any, int]:
    ledger = _Ledger(weights)
    with ExitStack() as modes:
        modes.enter_context(_WithoutScores())
        modes.enter_context(ledger)
        result = call()
    return result, ledger.peak


class _WithoutScores(TorchFunctionMode):
    """Attention as fused kernels do it: the matrix of scores, which is all of it at these sizes, is never there."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            query, _key, value = args[:3]
            return query.new_empty((*query.shape[:-1], value.shape[-1]))
        return func(*args, **(kwargs or {}))


class _Ledger(TorchDispatchMode):
    """The bytes of all tensors that live at once, beside those that were there before."""

    def __init__(self, known: Sequence[Tensor]) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._living = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._enter, result)
        if "conv" in func.__name__:
            # Its kernel copies the input into an order of its own.
            self.peak = max(self.peak, self.now + _count_bytes(args[0]))
        return result

    def _enter(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._living:
            return
        self._living.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._leave, key, size)

    def _leave(self, key: int, size: int) -> None:
        self._living.discard(key)
        self.now -= size


def _weigh(module: Any) -> int:
    return sum(map(_count_bytes, [*module.parameters(), *module.buffers()]))


def _count_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _weigh_text_encoder(config: TextEncoderConfig, dtype: torch.dtype) -> int:
    """T5's encoder with gated feed-forward layers, as CogVideoX has it."""
    attention = 4 * config.d_model * config.d_kv * config.num_heads
    layer = attention + 3 * config.d_model * config.d_ff + 2 * config.d_model
    bias = config.relative_attention_num_buckets * config.num_heads
    weights = config.vocab_size * config.d_model + config.num_layers * layer + config.d_model + bias
    return weights * dtype.itemsize
