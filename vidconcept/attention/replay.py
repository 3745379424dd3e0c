"""The concept stream over and over on one forward pass: what the video tokens show does not depend on the concepts.

Video tokens never see a concept, so their keys, values and outputs are constants to the concept tokens. A pass is
witnessed once; after that other embeddings go through the same blocks beside it, with gradients, at a small share of
the cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from vidconcept.attention.blocks.kinds import BlockKind
from vidconcept.attention.families import Family, find_family
from vidconcept.attention.hooks import resolve_layers
from vidconcept.attention.methods import Tokens
from vidconcept.attention.recorder import Recorder
from vidconcept.attention.stream import ConceptStream

# Arguments of a block that belong to the video and the prompt: concept tokens do not look at them.
_NOT_OURS = ("hidden_states", "encoder_hidden_states")
# What a block shows beside its stream: its kind, itself, its number, its other arguments, its video tokens.
_Block = tuple[BlockKind, Any, int, dict[str, Any], Tokens]


class Witness(ConceptStream):
    """A stream that changes nothing and remembers what other concept tokens would meet."""

    def __init__(self, transformer: Any, embeds: Tensor, layers: Sequence[int] | None) -> None:
        family = find_family(transformer)
        recorder = Recorder(resolve_layers(layers, len(family.layers_of(transformer))))
        counts = (1,) * embeds.shape[1]
        super().__init__(family, embeds, recorder, ("concept-attention",), vectors=False, counts=counts)
        self.transformer: Any = None
        self.call: dict[str, Any] = {}
        self.blocks: list[_Block] = []

    def enter(self, transformer: Any) -> None:
        self.transformer, self.call = transformer, dict(self._call)
        super().enter(transformer)

    def go_on(self, kind: BlockKind, block: Any, layer: int, inputs: dict[str, Any], video: Tokens) -> None:
        own = {name: value for name, value in inputs.items() if name not in _NOT_OURS}
        self.blocks.append((kind, block, layer, own, video))


@dataclass(frozen=True)
class Observation:
    """One forward pass without concepts. frames: steps in time of its video tokens."""

    family: Family
    layers: tuple[int, ...]
    frames: int
    transformer: Any = field(repr=False)
    call: dict[str, Any] = field(repr=False)
    blocks: tuple[_Block, ...] = field(repr=False)

    @classmethod
    def of(cls, witness: Witness) -> Observation:
        parts = (witness.family, witness.recorder.layers, witness.frames, witness.transformer, witness.call)
        return cls(*parts, tuple(witness.blocks))

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        seen = [tokens for *_, tokens in self.blocks]
        return sum(x.nbytes for part in seen for x in (part.key, part.value, part.output) if x is not None)

    def logits(self, embeds: Tensor, counts: Sequence[int]) -> Tensor:
        """`(layer, concept token, video token)` float32 of embeddings `(concept token, text dim)`; differentiable.

        counts: how many tokens each concept takes.
        """
        recorder = Recorder(self.layers)
        stream = ConceptStream(
            self.family, embeds[None], recorder, ("concept-attention",), vectors=False, counts=counts
        )
        stream.frames = self.frames
        stream._call = dict(self.call)
        stream.enter(self.transformer)
        for kind, block, layer, inputs, video in self.blocks:
            stream.go_on(kind, block, layer, inputs, video)
        return recorder.logits["concept-attention"][:, 0]
