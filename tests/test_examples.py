"""Every example runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"
SECONDS = "1"


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
def test_track_and_read_then_plot_a_map(tmp_path, monkeypatch):
    """Both look at the same second; the notebook goes on with the run of the script, without the model."""
    folder = tmp_path / "run"
    said = run("track_and_read.py", "--out", str(folder), "--seconds", SECONDS)
    assert f"events in {folder}" in said
    assert re.search(r"highest score: scratch \d\.\d\d, dent \d\.\d\d", said)
    before = {path: path.stat().st_mtime_ns for path in (folder / "maps").iterdir()}

    monkeypatch.setenv("EXAMPLE_OUT", str(folder))
    monkeypatch.setenv("EXAMPLE_SECONDS", SECONDS)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join(filter(None, [str(EXAMPLES.parent), os.environ.get("PYTHONPATH")]))
    )
    notebook = nbformat.read(EXAMPLES / "plot_a_map.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "clear the outputs"
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(EXAMPLES)}}).execute()
    pictures = [o for o in notebook.cells[-1].outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == 1
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "maps").iterdir()}
