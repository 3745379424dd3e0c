"""Cores and memory that this process may use: fewer than the machine has in a container or a job of Slurm."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
GROUPS = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Cores that this process may keep busy."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, read_limit("cpu"))))


def usable_memory(root: Path = ROOT, groups: Path = GROUPS) -> float:
    """Bytes of memory that this process may take; infinite where that cannot be found out. root, groups: see
    `read_limit`."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf
    # Version 1 writes a number above all that machines have where there is no limit.
    return min(whole, read_limit("memory", root, groups))


def read_limit(controller: str, root: Path = ROOT, groups: Path = GROUPS) -> float:
    """What the control groups of this process allow; infinite where they set no limit.

    controller: "cpu", in cores' worth of time as `docker --cpus` sets it, or "memory", in bytes. root: where the groups
    are mounted, of version 2 or 1; groups: those of this process. A limit holds for all groups within it.
    """
    limit = math.inf
    read = _read_cores if controller == "cpu" else _read_bytes
    with suppress(OSError):
        for _, controllers, path in (line.split(":", 2) for line in groups.read_text().splitlines()):
            if controllers and controller not in controllers.split(","):
                continue
            mount = root / controller if controllers else root
            # Within a container the group that it is in may be the mounted one.
            for group in (mount / path.strip("/"), *(mount / path.strip("/")).parents):
                if group.is_relative_to(mount):
                    limit = min(limit, read(group))
    return limit


def _read_cores(group: Path) -> float:
    for files in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        with suppress(OSError, ValueError):
            limit, period = " ".join((group / name).read_text() for name in files).split()
            if limit not in ("max", "-1"):
                return int(limit) / int(period)
    return math.inf


def _read_bytes(group: Path) -> float:
    for file in ("memory.max", "memory.limit_in_bytes"):
        # No limit is the word "max".
        with suppress(OSError, ValueError):
            return int((group / file).read_text())
    return math.inf
