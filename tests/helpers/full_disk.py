"""`batch` on disks that fill up at random moments, against an undisturbed run. As root on Linux: disks are in memory.

python -m tests.helpers.full_disk --disks 10 FOLDER
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.archives import batch, runs_in, tables_of, write_archive
from tests.helpers.small_runs import small_run


def fill_at_random(root: Path, model: Path, disks: int, films: int, seed: int) -> int:
    """Run a batch on disks of random sizes, then with room enough; returns how many were too small.

    Raises AssertionError where a batch ends otherwise than done or with a full disk, a run that says `done` is not
    whole, or the tables differ from those of `track`.
    """
    archive = write_archive(root / "archive", films, frames=21)
    sources = sorted((archive / "cam1").iterdir())
    alone = [tables_of(small_run(film, model, root / "alone" / film.stem).path) for film in sources]
    whole = batch(archive, "--jobs", 2, model=model, out=root / "undisturbed")
    assert whole.returncode == 0, whole.stderr
    needs = sum(path.stat().st_blocks * 512 for path in (root / "undisturbed").rglob("*"))
    draw, full = random.Random(seed), 0
    for number in range(disks):
        with mount(root / f"disk{number}", round(draw.uniform(0.02, 1.0) * needs)) as (disk, grow):
            out = disk / "runs"
            first = batch(archive, "--jobs", 2, model=model, out=out)
            assert (first.returncode, "the disk is full" in first.stderr) in ((0, False), (1, True)), first.stderr
            full += first.returncode
            for run in runs_in(out):
                if '"done": true' in (run / "run.json").read_text():
                    assert tables_of(run) in alone, f"{run} says done and is not whole"
            grow(4 * needs)
            again = batch(archive, "--jobs", 2, model=model, out=out)
            assert again.returncode == 0, again.stderr
            assert [tables_of(run) for run in runs_in(out)] == alone, f"runs in {out} differ from those of track"
        print(f"disk {number + 1}: {'full' if first.returncode else 'large enough'}, tables equal", flush=True)
    return full


@contextmanager
def mount(path: Path, size: int) -> Iterator[tuple[Path, Callable[[int], None]]]:
    """A disk in memory of so many bytes, and what makes it larger."""
    path.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], check=True)

    def grow(size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(path)], check=True)

    try:
        yield path, grow
    finally:
        subprocess.run(["umount", str(path)], check=False)


if __name__ == "__main__":
    from tests.helpers.model_folders import write_folder

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--disks", type=int, default=10)
    parser.add_argument("--films", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    tiny = write_folder(asked.folder / "tiny", "2b", shards=False)
    count = fill_at_random(asked.folder / "batch", tiny, asked.disks, asked.films, asked.seed)
    sys.stdout.write(f"{asked.disks} disks, {count} of them too small, all tables equal\n")
