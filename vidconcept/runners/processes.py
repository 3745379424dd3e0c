"""Workers on this machine: processes that load the model once and take one film after the other."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from vidconcept.errors import output_errors
from vidconcept.fleet.records import OWN
from vidconcept.machine import usable_cores
from vidconcept.runners.order import ENDS_WORKER, Order, Report
from vidconcept.runners.pool import Message, Progressed

# SIGKILL, which not every system has a name for.
_KILLED = 9


def gpu_ids() -> list[str]:
    """The GPUs that may be used, as CUDA_VISIBLE_DEVICES names them; none where there is no driver."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    try:
        told = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number in range(sum(line.startswith("GPU ") for line in told.splitlines()))]


def default_jobs(gpus: Sequence[str]) -> int:
    """A worker a GPU; without one, a worker for every four cores."""
    return len(gpus) or max(1, usable_cores() // 4)


@dataclass
class _Worker:
    """A process that lives, and the order that it works on."""

    process: subprocess.Popen[bytes]
    log: Path
    order: Order | None = None


@dataclass
class ProcessPool:
    """Worker processes, started when they are first needed, and again after they died.

    slots: how many. logs: where what they print goes.
    """

    slots: int
    logs: Path
    gpus: Sequence[str] = ()
    _workers: dict[int, _Worker] = field(default_factory=dict, repr=False)
    _told: queue.SimpleQueue[tuple[int, _Worker, str | None]] = field(default_factory=queue.SimpleQueue, repr=False)

    @classmethod
    def in_runs(cls, out: Path, slots: int) -> ProcessPool:
        return cls(slots, out / OWN / "logs", gpu_ids())

    def is_ready(self, slot: int) -> bool:
        """Always: a process is started for whoever needs it."""
        return 0 <= slot < self.slots

    def give(self, slot: int, order: Order) -> None:
        """Have a worker do a film. Raises OutputError where its log cannot be written."""
        worker = self._workers.get(slot)
        if worker is None or worker.process.poll() is not None:
            worker = self._workers[slot] = self._start(slot)
        worker.order = order
        # A worker that has just died is found dead by its reader.
        with suppress(OSError):
            _stdin(worker).write(order.to_json().encode() + b"\n")
            _stdin(worker).flush()

    def wait(self, timeout_s: float) -> list[tuple[int, Message]]:
        """What the workers told; waits for the first word at most `timeout_s`."""
        found: list[tuple[int, Message]] = []
        with suppress(queue.Empty):
            told = self._told.get(timeout=timeout_s)
            while True:
                if (message := self._read(*told)) is not None:
                    found.append((told[0], message))
                told = self._told.get_nowait()
        return found

    def _read(self, slot: int, worker: _Worker, line: str | None) -> Message | None:
        if line is not None:
            if worker.order is None:
                # It was ended while it told this.
                return None
            try:
                told = json.loads(line)
            except ValueError:
                return None
            if "progress" in told:
                return Progressed(*told["progress"])
            worker.order = None
            report = Report(**told["report"])
            if report.kind in ENDS_WORKER and self._workers.get(slot) is worker:
                # It goes now: the next film is for another.
                del self._workers[slot]
            return report
        if self._workers.get(slot) is worker:
            del self._workers[slot]
        code = worker.process.wait()
        if worker.order is None:
            return None
        return Report("died", _how_it_ended(code, worker.log), 1)

    def end(self, slot: int) -> None:
        """End a worker with what it has started, without waiting: a disk may hold it where no signal arrives."""
        worker = self._workers.pop(slot)
        worker.order = None
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(worker.process.pid, signal.SIGKILL)
            else:
                worker.process.kill()

    def ask_to_stop(self) -> None:
        """Have every worker finish its window."""
        for worker in self._workers.values():
            with suppress(OSError):
                _stdin(worker).write(b"stop\n")
                _stdin(worker).flush()

    def close(self) -> None:
        """End the workers; those still at work lose the window that they are at."""
        for worker in self._workers.values():
            with suppress(OSError):
                _stdin(worker).close()
        for worker in self._workers.values():
            try:
                worker.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            with suppress(OSError):
                if not worker.log.stat().st_size:
                    worker.log.unlink()
        self._workers.clear()

    def _start(self, slot: int) -> _Worker:
        env = dict(os.environ)
        # Each its share of the cores: more threads than cores slow each other down.
        env.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // self.slots)))
        if self.gpus:
            env["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        log = self.logs / f"{socket.gethostname()[:60]}-{os.getpid()}-{slot}.log"
        with output_errors(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            with open(log, "wb") as file:
                process = subprocess.Popen(
                    [sys.executable, "-m", "vidconcept.runners.process_worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=file,
                    env=env,
                    # Ctrl-C on the terminal is for the batch, which tells its workers in its own way.
                    start_new_session=True,
                )
        worker = _Worker(process, log)
        threading.Thread(target=self._listen, args=(slot, worker), daemon=True).start()
        return worker

    def _listen(self, slot: int, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        for line in worker.process.stdout:
            self._told.put((slot, worker, line.decode("utf-8", "replace")))
        self._told.put((slot, worker, None))


def _stdin(worker: _Worker) -> IO[bytes]:
    assert worker.process.stdin is not None
    return worker.process.stdin


def _how_it_ended(code: int, log: Path) -> str:
    """By which signal or with which code, and the last that it printed."""
    if code == -_KILLED:
        how = "its process was killed (SIGKILL), as the system does when memory runs out"
    elif code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        how = f"its process crashed ({name})"
    else:
        how = f"its process ended with code {code}"
    last = ""
    with suppress(OSError), open(log, "rb") as file:
        file.seek(max(log.stat().st_size - 2000, 0))
        lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
        last = f": {lines[-1][:200]}" if lines else ""
    return f"{how}{last}"
