"""Keeping the libraries quiet while they load and encode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def silence(library: Any) -> Iterator[None]:
    """Neither bars nor remarks of its own between ours. library: the `utils.logging` of diffusers or transformers."""
    had_bars, level = library.is_progress_bar_enabled(), library.get_verbosity()
    library.disable_progress_bar()
    library.set_verbosity_error()
    try:
        yield
    finally:
        library.set_verbosity(level)
        if had_bars:
            library.enable_progress_bar()
