"""Worker processes that are ended by the batch."""

import signal

from vidconcept.runners.order import Order
from vidconcept.runners.processes import ProcessPool


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
