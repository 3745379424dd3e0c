"""What a window costs on a GPU, on random weights in the published configurations of CogVideoX.

    python benchmarks/gpu.py --model cogvideox-5b [--attention native,flash] [--compile] [--quantize int8,fp8]
                             [--graphs] [--repeats 5] [--json OUT]
    python benchmarks/gpu.py --tiny --device cpu     # the same steps at a few pixels: do they run

Of each part of a window (VAE encode, the transformer to the last layer that the preset reads with the hooks attached,
and everything else) the median of the seconds, the floating-point operations that torch's own counter finds, and what
share that is of the rate that the card reaches in one large bfloat16 product, measured first; and the peak memory.
Random weights cost what trained ones do. No figure of this script stands anywhere that was not measured with it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel
from diffusers.schedulers.scheduling_ddim_cogvideox import CogVideoXDDIMScheduler
from diffusers.utils import logging as diffusers_logging
from torch.utils.flop_counter import FlopCounterMode

from vidconcept.models.cogvideox import CogVideoX
from vidconcept.models.presets import presets
from vidconcept.models.published import PUBLISHED
from vidconcept.models.readout import read_scores
from vidconcept.models.text import TextEmbeds
from vidconcept.settings import TrackSettings

TINY = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 3, "text_embed_dim": 32}
TINY_CODEC = {"block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "norm_num_groups": 2}
WORDS, WORD_TOKENS = 8, 2


def build_model(name: str, device: torch.device, *, tiny: bool) -> CogVideoX:
    """A model of random weights, with the text of the right shape."""
    torch.manual_seed(0)
    preset = presets()[name]
    changes: dict[str, Any] = {"dtype": "bfloat16", "device": str(device)}
    if tiny:
        changes |= {"height": 64, "width": 96, "window_frames": 9, "overlap_frames": 1, "layers": (1,)}
    settings = TrackSettings(**{**preset.settings, **changes})
    config: dict[str, Any] = dict(PUBLISHED[name].transformer) | (TINY if tiny else {})
    codec_config: dict[str, Any] = TINY_CODEC if tiny else {}
    # Their annotations do not say that `to` takes a precision.
    transformer: Any
    codec: Any
    # Latents of the settings' picture, which the table of positions must cover.
    config |= {"sample_height": settings.height // 8, "sample_width": settings.width // 8}
    config |= {"sample_frames": settings.window_frames}
    with torch.device(device):
        transformer, codec = CogVideoXTransformer3DModel(**config), AutoencoderKLCogVideoX(**codec_config)
    transformer, codec = transformer.to(torch.bfloat16).eval(), codec.to(torch.bfloat16).eval()
    dim, length = transformer.config.text_embed_dim, transformer.config.max_text_seq_length
    words = tuple(torch.randn(WORD_TOKENS, dim, dtype=torch.bfloat16) for _ in range(WORDS))
    texts = TextEmbeds(torch.randn(1, length, dim, dtype=torch.bfloat16), words)
    return CogVideoX(transformer, codec, texts, settings, device, scheduler=CogVideoXDDIMScheduler())


def time_call(call: Callable[[], Any], device: torch.device, repeats: int) -> dict[str, float]:
    """Median seconds, floating-point operations and peak memory in GB of a call; it is made once more to warm up."""
    with FlopCounterMode(display=False) as counter:
        call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - begun)
    found = {"s": statistics.median(taken), "flop": float(counter.get_total_flops())}
    return found | ({"peak_gb": torch.cuda.max_memory_allocated(device) / 1e9} if device.type == "cuda" else {})


def measure_rate(device: torch.device, side: int) -> float:
    """Floating-point operations a second that the device reaches in one square bfloat16 product."""
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    found = time_call(lambda: a @ a, device, 10)
    return 2 * side**3 / found["s"]


def measure(model: CogVideoX, repeats: int, rate: float) -> dict[str, Any]:
    """Each part of a window: seconds, operations, and the share of the rate that was reached."""
    settings = model.settings
    shape = (settings.window_frames, settings.height, settings.width, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    latents = model.encode(frames)
    parts = {
        "vae": time_call(lambda: model.encode(frames), model.device, repeats),
        "transformer": time_call(lambda: model._read(latents, 0, ("concept-attention",)), model.device, repeats),
        "window": time_call(lambda: read_scores(model, frames), model.device, repeats),
    }
    for part in parts.values():
        part["share_of_rate"] = part["flop"] / part["s"] / rate
    rate_fps = settings.window_frames / parts["window"]["s"]
    return {**parts, "everything_else_s": find_rest(parts), "frames_a_second": rate_fps}


def find_rest(parts: Mapping[str, Mapping[str, float]]) -> float | None:
    """Seconds of a window beside VAE and transformer; None where these differ from call to call by more than that."""
    rest = parts["window"]["s"] - parts["vae"]["s"] - parts["transformer"]["s"]
    return rest if rest > 0 else None


def set_attention(model: CogVideoX, name: str) -> str:
    """Take one of diffusers' attention backends; what to say where these processors do not heed it."""
    model.transformer.set_attention_backend(name)
    processors = {type(block.attn1.processor) for block in model.transformer.transformer_blocks}
    heeded = all(hasattr(processor, "_attention_backend") for processor in processors)
    return "" if heeded else "diffusers sets it, and the attention processors of this model do not look at it"


