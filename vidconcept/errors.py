"""Errors that a user meets. Each says what, where, why and the next step, and carries its exit code."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Self


class ExitCode(IntEnum):
    """Exit codes of the command, a contract that users script against, and what each means."""

    meaning: str

    DONE = 0, "done"
    FAILURE = 1, "any other failure, for example output that cannot be written"
    USAGE = 2, "an option, a setting or a word that does not exist or is not valid"
    SOME_FAILED = 3, "some of several inputs failed; each is named with its reason; the others are complete"
    UNREADABLE_INPUT = 4, "the input cannot be read"
    MODEL_UNAVAILABLE = 5, "the model or its weights are missing or damaged"
    FINDINGS = 10, "`--fail-on` was given and there is such a finding; the run is complete"
    INTERRUPTED = 130, "stopped by Ctrl-C; `--existing resume` continues"

    def __new__(cls, code: int, meaning: str) -> Self:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member


class VidconceptError(Exception):
    """Base of all errors shown to a user in one or two lines; `exit_code` is what the command returns."""

    exit_code: ExitCode = ExitCode.FAILURE


class OutputError(VidconceptError):
    """The output cannot be written: no permission, disk full, folder exists."""


class InUseError(OutputError):
    """Another process writes into the run folder."""


class UsageError(VidconceptError):
    """Options, keys or words that the tool does not know, or that do not fit together."""

    exit_code = ExitCode.USAGE


class InputError(VidconceptError):
    """The input cannot be read: missing, no permission, no video stream, damaged beyond its first frame."""

    exit_code = ExitCode.UNREADABLE_INPUT


class ModelError(VidconceptError):
    """The model or its weights are not available, or are not what they claim to be."""

    exit_code = ExitCode.MODEL_UNAVAILABLE


class Interrupted(VidconceptError):
    """The user pressed Ctrl-C; what was done is journaled and can be resumed."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(
        self, said: str = "interrupted; what was finished is kept. Next: run the same command again to continue"
    ) -> None:
        super().__init__(said)


def describe_unexpected(error: BaseException) -> str:
    """An error that nobody foresaw: its type, and the first line of what it says."""
    said = str(error).strip()
    return f"{type(error).__name__}: {said.splitlines()[0] if said else 'no message'}"


# Of the systems' allocators, of GPUs, and of what loads libraries.
_OUT_OF_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "failed to map segment",
)


def says_out_of_memory(said: str) -> bool:
    """Whether an error's text is of an allocator or a loader that got no memory."""
    return any(words in said.lower() for words in _OUT_OF_MEMORY)


_WRITE_REASONS = {
    errno.ENOSPC: "the disk is full. Next: free some space, then run again",
    errno.EDQUOT: "the disk quota is used up. Next: free some space, then run again",
    errno.EFBIG: "a file outgrows the size limit here. Next: raise the limit, then run again",
    errno.EMFILE: "too many files are open. Next: raise the limit (ulimit -n), then run again",
    errno.ENFILE: "too many files are open on this machine. Next: close other programs, then run again",
    errno.EACCES: "no permission to write there. Next: choose another folder with `out`",
    errno.EPERM: "no permission to write there. Next: choose another folder with `out`",
    errno.EROFS: "the file system is read-only. Next: choose another folder with `out`",
    errno.EEXIST: "a part of the path is a file. Next: choose another folder with `out`",
    errno.ENOTDIR: "a part of the path is a file. Next: choose another folder with `out`",
    errno.ENOENT: "its folder does not exist. Next: create it, or choose another folder with `out`",
}


@contextmanager
def output_errors(path: Path, *also: type[Exception]) -> Iterator[None]:
    """Turn what the operating system says about writing `path` into one clear OutputError.

    also: further exceptions that carry an `errno`, as FFmpeg's do.
    """
    try:
        yield
    except (OSError, *also) as error:
        code = getattr(error, "errno", None) or 0
        reason = _WRITE_REASONS.get(code)
        if reason is None:
            said = os.strerror(code) if code > 0 else str(error)
            reason = f"{said}. Next: choose another folder with `out`"
        raise OutputError(f"cannot write {path}: {reason}") from error
