"""Recordings that appear while one watches: each is taken when it has stopped growing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vidconcept.errors import InputError
from vidconcept.fleet.footage import Film, films_below


@dataclass
class Settling:
    """Films of folders that are looked at again and again, without an end.

    settle_s: how long a file must stay as it is, by a clock that nobody sets. make: the film of a source, None for one
    that is not ours.
    """

    folders: Sequence[Path]
    out: Path
    make: Callable[[Path], Film | None]
    settle_s: float = 10.0
    look_s: float = 2.0
    clock: Callable[[], float] = time.monotonic
    open: bool = True
    _looked_s: float | None = None
    # Size and time of change, and since when they are so; None once taken.
    _seen: dict[Path, tuple[tuple[int, int], float | None]] = field(default_factory=dict, repr=False)

    def take(self) -> list[Film]:
        """The films that have settled since. Raises InputError where a folder is gone."""
        now_s = self.clock()
        if self._looked_s is not None and now_s - self._looked_s < self.look_s:
            return []
        self._looked_s = now_s
        settled = []
        for folder in self.folders:
            if not folder.is_dir():
                raise InputError(f"the folder {folder} that is watched is gone. Next: mount it, and run again")
            for source in films_below(folder, out=self.out):
                if self._has_settled(source, now_s) and (film := self.make(source)) is not None:
                    settled.append(film)
        return settled

    def _has_settled(self, source: Path, now_s: float) -> bool:
        try:
            status = source.stat()
        except OSError:
            return False
        mark = (status.st_size, status.st_mtime_ns)
        before, since_s = self._seen.get(source, (None, None))
        if before != mark:
            self._seen[source] = (mark, now_s)
            return False
        if since_s is None or now_s - since_s < self.settle_s or not status.st_size:
            return False
        self._seen[source] = (mark, None)
        return True
