"""Run folders are finished beside the live pass, one at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import copy_context
from threading import Thread

from vidconcept.errors import VidconceptError, describe_unexpected

log = logging.getLogger(__name__)


class Deliverer:
    """Does one piece of work at a time in a thread; done, failed: how many so far. warn: told why one failed."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.done = self.failed = 0
        self._warn = warn
        self._thread: Thread | None = None

    @property
    def is_busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def take(self, what: str, work: Callable[[], None]) -> None:
        """Begin when the work before is done. what: for the warning, if it fails."""
        self.close()
        # With the caller's context, which says where settings come from.
        run = copy_context().run
        self._thread = Thread(target=run, args=(self._run, what, work), name="vidconcept run folder")
        self._thread.start()

    def close(self) -> None:
        """Wait for what is under way."""
        if self._thread is not None:
            self._thread.join()

    def _run(self, what: str, work: Callable[[], None]) -> None:
        try:
            work()
            self.done += 1
        except (VidconceptError, OSError, MemoryError) as error:
            self._fail(f"{what}: {error}")
        except Exception as error:
            self._fail(f"{what}: {describe_unexpected(error)}. Next: the log shows where, at level DEBUG")

    def _fail(self, said: str) -> None:
        self.failed += 1
        self._warn(said)
        log.debug("where it failed", exc_info=True)
