"""What a run writes, and nothing else of its folder: whose the folder is, who works in it, and what may be removed."""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
import weakref
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType

from vidconcept.errors import InputError, InUseError, OutputError, UsageError, output_errors
from vidconcept.files import SCRATCH, SCRATCH_NAME, explain_unwritable, identify_path
from vidconcept.manifest import MANIFEST, read_manifest
from vidconcept.written import check_replaceable

log = logging.getLogger(__name__)
RESULTS = ("annotated.mp4", "frames.csv", "tracks.csv", "events.csv", "recurring.csv", "masks.json", "review.html")
LOCK = "lock"
# Folders of a run, and the names of files in them that a run makes.
THUMB_NAME = re.compile(r"(recurring_)?\d{5,}\.jpg")
FOLDERS = {
    "thumbs": THUMB_NAME,
    "maps": re.compile(r"((window|offer)_\d{6,}|memory|drawn)\.safetensors"),
    SCRATCH: re.compile(rf"tracks\.jsonl|heat\.bin|{LOCK}|{SCRATCH_NAME.pattern}"),
}


def list_own_files(run: Path) -> list[Path]:
    """The files in a run folder that a run made; of these alone `--existing overwrite` removes any."""
    found = [run / name for name in (*RESULTS, MANIFEST) if (run / name).is_file() or (run / name).is_symlink()]
    for name, shape in FOLDERS.items():
        if (run / name).is_dir() and not (run / name).is_symlink():
            found += [path for path in sorted((run / name).iterdir()) if shape.fullmatch(path.name)]
    return found


def list_missing(run: Path, pictures: int = 0) -> list[str]:
    """What a finished run should hold and does not, or holds empty: somebody removed it, or the disk lost it.

    pictures: how many thumbnails there are of its events and recurring groups. Maps are no result: whoever removes them
    keeps the findings.
    """
    missing = [name for name in RESULTS if not _has_content(run / name)]
    # The folder is looked into only where it should hold any: a batch asks of ten thousand runs.
    found = (run / "thumbs").glob("*.jpg") if pictures else ()
    thumbs = sum(THUMB_NAME.fullmatch(path.name) is not None and _has_content(path) for path in found)
    return missing + ([f"{pictures - thumbs} of {pictures} pictures in thumbs"] if thumbs < pictures else [])


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def check_ours(folder: Path) -> bool:
    """Whether `folder` holds a run; False where it is empty, not there, or holds only what a killed run left in
    its scratch folder.

    Raises OutputError for anything else, in which nothing is ever written or removed, and for a run whose folders are
    links to elsewhere.
    """
    if folder.is_symlink() and not folder.exists():
        raise OutputError(f"{folder} is a link to what is not there. Next: remove it, or choose another `out`")
    if not folder.exists():
        above = next(parent for parent in folder.absolute().parents if parent.exists())
        if not above.is_dir():
            raise OutputError(f"{above} is a file, not a folder. Next: choose another folder with `out`")
        return False
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder. Next: choose another folder with `out`")
    with output_errors(folder):
        linked = [name for name in FOLDERS if (folder / name).is_symlink()]
        others = sorted(path.name for path in folder.iterdir() if not _is_own_scratch(path))
    if linked:
        raise OutputError(f"{folder / linked[0]} is a link, and a run writes into no link. Next: another `out`")
    if not others:
        return False
    try:
        read_manifest(folder)
    except InputError as error:
        reason = str(error) if MANIFEST in others else f"{folder} is not empty and not a run: it holds {others[0]!r}"
        raise OutputError(f"{reason}. Nothing is written there. Next: choose another folder with `out`") from error
    return True


def check_writable(folder: Path) -> None:
    """Raises OutputError where nothing can be written into `folder`, or it cannot be made."""
    above = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if reason := explain_unwritable(above):
        raise OutputError(f"cannot write {folder}: {reason}. Next: choose another folder with `out`")


def _is_own_scratch(path: Path) -> bool:
    if path.name != SCRATCH or not path.is_dir() or path.is_symlink():
        return False
    return all(FOLDERS[SCRATCH].fullmatch(inner.name) for inner in path.iterdir())


def remove_results(run: Path) -> None:
    """Remove what an earlier run wrote; `run.json` stays until the next one takes its place, so that a run it is."""
    for path in list_own_files(run):
        if path.name not in (MANIFEST, LOCK):
            path.unlink(missing_ok=True)


