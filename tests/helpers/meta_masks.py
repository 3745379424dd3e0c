"""Forward passes without memory of models that select tokens by a mask: what the mask would decide is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map


def _to_meta(values: Any) -> Any:
    return tree_map(lambda value: value.to("meta") if isinstance(value, Tensor) else value, values)


class _Selecting(TorchFunctionMode):
    """Masks on the CPU select what they say of tensors without memory; masks without memory select everything.

    Whatever is asked of a tensor without memory as a whole holds, as that no picture was given.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        first = args[0] if args else None
        if isinstance(first, Tensor) and first.is_meta:
            if func is torch.nonzero:
                return torch.arange(first.numel(), device="meta")[:, None]
            if func is torch.all:
                return True
            if func is Tensor.__getitem__ and isinstance(args[1], Tensor) and args[1].dtype == torch.bool:
                return first.new_empty(int(args[1].sum()), *first.shape[args[1].ndim :])
        kinds = {value.is_meta for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)}
        if kinds == {True, False}:
            args, kwargs = _to_meta((args, kwargs))
        return func(*args, **kwargs)


@contextmanager
def selecting(blocks: Any, monkeypatch: Any) -> Iterator[None]:
    """Within it a model on the meta device can be called; its blocks get masks without memory, however large."""
    # There is no mixed precision without numbers.
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())
    hooks = [
        block.register_forward_pre_hook(lambda module, args, kwargs: _to_meta((args, kwargs)), with_kwargs=True)
        for block in blocks
    ]
    try:
        with _Selecting():
            yield
    finally:
        for hook in hooks:
            hook.remove()
