"""What the version of diffusers at hand has; tests of what it lacks are skipped."""

from typing import Any

import diffusers
import pytest
import torch


def find_class(name: str) -> Any:
    """A class of diffusers. Where the version at hand has none of that name, the test that asks is skipped."""
    if not hasattr(diffusers, name):
        pytest.skip(f"diffusers {diffusers.__version__} has no {name}")
    return getattr(diffusers, name)


def offload_groups(transformer: Any, offload_type: str, **options: Any) -> None:
    """Have diffusers move weights in and out between blocks, here from the processor to the processor."""
    cpu = torch.device("cpu")
    try:
        transformer.enable_group_offload(cpu, offload_type=offload_type, offload_device=cpu, **options)
    except AttributeError:
        pytest.skip(f"diffusers {diffusers.__version__} moves weights only where there is an accelerator")
