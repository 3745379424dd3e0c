"""What is known of a batch while it goes on: counts, who works on what, what failed, and how long it will take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from vidconcept.fleet.footage import Film


@dataclass
class Running:
    """A film at work. since_s, from_done: when its present stage began to move, and how far it was then."""

    film: Film
    stage: str = "starting"
    done: int = 0
    total: int | None = None
    since_s: float = 0.0
    from_done: int = 0

    def __str__(self) -> str:
        """ "reading maps, 12 of 40"."""
        if not self.done:
            return self.stage
        return f"{self.stage}, {self.done}" + (f" of {self.total}" if self.total else "")

    def left_s(self, now_s: float) -> float | None:
        """Of the present stage; None where that cannot be said."""
        moved = self.done - self.from_done
        if not self.total or moved <= 0 or self.done > self.total:
            return None
        return (now_s - self.since_s) * (self.total - self.done) / moved


@dataclass
class Board:
    """films: found so far. done, skipped: finished now, and before. failed: with the reason, in order.

    busy_s: what the films done now took their workers. film_s: their length. events: of films done now, by concept.
    deaths, retries: workers that died, films tried again. revised: films by what they had come to before they changed
    and were taken again; they count once, by what they came to last.
    """

    clock: Callable[[], float] = time.monotonic
    films: int = 0
    done: int = 0
    skipped: int = 0
    elsewhere: int = 0
    failed: list[tuple[Film, str]] = field(default_factory=list)
    running: dict[int, Running] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    busy_s: float = 0.0
    film_s: float = 0.0
    frames: int = 0
    deaths: int = 0
    retries: int = 0
    revised: Counter[str] = field(default_factory=Counter)
    _found: set[str] = field(default_factory=set, repr=False)
    _states: dict[str, Literal["done", "skipped", "failed"]] = field(default_factory=dict, repr=False)

    @property
    def finished(self) -> int:
        return self.done + self.skipped + len(self.failed)

    def finds(self, films: Iterable[Film]) -> None:
        """Count films that were found, each once."""
        self._found.update(film.key for film in films)
        self.films = len(self._found)

    def ends(self, film: Film, state: Literal["done", "skipped", "failed"], reason: str = "") -> None:
        """Count what became of a film. reason: why it failed."""
        before = self._states.get(film.key)
        if state == "skipped" and before in ("done", "skipped"):
            return
        if before is not None:
            self.revised[before] += 1
            self.done -= before == "done"
            self.skipped -= before == "skipped"
            self.failed = [(other, why) for other, why in self.failed if other.key != film.key]
        self._states[film.key] = state
        self.done += state == "done"
        self.skipped += state == "skipped"
        if state == "failed":
            self.failed.append((film, reason))

    def starts(self, slot: int, film: Film) -> None:
        self.running[slot] = Running(film, since_s=self.clock())

    def progressed(self, slot: int, stage: str, done: int, total: int | None) -> None:
        running = self.running.get(slot)
        if running is None:
            return
        if stage != running.stage:
            running.stage, running.since_s, running.from_done = stage, self.clock(), done
        running.done, running.total = done, total

    def left_s(self, slots: int) -> float | None:
        """Of the whole batch, by the films done now; None before the first."""
        if not self.done:
            return None
        waiting = max(self.films - self.finished - len(self.running), 0)
        # Those at work are half through, on average.
        return (waiting + 0.5 * len(self.running)) * self.busy_s / self.done / max(slots, 1)
