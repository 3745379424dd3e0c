"""Runs that take a second: five frames of a few pixels, read by a model with random weights."""

import hashlib
from pathlib import Path

from tests.helpers.clips import write_clip
from vidconcept.pipelines.track import Run, track

SMALL = {"height": 32, "width": 48, "window_frames": 5, "overlap_frames": 1, "smooth": "none", "device": "cpu"}


def small_clip(path: Path, count: int = 5) -> Path:
    return write_clip(path, count=count, size_px=(96, 64)).path


def small_run(video: Path, model: Path, out: Path, **settings) -> Run:
    return track(video, ["scratch", "dent"], model=str(model), out=out, **(SMALL | {"threshold": 0.01} | settings))


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder with a digest of what it holds; links as what they point to."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