def clear_scratch(run: Path) -> None:
    """Remove what is left of earlier work in the scratch folder, also of a killed run."""
    for path in list_own_files(run):
        if path.parent.name == SCRATCH and path.name != LOCK:
            with suppress(OSError):
                path.unlink()


def check_apart(run: Path, read: Iterable[Path]) -> None:
    """Raises UsageError where one of the files or folders that are read is, or lies in, what the run writes."""
    places = {(run / name).resolve() for name in (*RESULTS, MANIFEST, *FOLDERS)}
    identities = {identify_path(path) for path in list_own_files(run)} - {None}
    folders: dict[Path, Path] = {}
    for path in read:
        if path.parent not in folders:
            folders[path.parent] = path.parent.resolve()
        inside = folders[path.parent] / path.name
        real = path.resolve() if path.is_symlink() else inside
        if any(place in (at, *at.parents) for at in {inside, real} for place in places):
            raise UsageError(f"{path} lies where this run writes, in {run}. Next: choose another folder with `out`")
        if identify_path(path) in identities:
            raise UsageError(f"{path} is a file that this run writes, in {run}. Next: choose another folder with `out`")


def check_output(path: Path, read: Iterable[Path]) -> None:
    """Before the work of hours: raises UsageError where a file that is about to be written is one of those that are
    read, and OutputError where it would take the place of one that no command wrote."""
    refuse_what_is_read(path, read)
    check_replaceable(path)


def refuse_what_is_read(path: Path, read: Iterable[Path]) -> None:
    """Raises UsageError where a file that is about to be written is one of those that are read."""
    identity = identify_path(path)
    for other in read:
        if path.absolute() == other.absolute() or (identity is not None and identity == identify_path(other)):
            raise UsageError(f"{path} would take the place of what is read. Next: give another name with `out`")


def sync_results(run: Path) -> None:
    """Have the disk hold the results and their names: after that a power cut costs none of them.

    Not the maps, which are checked when they are read, nor the thumbnails: hundreds of files would take seconds.
    """
    sync([*(run / name for name in RESULTS), run])


def sync(paths: Iterable[Path]) -> None:
    """The same for some files and folders, where the file system can."""
    for path in paths:
        with suppress(OSError):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


class RunLock:
    """Held by the one process that writes into a run folder; the system frees it when that process dies.

    Raises InUseError, with who holds it, where another has it. On file systems without locks nothing is locked.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / SCRATCH / LOCK
        if self.path.parent.is_symlink():
            raise OutputError(f"{self.path.parent} is a link, and a run writes into no link. Next: remove the link")
        with output_errors(run):
            handle = self._open()
            while not _is_at(handle, self.path):
                # Whoever had it removed the file between our opening and locking it.
                os.close(handle)
                handle = self._open()
            holder = f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now():%Y-%m-%d %H:%M:%S}"
            os.ftruncate(handle, 0)
            os.write(handle, holder.encode())
        # Also when the process ends, or the last owner of this object forgets it.
        self._finalizer = weakref.finalize(self, _free, handle, self.path)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        while True:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                handle = os.open(self.path, flags, 0o644)
                break
            except FileNotFoundError:
                continue
        if _try_lock(handle):
            return handle
        holder = os.read(handle, 200).decode("utf-8", "replace") or "another process"
        os.close(handle)
        raise InUseError(
            f"{self.path.parent.parent} is in use by {holder}. Next: wait for it to end, or choose another `out`"
        )

    def __enter__(self) -> RunLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Free it and remove its file; the scratch folder goes too where it is empty."""
        self._finalizer()


def _free(handle: int, path: Path) -> None:
    if os.name == "nt":
        os.close(handle)
    with suppress(OSError):
        path.unlink()
        path.parent.rmdir()
    if os.name != "nt":
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    mine = os.fstat(handle)
    return identify_path(path) == (mine.st_dev, mine.st_ino)


def _try_lock(handle: int) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            # Far behind the text, so that others can read who holds it.
            os.lseek(handle, 1 << 20, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # pyright: ignore
            os.lseek(handle, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            log.warning("this file system has no locks: let only one process write into a run folder")
            return True
        return False
    return True
