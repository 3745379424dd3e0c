"""Workers that live and show no progress: a disk that no longer answers, a decoder that never returns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vidconcept.errors import InputError
from vidconcept.fleet.footage import Film
from vidconcept.video.identity import identify

# A large model is loaded over a network in less, and reads a window on a processor in less.
PATIENCE_S = 3600.0
# Work on a whole film that tells nothing on its way, as its digest or its rarity, is quicker than this. It is about
# what cameras record, so that a film gets its own length.
SLOWEST_BYTES_PER_S = 1e6
# A batch that was itself stopped for hours says nothing of its workers.
_LONGEST_LOOK_S = 10.0


@dataclass
class _Silence:
    """Of one worker. told: the last progress. silent_s: how long that has stood."""

    allowed_s: float
    told: tuple[str, int] = ("", 0)
    silent_s: float = 0.0


@dataclass
class Stalls:
    """How long each worker has shown no progress.

    patience_s: how long that may be, for any film; None: `allow_s` says. clock: monotonic seconds; only differences
    between looks count.
    """

    patience_s: float | None = None
    clock: Callable[[], float] = time.monotonic
    _silences: dict[int, _Silence] = field(default_factory=dict, repr=False)
    _looked_s: float | None = field(default=None, repr=False)

    def starts(self, slot: int, film: Film) -> None:
        """The worker takes a film."""
        allowed_s = allow_s(film.source) if self.patience_s is None else self.patience_s
        self._silences[slot] = _Silence(allowed_s)

    def progressed(self, slot: int, stage: str, done: int) -> None:
        """Saying the same again is no progress."""
        silence = self._silences.get(slot)
        if silence is not None and silence.told != (stage, done):
            silence.told, silence.silent_s = (stage, done), 0.0

    def ends(self, slot: int) -> None:
        """The worker has reported."""
        self._silences.pop(slot, None)

    def find(self) -> list[tuple[int, float]]:
        """Workers that were silent for too long, and for how many seconds. To be called often."""
        now_s = self.clock()
        passed_s = 0.0 if self._looked_s is None else max(now_s - self._looked_s, 0.0)
        self._looked_s = now_s
        for silence in self._silences.values():
            silence.silent_s += min(passed_s, _LONGEST_LOOK_S)
        found = self._silences.items()
        return [(slot, silence.silent_s) for slot, silence in found if silence.silent_s >= silence.allowed_s]


def allow_s(source: Path) -> float:
    """Seconds without progress that a film may take: more for a large one, which takes a pass longer."""
    try:
        size = sum(mark[2] for mark in identify(source).marks)
    except (InputError, OSError):
        # Its worker meets the same, and reports it.
        return PATIENCE_S
    return PATIENCE_S + size / SLOWEST_BYTES_PER_S
