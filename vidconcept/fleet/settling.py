"""Recordings that appear while one watches: each is taken when it has stopped growing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vidconcept.errors import InputError
from vidconcept.fleet.footage import Film, films_below

# A file that stays empty for so many settling times, and so long, is what a camera left that recorded nothing.
EMPTY_TIMES, EMPTY_S = 6, 60.0


@dataclass
class Settling:
    """Films of folders that are looked at again and again, without an end.

    settle_s: how long a file must stay as it is, by a clock that nobody sets; an empty one longer. make: the film of a
    source, None for one that is not ours. make_unread: that of a folder or link that cannot be read, and why.
    """

    folders: Sequence[Path]
    out: Path
    make: Callable[[Path], Film | None]
    make_unread: Callable[[Path, str], Film]
    settle_s: float = 10.0
    look_s: float = 2.0
    clock: Callable[[], float] = time.monotonic
    open: bool = True
    _looked_s: float | None = None
    # Size and time of change, or why it cannot be read, and since when it is so; None once taken.
    _seen: dict[Path, tuple[tuple[int, int] | str, float | None]] = field(default_factory=dict, repr=False)

    def take(self) -> list[Film]:
        """The films that have settled since. Raises InputError where a folder is gone."""
        now_s = self.clock()
        if self._looked_s is not None and now_s - self._looked_s < self.look_s:
            return []
        self._looked_s = now_s
        settled: list[Film] = []
        # Of a folder that was searched and holds invalid names the latter counts, which is told later.
        told: dict[Path, str] = {}
        for folder in self.folders:
            if not folder.is_dir():
                raise InputError(f"the folder {folder} that is watched is gone. Next: mount it, and run again")
            for source in films_below(folder, out=self.out, searched=told.__setitem__):
                if self._has_settled(source, now_s) and (film := self.make(source)) is not None:
                    settled.append(film)
        for place, reason in told.items():
            if not reason:
                self._seen.pop(place, None)
            elif self._stayed(place, reason, now_s, self.settle_s):
                settled.append(self.make_unread(place, reason))
        return settled

    def describe_waiting(self) -> list[str]:
        """A sentence for each recording that was seen and not taken yet."""
        waiting = [(source, mark) for source, (mark, since_s) in self._seen.items() if since_s is not None]
        return [
            f"{source} {'is empty' if mark[0] == 0 else 'had not stopped growing'} and was not tracked. Next: "
            "run again when it is whole"
            for source, mark in sorted(waiting)
            if source.is_file() and self.make(source) is not None
        ]

    def _has_settled(self, source: Path, now_s: float) -> bool:
        try:
            status = source.stat()
        except OSError:
            return False
        wait_s = self.settle_s if status.st_size else max(EMPTY_TIMES * self.settle_s, EMPTY_S)
        return self._stayed(source, (status.st_size, status.st_mtime_ns), now_s, wait_s)

    def _stayed(self, place: Path, mark: tuple[int, int] | str, now_s: float, wait_s: float) -> bool:
        """Whether it has been so for as long as `wait_s`; said once."""
        before, since_s = self._seen.get(place, (None, None))
        if before != mark:
            self._seen[place] = (mark, now_s)
            return False
        if since_s is None or now_s - since_s < wait_s:
            return False
        self._seen[place] = (mark, None)
        return True
