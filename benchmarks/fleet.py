"""What an archive costs, and what failures cost on top: parts that are measured, and a simulation of many workers.

    python benchmarks/fleet.py measure [VIDEO] [--seconds S] > parts.json
    python benchmarks/fleet.py simulate parts.json [--hours 10000] [--film-minutes 30] > fleet.json

`measure` tracks a video and half of it with the embedded model, in a process each, and counts processor time, which
does not depend on what else the machine does, bytes, files and windows. A second of film costs what the whole takes
more than the half: a run has shares that do not grow with the film, above all its memory of good parts. `simulate`
draws failures of machines: a worker that fails loses the window that it is at, its film is taken over when its lease
has been silent for a minute, decoded anew up to where it was, and the worker comes back after a while. It compares one
queue over leases with fixed shards.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidconcept.fleet.leases import STALE_S
from vidconcept.video.reader import read_frames

HOUR_S = 3600.0
WORKERS = (1, 10, 100, 1000)
# Mean hours between two failures of one worker; None: it never fails.
MTBF_HOURS = (None, 168.0, 24.0, 6.0)
RESTART_S = 120.0
CONCEPTS = "scratch,dent"


@dataclass(frozen=True)
class Parts:
    """Measured. work: processor seconds a second of film; decode: those of them for decoding once; start: a film's
    share that does not depend on its length. window_s: film seconds that a window moves on. bytes: a second of film;
    start_bytes: a film's share that does not depend on its length. files: of a run besides a file for each window and
    each event."""

    work: float
    decode: float
    start: float
    window_s: float
    bytes: float
    start_bytes: float
    files: int
    film_s: float


@dataclass(frozen=True)
class Tracked:
    """What one run took. work: processor seconds. files: besides one for each window and each event."""

    film_s: float
    work: float
    windows: int
    bytes: int
    files: int


def measure(video: Path, seconds: float | None) -> Parts:
    """Track the beginning of the video, or all of it, and half of that."""
    began_s = time.process_time()
    frames = read_frames(video, end_s=seconds, on_problem=lambda problem: None)
    times = [frame.time_s for frame in frames]
    decode_s = time.process_time() - began_s
    film_s = times[-1] + times[1]
    with tempfile.TemporaryDirectory() as folder:
        half_s = times[len(times) // 2]
        half = _track(video, Path(folder) / "half", half_s)
        whole = _track(video, Path(folder) / "whole", film_s)
    return compare(half, whole, decode_s)


def compare(half: Tracked, whole: Tracked, decode_s: float) -> Parts:
    """The parts by what the whole took more than its half. decode_s: processor seconds to decode the whole once."""
    if whole.windows == half.windows:
        raise SystemExit(f"{whole.film_s:g} s of film have as many windows as half of it. Next: a longer film")
    more_s = whole.film_s - half.film_s
    work = (whole.work - half.work) / more_s
    size = (whole.bytes - half.bytes) / more_s
    return Parts(
        work=work,
        decode=decode_s / whole.film_s,
        start=max(whole.work - work * whole.film_s, 0.0),
        # By the windows that were read: where the motion chooses them they lie as far apart as it lets them.
        window_s=more_s / (whole.windows - half.windows),
        bytes=size,
        start_bytes=max(whole.bytes - size * whole.film_s, 0.0),
        files=whole.files,
        film_s=whole.film_s,
    )


def _track(video: Path, out: Path, end_s: float) -> Tracked:
    command = [sys.executable, "-m", "vidconcept", "track", str(video), "--concepts", CONCEPTS, "--out", str(out)]
    command += ["--end", f"{end_s}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"track failed on {video.name} with status {status}")
    windows = json.loads((out / "run.json").read_text())["windows"]
    files = [path for path in out.rglob("*") if path.is_file()]
    events = sum(path.parent.name == "thumbs" for path in files)
    size = sum(path.stat().st_size for path in files)
    return Tracked(end_s, usage.ru_utime + usage.ru_stime, windows, size, len(files) - windows - events)


@dataclass
class Outcome:
    """days: until the last film is done. worker_hours: paid for. lost: the share of it that was done twice or idle."""

    workers: int
    mtbf_hours: float | None
    days: float
    worker_hours: float
    done_twice: float
    idle: float
    failures: int
    films: int


def simulate(
    parts: Parts, films: list[float], workers: int, mtbf_hours: float | None, *, shards: bool = False, seed: int = 0
) -> Outcome:
    """films: length of each in seconds. shards: each worker has the films that its number holds, and no others.

    A film's work goes on from the last window that was done; what is decoded up to there is done twice.
    """
    draw = random.Random(seed)
    queues: list[list[tuple[float, int]]] = [[] for _ in range(workers)] if shards else [[]]
    for number in range(len(films)):
        queue = queues[_shard(number, workers) if shards else 0]
        heapq.heappush(queue, (0.0, number))
    done = [0.0] * len(films)
    free = [(0.0, worker) for worker in range(workers)]
    heapq.heapify(free)
    busy = twice = last = 0.0
    failures, left = 0, len(films)
    while left:
        now, worker = heapq.heappop(free)
        queue = queues[worker if shards else 0]
        if not queue:
            if not shards and left:
                # Others may fail and hand their film back.
                later = min((at for at, _ in free), default=now)
                heapq.heappush(free, (max(later, now) + 1.0, worker))
            continue
        ready, film = queue[0]
        if ready > now:
            heapq.heappush(free, (ready, worker))
            continue
        heapq.heappop(queue)
        again = parts.start + parts.decode * done[film]
        needed = again + parts.work * (films[film] - done[film])
        fails = draw.expovariate(1 / (mtbf_hours * HOUR_S)) if mtbf_hours else float("inf")
        if fails >= needed:
            busy += needed
            twice += parts.decode * done[film]
            last = max(last, now + needed)
            left -= 1
            heapq.heappush(free, (now + needed, worker))
            continue
        failures += 1
        came = max(fails - again, 0.0) / parts.work
        kept = done[film] + parts.window_s * int(came / parts.window_s)
        busy += fails
        twice += fails - parts.work * (kept - done[film])
        done[film] = min(kept, films[film])
        heapq.heappush(queue, (now + fails + (0.0 if shards else STALE_S), film))
        heapq.heappush(free, (now + fails + RESTART_S, worker))
    paid = workers * last
    return Outcome(
        workers, mtbf_hours, last / 86_400, paid / HOUR_S, twice / busy, 1 - busy / paid, failures, len(films)
    )


def _shard(number: int, workers: int) -> int:
    return int(hashlib.sha256(f"/archive/{number:06d}.mp4".encode()).hexdigest()[:16], 16) % workers


def archive(hours: float, film_minutes: float, seed: int = 0) -> list[float]:
    """Lengths of films, in seconds: about so long, some shorter, some longer."""
    draw = random.Random(seed)
    return [film_minutes * 60 * draw.uniform(0.5, 1.5) for _ in range(round(hours * 60 / film_minutes))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("video", type=Path, nargs="?", default=Path("examples/line_cam.mp4"))
    measuring.add_argument("--seconds", type=float, help="only so much of it, from its start")
    simulating = commands.add_parser("simulate")
    simulating.add_argument("parts", type=Path)
    simulating.add_argument("--hours", type=float, default=10_000)
    simulating.add_argument("--film-minutes", type=float, default=30)
    asked = parser.parse_args()
    if asked.command == "measure":
        print(json.dumps(asdict(measure(asked.video, asked.seconds)), indent=1))
        return
    parts = Parts(**json.loads(asked.parts.read_text()))
    films = archive(asked.hours, asked.film_minutes)
    print(json.dumps(report(parts, films), indent=1))


def report(parts: Parts, films: list[float]) -> dict[str, Any]:
    """The measured parts, what they make of the archive, and every simulated outcome."""
    hours = sum(films) / HOUR_S
    runs = [asdict(simulate(parts, films, workers, mtbf)) for workers in WORKERS for mtbf in MTBF_HOURS]
    shards = [asdict(simulate(parts, films, workers, None, shards=True)) for workers in WORKERS]
    archive_facts = {
        "hours": round(hours),
        "films": len(films),
        "core_hours": hours * parts.work + len(films) * parts.start / HOUR_S,
        "terabytes": (hours * HOUR_S * parts.bytes + len(films) * parts.start_bytes) / 1e12,
        "files_a_run": parts.files + sum(films) / len(films) / parts.window_s,
        "files": len(films) * parts.files + hours * HOUR_S / parts.window_s,
    }
    return {"parts": asdict(parts), "archive": archive_facts, "queue": runs, "shards": shards}


if __name__ == "__main__":
    main()
