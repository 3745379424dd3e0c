"""Of those who want a film one has it, until it is done or seen to be dead."""

import json
import os
import resource
import subprocess
import sys
import threading
import time

import pytest

from vidconcept.errors import OutputError
from vidconcept.fleet.leases import Holder, Lease, Watcher, read_holder, remove_lease, take_lease

HOLD = """
import sys, time
from pathlib import Path
from vidconcept.fleet.leases import take_lease
lease = take_lease(Path(sys.argv[1]), beat_s=0.05)
print("held", flush=True)
time.sleep(60)
"""


def hold(path) -> subprocess.Popen:
    """A process that holds a lease until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def path(tmp_path):
    return tmp_path / "leases" / "film"


def of_elsewhere(path, **changes) -> None:
    """Make the lease look as if another machine held it."""
    facts = json.loads(path.read_bytes()) | {"place": "another machine", "host": "north"} | changes
    path.write_bytes(json.dumps(facts).encode().ljust(512))


def test_the_second_is_told_who_holds_it(path):
    with take_lease(path) as lease:
        assert isinstance(lease, Lease)
        other = take_lease(path)
        assert isinstance(other, Holder)
        assert other.pid == os.getpid()
    assert not path.exists()
    with take_lease(path) as again:
        assert isinstance(again, Lease)


def test_a_killed_process_frees_it_at_once(path):
    process = hold(path)
    assert isinstance(take_lease(path), Holder)
    process.kill()
    process.wait()
    with take_lease(path) as lease:
        assert isinstance(lease, Lease)


def test_the_process_number_of_a_dead_one_may_be_used_again(path):
    with take_lease(path):
        pass
    lease = take_lease(path)
    facts = json.loads(path.read_bytes()) | {"born": "1"}
    path.write_bytes(json.dumps(facts).encode().ljust(512))
    assert isinstance(take_lease(path), Lease)
    lease.release()


def test_a_machine_that_is_gone_is_known_by_its_silence(path):
    lease = take_lease(path, beat_s=60)
    of_elsewhere(path)
    now_s = 0.0
    watcher = Watcher(stale_s=60, clock=lambda: now_s)
    assert not watcher.is_free(path)
    now_s = 59.0
    assert not watcher.is_free(path)
    # A sign of life, and by a clock that was set back by years.
    of_elsewhere(path, beat=7)
    os.utime(path, (0, 0))
    now_s = 100.0
    assert not watcher.is_free(path)
    now_s = 161.0
    assert watcher.is_free(path)
    assert not path.exists()
    assert not lease.is_held()


def test_a_clock_that_runs_ahead_frees_nothing(path):
    with take_lease(path):
        of_elsewhere(path)
        os.utime(path, (4e9, 4e9))
        watcher = Watcher(stale_s=0.2)
        assert not watcher.is_free(path)
        assert isinstance(take_lease(path), Holder)


def test_a_beat_is_seen_by_others(path):
    with take_lease(path, beat_s=0.05) as lease:
        lease.note("reading maps", 3, 9)
        deadline_s = time.monotonic() + 5
        while (holder := read_holder(path)) is None or holder.done != 3:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        assert (holder.stage, holder.total) == ("reading maps", 9)


def test_a_file_that_its_maker_never_wrote(path):
    path.parent.mkdir()
    path.touch()
    now_s = 0.0
    watcher = Watcher(stale_s=60, clock=lambda: now_s)
    assert take_lease(path) is None
    assert not watcher.is_free(path)
    now_s = 61.0
    assert watcher.is_free(path)


def test_a_full_disk_leaves_no_lease_behind(path):
    """A limit of the file size stands for it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot write"):
            take_lease(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with take_lease(path) as lease:
        assert isinstance(lease, Lease)


def test_who_comes_late_does_not_remove_the_lease_of_the_next(path):
    first = take_lease(path)
    old = read_holder(path)
    assert old is not None
    assert remove_lease(path, old)
    second = take_lease(path)
    assert not remove_lease(path, old)
    assert second.is_held()
    assert not first.is_held()
    first.release()
    assert second.is_held()
    second.release()


def test_of_many_that_take_over_one_has_it(path):
    """Twelve threads race, in five rounds, for the lease of a process that is dead."""
    for _ in range(5):
        lease = take_lease(path)
        facts = json.loads(path.read_bytes()) | {"born": "1"}
        path.write_bytes(json.dumps(facts).encode().ljust(512))
        start, taken = threading.Barrier(12), []

        def race(start=start, taken=taken):
            start.wait()
            if isinstance(mine := take_lease(path, beat_s=60), Lease):
                taken.append(mine)

        threads = [threading.Thread(target=race) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        held = [mine for mine in taken if mine.is_held()]
        assert len(held) == 1
        for mine in [*taken, lease]:
            mine.release()
        assert not path.exists()
