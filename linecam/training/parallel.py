"""Several processes that train one model: each on its own batches, gradients averaged."""

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


def join(rank: int, world: int, threads: int) -> None:
    """Make this process one of `world`, with `threads` threads of its own."""
    torch.set_num_threads(threads)
    if world > 1:
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", "29533")
        dist.init_process_group("gloo", rank=rank, world_size=world)


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def common_clock(seconds: float) -> float:
    """The first process's time: all must leave a loop at the same step."""
    if not dist.is_initialized():
        return seconds
    clock = torch.tensor([seconds], dtype=torch.float64)
    dist.broadcast(clock, 0)
    return float(clock)


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace every gradient by its mean over the processes; a missing one counts as zero."""
    if not dist.is_initialized():
        return
    held = list(parameters)
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in held]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for p, part in zip(held, flat.split([g.numel() for g in gradients]), strict=True):
        p.grad = part.view_as(p)
