"""Files: read only where they are regular and of a sane size, written so that they appear under their name whole."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import tomllib
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from vidconcept.errors import InputError, OutputError, UsageError, output_errors
from vidconcept.wording import describe_fault

Shape = TypeVar("Shape")

# Where a run under way keeps what is not whole yet.
SCRATCH = ".work"
SCRATCH_NAME = re.compile(r".*\.[0-9a-f]{8}\.partial(\.\w+)?")
# Larger than any settings, manifest or model configuration; data sets say how much more they may have.
TEXT_BYTES = 64 << 20
# Larger pictures take gigabytes, and a few damaged bytes can claim any size: they are read only where asked for.
MAX_MEGAPIXELS = 128.0
LONGEST_NAME_BYTES = 255
DEEPEST_PATH = 256
# Our own names grow by `.label-studio.config.xml` at most.
NAME_BYTES = 200


class MalformedError(InputError):
    """A file that can be read and is not in its format."""


def open_regular(path: Path, limit_bytes: int | None = None) -> BinaryIO:
    """Open a regular file for reading; pipes, devices and sockets, which may never end, are refused.

    Raises InputError for what is missing, may not be read, is no regular file, or is larger than `limit_bytes`.
    """
    try:
        # A pipe that nobody writes to would otherwise be waited for.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist. Next: check the path") from error
    except PermissionError as error:
        raise InputError(f"no permission to read {path}. Next: ask its owner, or chmod +r it") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot read {shorten(str(path))}: {reason}. Next: check the path and its permissions"
        ) from error
    file = os.fdopen(handle, "rb")
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(
                f"{path} is a {describe_kind(status.st_mode)}, not a file. Next: save its content as a file first"
            )
        if limit_bytes is not None and status.st_size > limit_bytes:
            raise InputError(
                f"{path} has {status.st_size / 1e6:.0f} MB, more than the {limit_bytes / 1e6:.0f} MB that such a file "
                "may have. Next: check that it is the right file"
            )
    except BaseException:
        file.close()
        raise
    return file


def check_regular(path: Path, limit_bytes: int | None = None) -> None:
    """Raises InputError as `open_regular`: for libraries that open a file by its name."""
    open_regular(path, limit_bytes).close()


def take_path(value: Any, key: str) -> Path:
    """The path that a caller gives as `key`. Raises UsageError for what is neither text nor a path."""
    try:
        return Path(value)
    except TypeError as error:
        raise UsageError(f"`{key}={value!r}` is no path. Next: give text or a pathlib.Path") from error


def check_name(path: Path) -> None:
    """Raises InputError for a name that no table, manifest or page could hold, or no file system."""
    try:
        longest = max((len(part.encode()) for part in path.parts), default=0)
    except UnicodeEncodeError as error:
        raise InputError(f"the name {os.fsencode(path)!r} is not UTF-8. Next: rename it") from error
    if longest > LONGEST_NAME_BYTES or "\0" in str(path):
        raise InputError(f"{shorten(str(path))!r} is not a valid file name. Next: check the path")


def check_path(path: Path) -> None:
    """The same, and raises InputError for links that lead back to themselves and for folders without end."""
    check_name(path)
    if len(path.parts) > DEEPEST_PATH:
        raise InputError(f"{shorten(str(path))!r} is in too many folders. Next: check the path")
    try:
        path.resolve()
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path} is a link that leads back to itself. Next: remove the link") from error


def refuse_special(path: Path) -> None:
    """Raises InputError for a pipe, a device or a folder; what is not there is found missing when it is read."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode):
        raise InputError(f"{path} is a {describe_kind(mode)}, not a file. Next: save its content as a file first")


def identify_path(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file or folder that a path leads to; None where there is none to be seen."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def describe_kind(mode: int) -> str:
    """What is there in place of a file, by its mode."""
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")


def read_bytes(path: Path, limit_bytes: int | None = None) -> bytes:
    """The content of a regular file. Raises InputError as `open_regular`."""
    with open_regular(path, limit_bytes) as file:
        return file.read()


def read_text(path: Path, limit_bytes: int = TEXT_BYTES) -> str:
    """UTF-8 text, with or without a byte order mark. Raises InputError."""
    try:
        return read_bytes(path, limit_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedError(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start}). "
            "Next: check the path, or save it as UTF-8"
        ) from error


