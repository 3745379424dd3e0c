"""A worker as a process of its own: orders on standard input, one JSON a line; what becomes of them on standard output.

It ends with the process that started it: when its input ends, nobody is there to report to.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from dataclasses import asdict
from typing import TextIO

from vidconcept.runners.order import ENDS_WORKER, Order
from vidconcept.signals import STOPPING

# Progress is told at most so often.
_TELL_S = 0.5


def main() -> None:
    answers = _own_stdout()
    orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
    stop = threading.Event()
    # Slurm and systemd tell every process, not only the batch.
    for number in STOPPING:
        signal.signal(number, lambda _number, _frame: stop.set())
    threading.Thread(target=_listen, args=(orders, stop), daemon=True).start()
    told_s = 0.0

    def progress(stage: str, done: int, total: int | None) -> None:
        nonlocal told_s
        now_s = time.monotonic()
        if now_s - told_s >= _TELL_S or not done:
            told_s = now_s
            _tell(answers, {"progress": [stage, done, total]})

    # After the input is listened to: these imports take a while, and a batch may end meanwhile.
    from vidconcept.runners.films import Desk, do_film

    desk = Desk(progress, stop.is_set)
    while True:
        report = do_film(orders.get(), desk)
        _tell(answers, {"report": asdict(report)})
        if report.kind in ENDS_WORKER:
            answers.flush()
            os._exit(0)


def _own_stdout() -> TextIO:
    """The standard output for answers alone: whatever a library prints goes to the log."""
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _tell(answers: TextIO, message: dict[str, object]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _listen(orders: queue.SimpleQueue[Order], stop: threading.Event) -> None:
    for line in sys.stdin:
        if line.strip() == "stop":
            stop.set()
        elif line.strip():
            orders.put(Order.from_json(line))
    os._exit(0)


if __name__ == "__main__":
    main()
