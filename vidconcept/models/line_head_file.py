"""A line head on disk: written by `calibrate` beside its TOML, bound to the weights that it was learnt with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
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


def write_line_head(path: Path, tensors: Mapping[str, np.ndarray], weights: str) -> None:
    """tensors: of `LineHead`, float32. weights: fingerprint of the model."""
    with open_own_bytes(path) as file:
        file.write(save(dict(tensors), metadata={"kind": KIND, "weights": weights}))


def compute_line_digest(tensors: Mapping[str, np.ndarray], weights: str) -> str:
    """What stands for a head among what maps depend on, whatever file it is in."""
    text = json.dumps([weights, {name: sha256(tensors[name].tobytes()).hexdigest() for name in sorted(tensors)}])
    return digest_of(text.encode())


def check_line_head(path: Path, weights: str) -> str:
    """Digest of the head. Raises InputError where the file is none, UsageError where other weights made it."""
    tensors = read_line_head(path)
    check_weights(path, read_bytes(path, LARGEST_BYTES), weights)
    return compute_line_digest(tensors, weights)


def read_line_head(path: Path) -> dict[str, np.ndarray]:
    """The tensors of `LineHead`. Raises InputError."""
    try:
        data = read_bytes(path, LARGEST_BYTES)
    except (InputError, OSError) as error:
        raise InputError(
            f"line_head = {path}: no line head is there ({error}). Next: keep it beside the config that names it, or "
            "vidconcept calibrate again"
        ) from error
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
