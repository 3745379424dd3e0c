"""Blocks over one sequence of text, sound and video, whose rows are told apart by a number beside each (MiniMax-H3)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from vidconcept.attention.blocks.kinds import (
    Carried,
    Projected,
    project,
    split_heads,
    watch_input,
    watch_projections,
)
from vidconcept.attention.methods import Tokens

# What a row is: its number counts kinds of row, and for each noise level that there is all of them anew.
VIDEO, TEXT, KINDS = 0, 1, 3


def find_rows(numbers: Tensor, kind: int) -> Tensor:
    """Places of the rows of a kind, by their numbers `(row,)`. Raises RuntimeError where there is none."""
    rows = (numbers % KINDS == kind).nonzero()[:, 0]
    if not len(rows):
        raise RuntimeError("the sequence has no text, or no video: concepts cannot be read in it")
    return rows


class PackedKind:
    """`MiniMaxH3TransformerBlock`. Concept tokens are modulated as the rows of the prompt are."""

    joint = True

    def watch(
        self, block: Any, seen: dict[str, Tensor], names: Collection[str], done: Callable[[], None], undo: ExitStack
    ) -> None:
        watch_projections(block.attn, seen, names, undo)
        watch_input(block.attn.to_out[0], seen, done, undo)

    def find_video(self, block: Any, inputs: dict[str, Any], seen: dict[str, Tensor]) -> Tokens:
        rows = find_rows(inputs["adaln_indices"], VIDEO)
        rope = inputs["rotary_emb"]

        def cut(name: str) -> Tensor:
            return split_heads(seen[name], block.attn.heads)[:, :, rows]

        query = rotate_first(cut("query"), rope, rows) if "query" in seen else None
        return Tokens(query, rotate_first(cut("key"), rope, rows), cut("value"), seen["output"][:, rows])

    def enter_attention(self, block: Any, tokens: Tensor, inputs: dict[str, Any]) -> tuple[Projected, Carried]:
        numbers = inputs["adaln_indices"]
        row = numbers[find_rows(numbers, TEXT)[:1]]
        shift, scale, *rest = (table[row] for table in block.adaln_proj.forward(inputs["temb"]))
        normed = block.norm1.forward(tokens) * (1 + scale) + shift
        return project(block.attn, normed, ("to_q", "to_k", "to_v"), ("norm_q", "norm_k")), tuple(rest)

    def leave_attention(self, block: Any, tokens: Tensor, output: Tensor, carried: Carried) -> Tensor:
        gate, shift, scale, gate_ff = carried
        tokens = tokens + gate * block.attn.to_out[0].forward(output)
        normed = block.norm2.forward(tokens) * (1 + scale) + shift
        return tokens + gate_ff * block.ff.forward(normed)


def rotate_first(tensor: Tensor, rope: tuple[Tensor, Tensor], rows: Tensor) -> Tensor:
    """Rotary embedding of the first channels of `(b, heads, token, dim)`, halves paired, by tables `(row, channel)`."""
    cos, sin = (table[rows].to(tensor.dtype) for table in rope)
    turned, kept = tensor[..., : cos.shape[-1]], tensor[..., cos.shape[-1] :]
    one, other = turned.chunk(2, dim=-1)
    return torch.cat([turned * cos + torch.cat([-other, one], dim=-1) * sin, kept], dim=-1)
