"""Another film under the same name, or one that grew."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.archives import tables_of
from tests.helpers.clips import write_clip
from tests.helpers.desk_pool import DeskPool
from tests.helpers.small_runs import SMALL, small_run
from vidconcept.errors import Interrupted
from vidconcept.fleet.footage import Film
from vidconcept.fleet.intake import Listed
from vidconcept.fleet.settling import Settling
from vidconcept.fleet.summarising import list_missing, summary_rows
from vidconcept.runners.batch import Batch
from vidconcept.writers.tables import read_events, write_events


@pytest.fixture
def film(tmp_path, tiny_model) -> Film:
    path = write_clip(tmp_path / "archive" / "a.mp4", count=9, size_px=(96, 64)).path
    return Film(path, {"concepts": ("scratch", "dent"), "model": str(tiny_model), "threshold": 0.01, **SMALL})


@pytest.fixture(autouse=True)
def _archive(tmp_path):
    (tmp_path / "archive").mkdir()


def grow_once(film: Film, at: str) -> Callable[[str, int, int | None], None]:
    """The camera writes on, once, while the film is at the stage."""
    grown = []

    def progress(stage: str, done: int, total: int | None) -> None:
        if stage == at and not grown:
            grown.append(stage)
            with open(film.source, "ab") as file:
                file.write(bytes(8) + b"free")

    return progress


@pytest.mark.parametrize("at", ["reading maps", "writing the video"])
def test_one_that_grew_while_it_was_read_is_begun_anew(tmp_path, film, at):
    pool, words = DeskPool(grow_once(film, at)), []
    (failed,) = Batch(tmp_path / "runs", Listed([film]), pool).run().failed
    assert "while it was read" in failed[1]
    board = Batch(tmp_path / "runs", Listed([film]), pool, tell=words.append).run()
    assert (board.done, board.failed) == (1, [])
    assert words[-1].said.endswith("begun anew, as the film changed")
    run = tmp_path / "runs" / film.run_name
    assert tables_of(run) == tables_of(small_run(film.source, film.settings["model"], tmp_path / "alone").path)


def test_one_that_was_removed_then_is_said_to_be(tmp_path, film):
    Batch(tmp_path / "runs", Listed([film]), DeskPool(grow_once(film, "reading maps"))).run()
    film.source.unlink()
    (row,) = summary_rows(tmp_path / "runs")
    assert row.state == "failed"
    assert row.reason.endswith("; the film was removed since")


def test_watched_it_counts_once(tmp_path, film):
    pool = DeskPool(grow_once(film, "reading maps"))

    def make_unread(place: Path, reason: str) -> Film:
        return Film(place, unread=reason)

    settling = Settling(
        [film.source.parent], tmp_path / "runs", lambda source: film, make_unread, settle_s=0.2, look_s=0.05
    )
    job = Batch(tmp_path / "runs", settling, pool)
    job.stop = lambda: "done" in pool.kinds
    with pytest.raises(Interrupted):
        job.run()
    assert pool.kinds == ["failed", "done"]
    assert (job.board.films, job.board.done, job.board.failed) == (1, 1, [])
    assert job.board.revised == {"failed": 1}


def test_what_a_person_judged_is_kept(tmp_path, film):
    Batch(tmp_path / "runs", Listed([film]), DeskPool()).run()
    run = tmp_path / "runs" / film.run_name
    write_events(run / "events.csv", [replace(event, verdict="accept") for event in read_events(run / "events.csv")])
    # As an interrupted decision leaves it.
    (run / "run.json").write_text((run / "run.json").read_text().replace('"done": true', '"done": false'))
    (run / "review.html").unlink()
    write_clip(film.source, count=12, size_px=(96, 64))
    (failed,) = Batch(tmp_path / "runs", Listed([film]), DeskPool()).run().failed
    assert "its video is another one" in failed[1]
    assert all(event.verdict for event in read_events(run / "events.csv"))


@pytest.mark.parametrize("by", ["film", "text"])
def test_one_in_place_of_a_finished_one_is_not_inspected(tmp_path, film, by):
    runs = tmp_path / "runs"
    Batch(runs, Listed([film]), DeskPool()).run()
    before = tables_of(runs / film.run_name)
    shutil.copy(film.source, tmp_path / "first.mp4")
    if by == "film":
        write_clip(film.source, count=12, size_px=(96, 64))
    else:
        film.source.write_text("not a video")
    (failed,) = Batch(runs, Listed([film]), DeskPool()).run().failed
    assert tables_of(runs / film.run_name) == before
    (row,) = summary_rows(runs)
    assert (row.state, row.reason, row.events) == ("failed", failed[1], None)
    (missing,) = list_missing(runs, [row])
    assert (missing.film, missing.state, missing.reason) == (str(film.source), "failed", failed[1])
    # The first one is back.
    shutil.copy(tmp_path / "first.mp4", film.source)
    assert Batch(runs, Listed([film]), DeskPool()).run().skipped == 1
    assert [(row.state, row.reason) for row in summary_rows(runs)] == [("done", "")]


def test_a_run_that_stays_as_it_is_shows_its_film(tmp_path, film):
    """Asked for other maps, the batch refuses: what the run says holds."""
    runs = tmp_path / "runs"
    Batch(runs, Listed([film]), DeskPool()).run()
    other = replace(film, settings={**film.settings, "height": 48})
    (failed,) = Batch(runs, Listed([other]), DeskPool()).run().failed
    (row,) = summary_rows(runs)
    assert (row.state, row.reason) == ("done", failed[1])
    assert row.events
    assert list_missing(runs, [row]) == []
