"""Files that appear under their name only when they are whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from vidconcept.errors import output_errors


@contextmanager
def replacing(path: Path, *, newline: str = "\n") -> Iterator[TextIO]:
    """A UTF-8 text file that takes `path`'s place when the block ends, and leaves nothing when the block raises.

    Raises OutputError where the folder cannot be written or the disk is full.
    """
    with _replacing(path, "x", newline) as file:
        yield cast(TextIO, file)


@contextmanager
def replacing_bytes(path: Path) -> Iterator[BinaryIO]:
    """The same for bytes."""
    with _replacing(path, "xb", None) as file:
        yield cast(BinaryIO, file)


@contextmanager
def _replacing(path: Path, mode: str, newline: str | None) -> Iterator[object]:
    partial = path.with_name(f".{path.name}.partial")
    try:
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.unlink(missing_ok=True)
            with open(partial, mode, encoding=None if "b" in mode else "utf-8", newline=newline) as file:
                yield file
            os.replace(partial, path)
    finally:
        # Where the folder itself is the trouble, there is nothing to clean up.
        with suppress(OSError):
            partial.unlink(missing_ok=True)
