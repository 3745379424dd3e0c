"""The simulation behind the page on scale: what it counts adds up."""

import pytest

from benchmarks.fleet import HOUR_S, Parts, Tracked, archive, compare, report, simulate

PARTS = Parts(work=2.0, decode=0.1, start=5.0, window_s=1.6, bytes=1e5, start_bytes=6e6, files=9, film_s=10)
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


def test_what_does_not_grow_with_the_film_is_counted_once_a_film():
    half, whole = (Tracked(s, 5 + 2 * s, windows, 6_000_000 + 100_000 * s, 9) for s, windows in ((5, 4), (10, 8)))
    parts = compare(half, whole, decode_s=1.0)
    assert (parts.work, parts.start, parts.window_s) == (2, 5, 1.25)
    assert (parts.bytes, parts.start_bytes) == (100_000, 6_000_000)
    facts = report(parts, [100.0] * 36)["archive"]
    assert facts["terabytes"] == pytest.approx((3600 * 100_000 + 36 * 6_000_000) / 1e12)
    assert facts["files"] == 36 * (9 + 80)
