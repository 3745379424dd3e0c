"""Where the films of a batch come from: a list, or folders that go on growing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vidconcept.fleet.footage import Film


class Intake(Protocol):
    """Where films come from. open: whether more may come."""

    @property
    def open(self) -> bool: ...

    def take(self) -> Sequence[Film]: ...


@dataclass
class Listed:
    """Films that are known from the start."""

    films: Sequence[Film]
    open: bool = True

    def take(self) -> Sequence[Film]:
        films, self.films, self.open = self.films, (), False
        return films


@dataclass
class Both:
    """Films that are known, and then those that appear."""

    listed: Listed
    appearing: Intake

    @property
    def open(self) -> bool:
        return self.listed.open or self.appearing.open

    def take(self) -> Sequence[Film]:
        return self.listed.take() if self.listed.open else self.appearing.take()