def read_json(path: Path, limit_bytes: int = TEXT_BYTES) -> Any:
    """Raises InputError for a file that cannot be read or is not JSON."""
    text = read_text(path, limit_bytes)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"{path} is not JSON: {shorten(str(error))}. Next: correct it, or make it anew") from error


def read_toml(path: Path) -> dict[str, Any]:
    """Raises InputError for a file that cannot be read or is not TOML."""
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"{path} is not TOML: {shorten(str(error))}. Next: correct that place") from error


def validate(shape: TypeAdapter[Shape] | type[Shape], value: Any, path: Path, place: str = "") -> Shape:
    """`value` as `shape`, a type that pydantic knows. Raises InputError that names file, place, value and trouble."""
    adapter = shape if isinstance(shape, TypeAdapter) else TypeAdapter(shape)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join([*([place] if place else []), *map(str, first["loc"])])
        got = "" if first["type"] == "missing" else f", got {shorten(repr(first['input']))}"
        raise InputError(
            f"{path}{f', {at}' if at else ''}: {describe_fault(first)}{got}. Next: correct the file"
        ) from error


def shorten(text: str) -> str:
    """At most 120 letters of what may be megabytes: for messages."""
    return text if len(text) <= 120 else text[:117] + "..."


def shorten_name(stem: str) -> str:
    """A file's name without its suffix, cut where no other suffix would fit behind it; what is cut off still counts."""
    encoded = stem.encode("utf-8", "surrogateescape")
    if len(encoded) <= NAME_BYTES:
        return stem
    digest = hashlib.sha256(encoded).hexdigest()[:8]
    return f"{encoded[: NAME_BYTES - 9].decode('utf-8', 'ignore')}-{digest}"


def explain_unwritable(folder: Path) -> str:
    """Why nothing can be written into a folder that is there; empty where something can."""
    if os.access(folder, os.W_OK | os.X_OK):
        return ""
    if hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY:
        return "the file system is read-only"
    return "no permission to write there"


def new_scratch(path: Path) -> Path:
    """An unused name, on the same file system, for what is to become `path`.

    In the scratch folder of a run under way, else hidden beside `path`. It must be created exclusively.
    """
    folder = path.parent
    for parent in path.parents[:2]:
        if (parent / SCRATCH).is_dir() and not (parent / SCRATCH).is_symlink():
            folder = parent / SCRATCH
            break
    hidden = "" if folder.name == SCRATCH else "."
    # Short: the target's own name may be as long as names can be.
    start = path.stem.encode(errors="ignore")[:40].decode(errors="ignore")
    return folder / f"{hidden}{start}.{uuid.uuid4().hex[:8]}.partial{path.suffix[:12]}"


@contextmanager
def open_replacing(path: Path, *, newline: str = "\n", seal: Callable[[Path], None] | None = None) -> Iterator[TextIO]:
    """A UTF-8 text file that takes `path`'s place when the block ends, and leaves nothing when the block raises.

    seal: called with the whole file before it takes the place.
    Raises OutputError where the folder cannot be written, the disk is full, or `path` is a device or a pipe.
    """
    with _open_replacing(path, "x", newline, seal) as file:
        yield cast(TextIO, file)


@contextmanager
def open_replacing_bytes(path: Path, *, seal: Callable[[Path], None] | None = None) -> Iterator[BinaryIO]:
    """The same for bytes."""
    with _open_replacing(path, "xb", None, seal) as file:
        yield cast(BinaryIO, file)


@contextmanager
def _open_replacing(
    path: Path, mode: str, newline: str | None, seal: Callable[[Path], None] | None
) -> Iterator[object]:
    partial = new_scratch(path)
    try:
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not path.is_file():
                raise OutputError(
                    f"{path} is a {describe_kind(path.stat().st_mode)}, not a file. Next: give another name"
                )
            # Exclusively: what a link of that name points to is never written.
            with open(partial, mode, encoding=None if "b" in mode else "utf-8", newline=newline) as file:
                yield file
            if seal is not None:
                seal(partial)
            os.replace(partial, path)
    finally:
        # Where the folder itself is the trouble, there is nothing to clean up.
        with suppress(OSError):
            partial.unlink(missing_ok=True)
