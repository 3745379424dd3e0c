"""Blocks in which video tokens attend to themselves, and then to text that stays what it is (Wan, LTX-Video).

Text never attends to video, so there is no attention output of a concept and no ConceptAttention. What is left is
<k_c, q_x> of the cross-attention, and GramCol: that product picks the patch, the outputs of the self-attention compare.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Any

from torch import Tensor

from vidconcept.attention.blocks.kinds import (
    Carried,
    Projected,
    apply_norm,
    split_heads,
    watch_input,
    watch_projections,
)
from vidconcept.attention.methods import Tokens


class CrossKind:
    """A block of `attn1` among the video tokens and `attn2` from them to the text, normed across heads."""

    joint = False

    def watch(
        self, block: Any, seen: dict[str, Tensor], names: Collection[str], done: Callable[[], None], undo: ExitStack
    ) -> None:
        watch_input(block.attn1.to_out[0], seen, lambda: None, undo)
        # Fused, keys and values of the text are one module; the queries stay as they are.
        watch_projections(block.attn2, seen, {"query"}, undo)
        ignored: dict[str, Tensor] = {}
        watch_input(block.attn2.to_out[0], ignored, done, undo)

    def find_video(self, block: Any, inputs: dict[str, Any], seen: dict[str, Tensor]) -> Tokens:
        return Tokens(split_heads(seen["query"], block.attn2.heads), None, None, seen["output"])

    def enter_attention(self, block: Any, tokens: Tensor, inputs: dict[str, Any]) -> tuple[Projected, Carried]:
        attn = block.attn2
        key = split_heads(apply_norm(attn.norm_k, attn.to_k.forward(tokens)), attn.heads)
        return (key, key, split_heads(attn.to_v.forward(tokens), attn.heads)), ()

    def leave_attention(self, block: Any, tokens: Tensor, output: Tensor, carried: Carried) -> Tensor:
        """The text that every block sees is the same."""
        return tokens
