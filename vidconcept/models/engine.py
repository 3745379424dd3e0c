"""Making a loaded model quick on the processor that is there, without changing what it says.

Batch norms become part of the convolutions before them; convolutions keep their weights in the order in which the
kernels read them; and of the precisions that a processor may be quick in, the quickest is found by trying, since
neither its name nor its flags tell.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# Another precision than float32 must be quicker by this factor: its rounding is not for nothing, and a choice that
# hangs on a few percent would come out otherwise the next time.
WORTH = 0.75
CANDIDATES = (torch.float32, torch.bfloat16)
# Best of so many tries: a machine is never quite idle.
TRIES = 4


def prepare(device: torch.device, dtype: str, threads: int | None) -> tuple[torch.dtype, dict[str, Any]]:
    """The precision that a setting asks for, and how a model will run, for `run.json`.

    dtype: a name, or "auto". threads: of this process from now on, None to leave them.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    how: dict[str, Any] = {"device": str(device), "threads": torch.get_num_threads()}
    if dtype == "auto":
        chosen, how["tried_ms"] = find_fastest_dtype(device)
    else:
        chosen = getattr(torch, dtype)
    return chosen, how | {"dtype": str(chosen).removeprefix("torch.")}


def fold_batch_norms(module: nn.Module) -> int:
    """Make each batch norm that follows a convolution in an `nn.Sequential` part of it, in place; how many there were.

    The module must be in evaluation mode. Outputs change by rounding alone.
    """
    folded = 0
    for parent in module.modules():
        if not isinstance(parent, nn.Sequential):
            continue
        for index in range(len(parent) - 1):
            conv, norm = parent[index], parent[index + 1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                parent[index], parent[index + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
                folded += 1
    return folded


def lay_out_convolutions(module: nn.Module) -> None:
    """Weights of 2-d convolutions with their channels last, as pictures come, so that no pass turns them around."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            part.weight.data = part.weight.data.to(memory_format=torch.channels_last)


@torch.inference_mode()
def find_fastest_dtype(device: torch.device) -> tuple[torch.dtype, dict[str, float]]:
    """The quickest of `CANDIDATES` on a small piece of work like a model's, and the milliseconds that each took."""
    conv = nn.Conv2d(96, 96, 3, padding=1).to(device)
    lay_out_convolutions(conv)
    linear = nn.Linear(128, 512).to(device)
    picture = torch.randn(1, 96, 32, 56, device=device).contiguous(memory_format=torch.channels_last)
    tokens = torch.randn(1792, 128, device=device)
    took_ms, threads = {}, torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for dtype in CANDIDATES:
            work: list[tuple[nn.Module, torch.Tensor]] = [
                (part.to(dtype), x.to(dtype)) for part, x in ((conv, picture), (linear, tokens))
            ]
            took_ms[dtype] = min(_time_ms(work, device) for _ in range(1 + TRIES))
    finally:
        torch.set_num_threads(threads)
    best = min(took_ms, key=lambda dtype: took_ms[dtype] * (1 if dtype == torch.float32 else 1 / WORTH))
    return best, {str(dtype).removeprefix("torch."): round(ms, 2) for dtype, ms in took_ms.items()}


def _time_ms(work: list[tuple[nn.Module, torch.Tensor]], device: torch.device) -> float:
    # A processor is judged by the time that it spends on one thread: what else it does is not counted.
    clock = time.perf_counter if device.type == "cuda" else time.thread_time
    begun = clock()
    for part, x in work:
        part(x)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1000 * (clock() - begun)
