"""Whether a transformer's forward pass is the one that hooks can read: each block computed, whole, in this process."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry
from torch import nn

from vidconcept.errors import ModelError

# What diffusers registers to move weights in and out, or to keep them in another precision: the pass stays the same.
_HARMLESS = frozenset(
    {
        "group_offloading",
        "lazy_prefetch_group_offloading",
        "layer_execution_tracker",
        "layerwise_casting",
        "peft_autocast_disable",
    }
)
_WHOLE = "maps are read from blocks that are computed in full, in every pass and on one device"


class UnheededBackend(UserWarning):
    """An attention backend of diffusers is set and has no effect."""


def check_undisturbed(transformer: Any) -> None:
    """Raises ModelError where caches, skipped layers, several devices or torch.compile change what hooks see."""
    if getattr(transformer, "_parallel_config", None) is not None:
        raise ModelError(
            f"the transformer is spread over several devices (context or tensor parallelism), and {_WHOLE}. "
            "Next: load it without `enable_parallelism`"
        )
    cache = getattr(transformer, "_cache_config", None)
    if cache is not None:
        name = type(cache).__name__.removesuffix("Config")
        raise ModelError(f"the transformer runs with {name}, and {_WHOLE}. Next: `transformer.disable_cache()`")
    for path, module in transformer.named_modules():
        if _is_compiled(module):
            raise ModelError(
                f"torch.compile is on {path or 'the transformer'}, and compiled code passes hooks by. "
                "Next: load the transformer anew and read it without torch.compile"
            )
        registry = getattr(module, "_diffusers_hook", None)
        foreign = sorted(set(registry.hooks) - _HARMLESS) if registry is not None else []
        if foreign:
            raise ModelError(
                f"diffusers' hook {foreign[0]!r} is on {path or 'the transformer'}, and {_WHOLE}. "
                "Next: load the transformer anew and leave the hook off"
            )


def _is_compiled(module: nn.Module) -> bool:
    """Whether torch.compile wraps the module, stands in for its call (`module.compile()`), or for its forward pass."""
    if "_orig_mod" in module._modules or module._compiled_call_impl is not None:
        return True
    # `torch.compiler.disable` leaves the same mark, beside one of its own.
    forward = module.forward
    return hasattr(forward, "_torchdynamo_orig_callable") and not hasattr(forward, "_torchdynamo_disable")


def check_computed_once(transformer: Any) -> None:
    """Raises ModelError where the pass that now begins will run its blocks a second time, in the backward pass.

    diffusers recomputes blocks whenever gradients are kept, in training mode or not.
    """
    if torch.is_grad_enabled() and getattr(transformer, "is_gradient_checkpointing", False):
        raise ModelError(
            "gradient checkpointing is on: the backward pass computes each block again, where no map can be read. "
            "Next: `transformer.disable_gradient_checkpointing()`, or run the transformer under `torch.no_grad()`"
        )


def find_unheeded_backend(transformer: Any) -> str | None:
    """What to say where diffusers has another attention backend set than torch's own, and these blocks do not use it.

    Only processors that carry the choice look at it; for others `set_attention_backend` and DIFFUSERS_ATTN_BACKEND are
    without effect, and diffusers does not say so. None where all is well.
    """
    active = AttentionBackendName(_AttentionBackendRegistry.get_active_backend()[0])
    processors = {
        type(module.processor): hasattr(module.processor, "_attention_backend")
        for module in transformer.modules()
        if getattr(module, "processor", None) is not None
    }
    deaf = sorted(kind.__name__ for kind, heeds in processors.items() if not heeds)
    if active == AttentionBackendName.NATIVE or not deaf:
        return None
    return (
        f"diffusers has the attention backend {active.value!r} set, which has no effect here: {', '.join(deaf)} of "
        f"{type(transformer).__name__} always calls torch's own scaled_dot_product_attention"
    )
