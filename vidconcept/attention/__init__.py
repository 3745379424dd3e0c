"""ConceptAttention for stock diffusers models: hooks that read, and the maths of maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidconcept.attention.hooks import METHODS, Recorder, concept_attention

__all__ = ["METHODS", "Recorder", "concept_attention"]


def __getattr__(name: str) -> Any:
    # The hooks import torch, which takes seconds; whoever reads only the maths of maps does not wait for it.
    if name in __all__:
        from vidconcept.attention import hooks

        return getattr(hooks, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
