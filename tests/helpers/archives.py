"""A small archive of films, and the command `batch` over it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.helpers.small_runs import SMALL, small_clip

# Of a run, what must not depend on who made it, nor on how often it was killed.
TABLES = ("events.csv", "frames.csv", "tracks.csv", "recurring.csv", "masks.json")


def write_archive(folder: Path, films: int = 2, frames: int = 9) -> Path:
    """Films of one camera, all alike: copies of one clip."""
    camera = folder / "cam1"
    camera.mkdir(parents=True)
    clip = small_clip(folder / "clip.mp4", frames)
    for number in range(films):
        shutil.copy(clip, camera / f"{number:04d}.mp4")
    clip.unlink()
    return folder


def batch_arguments(*arguments: object, model: Path, out: Path) -> list[str]:
    settings = SMALL | {"threshold": 0.01, "model": str(model)}
    pairs = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return ["batch", *map(str, arguments), "--concepts", "scratch,dent", *pairs, "--out", str(out)]


def batch(*arguments: object, model: Path, out: Path, env: dict[str, str] | None = None, **options: Any) -> Any:
    """The command in a process of its own, finished."""
    line = [sys.executable, "-m", "vidconcept", *batch_arguments(*arguments, model=model, out=out)]
    options = {"capture_output": True, "text": True, "timeout": 280, "check": False} | options
    return subprocess.run(line, env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}, **options)


def runs_in(out: Path) -> list[Path]:
    return sorted(path.parent for path in out.glob("*/*/run.json"))


def tables_of(run: Path) -> dict[str, bytes]:
    """What a run found; all of it must be there."""
    assert json.loads((run / "run.json").read_text())["done"]
    return {name: (run / name).read_bytes() for name in TABLES}
