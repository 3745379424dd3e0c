"""What a person sees of a batch: a table that lives on a terminal, one plain line a film elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vidconcept.commands.flags import name_options
from vidconcept.commands.terminal import PLAIN_EVERY_S, err, survive_hangup
from vidconcept.fleet.board import Board
from vidconcept.pipelines.monitor import count_progress
from vidconcept.runners.batch import Word
from vidconcept.wording import format_count, format_duration

# Rows of the table that stay readable.
_MOST_ROWS = 12
_REFRESH_S = 0.25


@dataclass
class Screen:
    """Told of words and asked to refresh. live: the table on a terminal, None elsewhere. slots: how many workers."""

    board: Board
    slots: int
    live: Live | None = None
    # General remarks, and of how many films each was told.
    _remarks: Counter[str] = field(default_factory=Counter, repr=False)
    _drawn_s: float = 0.0
    _line_s: float = field(default_factory=time.monotonic)

    def tell(self, word: Word) -> None:
        """One line for what happened; films that were done before are only counted."""
        if word.kind == "skipped":
            return
        if word.is_general:
            # What holds of one film of a camera holds of all: said once, and at the end of how many.
            self._remarks[word.said] += 1
            if self._remarks[word.said] > 1:
                return
        about = word.about.title if word.about is not None else ""
        said = name_options(word.said)
        style = {"failed": "red", "again": "yellow", "warning": "yellow", "done": "green"}.get(word.kind, "")
        self._print(f"{word.kind}: {about}: {said}" if about else said, style)

    def count_remarks(self) -> None:
        """One line for each general remark that was told of one film and held of more."""
        for said, count in self._remarks.items():
            if count > 1:
                self._print(f"warning: {format_count(count - 1, 'more film')}: {name_options(said)}", "yellow")

    def _print(self, text: str, style: str) -> None:
        with survive_hangup():
            err.print(Text(text, style=style if self.live is not None else ""))

    def tick(self) -> None:
        now_s = time.monotonic()
        if self.live is not None:
            if now_s - self._drawn_s >= _REFRESH_S:
                self._drawn_s = now_s
                with survive_hangup():
                    self.live.update(self.draw())
        elif now_s - self._line_s >= PLAIN_EVERY_S:
            self._line_s = now_s
            with survive_hangup():
                print(self.sentence(), file=sys.stderr, flush=True)

    def sentence(self) -> str:
        """How far the batch is, in one line."""
        board = self.board
        parts = [f"{board.finished} of {board.films} films"]
        parts += [f"{board.skipped} done before"] if board.skipped else []
        parts += [f"{len(board.failed)} failed"] if board.failed else []
        parts += [f"{len(board.running)} running"] if board.running else []
        parts += [f"{board.elsewhere} in other hands"] if board.elsewhere else []
        left_s = board.left_s(self.slots)
        return ", ".join(parts) + ("" if left_s is None else f", about {format_duration(left_s)} left")

    def draw(self) -> Group:
        """The table: who is at what, for how long yet, and the films that failed last."""
        table = Table("film", "stage", "", "left", box=None, pad_edge=False)
        for running in list(self.board.running.values())[:_MOST_ROWS]:
            left_s = running.left_s(self.board.clock())
            left = "" if left_s is None else format_duration(left_s)
            count = count_progress(running.stage, running.done, running.total)
            table.add_row(Text(running.film.title), running.stage, count, left)
        more = len(self.board.running) - _MOST_ROWS
        rows: list[Any] = [Text(self.sentence(), style="bold"), table]
        rows += [Text(f"and {more} more")] if more > 0 else []
        return Group(*rows)


@contextmanager
def open_screen(board: Board, slots: int) -> Iterator[Screen]:
    """A table that lives on a terminal; plain lines elsewhere, one every 30 s beside those of films."""
    live = Live(console=err, auto_refresh=True, transient=True) if err.is_terminal else None
    screen = Screen(board, slots, live)
    try:
        with live or nullcontext():
            yield screen
    finally:
        screen.count_remarks()
