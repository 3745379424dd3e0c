"""Being told to stop: Ctrl-C, a polite kill, and the terminal that goes away are one and the same."""

import signal
from types import FrameType

# SIGHUP is not there on every system. nohup has it ignored, and then it stays so.
STOPPING = tuple(
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if (number := getattr(signal, name, None)) is not None
    and (name == "SIGINT" or signal.getsignal(number) is not signal.SIG_IGN)
)
asked_to_stop = False


def stop_at_signals() -> None:
    """From now on each of them ends the command as Ctrl-C does: what is half written is cleaned up."""
    for number in STOPPING:
        signal.signal(number, _stop)


def end_at_signals() -> None:
    """From now on each of them ends the process at once: nothing is left to clean up."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)


def _stop(_number: int, _frame: FrameType | None) -> None:
    global asked_to_stop
    asked_to_stop = True
    raise KeyboardInterrupt