def quantise(model: CogVideoX, kind: str) -> None:
    """The transformer's linear layers in eight bits, by torchao. Raises ImportError where that is missing."""
    from torchao.quantization import (  # pyright: ignore[reportMissingImports]
        Float8DynamicActivationFloat8WeightConfig,
        Int8DynamicActivationInt8WeightConfig,
        quantize_,
    )

    configs = {"int8": Int8DynamicActivationInt8WeightConfig, "fp8": Float8DynamicActivationFloat8WeightConfig}
    quantize_(model.transformer, configs[kind]())


def list_variants(options: argparse.Namespace) -> list[tuple[str, Callable[[CogVideoX], str | None]]]:
    """Names of what is asked for, and what makes a fresh model so."""

    def compile_blocks(model: CogVideoX, mode: str) -> None:
        for part in (model.transformer.transformer_blocks, model.codec.encoder.down_blocks):
            for number, block in enumerate(part):
                part[number] = torch.compile(block, mode=mode)

    def channels_last(model: CogVideoX) -> None:
        for part in model.codec.modules():
            if isinstance(part, torch.nn.Conv3d):
                part.weight.data = part.weight.data.to(memory_format=torch.channels_last_3d)

    found: list[tuple[str, Callable[[CogVideoX], str | None]]] = [("plain", lambda model: None)]
    found.append(("vae channels last", channels_last))
    found += [(f"attention {n}", lambda model, n=n: set_attention(model, n)) for n in options.attention.split(",") if n]
    if options.compile:
        found.append(("compiled", lambda model: compile_blocks(model, "default")))
    if options.graphs:
        found.append(("compiled, CUDA graphs", lambda model: compile_blocks(model, "reduce-overhead")))
    found += [(kind, lambda model, kind=kind: quantise(model, kind)) for kind in options.quantize.split(",") if kind]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(PUBLISHED), default="cogvideox-2b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--attention", default="", help="backends of diffusers, e.g. native,flash")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--graphs", action="store_true", help="compiled with CUDA graphs")
    parser.add_argument("--quantize", default="", help="int8,fp8, by torchao")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="a few pixels and layers, to see that it runs")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    diffusers_logging.set_verbosity_error()
    device = torch.device(options.device)
    rate = measure_rate(device, 256 if options.tiny else 8192)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "a processor: no figure of a GPU"
    result: dict[str, Any] = {"device": name, "model": options.model, "tiny": options.tiny, "bfloat16_flops": rate}
    result["variants"] = {}
    for label, change in list_variants(options):
        model = build_model(options.model, device, tiny=options.tiny)
        try:
            said = change(model)
            own = measure(model, options.repeats, rate) | ({"note": said} if said else {})
        except Exception as error:
            # One way that this card or these libraries cannot go must not lose what the others gave.
            own = {"failed": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        result["variants"][label] = own
        print(json.dumps({label: own}), flush=True)
        del model
        if device.type == "cuda":
            torch.cuda.empty_cache()
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
