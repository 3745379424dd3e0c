"""The command line. No tensors, no arrays: it settles options, calls the library, and prints."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
import traceback
from typing import Annotated

import typer

from vidconcept import __version__, signals
from vidconcept.commands import batch, calibrate, concept, generate, image, machine, review, track, trust, watch
from vidconcept.commands.flags import NamingGroup
from vidconcept.errors import ExitCode, Interrupted, VidconceptError, describe_unexpected, says_out_of_memory
from vidconcept.files import shorten

app = typer.Typer(
    name="vidconcept",
    cls=NamingGroup,
    help="Track concepts (scratch, dent, ...) through footage, offline, without training or labels.",
    epilog=track.EXAMPLES,
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


SMALLER = "smaller window_frames, height and width (options of track, --set KEY=VALUE elsewhere)"


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", metavar="", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


for module in (track, batch, watch, image, generate, review, calibrate, concept, trust, machine):
    module.register(app)


def main() -> None:
    """Run the command; errors become one or two lines on stderr and an exit code."""
    signals.stop_at_signals()
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # A name with a letter that the terminal cannot show must not end a run that is done.
        sys.stdout.reconfigure(errors="backslashreplace")
    # Of damaged pictures it would print what its inside came upon, between our own lines.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    # Any command takes it; only those that run long name it in their help.
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    logging.basicConfig(level=logging.WARNING, format="warning: %(message)s", stream=sys.stderr)
    if debug:
        logging.getLogger("vidconcept").setLevel(logging.DEBUG)
    try:
        _check_working_directory()
        app(standalone_mode=True)
    except VidconceptError as error:
        _refuse_if_adrift(debug, error)
        _say(debug, error, str(error))
        raise SystemExit(int(error.exit_code)) from None
    except KeyboardInterrupt:
        raise SystemExit(int(ExitCode.INTERRUPTED)) from None
    except MemoryError as error:
        _say(
            debug,
            error,
            f"out of memory. Next: {SMALLER}",
        )
        raise SystemExit(int(ExitCode.FAILURE)) from None
    except Exception as error:
        if signals.asked_to_stop:
            # A library that was interrupted in its import says so in words of its own.
            raise SystemExit(int(ExitCode.INTERRUPTED)) from None
        _refuse_if_adrift(debug, error)
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            # Whatever first looked for it: no path of an argument or a file can be so long.
            _say(debug, error, f"{shorten(str(error.filename))!r} is not a valid file name. Next: check the path")
            raise SystemExit(int(ExitCode.USAGE)) from None
        if (
            isinstance(error, OSError)
            and error.filename is None
            and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
        ):
            _say(debug, error, f"cannot write what is printed: {error.strerror}. Next: let it go elsewhere")
            raise SystemExit(int(ExitCode.FAILURE)) from None
        text = describe_unexpected(error)
        _say(debug, error, f"{text}. Next: {_advise(error)}")
        raise SystemExit(int(ExitCode.FAILURE)) from None


def _advise(error: Exception) -> str:
    """What helps after an error that nobody foresaw."""
    if isinstance(error, ImportError) and says_out_of_memory(str(error)):
        return "raise the limit of memory (ulimit -v): the libraries alone take several GB of address space"
    return f"{SMALLER}, or device=cpu" if says_out_of_memory(str(error)) else "--debug shows where"


def _check_working_directory() -> None:
    """Raises VidconceptError where it is gone: no relative path can be found then."""
    try:
        os.getcwd()
    except OSError as error:
        raise VidconceptError("the working directory has been removed. Next: cd to a folder that is there") from error


def _refuse_if_adrift(debug: bool, error: BaseException) -> None:
    """Whatever a path came upon, where the working directory was removed meanwhile that is why."""
    try:
        _check_working_directory()
    except VidconceptError as gone:
        _say(debug, error, str(gone))
        raise SystemExit(int(gone.exit_code)) from None


def _say(debug: bool, error: BaseException, message: str) -> None:
    if debug:
        traceback.print_exception(error)
    print(message if isinstance(error, Interrupted) else f"error: {message}", file=sys.stderr)
