"""A film of a batch on disks that fill up at random moments. As root on Linux: the disks are in memory.

python -m tests.helpers.full_disk --disks 50 FOLDER
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.archives import tables_of
from tests.helpers.small_runs import SMALL, small_clip, small_run
from vidconcept.runners.films import Desk, do_film
from vidconcept.runners.order import Order


def fill_at_random(root: Path, model: Path, disks: int, seed: int) -> Counter[str]:
    """Do a film as a worker does on disks of random sizes, then with room enough; returns what was reported at first.

    Raises AssertionError where anything but "done" or "full" is reported, a run that says `done` is not whole, or its
    tables differ in the end from those of `track`.
    """
    film = small_clip(root / "film.mp4", 21)
    whole = small_run(film, model, root / "alone")
    needs = sum(path.stat().st_blocks * 512 for path in whole.path.rglob("*"))
    given = {"concepts": ["scratch", "dent"], "model": str(model), **SMALL, "threshold": 0.01}
    desk, draw, found = Desk(), random.Random(seed), Counter[str]()
    for number in range(disks):
        with mount(root / f"disk{number}", round(draw.uniform(0.02, 2.5) * needs)) as (disk, grow):
            order = Order(str(film), str(disk / "runs"), given)
            run = disk / "runs" / order.film.run_name
            first = do_film(order, desk)
            found[first.kind] += 1
            assert first.kind in ("done", "full"), first
            if (run / "run.json").exists() and '"done": true' in (run / "run.json").read_text():
                assert tables_of(run) == tables_of(whole.path), f"disk {number + 1}: done, and not whole"
            grow(8 * needs)
            again = do_film(order, desk)
            assert again.kind in ("done", "skipped"), again
            assert tables_of(run) == tables_of(whole.path), f"disk {number + 1}: other tables than those of track"
    return found


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
    parser.add_argument("--disks", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    tiny = write_folder(asked.folder / "tiny", "2b", shards=False)
    counts = fill_at_random(asked.folder, tiny, asked.disks, asked.seed)
    sys.stdout.write(f"{asked.disks} disks, {counts['full']} of them too small at first; all tables equal\n")
