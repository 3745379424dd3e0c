"""A line head on disk: written by `calibrate` beside its TOML, bound to the weights that it was learnt with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from vidconcept.errors import InputError
from vidconcept.files import read_bytes
from vidconcept.models.learnt import check_weights, digest_of, read_facts
from vidconcept.written import open_own_bytes

KIND = "vidconcept line head"
LARGEST_BYTES = 16 << 20


def name_line_head(config: Path) -> Path:
    """Where the head lies that the TOML of a calibration names: beside it, under a name that no other TOML has."""
    return config.with_name(f"{config.name}.head.safetensors")


def write_line_head(
    path: Path, tensors: Mapping[str, np.ndarray], weights: str, facts: Mapping[str, str] | None = None
) -> None:
    """tensors: of `LineHead`, float32. weights: fingerprint of the model. facts: beside the tensors."""
    with open_own_bytes(path) as file:
        file.write(save(dict(tensors), metadata={**(facts or {}), "kind": KIND, "weights": weights}))


def read_facts_of_head(path: Path) -> dict[str, str]:
    """What was written beside the tensors. Raises InputError."""
    return read_facts(read_bytes(path, LARGEST_BYTES))


def check_line_head(path: Path, weights: str) -> str:
    """Digest of the file. Raises InputError where it is none, UsageError where other weights made it."""
    read_line_head(path)
    data = read_bytes(path, LARGEST_BYTES)
    check_weights(path, data, weights)
    return digest_of(data)


def read_line_head(path: Path) -> dict[str, np.ndarray]:
    """The tensors of `LineHead`. Raises InputError."""
    data = read_bytes(path, LARGEST_BYTES)
    try:
        tensors = load(data)
        is_usable = all(np.isfinite(values).all() for values in tensors.values())
    except (SafetensorError, KeyError, ValueError, TypeError):
        is_usable, tensors = False, {}
    if not is_usable or read_facts(data).get("kind") != KIND:
        raise InputError(
            f"line_head = {path} is no line head. Next: one that vidconcept calibrate wrote, or leave it out"
        )
    return tensors
