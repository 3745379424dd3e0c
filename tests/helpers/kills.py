"""`batch` and `track`, killed with SIGKILL at random moments until they are done, against an undisturbed run.

    python -m tests.helpers.kills --kills 50 FOLDER --figures FOLDER/figures.json

kills `batch` with all its workers, its workers alone, or the batch alone, by turns, and `track` as often: at any
moment, and by turns soon after new maps or tables are there, for much of a short run is its start.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.helpers.archives import batch_arguments, runs_in, tables_of, write_archive
from tests.helpers.small_runs import SMALL, small_clip, small_run

# A start takes seconds; on a machine with much other work minutes.
PATIENCE_S = 600.0


def kill_at_random(root: Path, model: Path, kills: int, films: int, seed: int) -> int:
    """Kill a batch so often, not counting kills that came after its end, and let it end; a batch that was done is begun
    anew in another folder. Returns the number of batches. Raises AssertionError where tables differ from those of
    `track`, where work does not go on from what was there, or it does not end well."""
    archive = write_archive(root / "archive", films, frames=21)
    sources = sorted((archive / "cam1").iterdir())
    # All films are copies of one clip, but for the name that the tables carry.
    alone = [tables_of(small_run(film, model, root / "alone" / film.stem).path) for film in sources]
    command = [sys.executable, "-m", "vidconcept"]
    draw = random.Random(seed)
    began_s = time.monotonic()
    undisturbed = batch_arguments(archive, "--jobs", 2, model=model, out=root / "undisturbed")
    subprocess.run([*command, *undisturbed], check=True, capture_output=True, timeout=600)
    takes_s = time.monotonic() - began_s
    killed, batches = 0, 1
    while killed < kills:
        out = root / f"runs{batches}"
        line = [*command, *batch_arguments(archive, "--jobs", 2, model=model, out=out)]
        kept = _count_kept(out)
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if killed % 2:
            # While it works: most of the time of such short films goes into its start.
            _wait_for_work(process, out, sum(kept))
            time.sleep(draw.uniform(0.0, 0.3) * takes_s)
        else:
            # Anywhere, most often while it starts.
            time.sleep(draw.uniform(0.1, 1.0) * takes_s)
        workers = _children(process.pid)
        kind = killed % 3
        targets = {0: [process.pid, *workers], 1: workers[:1] or [process.pid], 2: [process.pid]}[kind]
        met = process.poll() is None
        for pid in targets:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed += met
        if kind == 1 and workers:
            # The batch goes on without its worker; it is ended as a whole machine would be.
            time.sleep(draw.uniform(0.0, 3.0))
            for pid in [process.pid, *_children(process.pid)]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        process.wait()
        windows, done = _count_kept(out)
        print(f"kill {killed}: {windows} windows, {done} of {films} films done in batch {batches}", flush=True)
        assert windows >= kept[0], "maps that were there are gone"
        assert done >= kept[1], "films that were done are not done any more"
        if done == films or killed == kills:
            # A film that many starts in a row had no time for is given up by one call, and done by the next.
            for _ in range(2):
                if subprocess.run(line, check=False, capture_output=True, timeout=600).returncode == 0:
                    break
            assert [tables_of(run) for run in runs_in(out)] == alone, f"runs in {out} differ from those of track"
            batches += killed < kills
    return batches


def _count_kept(out: Path) -> tuple[int, int]:
    """Windows whose maps are there, and films that are done, of a run or a folder of runs."""
    runs = [out] if (out / "run.json").is_file() else runs_in(out)
    windows = sum(len(list((run / "maps").glob("window_*.safetensors"))) for run in runs)
    return windows, sum('"done": true' in (run / "run.json").read_text() for run in runs)


def _wait_for_work(process: subprocess.Popen[bytes], out: Path, kept: int) -> None:
    """Until there is more than was kept of the call before, or the batch has ended."""
    end_s = time.monotonic() + PATIENCE_S
    while process.poll() is None and sum(_count_kept(out)) <= kept:
        assert time.monotonic() < end_s, f"nothing new in {PATIENCE_S:g} s: {kept} windows and films, as before"
        time.sleep(0.05)


def kill_track_at_random(root: Path, model: Path, kills: int, seed: int) -> int:
    """The same for `track --existing resume` of one film: one that was done is begun anew in another folder."""
    root.mkdir(parents=True, exist_ok=True)
    clip = small_clip(root / "clip.mp4", 41)
    settings = [f"--{key.replace('_', '-')}={value}" for key, value in (SMALL | {"threshold": 0.01}).items()]
    line = [sys.executable, "-m", "vidconcept", "track", str(clip), "--concepts", "scratch,dent", "--model", str(model)]
    line += ["--existing", "resume", *settings, "--out"]
    draw = random.Random(seed)
    alone = tables_of(small_run(clip, model, root / "alone").path)
    began_s = time.monotonic()
    subprocess.run([*line, str(root / "undisturbed")], check=True, capture_output=True, timeout=600)
    takes_s = time.monotonic() - began_s
    killed, runs = 0, 1
    while killed < kills:
        out = root / f"run{runs}"
        kept = _count_kept(out)
        process = subprocess.Popen([*line, str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if killed % 2:
            _wait_for_work(process, out, sum(kept))
            time.sleep(draw.uniform(0.0, 0.3) * takes_s)
        else:
            time.sleep(draw.uniform(0.1, 1.0) * takes_s)
        killed += process.poll() is None
        process.kill()
        process.wait()
        windows, done = _count_kept(out)
        print(f"kill {killed}: {windows} windows of track {runs}{', done' if done else ''}", flush=True)
        assert windows >= kept[0], "maps that were there are gone"
        if done or killed == kills:
            subprocess.run([*line, str(out)], check=True, capture_output=True, timeout=600)
            assert tables_of(out) == alone, f"{out} differs from an undisturbed run"
            runs += killed < kills
    return runs


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(entry.name))
    return found


if __name__ == "__main__":
    from tests.helpers.model_folders import write_folder

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--films", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figures", type=Path, help="JSON to write what came of it into, as docs/figures has it")
    asked = parser.parse_args()
    tiny = write_folder(asked.folder / "tiny", "2b", shards=False)
    batches = kill_at_random(asked.folder / "batch", tiny, asked.kills, asked.films, asked.seed)
    print(f"batch: {asked.kills} kills, all tables of {batches} batches equal", flush=True)
    runs = kill_track_at_random(asked.folder / "track", tiny, asked.kills, asked.seed)
    print(f"track: {asked.kills} kills, all tables of {runs} runs equal")
    if asked.figures is not None:
        content = {
            "title": "Processes that are killed",
            "command": f"python -m tests.helpers.kills --kills {asked.kills} FOLDER --figures FIGURES",
            "data": f"archives of {asked.films} films of 21 frames with two workers, and a film of 41 frames, read by "
            "a small model with random weights",
            "data_commands": [],
            "weights": "",
            "figures": {
                "batch": {"kills": asked.kills, "runs": batches},
                "track": {"kills": asked.kills, "runs": runs},
            },
        }
        asked.figures.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
