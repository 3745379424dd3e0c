"""The loop over films, with workers that report what a test has written for them: no process, no model."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.archives import tables_of
from tests.helpers.clips import write_clip
from tests.helpers.desk_pool import DeskPool
from tests.helpers.small_runs import SMALL, small_run
from vidconcept.commands.batch_screen import open_screen
from vidconcept.errors import Interrupted, OutputError
from vidconcept.fleet.board import Board
from vidconcept.fleet.footage import Film
from vidconcept.fleet.intake import Listed
from vidconcept.fleet.leases import Lease, take_lease
from vidconcept.fleet.records import Records
from vidconcept.fleet.stalls import Stalls
from vidconcept.fleet.summarising import summary_rows
from vidconcept.pipelines.monitor import Monitor
from vidconcept.runners.batch import Batch, Word
from vidconcept.runners.films import Desk, do_film
from vidconcept.runners.order import Kind, Order, Report
from vidconcept.runners.pool import Message
from vidconcept.writers.tables import read_events, write_events

DONE = Report("done", facts={"busy_s": 1.0, "film_s": 2.0, "frames": 50, "events": {"scratch": 1}})


class WrittenPool:
    """A pool of the third kind. reports: by the film's stem, or stem and first window, in turn; then DONE. Films in
    `silent` never report."""

    def __init__(self, slots: int, reports: dict[str, list[Report]]) -> None:
        self.slots = slots
        self.given: list[str] = []
        self.orders: list[Order] = []
        self.together: list[set[str]] = []
        self.silent: set[str] = set()
        self._reports = defaultdict(list, reports)
        self._at_work: dict[int, str] = {}

    def is_ready(self, slot: int) -> bool:
        return slot < self.slots

    def give(self, slot: int, order: Order) -> None:
        name = Path(order.source).stem + ("" if order.part is None else f".{order.part[0]}")
        self.given.append(name)
        self.orders.append(order)
        self._at_work[slot] = name
        self.together.append(set(self._at_work.values()))

    def wait(self, timeout_s: float) -> list[tuple[int, Message]]:
        answering = [slot for slot, name in self._at_work.items() if name not in self.silent]
        if not answering:
            return []
        slot = min(answering)
        written = self._reports[self._at_work.pop(slot)]
        return [(slot, written.pop(0) if written else DONE)]

    def end(self, slot: int) -> None:
        self._at_work.pop(slot)

    def ask_to_stop(self) -> None:
        for name in self._at_work.values():
            self._reports[name].insert(0, Report("interrupted"))

    def close(self) -> None:
        pass


@pytest.fixture
def films(tmp_path) -> list[Film]:
    made = []
    for name in "abc":
        (tmp_path / f"{name}.mp4").touch()
        made.append(Film(tmp_path / f"{name}.mp4", {"concepts": ("scratch",)}))
    return made


def reports(kind: Kind, times: int = 1) -> list[Report]:
    return [Report(kind, f"it was {kind}", 1)] * times


def batch(tmp_path: Path, films: list[Film], pool: WrittenPool, **options) -> tuple[Batch, list[Word]]:
    words: list[Word] = []
    return Batch(tmp_path / "runs", Listed(films), pool, tell=words.append, **options), words


def test_what_kills_its_worker_runs_alone_and_is_given_up(tmp_path, films):
    pool = WrittenPool(2, {"a": reports("died", 3)})
    board = batch(tmp_path, films, pool)[0].run()
    assert (board.done, board.deaths, len(board.failed)) == (2, 3, 1)
    assert board.failed[0][1] == "given up after 3 tries: it was died"
    assert pool.given == ["a", "b", "c", "a", "a"]
    assert pool.together[3:] == [{"a"}, {"a"}]
    assert Records(tmp_path / "runs").read(films[0]).state == "failed"


def test_what_stands_still_runs_once_more_alone_and_is_given_up(tmp_path, films):
    pool = WrittenPool(2, {})
    pool.silent = {"a"}
    # Five seconds a look.
    board = batch(tmp_path, films, pool, stalls=Stalls(60.0, itertools.count(step=5.0).__next__))[0].run()
    assert (board.done, board.deaths, board.retries) == (2, 2, 1)
    assert pool.given == ["a", "b", "c", "a"]
    assert board.failed[0][1].startswith("also alone: no progress for 60 s (starting), so its worker was ended. Next: ")
    assert Records(tmp_path / "runs").read(films[0]).reason == board.failed[0][1]


def test_a_full_disk_ends_it(tmp_path, films):
    pool = WrittenPool(1, {"b": reports("full")})
    with pytest.raises(OutputError, match="it was full"):
        batch(tmp_path, films, pool)[0].run()
    assert pool.given == ["a", "b"]


def test_told_to_stop_it_counts_what_is_left(tmp_path, films):
    pool = WrittenPool(1, {})
    job, _ = batch(tmp_path, films, pool)
    job.stop = lambda: len(pool.given) == 1
    with pytest.raises(Interrupted, match="2 films left"):
        job.run()


def test_a_film_in_other_hands_is_waited_for(tmp_path, films, monkeypatch):
    """It is looked at until the other is done; what the other has done is not done again."""
    monkeypatch.setattr("vidconcept.runners.batch.LOOK_S", 0.01)
    records = Records(tmp_path / "runs")
    lease = take_lease(records.lease_path(films[1]))
    assert isinstance(lease, Lease)
    pool = WrittenPool(1, {"b": reports("busy")})
    job, words = batch(tmp_path, films, pool)
    looks = []

    def tick() -> None:
        looks.append(job.board.elsewhere)
        if looks.count(1) == 3:
            lease.release()

    job.tick = tick
    board = job.run()
    assert board.done == 3
    assert pool.given == ["a", "b", "c", "b"]
    assert [word.said for word in words if word.kind == "waiting"] == ["in the hands of it was busy"]


class TestParts:
    """Of a film that a worker wants to have split, into four."""

    SPLIT = Report("split", facts={"parts": [[0, 25], [25, 50], [50, 75], [75, None]]})

    @pytest.fixture
    def long(self, tmp_path) -> Film:
        (tmp_path / "long.mp4").touch()
        return Film(tmp_path / "long.mp4", {"concepts": ("scratch",)})

    def test_the_film_comes_when_all_its_parts_are_there(self, tmp_path, films, long):
        pool = WrittenPool(2, {"long": [self.SPLIT]})
        board = batch(tmp_path, [long, *films], pool, split_s=1.0)[0].run()
        parts = [name for name in pool.given if name.startswith("long.")]
        assert sorted(parts) == ["long.0", "long.25", "long.50", "long.75"]
        assert [place for place, name in enumerate(pool.given) if name == "long"][1:] == [
            max(pool.given.index(part) for part in parts) + 1
        ]
        assert (board.films, board.done) == (4, 4)
        assert [order.split_s for order in pool.orders if order.film.source == long.source and order.part is None] == [
            1.0,
            None,
        ]

    @pytest.mark.parametrize(("kind", "times"), [("failed", 1), ("died", 3), ("memory", 2)])
    def test_a_part_that_fails_costs_its_film_once(self, tmp_path, films, long, kind, times):
        pool = WrittenPool(1, {"long": [self.SPLIT], "long.0": reports(kind, times)})
        board = batch(tmp_path, [long, *films], pool, split_s=1.0)[0].run()
        assert [film.source for film, _ in board.failed] == [long.source]
        assert pool.given.count("long") == 1
        assert (board.done, board.finished) == (3, 4)

    def test_a_film_whose_length_cannot_be_read_stands_still_as_any_other(self, tmp_path, films, long):
        pool = WrittenPool(2, {})
        pool.silent = {"long"}
        looks = itertools.count(step=5.0).__next__
        board = batch(tmp_path, [long, *films], pool, split_s=1.0, stalls=Stalls(60.0, looks))[0].run()
        assert [film.source for film, _ in board.failed] == [long.source]
        assert (board.done, board.deaths) == (3, 2)

    def test_a_worker_tells_the_parts_of_a_long_film_only(self, tmp_path, tiny_model):
        clip = write_clip(tmp_path / "long.mp4", count=50, size_px=(96, 64)).path
        given = {"concepts": ["scratch", "dent"], "model": str(tiny_model), **SMALL}
        order = Order(str(clip), str(tmp_path / "runs"), given, split_s=1.0)
        assert do_film(order, Desk()) == Report("split", facts={"parts": [(0, 25), (25, None)]})
        records = Records(tmp_path / "runs")
        # It was no start that came to nothing.
        assert records.read(order.film).begun == 0
        assert not list((tmp_path / "runs" / ".batch" / "leases").iterdir())

    def test_a_run_that_cannot_go_on_is_refused_before_its_film_is_split(self, tmp_path, tiny_model):
        clip = write_clip(tmp_path / "long.mp4", count=50, size_px=(96, 64)).path
        given = {"concepts": ["scratch", "dent"], "model": str(tiny_model), **SMALL}
        order = Order(str(clip), str(tmp_path / "runs"), given, split_s=1.0)
        out = tmp_path / "runs" / order.film.run_name
        monitor = Monitor(stop=lambda: any(out.glob("maps/window_*")))
        with pytest.raises(Interrupted):
            small_run(clip, tiny_model, out, threshold=None, monitor=monitor)
        report = do_film(replace(order, given={**given, "timestep": 20}), Desk())
        assert report.kind == "failed"
        assert f"{out} cannot be resumed" in report.said
        assert "timestep was" in report.said
        # What the maps that are there serve is gone on with.
        assert do_film(order, Desk()).kind == "split"

    def test_what_comes_of_them_is_what_comes_of_track(self, tmp_path, tiny_model):
        clip = write_clip(tmp_path / "long.mp4", count=30, size_px=(96, 64)).path
        film = Film(clip, {"concepts": ("scratch", "dent"), "model": str(tiny_model), "threshold": 0.01, **SMALL})
        words: list[Word] = []
        pool = DeskPool()
        board = Batch(tmp_path / "runs", Listed([film]), pool, tell=words.append, split_s=1.0).run()
        assert (board.films, board.done, board.failed) == (1, 1, [])
        assert pool.kinds == ["split", "done", "done", "done"]
        run = tmp_path / "runs" / film.run_name
        assert tables_of(run) == tables_of(small_run(clip, tiny_model, tmp_path / "alone").path)
        assert not list((tmp_path / "runs" / ".batch").glob("parts/*"))
        # Another decision: the maps are there, and are not computed in parts again.
        other = Film(clip, {**film.settings, "threshold": 0.02})
        board = Batch(tmp_path / "runs", Listed([other]), pool, tell=words.append, split_s=1.0).run()
        assert pool.kinds[4:] == ["done"]
        assert words[-1].said.endswith("decided again, threshold was 0.01, is 0.02")


def test_lost_verdicts_are_told_of_each_film_and_general_remarks_once(tmp_path, tiny_model, capsys):
    made = []
    for name in "abc":
        clip = write_clip(tmp_path / f"{name}.mp4", count=9, size_px=(96, 64)).path
        made.append(Film(clip, {"concepts": ("scratch", "dent"), "model": str(tiny_model), "threshold": 0.01, **SMALL}))
    pool, runs = DeskPool(), tmp_path / "runs"
    Batch(runs, Listed(made), pool).run()
    for film in made:
        table = runs / film.run_name / "events.csv"
        write_events(table, [replace(event, verdict="accept") for event in read_events(table)])
    others = [replace(film, settings={**film.settings, "threshold": 0.9}) for film in made]
    words: list[Word] = []
    board = Board()
    with open_screen(board, 1) as screen:

        def tell(word: Word) -> None:
            words.append(word)
            screen.tell(word)

        Batch(runs, Listed(others), pool, board=board, tell=tell).run()
    said = capsys.readouterr().err.splitlines()
    for film in made:
        assert f"warning: {film.run_name}: the events changed; 2 verdicts discarded" in said
    general = [word.said for word in words if word.is_general]
    assert len(general) == 3 * len({*general})
    for text in {*general}:
        assert [line for line in said if line.endswith(text)] == [
            f"warning: {made[0].run_name}: {text}",
            f"warning: 2 more films: {text}",
        ]


def test_a_failed_film_that_was_removed_is_in_no_summary(tmp_path, films):
    runs = tmp_path / "runs"
    elsewhere = Film(tmp_path / "unmounted" / "d.mp4", {"concepts": ("scratch",)})
    Batch(runs, Listed([*films, elsewhere]), WrittenPool(1, {"a": reports("died", 3), "d": reports("died", 3)})).run()
    names = [film.source.name for film in (films[0], elsewhere)]
    assert [row.video for row in summary_rows(runs)] == names
    films[0].source.unlink()
    # The folder of the other is not there: it may be on a disk that is away.
    assert [row.video for row in summary_rows(runs)] == names[1:]
    # A list names it still, and it fails in this call.
    assert [row.video for row in summary_rows(runs, {str(films[0].source)})] == names
