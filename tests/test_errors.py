"""What is said of faults of a machine, and the next step that helps."""

import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.helpers.refusals import type_command
from tests.helpers.review_runs import make_run
from vidconcept import cli
from vidconcept.errors import OutputError
from vidconcept.files import open_replacing
from vidconcept.ownership import check_writable
from vidconcept.writers.review.index import review


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted as Linux does")
def test_too_many_open_files_are_no_fault_of_the_folder(tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(int(name) for name in os.listdir("/proc/self/fd"))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(most)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        said = r"too many files are open\. Next: raise the limit \(ulimit -n\)"
        with pytest.raises(OutputError, match=said), open_replacing(tmp_path / "a.csv"):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for handle in held:
            os.close(handle)


@pytest.mark.skipif(sys.platform == "win32", reason="not told there")
class TestReadOnlyFileSystems:
    @pytest.fixture
    def make_read_only(self, monkeypatch):
        def make():
            monkeypatch.setattr(os, "access", lambda *_: False)
            monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))

        return make

    def test_are_named_before_a_run_begins(self, make_read_only, tmp_path):
        make_read_only()
        with pytest.raises(OutputError, match=r"the file system is read-only\. Next: choose another folder"):
            check_writable(tmp_path / "run")

    def test_are_named_by_review(self, make_read_only, tmp_path, caplog):
        make_run(tmp_path / "run", frames=10, video=False)
        review(tmp_path / "run")
        make_read_only()
        with caplog.at_level(logging.WARNING):
            review(tmp_path / "run")
        assert "review.html: the file system is read-only; shown as written before" in caplog.text
        (tmp_path / "run" / "review.html").unlink()
        with pytest.raises(OutputError, match=r"the file system is read-only\. Next: copy "):
            review(tmp_path / "run")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ImportError("libx.so: failed to map segment from shared object"), "raise the limit of memory (ulimit -v)"),
        (OSError(12, "Cannot allocate memory"), "smaller window_frames"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "smaller window_frames"),
        (RuntimeError("CUDA out of memory"), "device=cpu"),
        (ImportError("no module named x"), "--debug shows where"),
    ],
)
def test_too_little_memory_is_told_with_what_helps(monkeypatch, error, advice):
    def fail(**_):
        raise error

    monkeypatch.setattr(cli, "app", fail)
    code, said = type_command(monkeypatch, "doctor")
    assert code == 1
    assert advice in said.partition("Next: ")[2]
