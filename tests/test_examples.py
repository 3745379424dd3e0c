"""Every example runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers.clips import write_clip
from vidconcept.writers.tables import read_frames

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: str) -> str:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=EXAMPLES.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_hooks_on_a_plain_transformer():
    said = run("read_attention.py")
    assert "output unchanged: True" in said
    scores = [float(score) for score in re.findall(r"mean score (\d\.\d+)", said)]
    assert len(scores) == 3
    assert sum(scores) == pytest.approx(1, abs=0.01)


@pytest.mark.slow
@pytest.mark.slice
def test_all_look_at_the_run_of_the_first_command_without_the_model(tmp_path, monkeypatch):
    clip, folder = write_clip(tmp_path / "line_cam.mp4", size_px=(384, 256)).path, tmp_path / "line_cam.vidconcept"
    command = [sys.executable, "-m", "vidconcept", "track", str(clip), "--concepts", "scratch,dent"]
    subprocess.run(command, check=True, cwd=EXAMPLES.parent)
    before = {path: path.stat().st_mtime_ns for path in (folder / "maps").glob("window_*")}

    said = run("track_and_read.py", str(clip))
    assert f"events in {folder}" in said
    assert re.search(r"highest score: scratch \d\.\d\d, dent \d\.\d\d", said)

    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join(filter(None, [str(EXAMPLES.parent), os.environ.get("PYTHONPATH")]))
    )
    notebook = nbformat.read(EXAMPLES / "plot_a_map.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "clear the outputs"
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [o for o in notebook.cells[-1].outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == 1
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "maps").glob("window_*")}


@pytest.mark.slow
@pytest.mark.slice
def test_a_part_of_the_clip_can_be_read(tmp_path):
    run("track_and_read.py", "--out", str(tmp_path / "run"), "--seconds", "0.5")
    assert [row.frame_index for row in read_frames(tmp_path / "run" / "frames.csv")][-1] == 12
