"""Blocks in which text has weights of its own and only attention joins it to the video (MMDiT, arXiv 2403.03206).

HunyuanVideo 1.0 and 1.5, Flux.1 and SD3 share one shape of block; Flux.2, Qwen-Image and Mochi have each their own
modulation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from vidconcept.attention.blocks.kinds import (
    Carried,
    Projected,
    clip_half,
    project,
    rotate,
    split_heads,
    watch_input,
    watch_projections,
)
from vidconcept.attention.methods import Tokens

_TEXT_NAMES, _TEXT_NORMS = ("add_q_proj", "add_k_proj", "add_v_proj"), ("norm_added_q", "norm_added_k")


class DualKind:
    """A block of separate text weights under `norm1_context`, `attn`, `norm2_context` and `ff_context`.

    rope_name: the argument with the rotary tables, None where there are none. rope_of_text: whether the tables begin
    with those of the text tokens. heads_first: whether the norms of the attention see `(b, heads, token, dim)`.
    """

    joint = True

    def __init__(self, rope_name: str | None = None, *, rope_of_text: bool = False, heads_first: bool = False) -> None:
        self.rope_name = rope_name
        self.rope_of_text = rope_of_text
        self.heads_first = heads_first

    def attention(self, block: Any) -> Any:
        return block.attn

    def watch(
        self, block: Any, seen: dict[str, Tensor], names: Collection[str], done: Callable[[], None], undo: ExitStack
    ) -> None:
        # The first projections see the video alone, whatever order the attention joins it in.
        watch_projections(self.attention(block), seen, names, undo)
        watch_input(self.attention(block).to_out[0], seen, done, undo)

    def find_video(self, block: Any, inputs: dict[str, Any], seen: dict[str, Tensor]) -> Tokens:
        rope = None if self.rope_name is None else inputs.get(self.rope_name)
        if rope is not None and self.rope_of_text:
            length = inputs["encoder_hidden_states"].shape[1]
            rope = (rope[0][length:], rope[1][length:])

        def split(name: str) -> Tensor:
            heads, tokens = self.attention(block).heads, seen["output"].shape[1]
            return split_heads(seen[name], heads, tokens, heads_first=self.heads_first)

        query = self.rotate(split("query"), rope) if "query" in seen else None
        return Tokens(query, self.rotate(split("key"), rope), split("value"), seen["output"])

    def rotate(self, tensor: Tensor, rope: Any) -> Tensor:
        return rotate(tensor, rope)

    def enter_attention(self, block: Any, tokens: Tensor, inputs: dict[str, Any]) -> tuple[Projected, Carried]:
        normed, *carried = self.modulate(block, tokens, inputs)
        return project(self.attention(block), normed, _TEXT_NAMES, _TEXT_NORMS), tuple(carried)

    def modulate(self, block: Any, tokens: Tensor, inputs: dict[str, Any]) -> tuple[Tensor, ...]:
        """Tokens for the attention, its gate, and shift, scale and gate of the feed-forward.

        Of a last block, which no longer needs its text tokens, only the first.
        """
        if getattr(block, "context_pre_only", False):
            return (block.norm1_context.forward(tokens, inputs["temb"]),)
        normed, *modulation = block.norm1_context.forward(tokens, emb=inputs["temb"])
        return (normed, *(part[:, None] for part in modulation))

    def leave_attention(self, block: Any, tokens: Tensor, output: Tensor, carried: Carried) -> Tensor:
        gate, shift, scale, gate_ff = carried
        tokens = tokens + gate * self.attention(block).to_add_out.forward(output)
        normed = block.norm2_context.forward(tokens) * (1 + scale) + shift
        return clip_half(tokens + gate_ff * block.ff_context.forward(normed))


class Flux2DualKind(DualKind):
    """`Flux2TransformerBlock`: modulation is made once for all blocks and comes in as an argument."""

    def modulate(self, block: Any, tokens: Tensor, inputs: dict[str, Any]) -> tuple[Tensor, ...]:
        modulation = inputs["temb_mod_txt"]
        modulation = modulation[:, None] if modulation.ndim == 2 else modulation
        shift, scale, gate, *of_feed_forward = modulation.chunk(6, dim=-1)
        return (block.norm1_context.forward(tokens) * (1 + scale) + shift, gate, *of_feed_forward)


class QwenKind(DualKind):
    """`QwenImageTransformerBlock`: text modules called `txt_…`; complex rotary tables, that of the picture first."""

    def rotate(self, tensor: Tensor, rope: Any) -> Tensor:
        if rope is None:
            return tensor
        turned = torch.view_as_complex(tensor.float().unflatten(-1, (-1, 2)).contiguous()) * rope[0]
        return torch.view_as_real(turned).flatten(-2).to(tensor.dtype)

    def modulate(self, block: Any, tokens: Tensor, inputs: dict[str, Any]) -> tuple[Tensor, ...]:
        # Of a model that edits pictures, the second row is for the pictures that it was given.
        temb = inputs["temb"].chunk(2)[0] if getattr(block, "zero_cond_t", False) else inputs["temb"]
        shift, scale, gate, *of_feed_forward = block.txt_mod.forward(temb)[:, None].chunk(6, dim=-1)
        return (block.txt_norm1.forward(tokens) * (1 + scale) + shift, gate, *of_feed_forward)

    def leave_attention(self, block: Any, tokens: Tensor, output: Tensor, carried: Carried) -> Tensor:
        gate, shift, scale, gate_ff = carried
        tokens = tokens + gate * block.attn.to_add_out.forward(output)
        normed = block.txt_norm2.forward(tokens) * (1 + scale) + shift
        return clip_half(tokens + gate_ff * block.txt_mlp.forward(normed))


class MochiKind(DualKind):
    """`MochiTransformerBlock`: RMS norms around each branch, gates through tanh, rotary tables for each head."""

    def attention(self, block: Any) -> Any:
        return block.attn1

    def rotate(self, tensor: Tensor, rope: Any) -> Tensor:
        if rope is None:
            return tensor
        cos, sin = (table.transpose(0, 1) for table in rope)  # (token, heads, half) -> (heads, token, half)
        even, odd = tensor.float().unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2).to(tensor.dtype)

    def leave_attention(self, block: Any, tokens: Tensor, output: Tensor, carried: Carried) -> Tensor:
        gate, scale, gate_ff = carried
        attended = block.attn1.to_add_out.forward(output)
        tokens = tokens + block.norm2_context.forward(attended, torch.tanh(gate))
        normed = block.norm3_context.forward(tokens, 1 + scale.to(torch.float32))
        return tokens + block.norm4_context.forward(block.ff_context.forward(normed), torch.tanh(gate_ff))
