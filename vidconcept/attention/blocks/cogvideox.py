"""CogVideoX: text and video tokens share all weights but the modulation; the text comes first."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Any

from torch import Tensor

from vidconcept.attention.blocks.kinds import (
    Carried,
    Projected,
    project,
    rotate,
    split_heads,
    watch_input,
    watch_projections,
)
from vidconcept.attention.methods import Tokens


class CogVideoXKind:
    """`CogVideoXBlock`. Its attention norms `(b, heads, token, dim)`, text and video together."""

    joint = True

    def watch(
        self, block: Any, seen: dict[str, Tensor], names: Collection[str], done: Callable[[], None], undo: ExitStack
    ) -> None:
        watch_projections(block.attn1, seen, names, undo)
        watch_input(block.attn1.to_out[0], seen, done, undo)

    def find_video(self, block: Any, inputs: dict[str, Any], seen: dict[str, Tensor]) -> Tokens:
        """Cut the prompt off, split heads where that is still to be done, rotate queries and keys as the model does."""
        length, rope = inputs["encoder_hidden_states"].shape[1], inputs.get("image_rotary_emb")

        def cut(name: str) -> Tensor:
            tensor = seen[name]
            return (tensor if tensor.ndim == 4 else split_heads(tensor, block.attn1.heads))[:, :, length:]

        query = rotate(cut("query"), rope) if "query" in seen else None
        return Tokens(query, rotate(cut("key"), rope), cut("value"), seen["output"][:, length:])

    def enter_attention(self, block: Any, tokens: Tensor, inputs: dict[str, Any]) -> tuple[Projected, Carried]:
        # The norm modulates a video and a text argument; the concept tokens go in as text, the other output is unused.
        _, normed, _, gate = block.norm1.forward(tokens, tokens, inputs["temb"])
        return project(block.attn1, normed, ("to_q", "to_k", "to_v"), ("norm_q", "norm_k")), (gate, inputs["temb"])

    def leave_attention(self, block: Any, tokens: Tensor, output: Tensor, carried: Carried) -> Tensor:
        gate, temb = carried
        return self.feed_forward(block, tokens + gate * block.attn1.to_out[0].forward(output), temb)

    def feed_forward(self, block: Any, tokens: Tensor, temb: Tensor) -> Tensor:
        _, normed, _, gate = block.norm2.forward(tokens, tokens, temb)
        return tokens + gate * block.ff.forward(normed)
