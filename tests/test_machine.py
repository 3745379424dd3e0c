"""What control groups of both versions leave of a machine."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vidconcept.machine import ROOT, read_limit, usable_cores, usable_memory

GB = 1_000_000_000
# What version 1 writes where there is no limit.
UNLIMITED = 9_223_372_036_854_771_712


def write_groups(folder: Path, files: dict[str, str], groups: str) -> tuple[Path, Path]:
    for name, text in files.items():
        (folder / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "root" / name).write_text(text + "\n")
    (folder / "groups").write_text(groups + "\n")
    return folder / "root", folder / "groups"


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
    assert read_limit("cpu", *write_groups(tmp_path, files, groups)) == cores


@pytest.mark.parametrize(
    ("files", "groups", "size"),
    [
        ({"job/memory.max": "max", "memory.max": "1500000000"}, "0::/job", 1.5 * GB),
        ({"pod/memory.max": f"{GB}", "pod/a/memory.max": f"{2 * GB}"}, "0::/pod/a", GB),
        ({"memory.max": f"{3 * GB}"}, "0::/docker/1234", 3 * GB),
        ({"memory/d/memory.limit_in_bytes": f"{GB}"}, "4:memory:/d\n0::/", GB),
        ({"memory/d/memory.limit_in_bytes": f"{GB}"}, "4:cpu:/d\n0::/", math.inf),
        ({}, "0::/", math.inf),
    ],
)
def test_a_limit_of_memory_counts(tmp_path, files, groups, size):
    assert read_limit("memory", *write_groups(tmp_path, files, groups)) == size


def test_no_limit_leaves_the_whole_machine(tmp_path):
    unlimited = write_groups(tmp_path, {"memory/memory.limit_in_bytes": str(UNLIMITED)}, "4:memory:/")
    assert usable_memory(*unlimited) == usable_memory(tmp_path, tmp_path / "gone") < UNLIMITED
    assert read_limit("cpu", tmp_path, tmp_path / "gone") == math.inf
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group that allows 1.5 GB."""
    folder = ROOT / "memory" / f"vidconcept-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(1_500_000_000))
    except OSError:
        pytest.skip("needs the right to make a control group of version 1")
    yield folder
    folder.rmdir()


def test_the_commands_compare_models_with_what_a_container_may_take(group):
    line = f"echo $$ > {group}/cgroup.procs; exec {sys.executable} -m vidconcept doctor"
    said = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=240, check=True).stdout
    assert ", 1.5 GB memory, " in said
    assert "this machine has 1.5 GB" in said
