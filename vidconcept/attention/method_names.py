"""The ways to read a map by name, known without torch, which of them a kind of model offers, and who offers none."""

from __future__ import annotations

from typing import Literal, get_args

Method = Literal["concept-attention", "cross-attention", "value-space", "gramcol", "imap"]
METHODS: tuple[Method, ...] = get_args(Method)
# What there is where text never attends to video: no attention output of a concept, and so no dot product with it.
OF_CROSS_ATTENTION: tuple[Method, ...] = ("cross-attention", "gramcol")
# Of a still there are no frames to tell heads of motion by.
OF_STILLS: tuple[Method, ...] = tuple(method for method in METHODS if method != "imap")

# Transformers that cannot be read, and why.
REFUSED: dict[str, str] = {
    "Cosmos3OmniTransformer": "its text is read by a language model that never sees the video, so words have no "
    "attention output to compare with that of the video",
}


def why_missing(offered: tuple[Method, ...]) -> str:
    """Why a model that offers these does not offer the others."""
    return "its text never attends to its video" if offered == OF_CROSS_ATTENTION else "it reads single frames"
