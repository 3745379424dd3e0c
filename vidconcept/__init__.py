"""vidconcept: track concepts through real footage with the attention of a video diffusion transformer."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vidconcept.errors import (
    ExitCode,
    InputError,
    Interrupted,
    ModelError,
    OutputError,
    UsageError,
    VidconceptError,
)

if TYPE_CHECKING:
    from vidconcept.api import calibrate, evaluate
    from vidconcept.live.events import LiveEvent
    from vidconcept.live.session import Session
    from vidconcept.pipelines.track import Run, track
    from vidconcept.writers.exchange.export import export

__version__ = "0.1.0"
__all__ = [
    "ExitCode",
    "InputError",
    "Interrupted",
    "LiveEvent",
    "ModelError",
    "OutputError",
    "Run",
    "Session",
    "UsageError",
    "VidconceptError",
    "__version__",
    "calibrate",
    "evaluate",
    "export",
    "track",
]
# torch and diffusers take seconds to import: `vidconcept --help` does not wait for them.
_LAZY = {
    "LiveEvent": "vidconcept.live.events",
    "Session": "vidconcept.live.session",
    "Run": "vidconcept.pipelines.track",
    "track": "vidconcept.pipelines.track",
    "calibrate": "vidconcept.api",
    "evaluate": "vidconcept.api",
    "export": "vidconcept.writers.exchange.export",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'vidconcept' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
