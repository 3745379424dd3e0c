"""vidconcept: track concepts through real footage with the attention of a video diffusion transformer."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidconcept.pipelines.track import Run, track

__version__ = "0.1.0"
__all__ = ["Run", "__version__", "track"]


def __getattr__(name: str) -> Any:
    # torch and diffusers take seconds to import: `vidconcept --help` does not wait for them.
    if name in ("Run", "track"):
        from vidconcept.pipelines import track as module

        return getattr(module, name)
    raise AttributeError(f"module 'vidconcept' has no attribute {name!r}")
