"""Single files that a command writes where the user says: what it wrote itself is replaced, every other file is not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from vidconcept.errors import InputError, OutputError
from vidconcept.files import describe_kind, open_regular, open_replacing, open_replacing_bytes, read_text

# A hidden folder beside the files, with the digest of each, in a file of its own: commands that run side by side do
# not write over each other's.
RECORDS = ".vidconcept"
CHANGED = "was not written by vidconcept, or changed since, and"


def check_replaceable(path: Path) -> None:
    """Before the work of hours: raises OutputError where `path` is a file that no command wrote, or that was changed
    since, as a checklist that somebody filled in. An empty file has nothing to lose."""
    _check(path, lambda: compute_digest(path) in _read_record(path), CHANGED)


def check_begins(path: Path, start: str) -> None:
    """The same for a file that is written again and again, and is known as ours by how its text begins."""
    _check(path, lambda: _begins(path, start), "was not written by vidconcept, and")


def _check(path: Path, is_known: Callable[[], bool], what: str) -> None:
    if not path.exists() and not path.is_symlink():
        return
    if path.exists() and not path.is_file():
        kind = describe_kind(path.stat().st_mode)
        raise OutputError(f"{path} is a {kind}, not a file. Next: choose another name")
    try:
        is_ours = not path.is_symlink() and (path.stat().st_size == 0 or is_known())
    except InputError:
        is_ours = False
    if not is_ours:
        raise OutputError(f"{path} {what} is not replaced. Next: move it, or choose another name")


def _begins(path: Path, start: str) -> bool:
    with open_regular(path) as file:
        return file.read(len(start.encode())) == start.encode()


@contextmanager
def open_own(path: Path, *, newline: str = "\n") -> Iterator[TextIO]:
    """A UTF-8 text file as `open_replacing` gives it. Raises OutputError as `check_replaceable` too."""
    check_replaceable(path)
    with open_replacing(path, newline=newline, seal=lambda partial: record(path, compute_digest(partial))) as file:
        yield file


@contextmanager
def open_own_bytes(path: Path) -> Iterator[BinaryIO]:
    """The same for bytes."""
    check_replaceable(path)
    with open_replacing_bytes(path, seal=lambda partial: record(path, compute_digest(partial))) as file:
        yield file


class FolderRecord:
    """The many files of one folder, known by one list, as `name` says it, in `beside`; see `check_replaceable`.

    Kept apart from the folder where readers take every file in it for one of theirs.
    """

    def __init__(self, beside: Path, name: str) -> None:
        self._path = _find_records(beside) / f"{_shorten(name)}.list"
        try:
            lines = read_text(self._path).splitlines()
        except InputError:
            lines = []
        self._known = {tuple(line.split("  ", 1)) for line in lines}

    def check(self, paths: Iterable[Path]) -> None:
        """Raises OutputError as `check_replaceable`, for the first that is not known."""
        for path in paths:
            _check(path, lambda path=path: (compute_digest(path), path.name) in self._known, CHANGED)

    def write(self, path: Path, data: bytes) -> None:
        """Write a file whole; the list knows it before it is there. Raises OutputError."""
        with open_replacing_bytes(path) as file:
            file.write(data)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8", newline="\n") as known:
                known.write(f"{hashlib.sha256(data).hexdigest()}  {path.name}\n")

    def close(self, paths: Iterable[Path]) -> None:
        """From now on only these are known, as they are."""
        with open_replacing(self._path) as file:
            file.writelines(f"{compute_digest(path)}  {path.name}\n" for path in paths)


def record(path: Path, digest: str) -> None:
    """Know a file with this digest as our own from now on, and still the one that it replaces: a kill in between
    leaves nothing that is not known. Raises OutputError."""
    digests = [*_read_record(path)[-1:], digest]
    with open_replacing(_record_path(path)) as file:
        file.writelines(f"{known}  {json.dumps(path.name)}\n" for known in digests)


def compute_digest(path: Path) -> str:
    """SHA-256 of a regular file. Raises InputError."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _record_path(path: Path) -> Path:
    return _find_records(path.parent) / f"{_shorten(path.name)}.sha256"


def _find_records(folder: Path) -> Path:
    """Raises OutputError where a link lies there: nothing is written through one."""
    records = folder / RECORDS
    if records.is_symlink():
        raise OutputError(f"{records} is a link, and nothing is written into links. Next: remove it")
    return records


def _shorten(name: str) -> str:
    """Stands for a name, which may be as long as names can be, and of any bytes."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _read_record(path: Path) -> list[str]:
    try:
        lines = read_text(_record_path(path), limit_bytes=10_000).splitlines()
    except InputError:
        # Nothing is known then, so nothing is replaced.
        return []
    return [line.partition(" ")[0] for line in lines]
