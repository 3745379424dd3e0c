"""Where a model's parts are while they work: all on the device, one part at a time, or one block at a time."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import cpu_offload_with_hook

from vidconcept.errors import ModelError


def has_own_memory(device: torch.device) -> bool:
    """Whether weights can be moved out of the device: a GPU with memory of its own."""
    return device.type not in ("cpu", "mps")


def choose_text_device(offload: str, device: torch.device, dtype: torch.dtype) -> tuple[torch.device, torch.dtype]:
    """Where the text encoder runs: with `group` on the processor, as it is larger than the cards that this is for."""
    if offload != "group":
        return device, dtype
    # float16 is emulated on a processor.
    return torch.device("cpu"), torch.bfloat16 if dtype == torch.float16 else dtype


def place(codec: Any, transformer: Any, device: torch.device, offload: str) -> None:
    """Move the parts to the device, in place, or arrange that they come when they are called.

    none: both stay there. model: whichever is called sends the other one away. group: the codec stays there, and each
    block of the transformer comes for its own turn. A codec that is not of diffusers is small, and stays there always.
    Raises ModelError where the library cannot do it.
    """
    moves_codec = offload == "model" and type(codec).__module__.startswith("diffusers.")
    if not moves_codec:
        codec.to(device)
    if offload == "group":
        try:
            transformer.enable_group_offload(
                onload_device=device,
                offload_device=torch.device("cpu"),
                offload_type="block_level",
                num_blocks_per_group=1,
            )
        except (AttributeError, RuntimeError, ValueError) as error:
            # diffusers 0.35 does it on a GPU alone.
            raise ModelError(
                f"this diffusers cannot move the blocks of the transformer to {device}: {error}. Next: `offload=model`"
            ) from error
    elif offload == "model":
        # The first to be called would wait for nobody; after that they take turns.
        _, of_transformer = cpu_offload_with_hook(transformer, device)
        if moves_codec:
            _, of_codec = cpu_offload_with_hook(codec, device, prev_module_hook=of_transformer)
            of_transformer.hook.prev_module_hook = of_codec
    else:
        transformer.to(device)
