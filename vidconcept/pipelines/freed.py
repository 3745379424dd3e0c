"""Memory that a stage is done with, given back to the system before the next one asks for its own."""

import ctypes
import sys
from contextlib import suppress


def give_back_memory() -> None:
    """Ask the C library for what it keeps of freed memory; where it is not GNU's there is nothing to ask.

    It keeps blocks of up to 32 MB for the next one of their kind, and what a model or the decision needs, the encoder
    cannot use.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
