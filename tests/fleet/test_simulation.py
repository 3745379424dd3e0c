"""The simulation behind the page on scale: what it counts adds up."""

import pytest

from benchmarks.fleet import HOUR_S, Parts, archive, simulate

PARTS = Parts(work=2.0, decode=0.1, start=5.0, window_s=1.6, bytes=1e5, files=20, film_s=10)
FILMS = archive(hours=50, film_minutes=10)
WORK_HOURS = (sum(FILMS) * PARTS.work + len(FILMS) * PARTS.start) / HOUR_S


def test_one_worker_that_never_fails_takes_the_sum():
    outcome = simulate(PARTS, FILMS, 1, None)
    assert outcome.days * 24 == pytest.approx(WORK_HOURS)
    assert (outcome.done_twice, outcome.failures) == (0, 0)
    assert outcome.idle == pytest.approx(0)


@pytest.mark.parametrize("workers", [1, 7, 40])
@pytest.mark.parametrize("shards", [False, True])
def test_failures_cost_time_and_no_film(workers, shards):
    calm, stormy = (simulate(PARTS, FILMS, workers, mtbf, shards=shards) for mtbf in (None, 2.0))
    assert stormy.films == len(FILMS)
    assert stormy.failures > 10
    assert 0 < stormy.done_twice < 0.2
    # What was worked is the work, and what was done twice.
    worked = stormy.worker_hours * (1 - stormy.idle)
    assert worked == pytest.approx(WORK_HOURS / (1 - stormy.done_twice), rel=0.02)
    assert stormy.worker_hours >= calm.worker_hours * 0.95


def test_one_queue_is_done_before_fixed_parts():
    queue, parts = (simulate(PARTS, FILMS, 20, None, shards=shards).days for shards in (False, True))
    assert queue < parts
