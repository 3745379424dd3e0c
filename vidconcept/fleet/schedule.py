"""Which film a worker takes next, and what becomes of one that failed: the queue of a batch, without any process."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from vidconcept.fleet.footage import Film


@dataclass
class Schedule:
    """The films of a batch that are not done.

    tries: how often a film may take its process with it. Films that ran out of memory or killed their process run
    again alone, after all others: what a machine can do for one it may not be able to do for several.
    """

    tries: int = 3
    waiting: deque[Film] = field(default_factory=deque)
    alone: deque[Film] = field(default_factory=deque)
    # Somebody else has them: looked at again and again.
    elsewhere: dict[str, Film] = field(default_factory=dict)
    running: dict[int, Film] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)
    out_of_memory: Counter[str] = field(default_factory=Counter)
    vanished: Counter[str] = field(default_factory=Counter)
    stalled: Counter[str] = field(default_factory=Counter)
    _alone_now: bool = False

    def add(self, films: Iterable[Film]) -> None:
        self.waiting.extend(films)

    def add_first(self, films: Iterable[Film]) -> None:
        """Before all others, in their order."""
        self.waiting.extendleft(reversed(list(films)))

    def drop(self, key: str) -> None:
        """Forget what is left of a film, but for what is running."""
        self.waiting = deque(film for film in self.waiting if film.key != key)
        self.alone = deque(film for film in self.alone if film.key != key)
        self.elsewhere = {task: film for task, film in self.elsewhere.items() if film.key != key}

    @property
    def left(self) -> int:
        """Films that are not done; parts of one count once."""
        films = [*self.waiting, *self.alone, *self.elsewhere.values(), *self.running.values()]
        return len({film.key for film in films})

    @property
    def unfinished(self) -> int:
        return len(self.waiting) + len(self.alone) + len(self.elsewhere) + len(self.running)

    def next_for(self, slot: int) -> Film | None:
        """The film that the worker takes now; None where it has to wait for others, or nothing is left."""
        if self._alone_now and self.running:
            return None
        self._alone_now = False
        if self.waiting:
            film = self.waiting.popleft()
        elif self.alone and not self.running:
            film, self._alone_now = self.alone.popleft(), True
        else:
            return None
        self.running[slot] = film
        return film

    def finished(self, slot: int) -> Film:
        """The worker is done with its film, for better or worse."""
        return self.running.pop(slot)

    def busy(self, slot: int) -> Film:
        """Somebody else has the worker's film."""
        film = self.finished(slot)
        self.elsewhere[film.task] = film
        return film

    def free(self, film: Film) -> None:
        """Nobody else has it any more: it is looked at again."""
        self.waiting.append(self.elsewhere.pop(film.task))

    def died(self, slot: int) -> tuple[Film, int]:
        """The worker's process is gone. The film, and how often it has come to that; 0 left tries: it is given up."""
        film = self.finished(slot)
        self.deaths[film.task] += 1
        if (left := self.tries - self.deaths[film.task]) > 0:
            self.alone.append(film)
        return film, left

    def ran_out_of_memory(self, slot: int) -> tuple[Film, bool]:
        """The film, and whether it is tried once more, alone."""
        return self._once_more(slot, self.out_of_memory, self.alone)

    def stood_still(self, slot: int) -> tuple[Film, bool]:
        """The film, and whether it is tried once more, alone."""
        return self._once_more(slot, self.stalled, self.alone)

    def lost_its_folder(self, slot: int) -> tuple[Film, bool]:
        """The film, and whether it is tried once more."""
        return self._once_more(slot, self.vanished, self.waiting)

    def _once_more(self, slot: int, counter: Counter[str], queue: deque[Film]) -> tuple[Film, bool]:
        film = self.finished(slot)
        counter[film.task] += 1
        if again := counter[film.task] == 1:
            queue.append(film)
        return film, again
