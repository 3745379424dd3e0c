"""vidconcept: track concepts through real footage with the attention of a video diffusion transformer."""

__version__ = "0.1.0"
