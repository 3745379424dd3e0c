"""A finished run, and a copy of it for each test."""

import shutil
from pathlib import Path

import pytest

from tests.helpers.small_runs import small_clip, small_run


@pytest.fixture(scope="module")
def made(tiny_model, tmp_path_factory) -> Path:
    """A folder with `a.mp4` and its finished run in `run/`."""
    folder = tmp_path_factory.mktemp("made")
    small_run(small_clip(folder / "a.mp4"), tiny_model, folder / "run")
    return folder


@pytest.fixture
def work(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "work")
