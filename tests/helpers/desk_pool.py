"""A batch's pool of one worker that is the test itself."""

from __future__ import annotations

from collections.abc import Callable

from vidconcept.runners.films import Desk, do_film
from vidconcept.runners.order import Order
from vidconcept.runners.pool import Message


class DeskPool:
    """A pool of the fourth kind: one worker, which is this process. kinds: what it reported. progress: told how far a
    film is."""

    slots = 1

    def __init__(self, progress: Callable[[str, int, int | None], None] = lambda stage, done, total: None) -> None:
        self.kinds: list[str] = []
        self._desk = Desk(progress)
        self._told: list[tuple[int, Message]] = []

    def is_ready(self, slot: int) -> bool:
        return slot < self.slots

    def give(self, slot: int, order: Order) -> None:
        # What goes to a worker is JSON.
        report = do_film(Order.from_json(order.to_json()), self._desk)
        self.kinds.append(report.kind)
        self._told.append((slot, report))

    def wait(self, timeout_s: float) -> list[tuple[int, Message]]:
        told, self._told = self._told, []
        return told

    def end(self, slot: int) -> None:
        pass

    def ask_to_stop(self) -> None:
        pass

    def close(self) -> None:
        pass
