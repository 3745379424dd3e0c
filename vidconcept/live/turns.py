"""A pipeline that pulls, driven by a caller who pushes: a thread of its own, and never two at work at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Semaphore, Thread, current_thread
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class _AbandonedError(Exception):
    """Raised in the work in place of an item."""


class Turns(Generic[Item, Result]):
    """Hands one item after the other to `work`, which takes an iterator of them and gives results.

    Whoever gives an item waits until the work asks for the next one, so results do not depend on timing, and what goes
    wrong in the work is raised where the item was given. Whoever stops waiting for another reason has to `abandon`.
    """

    def __init__(self, work: Callable[[Iterator[Item]], Iterator[Result]]) -> None:
        self._work = work
        self._given, self._asked = Semaphore(0), Semaphore(0)
        self._item: list[Item] = []
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self._ended = self._is_abandoned = False
        # A daemon: a caller who forgets to close must still be able to leave.
        self._thread = Thread(target=self._run, name="vidconcept pushed frames", daemon=True)
        self._is_started = False

    @property
    def is_at_work(self) -> bool:
        """Whether the caller is the work itself, for which nothing here can wait."""
        return current_thread() is self._thread

    def give(self, item: Item) -> list[Result]:
        """Results until the work asks for the next item."""
        self._item.append(item)
        return self._turn()

    def end(self) -> list[Result]:
        """There are no more items: the rest of the results."""
        if self._ended:
            return []
        results = self._turn()
        self._thread.join()
        return results

    def abandon(self, *, wait: bool = True) -> None:
        """There are no more items, and nobody wants the rest. wait: for what is being worked on."""
        self._is_abandoned = True
        self._given.release()
        if wait and self._thread.is_alive():
            self._thread.join()

    def _turn(self) -> list[Result]:
        if self._ended:
            raise RuntimeError("the work has ended")
        if not self._is_started:
            # Not in the constructor: whoever is interrupted there would have nothing to abandon.
            self._is_started = True
            self._thread.start()
            self._asked.acquire()
        if not self._ended:
            self._given.release()
            self._asked.acquire()
        results, self._results = self._results, []
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return results

    def _run(self) -> None:
        try:
            for result in self._work(self._items()):
                self._results.append(result)
        except _AbandonedError:
            pass
        except BaseException as error:
            self._error = error
        self._ended = True
        self._asked.release()

    def _items(self) -> Iterator[Item]:
        while True:
            self._asked.release()
            self._given.acquire()
            if self._is_abandoned:
                raise _AbandonedError
            if not self._item:
                return
            yield self._item.pop()
