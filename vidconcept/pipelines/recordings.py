"""Parts of a recording between holes in time."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Protocol, TypeVar


class Timed(Protocol):
    """A frame or a picture that knows whether there is a hole in time before it."""

    @property
    def after_hole(self) -> bool: ...


TimedT = TypeVar("TimedT", bound=Timed)


def split_recordings(frames: Iterable[TimedT]) -> Iterator[Iterator[TimedT]]:
    """The frames between one hole in time and the next: nothing is known across. Each part must be read in its turn."""
    for _, numbered in groupby(_number_recordings(frames), itemgetter(0)):
        yield (frame for _, frame in numbered)


def _number_recordings(frames: Iterable[TimedT]) -> Iterator[tuple[int, TimedT]]:
    """Each frame with the number of holes in time before it."""
    holes = 0
    for frame in frames:
        holes += frame.after_hole
        yield holes, frame
