"""Worker processes that are ended by the batch."""

import math
import os
import signal

import pytest

from vidconcept.runners.order import Order
from vidconcept.runners.processes import ProcessPool, read_quota, usable_cores


def test_a_worker_that_is_ended_tells_nothing_and_another_takes_its_place(tmp_path):
    pool = ProcessPool(1, tmp_path / "logs")
    order = Order(str(tmp_path / "a.mp4"), str(tmp_path / "runs"), {"concepts": ["scratch"]})
    try:
        pool.give(0, order)
        process = pool._workers[0].process
        # As if a disk held it: it takes no other signal.
        process.send_signal(signal.SIGSTOP)
        pool.end(0)
        assert process.wait(20) == -signal.SIGKILL
        assert pool.wait(0.3) == []
        assert pool.is_ready(0)
        pool.give(0, order)
        assert pool._workers[0].process.pid != process.pid
        pool.end(0)
    finally:
        pool.close()


@pytest.mark.parametrize(
    ("files", "groups", "cores"),
    [
        ({"job/cpu.max": "max 100000", "cpu.max": "400000 100000"}, "0::/job", 4.0),
        ({"pod/cpu.max": "250000 100000", "pod/a/cpu.max": "800000 100000"}, "0::/pod/a", 2.5),
        # Within a container, the path of its group outside.
        ({"cpu.max": "150000 100000"}, "0::/docker/1234", 1.5),
        ({"cpu/d/cpu.cfs_quota_us": "300000", "cpu/d/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/d\n0::/", 3.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "1:cpu:/", math.inf),
        ({}, "0::/", math.inf),
    ],
)
def test_a_limit_of_processor_time_counts(tmp_path, files, groups, cores):
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text + "\n")
    (tmp_path / "groups").write_text(groups + "\n")
    assert read_quota(tmp_path / "root", tmp_path / "groups") == cores


def test_no_groups_are_no_limit(tmp_path):
    assert read_quota(tmp_path, tmp_path / "gone") == math.inf
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
