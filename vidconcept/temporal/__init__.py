"""Time: stitching, motion, un-pooling and regularisation of concept maps; pure functions on arrays."""

from vidconcept.temporal.smooth import METHODS, SmoothSettings, between, smooth
from vidconcept.temporal.stitch import stitch

__all__ = ["METHODS", "SmoothSettings", "between", "smooth", "stitch"]
