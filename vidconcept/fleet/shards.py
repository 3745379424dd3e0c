"""One part of N of an archive, for machines that do not talk to each other."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vidconcept.errors import UsageError
from vidconcept.fleet.footage import Film


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` of `count`, counted from 0 as Kubernetes' indexed jobs count."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Raises UsageError for what is no `I/N` with I from 0 to N-1."""
        match = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text)
        if match is None or not int(match[1]) < int(match[2]):
            raise UsageError(f"`shard={text}` is not I/N with I from 0 to N-1. Next: e.g. `shard=0/8` to `shard=7/8`")
        return cls(int(match[1]), int(match[2]))

    def holds(self, film: Film) -> bool:
        """Each film is in one shard of N, by its path and view alone.

        Films that are added, and the order in which they are found, move no other from one shard to the next.
        """
        return int(film.key, 16) % self.count == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
