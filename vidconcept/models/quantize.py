"""Weights of a transformer in fewer bits, to fit where it would not: what they say changes a little."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import nn

from vidconcept.errors import ModelError, UsageError
from vidconcept.models.text_encoders import summarise_error

# The library that each kind needs.
LIBRARIES = {"int8": "torchao", "fp8": "torchao", "nf4": "bitsandbytes"}
# So many weights of nf4 share a scale; layers of other widths, of which CogVideoX has none, stay as they are.
BLOCK = 64


def check_quantize(kind: str, offload: str) -> None:
    """Raises UsageError where the library is missing, or where weights move in a way that it does not go along with."""
    if kind == "none":
        return
    if offload == "group":
        raise UsageError(
            f"`quantize={kind}` and `offload=group` do not go together, and with one block at a time on the card there "
            "is little to gain. Next: `quantize=none`, or `offload=model`"
        )
    _import_library(kind)


def quantize(transformer: Any, kind: str) -> None:
    """The linear layers of the blocks with weights of eight or four bits, in place; products stay in the model's own
    precision.

    int8: whole numbers with a scale for each row. fp8: eight-bit floating point, the same. nf4: four bits with a scale
    for every 64 weights (Dettmers et al., "QLoRA", 2023). Raises ModelError where the library cannot do it here.
    """
    if kind == "none":
        return
    library = _import_library(kind)
    try:
        for block in transformer.transformer_blocks:
            if kind == "nf4":
                _replace_linear(block, library.nn)
            else:
                config = {"int8": "Int8WeightOnlyConfig", "fp8": "Float8WeightOnlyConfig"}[kind]
                library.quantize_(block, getattr(library, config)())
    except (RuntimeError, ValueError, AttributeError, NotImplementedError, AssertionError) as error:
        raise ModelError(
            f"{LIBRARIES[kind]} cannot make {kind} weights on this machine: {summarise_error(error)}. "
            "Next: another `quantize`"
        ) from error


def _import_library(kind: str) -> Any:
    name = LIBRARIES[kind]
    try:
        return import_module("torchao.quantization" if name == "torchao" else name)
    except ImportError as error:
        raise UsageError(
            f"`quantize={kind}` needs {name}, which is not here or does not load. "
            "Next: pip install 'vidconcept[quantize]'"
        ) from error


def _replace_linear(module: nn.Module, library: Any) -> None:
    """Layers of bitsandbytes in place of torch's; they make their weights small when they are moved to a device."""
    for name, part in module.named_children():
        if not isinstance(part, nn.Linear):
            _replace_linear(part, library)
            continue
        if part.in_features % BLOCK or part.out_features % BLOCK:
            continue
        has_bias = part.bias is not None
        with torch.device("meta"):
            small = library.Linear4bit(
                part.in_features, part.out_features, has_bias, compute_dtype=part.weight.dtype, quant_type="nf4"
            )
        small.weight = library.Params4bit(part.weight.data, requires_grad=False, quant_type="nf4", module=small)
        small.bias = part.bias
        setattr(module, name, small.to(part.weight.device).eval())
