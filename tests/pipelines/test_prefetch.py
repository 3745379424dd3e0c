"""Reading ahead changes when frames are made, and nothing else."""

import threading

import pytest

from tests.helpers.small_runs import small_clip, small_run
from vidconcept.pipelines.prefetch import read_ahead


def test_items_come_in_order_and_from_another_thread():
    makers = []

    def numbers():
        for number in range(20):
            makers.append(threading.current_thread())
            yield number

    assert list(read_ahead(numbers(), 3)) == list(range(20))
    assert threading.current_thread() not in makers


def test_no_more_than_asked_for_wait():
    made = []

    def numbers():
        for number in range(50):
            made.append(number)
            yield number

    items = read_ahead(numbers(), 2)
    assert next(items) == 0
    items.close()
    # One in the hand of the thread besides those that wait.
    assert len(made) <= 1 + 2 + 1


def test_an_error_comes_where_it_would_have_come():
    def numbers():
        yield 1
        raise ValueError("after the first")

    items = read_ahead(numbers())
    assert next(items) == 1
    with pytest.raises(ValueError, match="after the first"):
        next(items)


def test_closing_closes_what_was_read_from():
    closed = []

    def numbers():
        try:
            while True:
                yield 0
        finally:
            closed.append(threading.current_thread().name)

    items = read_ahead(numbers())
    next(items)
    items.close()
    assert closed == ["read-ahead"]


def test_a_run_on_two_threads_equals_one_on_one(tiny_model, tmp_path):
    clip = small_clip(tmp_path / "a.mp4", count=14)
    one, two = (small_run(clip, tiny_model, tmp_path / f"on-{n}", threads=n) for n in (1, 2))
    assert (one.manifest["engine"]["threads"], two.manifest["engine"]["threads"]) == (1, 2)
    for name in ("frames.csv", "tracks.csv", "events.csv", "masks.json"):
        assert (one.path / name).read_bytes() == (two.path / name).read_bytes(), name
