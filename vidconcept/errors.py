"""Errors that a user meets. Each says what, where, why and the next step, and carries its exit code."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command, a contract that users script against."""

    DONE = 0
    FAILURE = 1
    USAGE = 2
    BATCH_PARTIAL = 3
    UNREADABLE_INPUT = 4
    MODEL_UNAVAILABLE = 5
    FINDINGS = 10
    INTERRUPTED = 130


class VidconceptError(Exception):
    """Base of all errors shown to a user in one or two lines; `exit_code` is what the command returns."""

    exit_code: ExitCode = ExitCode.FAILURE


class OutputError(VidconceptError):
    """The output cannot be written: no permission, disk full, folder exists."""


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
