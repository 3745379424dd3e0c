"""The seam between a batch and what its workers are: processes here, actors of Ray elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vidconcept.runners.order import Order, Report


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far a film is. total: None where that is not known."""

    stage: str
    done: int
    total: int | None


Message = Progressed | Report


class Pool(Protocol):
    """Workers, each with a number; one takes an order at a time."""

    @property
    def slots(self) -> int: ...

    def is_ready(self, slot: int) -> bool:
        """Whether a worker that has no film can take one."""
        ...

    def give(self, slot: int, order: Order) -> None:
        """Have a free worker do a film."""
        ...

    def wait(self, timeout_s: float) -> list[tuple[int, Message]]:
        """What workers told, each with its number; for each order one `Report` in the end, also when it died."""
        ...

    def end(self, slot: int) -> None:
        """End a worker that does not answer, at once. Nothing more is told of its order."""
        ...

    def ask_to_stop(self) -> None:
        """Have every worker finish its window and report."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...
