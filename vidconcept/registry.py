"""Registry entries are "package.module:name", so that a list of names imports nothing of what stands behind it."""

from importlib import import_module
from typing import Any


def load_entry(place: str) -> Any:
    """The object that "package.module:name" stands for."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
