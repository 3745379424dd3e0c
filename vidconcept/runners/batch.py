"""Many films on many workers: each is done once, a bad one costs itself alone, and a second call goes on.

One loop for every kind of worker: films come from an intake, workers from a pool, and what is done is on the disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from vidconcept.errors import InputError, Interrupted, OutputError
from vidconcept.fleet.board import Board
from vidconcept.fleet.footage import Film
from vidconcept.fleet.intake import Intake
from vidconcept.fleet.leases import BEAT_S, STALE_S, Watcher
from vidconcept.fleet.records import Records, marks_of
from vidconcept.fleet.schedule import Schedule
from vidconcept.fleet.stalls import Stalls
from vidconcept.manifest import MANIFEST
from vidconcept.ownership import list_missing
from vidconcept.runners.asking import Asking
from vidconcept.runners.order import Order, Report
from vidconcept.runners.pool import Pool, Progressed
from vidconcept.wording import format_count, format_duration

# How often the films that others hold are looked at.
LOOK_S = 2.0
# Films that need no work are passed over in such portions, so that a terminal stays alive.
_PORTION = 200
_PATIENCE_S = 0.2


@dataclass(frozen=True, slots=True)
class Word:
    """What a person is told when it happens. about: the film, None for the batch. is_general: it holds of all films of
    a camera or a machine alike."""

    kind: Literal["done", "skipped", "failed", "again", "waiting", "warning"]
    about: Film | None
    said: str
    is_general: bool = False


@dataclass
class Batch:
    """One call of `batch`.

    out: the folder of runs. tell: told of each film. tick: called several times a second. existing: what to do with
    runs that were made otherwise. stale_s: after which a lease without a sign of life is taken over. split_s: longer
    films are done in parts of about this length. stalls: ends workers that show no progress.
    """

    out: Path
    intake: Intake
    pool: Pool
    asking: Asking = field(default_factory=Asking)
    board: Board = field(default_factory=Board)
    tell: Callable[[Word], None] = lambda word: None
    tick: Callable[[], None] = lambda: None
    stop: Callable[[], bool] = lambda: False
    existing: Literal["resume", "overwrite"] = "resume"
    tries: int = 3
    beat_s: float = BEAT_S
    stale_s: float = STALE_S
    split_s: float | None = None
    stalls: Stalls = field(default_factory=Stalls)

    def __post_init__(self) -> None:
        self._records = Records(self.out)
        self._schedule = Schedule(self.tries)
        self._watcher = Watcher(self.stale_s)
        self._busy_since: dict[str, float] = {}
        self._full = ""
        # More films wait that may need no work.
        self._hurries = False
        # Parts that are not done, and the films that were split: at last they come as a whole.
        self._parts: dict[str, set[str]] = {}
        self._were_split: set[str] = set()

    def run(self) -> Board:
        """Do every film; returns what became of them.

        Raises Interrupted when told to stop, OutputError when nothing can be written any more; a film's own trouble is
        in the board.
        """
        stopping = False
        while True:
            self._take_in()
            stop_now = self.stop() or bool(self._full)
            if stop_now and not stopping:
                stopping = True
                self.pool.ask_to_stop()
            if not stopping:
                self._hand_out()
                self._look_elsewhere()
            self.tick()
            if stopping and not self._schedule.running:
                break
            if not self.intake.open and not self._schedule.unfinished:
                break
            for slot, message in self.pool.wait(0.0 if self._hurries else _PATIENCE_S):
                self._read(slot, message)
            self._end_stalled()
        if self._full:
            raise OutputError(self._full)
        if stopping:
            raise Interrupted(
                f"interrupted with {format_count(self.left, 'film')} left; what was done is kept. "
                "Next: run the same command again to continue"
            )
        return self.board

    @property
    def left(self) -> int:
        """Films that are not done."""
        return self._schedule.left

    def _take_in(self) -> None:
        if self.intake.open and (films := self.intake.take()):
            self._schedule.add(films)
            self.board.finds(films)

    def _hand_out(self) -> None:
        passed = 0
        for slot in range(self.pool.slots):
            if slot in self._schedule.running or not self.pool.is_ready(slot):
                continue
            while slot not in self._schedule.running and passed < _PORTION:
                film = self._schedule.next_for(slot)
                if film is None:
                    break
                if not self._start(slot, film):
                    passed += 1
        self._hurries = passed >= _PORTION

    def _start(self, slot: int, film: Film) -> bool:
        """Give a film to a worker; False where that was not needed."""
        if film.unread:
            self._give_up(self._schedule.finished(slot), film.unread)
            return False
        asked = self.asking.digest(film)
        if film.part is None and self._is_done(film, asked):
            self._schedule.finished(slot)
            self._ended(film, Report("skipped", "done before"))
            return False
        self.board.starts(slot, film)
        self.stalls.starts(slot, film)
        order = Order(
            str(film.source), str(self.out), dict(film.settings), str(film.config) if film.config else None,
            film.camera, film.view, asked, self.existing, self.tries, self.beat_s, film.part, self._split_s(film),
        )  # fmt: skip
        self.pool.give(slot, order)
        return True

    def _split_s(self, film: Film) -> float | None:
        """From which length on the worker has to split the film; None for a part, and where all parts are there."""
        return None if film.part is not None or film.key in self._were_split else self.split_s

    def _is_done(self, film: Film, asked: str) -> bool:
        """By its record, the marks of its files and the names of its results alone: none is opened."""
        record = self._records.read(film)
        same = record.state == "done" and (record.asked, record.camera) == (asked, film.camera)
        run = self.out / film.run_name
        if not same or not (run / MANIFEST).is_file() or list_missing(run):
            return False
        try:
            return record.marks == marks_of(film.source)
        except (InputError, OSError):
            return False

    def _look_elsewhere(self) -> None:
        now_s = time.monotonic()
        for film in list(self._schedule.elsewhere.values()):
            if now_s - self._busy_since[film.task] < LOOK_S:
                continue
            if self._watcher.is_free(self._records.lease_path(film)):
                self._schedule.free(film)
            self._busy_since[film.task] = now_s
        self.board.elsewhere = len(self._schedule.elsewhere)

    def _read(self, slot: int, message: Progressed | Report) -> None:
        if isinstance(message, Progressed):
            self.board.progressed(slot, message.stage, message.done, message.total)
            self.stalls.progressed(slot, message.stage, message.done)
            return
        self.board.running.pop(slot, None)
        self.stalls.ends(slot)
        schedule = self._schedule
        # However it ended: what is lost is lost.
        for warning in message.warnings:
            self.tell(Word("warning", schedule.running[slot], warning))
        for remark in message.remarks:
            self.tell(Word("warning", schedule.running[slot], remark, is_general=True))
        match message.kind:
            case "busy":
                film = schedule.busy(slot)
                if film.task not in self._busy_since:
                    self.tell(Word("waiting", film, f"in the hands of {message.said}"))
                self._busy_since[film.task] = time.monotonic()
            case "died":
                film, left = schedule.died(slot)
                self.board.deaths += 1
                # What a dead worker leaves is removed for whoever looks into the folder.
                self._watcher.is_free(self._records.lease_path(film))
                if left > 0:
                    self._again(film, f"{message.said}; it is tried again alone, {format_count(left, 'time')} at most")
                else:
                    self._give_up(film, f"given up after {format_count(self.tries, 'try', 'tries')}: {message.said}")
            case "memory":
                film, again = schedule.ran_out_of_memory(slot)
                if again:
                    self._again(film, f"{message.said.partition('. Next')[0]}; it is tried again alone")
                else:
                    self._give_up(film, f"also alone: {message.said}")
            case "missing":
                film, again = schedule.lost_its_folder(slot)
                if again:
                    self._again(film, f"{message.said.partition('. Next')[0]}; it is tried again")
                else:
                    self._give_up(film, message.said)
            case "split":
                self._take_parts(schedule.finished(slot), message.facts["parts"])
            case "interrupted":
                # Back into the queue: it counts as left.
                schedule.add([schedule.finished(slot)])
            case "full":
                schedule.add([schedule.finished(slot)])
                self._full = self._full or message.said
            case _:
                self._ended(schedule.finished(slot), message)

    def _end_stalled(self) -> None:
        for slot, silent_s in self.stalls.find():
            self.pool.end(slot)
            self.stalls.ends(slot)
            at = self.board.running.pop(slot)
            film, again = self._schedule.stood_still(slot)
            self.board.deaths += 1
            self._watcher.is_free(self._records.lease_path(film))
            said = f"no progress for {format_duration(silent_s)} ({at}), so its worker was ended"
            if again:
                self._again(film, f"{said}; it is tried again alone")
            else:
                self._give_up(film, f"also alone: {said}. Next: a larger `stall`, if it is only slow")

    def _again(self, film: Film, said: str) -> None:
        self.board.retries += 1
        self.tell(Word("again", film, said))

    def _give_up(self, film: Film, reason: str) -> None:
        if film.part is not None:
            self._part_ended(film, Report("failed", reason, 1))
            return
        record = replace(self._records.read(film), unread=bool(film.unread))
        self._records.write(film, record.end("failed", reason))
        self._ended(film, Report("failed", reason, 1))

    def _take_parts(self, film: Film, parts: list[list[int | None]]) -> None:
        films = [replace(film, part=(first or 0, end)) for first, end in parts]
        self._were_split.add(film.key)
        self._parts[film.key] = {part.task for part in films}
        self._schedule.add_first(films)

    def _part_ended(self, film: Film, report: Report) -> None:
        left = self._parts.get(film.key)
        if left is None:
            # The film failed by another part.
            return
        self.board.busy_s += report.facts.get("busy_s", 0.0)
        left.discard(film.task)
        if report.kind == "failed":
            del self._parts[film.key]
            self._schedule.drop(film.key)
            self._give_up(replace(film, part=None), report.said)
        elif not left:
            del self._parts[film.key]
            self._schedule.add_first([replace(film, part=None)])

    def _ended(self, film: Film, report: Report) -> None:
        board, facts = self.board, report.facts
        if film.part is not None:
            self._part_ended(film, report)
            return
        if report.kind == "failed":
            board.ends(film, "failed", report.said)
            self.tell(Word("failed", film, report.said))
            return
        if report.kind == "skipped":
            board.ends(film, "skipped")
            self.tell(Word("skipped", film, report.said))
            return
        board.ends(film, "done")
        board.busy_s += facts.get("busy_s", 0.0)
        board.film_s += facts.get("film_s", 0.0)
        board.frames += facts.get("frames", 0)
        board.events.update(facts.get("events", {}))
        found = ", ".join(f"{count} x {name}" for name, count in facts.get("events", {}).items())
        self.tell(Word("done", film, "; ".join(part for part in (found, report.said) if part)))
