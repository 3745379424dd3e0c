"""What a person sees on a terminal: progress on stderr, results on stdout."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from vidconcept.commands.flags import name_options
from vidconcept.errors import Interrupted
from vidconcept.pipelines.monitor import Monitor, count_progress
from vidconcept.signals import STOPPING
from vidconcept.wording import format_count

PLAIN_EVERY_S = 30.0
err = Console(stderr=True, highlight=False, soft_wrap=True)
out = Console(highlight=False, soft_wrap=True)


def resume_command(arguments: Sequence[str]) -> str:
    """The command line of a `track` with these arguments that goes on with its run."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and not argument.startswith("--existing"):
            kept.append(argument)
        skip = argument == "--existing"
    return shlex.join(["vidconcept", *kept, "--existing", "resume"])


class Stop:
    """First Ctrl-C: finish the window, journal, stop. Second: stop now, with `Interrupted`. said: at the first."""

    def __init__(self, said: str = "stopping after this window; press Ctrl-C again to stop at once") -> None:
        self.asked = False
        self._said = said

    def __call__(self) -> bool:
        return self.asked

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        def handle(_number: int, _frame: Any) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True
            _print_in_handler(self._said)

        before = {number: signal.signal(number, handle) for number in STOPPING}
        try:
            yield
        except KeyboardInterrupt:
            raise Interrupted from None
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _print_in_handler(text: str) -> None:
    """Print on stderr wherever the program is: also while Rich imports a part of itself, or prints."""
    with survive_hangup():
        try:
            err.print(text)
        except (ImportError, RuntimeError):
            os.write(sys.stderr.fileno(), f"{text}\n".encode())


@contextmanager
def survive_hangup() -> Iterator[None]:
    """Nothing ends because nobody is there any more to be told of it: the terminal has gone away."""
    with suppress(OSError):
        yield


def warn(message: str) -> None:
    with survive_hangup():
        err.print(f"warning: {name_options(message)}", markup=False)


def note(message: str) -> None:
    with survive_hangup():
        err.print(f"remark: {name_options(message)}", markup=False)


@contextmanager
def open_monitor() -> Iterator[Monitor]:
    """A monitor with progress: a bar with the time left on a terminal, one plain line every 30 s elsewhere."""
    stop = Stop()
    with stop.on_signals():
        if not err.is_terminal:
            yield Monitor(_PlainProgress(), stop, warn, note)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"))
        with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=err) as bars:
            tasks: dict[str, TaskID] = {}

            def show(stage: str, done: int, total: int | None) -> None:
                with survive_hangup():
                    if stage not in tasks:
                        tasks[stage] = bars.add_task(stage, total=total, count="")
                    bars.update(tasks[stage], completed=done, total=total, count=count_progress(stage, done, total))

            # On the console of the bars, which go on below it.
            yield Monitor(show, stop, warn, note)
            for task in tasks.values():
                bars.update(task, total=bars.tasks[task].completed or 1, completed=bars.tasks[task].completed or 1)


class _PlainProgress:
    """One line every `PLAIN_EVERY_S` seconds."""

    def __init__(self) -> None:
        # When a stage first spoke, and how far it was then: what a resumed run finds done took no time.
        self._stage_began: dict[str, tuple[float, int]] = {}
        self._last_line_s = time.monotonic()

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        now_s = time.monotonic()
        began_s, began_done = self._stage_began.setdefault(stage, (now_s, done))
        if now_s - self._last_line_s < PLAIN_EVERY_S:
            return
        self._last_line_s = now_s
        left_s = (now_s - began_s) * (total - done) / (done - began_done) if total and done > began_done else None
        eta = f", about {left_s:.0f} s left" if left_s is not None and left_s >= 0 else ""
        with survive_hangup():
            print(f"{stage}: {count_progress(stage, done, total)}{eta}", file=sys.stderr, flush=True)


def print_events(events: list[Any], concepts: list[str], recurring: int = 0) -> None:
    """The event table, what a reviewer reads first. recurring: groups of what is all over the footage."""
    counts = ", ".join(f"{sum(e.concept == name for e in events)} x {name}" for name in concepts)
    left_out = f"; {format_count(recurring, 'recurring group')} left out, see recurring.csv"
    out.print(f"found {counts}{left_out if recurring else ''}", markup=False)
    if not events:
        return
    table = Table("event", "concept", "from", "to", "peak score", "largest area", "where on the peak frame", box=None)
    for event in events[:30]:
        x_min, y_min, x_max, y_max = event.box_px
        table.add_row(
            str(event.event_id),
            _escape_markup(event.concept),
            f"{event.start_s:.2f} s",
            f"{event.end_s:.2f} s",
            f"{event.peak_score:.2f}",
            f"{event.max_area_px} px",
            f"x {x_min}-{x_max}, y {y_min}-{y_max}",
        )
    out.print(table)
    if len(events) > 30:
        out.print(f"and {len(events) - 30} more in events.csv")


def _escape_markup(text: str) -> str:
    return text.replace("[", r"\[")


def print_rows(title: str, rows: list[tuple[str, str]]) -> None:
    """Two columns: what, and what is known of it."""
    out.print(title, style="bold", markup=False)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        out.print(f"  {name:<{width}}  {name_options(value)}", markup=False)
