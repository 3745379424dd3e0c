"""Faults of a machine, brought into the workers of a batch from outside: by the name of the film that they work on.

The code under test is not replaced: before it goes on, the process is killed, a folder disappears, or memory is at its
end.
"""

from __future__ import annotations

import os
from pathlib import Path

# Loaded by every Python that has its folder on PYTHONPATH.
_HOOK = '''
import errno, os, shutil, signal, sys
from pathlib import Path

def once(out, word):
    """Whether this has not happened to the run before."""
    mark = out.parents[1] / ".batch" / f"{word}-{out.name}"
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True

def bring_faults():
    from vidconcept.pipelines import track
    from vidconcept.runs import RunFolder

    run_plan, save_maps = track.run_plan, RunFolder.save_maps

    def run_plan_with_faults(plan, out, *rest, **options):
        name = plan.source.stem
        leases = [path for path in (out.parents[1] / ".batch" / "leases").iterdir() if path.name[0] != "."]
        if name == "asleep" and once(out, "asleep"):
            # All threads, as where a disk does not answer.
            os.kill(os.getpid(), signal.SIGSTOP)
        if name == "killer":
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "greedy" or (name == "hungry" and len(leases) > 1):
            raise MemoryError
        return run_plan(plan, out, *rest, **options)

    def save_maps_with_faults(run, *rest):
        save_maps(run, *rest)
        name = Path(run.manifest["video"]["name"]).stem
        if name == "unlucky" and once(run.path, "unlucky"):
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "full" and once(run.path, "full"):
            raise OSError(errno.ENOSPC, "of a disk")
        if name == "removed" and once(run.path, "removed"):
            shutil.rmtree(run.path)

    track.run_plan = run_plan_with_faults
    RunFolder.save_maps = save_maps_with_faults

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "vidconcept.runners.films":
            sys.meta_path.remove(self)
            bring_faults()

sys.meta_path.insert(0, Finder())
'''


def with_faults(folder: Path) -> dict[str, str]:
    """The environment of a batch in which films called killer, asleep, greedy, hungry, unlucky, full and removed meet
    these."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(_HOOK)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", os.getcwd())])}
