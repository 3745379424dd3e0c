"""What the version of diffusers at hand has; tests of what it lacks are skipped."""

from inspect import signature
from typing import Any

import diffusers
import pytest
import torch

OF_SOME_RELEASES = {"txt_seq_lens"}


def find_class(name: str) -> Any:
    """A class of diffusers. Where the version at hand has none of that name, the test that asks is skipped."""
    if not hasattr(diffusers, name):
        pytest.skip(f"diffusers {diffusers.__version__} has no {name}")
    return getattr(diffusers, name)


def keep_known(kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a transformer of this class, less those that only other releases ask for."""
    known = signature(find_class(kind).forward).parameters
    return {key: value for key, value in arguments.items() if key in known or key not in OF_SOME_RELEASES}


def offload_groups(transformer: Any, offload_type: str, **options: Any) -> None:
    """Have diffusers move weights in and out between blocks, here from the processor to the processor."""
    cpu = torch.device("cpu")
    try:
        transformer.enable_group_offload(cpu, offload_type=offload_type, offload_device=cpu, **options)
    except AttributeError:
        pytest.skip(f"diffusers {diffusers.__version__} moves weights only where there is an accelerator")
