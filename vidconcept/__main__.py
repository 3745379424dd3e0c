"""`vidconcept`, and `python -m vidconcept`: the imports take a while, and may be interrupted."""

import gc
import os
import sys
import threading
from contextlib import suppress

from vidconcept.models import light
from vidconcept.signals import end_at_signals, stop_at_signals

# New objects after which the collector looks for garbage; 700 is Python's own.
COLLECT_AFTER = 100_000
# Commands that read footage with one model and need diffusers for nothing else.
ONE_MODEL = ("track", "watch", "calibrate")


def main() -> None:
    stop_at_signals()
    # The libraries make hundreds of thousands of objects that stay. To look among them for garbage time and again took
    # a fifth of the time of their import.
    gc.set_threshold(COLLECT_AFTER)
    # Read when NumPy is imported. Its products here are small: a second thread for each only takes the processor away
    # from the stages that run beside it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Read when PyTorch is imported. Its threads otherwise keep a processor busy while they wait for one another, and
    # decoding, drawing and other programs need it: on a busy machine that took eight times as long as the work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.argv[1:2] and sys.argv[1] in ONE_MODEL:
        light.allow()
    try:
        from vidconcept.cli import main as run_command

        run_command()
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as end:
        if has_own_threads():
            end_at_once(int(end.code or 0))
        raise
    finally:
        # To take all of them apart before the process ends took a second or two.
        gc.freeze()
        # What libraries do when the process ends would print where it was interrupted.
        end_at_signals()


def has_own_threads() -> bool:
    """Whether a thread was left to itself, as that of a camera whose network does not answer for many seconds."""
    return any(thread.daemon and thread.name.startswith("vidconcept ") for thread in threading.enumerate())


def end_at_once(code: int) -> None:
    """End the process with what was printed, but without taking Python apart: that crashes around a thread which is
    inside a library."""
    end_at_signals()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
