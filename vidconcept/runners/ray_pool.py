"""Workers as actors of Ray, on one machine or many: paths go through Ray, frames never do.

The footage and the folder of runs must be there under the same path on every machine.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vidconcept.errors import UsageError, VidconceptError
from vidconcept.fleet.leases import read_holder
from vidconcept.fleet.records import Records
from vidconcept.runners.order import Order, Report
from vidconcept.runners.pool import Message, Progressed

# How often the leases are read for progress.
_LOOK_S = 1.0
_CORES_A_WORKER = 4


class FilmActor:
    """A worker that Ray starts, and starts again when it died. It loads the model once."""

    def __init__(self) -> None:
        import threading

        from vidconcept.runners.films import Desk

        self._stop = threading.Event()
        self._desk = Desk(stop=self._stop.is_set)

    def ready(self) -> bool:
        return True

    def do(self, order: str) -> dict[str, Any]:
        from vidconcept.runners.films import do_film

        return asdict(do_film(Order.from_json(order), self._desk))

    def stop(self) -> None:
        self._stop.set()


@dataclass
class _Slot:
    """An actor. ready: resolves when it lives; order, answer: of the film that it works on."""

    actor: Any
    ready: Any
    order: Order | None = None
    answer: Any = None
    told: tuple[str, int] = ("", 0)


@dataclass
class RayPool:
    """Actors, each with a GPU where the cluster has any, else with some cores. An actor that died comes back where
    there is room for it, and gets no film before."""

    slots: int
    address: str | None = None
    _ray: Any = field(default=None, repr=False)
    _slots: list[_Slot] = field(default_factory=list, repr=False)
    _looked_s: float = 0.0

    @classmethod
    def connect(cls, address: str | None, jobs: int | None) -> RayPool:
        """Join the cluster at `address`, or that of RAY_ADDRESS, or start one on this machine.

        jobs: how many actors; by default as many as the cluster has room for.
        Raises UsageError where Ray is not installed, VidconceptError where the cluster cannot be reached.
        """
        # It would report on its use to its makers.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            raise UsageError("`runner=ray` needs Ray. Next: pip install 'vidconcept[ray]'") from error
        try:
            ray.init(address=address, include_dashboard=None if address else False, log_to_driver=False)
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise VidconceptError(
                f"no Ray cluster at {address or 'this machine'}: {reason}. Next: ray start"
            ) from error
        there = ray.cluster_resources()
        gpus, cores = int(there.get("GPU", 0)), int(there.get("CPU", 1))
        slots = jobs or gpus or max(1, cores // _CORES_A_WORKER)
        share: dict[str, Any] = {"num_gpus": 1} if gpus else {"num_cpus": max(1, min(_CORES_A_WORKER, cores // slots))}
        # A task that was under way when its actor died is the batch's to give out again: it counts.
        share |= {"max_restarts": -1, "max_task_retries": 0, "max_concurrency": 2}
        kind: Any = ray.remote(**share)(FilmActor)
        pool = cls(slots, address, ray)
        for _ in range(slots):
            actor = kind.remote()
            pool._slots.append(_Slot(actor, actor.ready.remote()))
        return pool

    def is_ready(self, slot: int) -> bool:
        place = self._slots[slot]
        if place.ready is None:
            return True
        done, _ = self._ray.wait([place.ready], timeout=0)
        if not done:
            return False
        try:
            self._ray.get(place.ready)
        except self._ray.exceptions.RayError:
            # It died while it began; Ray starts it again.
            place.ready = place.actor.ready.remote()
            return False
        place.ready = None
        return True

    def give(self, slot: int, order: Order) -> None:
        place = self._slots[slot]
        place.order, place.told = order, ("", 0)
        place.answer = place.actor.do.remote(order.to_json())

    def wait(self, timeout_s: float) -> list[tuple[int, Message]]:
        found: list[tuple[int, Message]] = []
        answers = {place.answer: number for number, place in enumerate(self._slots) if place.answer is not None}
        if not answers:
            time.sleep(timeout_s)
            return found
        done, _ = self._ray.wait(list(answers), num_returns=len(answers), timeout=timeout_s)
        for answer in done:
            slot = answers[answer]
            found.append((slot, self._report(slot, answer)))
        now_s = time.monotonic()
        if now_s - self._looked_s >= _LOOK_S:
            self._looked_s = now_s
            found += [
                (slot, told) for slot, place in enumerate(self._slots) if (told := _progress_of(place)) is not None
            ]
        return found

    def _report(self, slot: int, answer: Any) -> Report:
        place = self._slots[slot]
        place.order = place.answer = None
        errors = self._ray.exceptions
        try:
            report = Report(**self._ray.get(answer))
        except errors.OutOfMemoryError:
            return Report("memory", "Ray ended the worker, as the machine's memory was at its end", 1)
        except errors.RayActorError as error:
            place.ready = place.actor.ready.remote()
            return Report("died", f"its actor is gone: {str(error).strip().splitlines()[0][:200]}", 1)
        except errors.RayError as error:
            return Report("failed", f"{type(error).__name__}: {str(error).strip().splitlines()[-1][:200]}", 1)
        if report.kind == "memory":
            # Whatever holds that memory goes with the process; Ray starts another.
            self._ray.kill(place.actor, no_restart=False)
            place.ready = place.actor.ready.remote()
        return report

    def end(self, slot: int) -> None:
        place = self._slots[slot]
        place.order = place.answer = None
        self._ray.kill(place.actor, no_restart=False)
        place.ready = place.actor.ready.remote()

    def ask_to_stop(self) -> None:
        for place in self._slots:
            place.actor.stop.remote()

    def close(self) -> None:
        for place in self._slots:
            self._ray.kill(place.actor)
        self._slots.clear()
        self._ray.shutdown()


def _progress_of(place: _Slot) -> Progressed | None:
    """What the lease of the film says, if it has changed."""
    if place.order is None:
        return None
    holder = read_holder(Records(Path(place.order.out)).lease_path(place.order.film))
    if holder is None or (holder.stage, holder.done) == place.told:
        return None
    place.told = (holder.stage, holder.done)
    return Progressed(holder.stage, holder.done, holder.total or None)
