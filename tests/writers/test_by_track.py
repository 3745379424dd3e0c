"""Rows brought into the order of tracks, in a scratch file."""

import errno
import sqlite3

import pytest

from vidconcept.errors import OutputError
from vidconcept.types import Origin, TrackMask
from vidconcept.writers.by_track import sort_by_track


def make_rows(count: int) -> list[TrackMask]:
    """Frame by frame, of two tracks by turns."""
    return [
        TrackMask(
            frame_index=number, pts=number, time_s=number / 25, concept="scratch", class_id=0,
            tracker_id=1 + number % 2, confidence=0.5,
            box_px=(0, 0, 4, 4), area_px=16, score_mean=0.5, score_max=0.6, rle=b"0" * 400,
            origin=Origin(0, 0, False),
        )
        for number in range(count)
    ]  # fmt: skip


def test_rows_come_by_track_and_in_the_order_of_frames(tmp_path):
    rows = make_rows(7)
    with sort_by_track(rows, tmp_path / "masks.json") as store:
        assert store.ids() == [(1, "scratch", 0), (2, "scratch", 0)]
        assert list(store.rows(2)) == rows[1::2]
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_full_disk_is_told_as_one(tmp_path, monkeypatch):
    connect = sqlite3.connect

    def connect_small(*arguments):
        database = connect(*arguments)
        database.execute("pragma max_page_count = 4")
        return database

    monkeypatch.setattr(sqlite3, "connect", connect_small)
    with (
        pytest.raises(OutputError, match=r"the disk is full\. Next: free some space") as caught,
        sort_by_track(make_rows(500), tmp_path / "masks.json"),
    ):
        pass
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert not any(path.is_file() for path in tmp_path.rglob("*"))
