"""Registries name their entries as "package.module:name": a list of names costs no import of what stands behind them."""

from importlib import import_module
from typing import Any


def load_entry(place: str) -> Any:
    """The object that "package.module:name" stands for."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
