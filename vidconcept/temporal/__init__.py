"""Time: stitching, motion, un-pooling and regularisation of concept maps; pure functions on arrays."""

from vidconcept.temporal.methods import SmoothSettings
from vidconcept.temporal.smooth import METHODS, smooth
from vidconcept.temporal.stitch import stitch
from vidconcept.temporal.stride import between

__all__ = ["METHODS", "SmoothSettings", "between", "smooth", "stitch"]
