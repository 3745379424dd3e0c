"""The concept tokens' way through a transformer's blocks, beside its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from vidconcept.attention.blocks.kinds import BlockKind
from vidconcept.attention.families import Family
from vidconcept.attention.method_names import Method
from vidconcept.attention.methods import MOTION_HEADS, READERS, LayerTokens, Tokens
from vidconcept.attention.recorder import Recorder, Vectors


class ConceptStream:
    """The concept tokens of one attached context. counts: how many tokens each concept takes."""

    def __init__(
        self,
        family: Family,
        embeds: Tensor,
        recorder: Recorder,
        methods: Sequence[Method],
        vectors: Vectors,
        *,
        counts: Sequence[int],
        motion_heads: int = MOTION_HEADS,
    ) -> None:
        self.family = family
        self.embeds = embeds
        self.recorder = recorder
        self.methods = methods
        self.vectors = vectors
        self.counts = tuple(counts)
        self.motion_heads = motion_heads
        self.tokens: Tensor | None = None
        # Steps in time of the video tokens, and tokens of the prompt, seen where the transformer is called.
        self.frames = 0
        self.text_tokens = 0
        self._call: dict[str, Any] = {}

    @property
    def concepts(self) -> int:
        return len(self.counts)

    def start(self, transformer: Any, call: dict[str, Any]) -> None:
        """Note what the transformer is called with; its weights need not be there yet. What was recorded is gone."""
        self.recorder._clear()
        self._call = call
        self.frames = self.family.count_frames(transformer, call)
        self.text_tokens = call["encoder_hidden_states"].shape[1]

    def enter(self, transformer: Any) -> None:
        """Make tokens of the embeddings, `(b, concept token, dim)`. No positional embedding."""
        batch = self._call["hidden_states"].shape[0]
        embeds = self.embeds.expand(batch, -1, -1) if self.embeds.shape[0] == 1 else self.embeds
        if embeds.shape[0] != batch:
            raise ValueError(f"concept_embeds have batch {embeds.shape[0]}, the transformer runs batch {batch}")
        # As the prompt comes in: weights may be stored in another precision than they are used in.
        embeds = embeds.to(self._call["hidden_states"].device, self._call["encoder_hidden_states"].dtype)
        self.tokens = self.family.enter(transformer, embeds, self.counts, self._call)
        self._call = {}

    def attend(self, query: Tensor, key: Tensor, value: Tensor, seen: Tokens) -> Tensor:
        """Attention of the concept queries over [concept, video]: `(b, token, heads·dim)`, before `to_out`."""
        assert seen.key is not None
        assert seen.value is not None
        output = F.scaled_dot_product_attention(
            query, torch.cat([key, seen.key], dim=2), torch.cat([value, seen.value], dim=2)
        )
        return rearrange(output, "b heads token dim -> b token (heads dim)")

    def read(self, layer: int, concept: Tokens, seen: Tokens) -> None:
        """Record what each method reads in the layer."""
        tokens = LayerTokens(concept, seen, self.frames, self.concepts, self.motion_heads)
        for method in self.methods:
            self.recorder._put(method, layer, READERS[method](tokens))
        if self.vectors is True or (self.vectors == "last" and layer == self.recorder.layers[-1]):
            for name, output in (("concept vectors", concept.output), ("video vectors", seen.output)):
                if output is not None:
                    self.recorder._put(name, layer, output)

    def step(self, kind: BlockKind, block: Any, layer: int, inputs: dict[str, Any], seen: dict[str, Tensor]) -> None:
        """Take the concept tokens through one block, with the text side's modulation, gates and feed-forward."""
        tokens = self.tokens
        assert tokens is not None
        is_read = layer in self.recorder.layers
        if not (kind.joint or is_read):
            return
        try:
            video = kind.find_video(block, inputs, seen)
        except KeyError as error:
            raise RuntimeError(
                f"block {layer} ({type(block).__name__}) showed no {error.args[0]}: its attention processor passes by "
                "a norm or a projection that it has, so its output is not the model's either"
            ) from error
        self.go_on(kind, block, layer, inputs, video)

    def go_on(self, kind: BlockKind, block: Any, layer: int, inputs: dict[str, Any], video: Tokens) -> None:
        """The rest of `step`, once the video tokens of the block's attention are known."""
        tokens = self.tokens
        assert tokens is not None
        is_read = layer in self.recorder.layers
        (query, key, value), carried = kind.enter_attention(block, tokens, inputs)
        output = self.attend(query, key, value, video) if kind.joint else None
        if is_read:
            with _without_autocast(tokens.device.type):
                self.read(layer, Tokens(query, key, value, output), video)
        if output is not None and layer < self.recorder.layers[-1]:
            self.tokens = kind.leave_attention(block, tokens, output, carried)


def _without_autocast(device: str) -> AbstractContextManager[Any]:
    """Products of float32 stay in float32. The meta device has no autocast."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
