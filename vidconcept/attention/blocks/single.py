"""Blocks in which text and video tokens run joined, with the same weights, attention and feed-forward side by side.

HunyuanVideo and Flux.1 after their dual blocks, and Flux.2, whose projections are fused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from vidconcept.attention.blocks.kinds import (
    Carried,
    Projected,
    apply_norm,
    clip_half,
    find_text,
    project,
    rotate,
    split_heads,
    watch_input,
    watch_projections,
)
from vidconcept.attention.methods import Tokens


class SingleKind:
    """A block of `norm`, `proj_mlp`, `attn` and `proj_out`. Where the text lies is read from what the norm sees.

    rope_of_text: whether the rotary tables have rows for the text tokens, too.
    """

    joint = True

    def __init__(self, *, rope_of_text: bool) -> None:
        self.rope_of_text = rope_of_text

    def watch(
        self, block: Any, seen: dict[str, Tensor], names: Collection[str], done: Callable[[], None], undo: ExitStack
    ) -> None:
        watch_joined(block.norm, seen, undo)
        watch_projections(block.attn, seen, names, undo)

        def see_output(_module: nn.Module, _args: tuple, output: Any) -> None:
            # HunyuanVideo's attention gives video and text apart, Flux's as they were joined.
            seen["output"] = output[0] if isinstance(output, tuple) else output
            done()

        undo.callback(block.attn.register_forward_hook(see_output).remove)

    def text_of(self, inputs: dict[str, Any]) -> Tensor:
        return inputs["encoder_hidden_states"]

    def find_video(self, block: Any, inputs: dict[str, Any], seen: dict[str, Tensor]) -> Tokens:
        _, video = find_text(seen["joined"], self.text_of(inputs))
        rope = inputs.get("image_rotary_emb")
        if rope is not None and self.rope_of_text:
            rope = (rope[0][video], rope[1][video])

        def cut(name: str) -> Tensor:
            return split_heads(seen[name], block.attn.heads, seen["joined"].shape[1])[:, :, video]

        query = rotate(cut("query"), rope) if "query" in seen else None
        is_apart = seen["output"].shape[1] < seen["joined"].shape[1]
        output = seen["output"] if is_apart else seen["output"][:, video]
        return Tokens(query, rotate(cut("key"), rope), cut("value"), output)

    def enter_attention(self, block: Any, tokens: Tensor, inputs: dict[str, Any]) -> tuple[Projected, Carried]:
        normed, gate = block.norm.forward(tokens, emb=inputs["temb"])
        feed_forward = block.act_mlp.forward(block.proj_mlp.forward(normed))
        return project(block.attn, normed, ("to_q", "to_k", "to_v"), ("norm_q", "norm_k")), (
            gate[:, None],
            feed_forward,
        )

    def leave_attention(self, block: Any, tokens: Tensor, output: Tensor, carried: Carried) -> Tensor:
        gate, feed_forward = carried
        return clip_half(tokens + gate * block.proj_out.forward(torch.cat([output, feed_forward], dim=2)))


class Flux2SingleKind(SingleKind):
    """`Flux2SingleTransformerBlock`: tokens come in joined, all projections in are one module, all out another."""

    def watch(
        self, block: Any, seen: dict[str, Tensor], names: Collection[str], done: Callable[[], None], undo: ExitStack
    ) -> None:
        attn = block.attn

        def cut_and_go() -> None:
            seen["output"] = seen["output"][..., : attn.inner_dim]
            done()

        watch_joined(block.norm, seen, undo)
        watch_projections(attn, seen, names, undo, fused="to_qkv_mlp_proj")
        watch_input(attn.to_out, seen, cut_and_go, undo)

    def text_of(self, inputs: dict[str, Any]) -> Tensor:
        # The text as the dual blocks left it is joined in front by the transformer, before its first single block.
        return inputs["hidden_states"][:, : inputs["text_tokens"]]

    def enter_attention(self, block: Any, tokens: Tensor, inputs: dict[str, Any]) -> tuple[Projected, Carried]:
        attn, modulation = block.attn, inputs["temb_mod"]
        modulation = modulation[:, None] if modulation.ndim == 2 else modulation
        shift, scale, gate = modulation.chunk(3, dim=-1)
        normed = block.norm.forward(tokens) * (1 + scale) + shift
        projected = attn.to_qkv_mlp_proj.forward(normed)
        query, key, value = (
            split_heads(part, attn.heads) for part in projected[..., : 3 * attn.inner_dim].chunk(3, dim=-1)
        )
        feed_forward = attn.mlp_act_fn.forward(projected[..., 3 * attn.inner_dim :])
        return (apply_norm(attn.norm_q, query), apply_norm(attn.norm_k, key), value), (gate, feed_forward)

    def leave_attention(self, block: Any, tokens: Tensor, output: Tensor, carried: Carried) -> Tensor:
        gate, feed_forward = carried
        return clip_half(tokens + gate * block.attn.to_out.forward(torch.cat([output, feed_forward], dim=-1)))


def watch_joined(norm: Any, seen: dict[str, Tensor], undo: ExitStack) -> None:
    """See the joined tokens as they go into the block's norm."""

    def see(_module: nn.Module, args: tuple, kwargs: dict) -> None:
        seen["joined"] = args[0] if args else kwargs["hidden_states"]

    undo.callback(norm.register_forward_pre_hook(see, with_kwargs=True).remove)
