"""A concept's learnt vector on disk: written by `concept learn`, bound to the weights that it was learnt with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from vidconcept.errors import InputError, UsageError
from vidconcept.files import read_bytes
from vidconcept.written import open_own_bytes

KIND = "vidconcept concept"
# A token of the widest text encoders has 4096 numbers of four bytes; a concept is a few of them.
LARGEST_BYTES = 16 << 20


def write_learnt(path: Path, embeds: np.ndarray, weights: str, facts: Mapping[str, str]) -> None:
    """embeds: `(token, text dim)`, in place of the text encoder's output. weights: fingerprint of the model."""
    tensors = {"embeds": np.ascontiguousarray(embeds, np.float32)}
    with open_own_bytes(path) as file:
        file.write(save(tensors, metadata={**facts, "kind": KIND, "weights": weights}))


def check_learnt(path: Path, weights: str) -> str:
    """Digest of the file. Raises InputError where it is none, UsageError where other weights made it."""
    read_learnt(path)
    data = _read(path)
    check_weights(path, data, weights)
    return digest_of(data)


def check_weights(path: Path, data: bytes, weights: str) -> None:
    """Raises UsageError where other weights made the file."""
    facts = read_facts(data)
    if facts.get("weights") != weights:
        raise UsageError(
            f"{path} was learnt with other weights ({facts.get('weights')}, these are {weights}). "
            "Next: learn it again with these, or take the `model` that it was learnt with"
        )


def digest_of(data: bytes) -> str:
    """What stands for the content of a learnt file among what maps depend on."""
    return hashlib.sha256(data).hexdigest()[:16]


def read_learnt(path: Path) -> np.ndarray:
    """`(token, text dim)` float32. Raises InputError."""
    data = _read(path)
    try:
        embeds = load(data)["embeds"]
        is_usable = embeds.ndim == 2 and embeds.size > 0 and embeds.dtype == np.float32 and np.isfinite(embeds).all()
    except (SafetensorError, KeyError, ValueError):
        is_usable, embeds = False, np.zeros((0, 0), np.float32)
    if not is_usable or read_facts(data).get("kind") != KIND:
        raise InputError(f"{path} is not a learnt concept. Next: a file that vidconcept concept learn wrote")
    return embeds


def replaced_words(path: Path) -> tuple[str, ...]:
    """The model's own words that the concept takes the place of. Raises InputError."""
    read_learnt(path)
    return tuple(word for word in read_facts(_read(path)).get("instead_of", "").split("|") if word)


def _read(path: Path) -> bytes:
    return read_bytes(path, LARGEST_BYTES)


def read_facts(data: bytes) -> dict[str, str]:
    """The text beside the tensors, empty where there is none."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return dict(header.get("__metadata__") or {})
    except (ValueError, AttributeError, TypeError, RecursionError):
        return {}
