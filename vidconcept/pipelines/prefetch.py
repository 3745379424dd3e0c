"""Reading ahead: what a stage needs is made in a thread of its own while what came before is worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")

# Frames that wait for their turn: enough to bridge a short pause of either side, 11 MB of 720p.
AHEAD = 4
# How often a thread that waits looks whether it is still wanted, seconds.
_PATIENCE_S = 0.1


@contextmanager
def overlap(items: Iterable[T], threads: int | None, ahead: int = AHEAD) -> Iterator[Iterator[T]]:
    """Give `items` to a block that works on them: read ahead, or, with one thread, made when they are asked for."""
    source = iter(items)
    if threads != 1:
        source = read_ahead(source, ahead)
    try:
        yield source
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()


def read_ahead(items: Iterable[T], ahead: int = AHEAD) -> Generator[T, None, None]:
    """The same items in the same order, up to `ahead` of them made before they are asked for.

    What `items` raises comes out where it would have come without a thread. When the iterator is closed, so are
    `items`, in their own thread, before `close` returns.
    """
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=max(ahead, 1))
    unwanted = threading.Event()

    def hand_over(kind: str, item: Any) -> bool:
        while not unwanted.is_set():
            with suppress(queue.Full):
                ready.put((kind, item), timeout=_PATIENCE_S)
                return True
        return False

    def work() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not hand_over("item", item):
                    return
            hand_over("end", None)
        except BaseException as error:
            hand_over("error", error)
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, item = ready.get()
            if kind == "error":
                raise item
            if kind == "end":
                return
            yield item
    finally:
        unwanted.set()
        thread.join()
