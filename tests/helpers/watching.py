"""`watch` in a thread of the test, on a model of random weights."""

import threading
import time
from contextlib import contextmanager

import vidconcept
from tests.helpers.small_runs import SMALL
from vidconcept.live.messages import WatchState
from vidconcept.live.watch import WatchOptions, watch
from vidconcept.pipelines.monitor import Monitor

# Everything is a finding, so that there are events.
EASY = {"threshold": 0.001, "min_duration_s": 0.0, "edges": "coarse", "rarity": "off"}


class Watching:
    """A watch that runs in a thread of the test."""

    def __init__(self, source, model, *, settings=None, **options) -> None:
        self.told: list[dict] = []
        self.warnings: list[str] = []
        self.state: WatchState | None = None
        self.error: BaseException | None = None
        self._stop = threading.Event()
        settings = {"concepts": ("scratch", "dent"), "model": str(model), **SMALL, **EASY, **(settings or {})}
        monitor = self.monitor = Monitor(stop=self._stop.is_set, warn=self.warnings.append)

        def work():
            try:
                self.state = watch(
                    str(source), settings, WatchOptions(**{"max_delay_s": 60.0, **options}),
                    config=None, monitor=monitor, tell=self.told.append, tell_state=self._see,
                )  # fmt: skip
            except BaseException as error:
                self.error = error

        self._thread = threading.Thread(target=work)
        self._thread.start()

    def _see(self, state: WatchState) -> None:
        self.state = state

    def wait(self, timeout_s: float = 120) -> WatchState:
        self._thread.join(timeout_s)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error
        assert self.state is not None
        return self.state

    def stop(self) -> WatchState:
        self._stop.set()
        return self.wait()

    @property
    def runs(self) -> list[vidconcept.Run]:
        return [vidconcept.Run.open(line["run"]) for line in self.told if line["type"] == "run"]


@contextmanager
def watching(*given, **options):
    own = Watching(*given, **options)
    try:
        yield own
    finally:
        own._stop.set()
        own._thread.join(60)


def until(condition, timeout_s: float = 120.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "did not come"
        time.sleep(0.05)
