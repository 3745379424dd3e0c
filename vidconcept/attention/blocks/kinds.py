"""What the hooks must know of one kind of transformer block, and what most kinds share.

Concept tokens go through a block with the text side's own modules. These are called by `.forward`: the model's own
hooks, this context's among them, must not fire, while a library that moves weights in and out patches `forward` itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Any, Protocol

import torch
from diffusers.models.embeddings import apply_rotary_emb
from einops import rearrange
from torch import Tensor, nn

from vidconcept.attention.methods import Tokens

# Query, key and value, each `(b, heads, token, dim)`.
Projected = tuple[Tensor, Tensor, Tensor]
# What `enter_attention` hands on to `leave_attention`.
Carried = tuple[Any, ...]
# The largest number that half precision has; blocks clip to it where they might pass it.
LARGEST_HALF = 65504


class BlockKind(Protocol):
    """One kind of block. `inputs`: the arguments of its forward pass by name. `seen`: by name what was watched.

    joint: whether concept tokens attend in the block, and so change from block to block.
    """

    joint: bool

    def watch(
        self, block: Any, seen: dict[str, Tensor], names: Collection[str], done: Callable[[], None], undo: ExitStack
    ) -> None:
        """Attach hooks that fill `seen` with `names` (of query, key, value) and the output, and then call `done`.

        `done` runs inside the block's forward pass: where weights are moved in and out, they are there.
        """
        ...

    def find_video(self, block: Any, inputs: dict[str, Any], seen: dict[str, Tensor]) -> Tokens:
        """The video tokens of what was seen, queries and keys rotated as the block rotates them."""
        ...

    def enter_attention(self, block: Any, tokens: Tensor, inputs: dict[str, Any]) -> tuple[Projected, Carried]:
        """Modulate and project the concept tokens `(b, token, dim)`; no rotary embedding."""
        ...

    def leave_attention(self, block: Any, tokens: Tensor, output: Tensor, carried: Carried) -> Tensor:
        """The concept tokens after the block. output: of the attention, `(b, token, heads·dim)`, before `to_out`."""
        ...


def watch_projections(
    attn: Any, seen: dict[str, Tensor], names: Collection[str], undo: ExitStack, *, fused: str = "to_qkv"
) -> None:
    """See queries, keys and values where they are made, after their norms where there are any.

    Separate and fused projections are both watched: some processors use the fused ones, others do not.
    """

    def see(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: tuple, output: Tensor) -> None:
            # A copy: some processors rotate queries and keys in place afterwards.
            seen[name] = output.clone()

        return hook

    normed = {name for name in ("query", "key") if getattr(attn, f"norm_{name[0]}", None) is not None}

    def see_fused(_module: nn.Module, _args: tuple, output: Tensor) -> None:
        width = attn.inner_dim
        for number, name in enumerate(("query", "key", "value")):
            if name in names and name not in normed:
                seen[name] = output[..., number * width : (number + 1) * width].clone()

    for name in names:
        letter = name[0]
        source = getattr(attn, f"norm_{letter}") if name in normed else getattr(attn, f"to_{letter}", None)
        if source is not None:
            undo.callback(source.register_forward_hook(see(name)).remove)
    if (module := getattr(attn, fused, None)) is not None:
        undo.callback(module.register_forward_hook(see_fused).remove)


def watch_input(module: Any, seen: dict[str, Tensor], done: Callable[[], None], undo: ExitStack) -> None:
    """See what goes into the output projection, which is what the attention gave."""

    def see_output(_module: nn.Module, args: tuple) -> None:
        seen["output"] = args[0]
        done()

    undo.callback(module.register_forward_pre_hook(see_output).remove)


def split_heads(tensor: Tensor, heads: int, tokens: int | None = None, *, heads_first: bool = False) -> Tensor:
    """`(b, token, heads·dim)`, `(b, token, heads, dim)` or `(b, heads, token, dim)` -> `(b, heads, token, dim)`.

    tokens: how many there are, which tells the last two shapes apart: releases of diffusers differ in them. Where
    there are as many heads, heads_first does.
    """
    if tensor.ndim == 4:
        is_split = heads_first if tokens in (None, heads) else tensor.shape[1] == heads
        return tensor if is_split else tensor.transpose(1, 2)
    return rearrange(tensor, "b token (heads dim) -> b heads token dim", heads=heads)


def apply_norm(norm: Any, tensor: Tensor) -> Tensor:
    return tensor if norm is None else norm.forward(tensor)


def project(attn: Any, tokens: Tensor, names: tuple[str, str, str], norms: tuple[str, str]) -> Projected:
    """Queries, keys and values by the attention's modules of these names, normed head by head."""
    query, key, value = (split_heads(getattr(attn, name).forward(tokens), attn.heads) for name in names)
    return apply_norm(getattr(attn, norms[0]), query), apply_norm(getattr(attn, norms[1]), key), value


def rotate(tensor: Tensor, rope: tuple[Tensor, Tensor] | None) -> Tensor:
    """Rotary embedding of `(b, heads, token, dim)` by tables `(token, dim)`."""
    return tensor if rope is None else apply_rotary_emb(tensor, rope)  # type: ignore[arg-type]


def find_text(joined: Tensor, text: Tensor) -> tuple[slice, slice]:
    """Where in `(b, token, dim)` the text tokens lie and where the video tokens do: blocks differ in their order.

    Raises RuntimeError where the text is at neither end.
    """
    length, whole = text.shape[1], joined.shape[1]
    if length == 0 or joined.is_meta or _are_same(joined[:, :length], text):
        return slice(0, length), slice(length, whole)
    if _are_same(joined[:, whole - length :], text):
        return slice(whole - length, whole), slice(0, whole - length)
    raise RuntimeError("the text tokens are at neither end of the joined tokens: diffusers has changed this block")


def _are_same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def clip_half(tokens: Tensor) -> Tensor:
    return tokens.clip(-LARGEST_HALF, LARGEST_HALF) if tokens.dtype == torch.float16 else tokens
