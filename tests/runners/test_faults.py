"""Workers that die, memory that ends, folders that go away, several batches at once: every other film is done."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.archives import batch, batch_arguments, runs_in, tables_of, write_archive
from tests.helpers.faults import with_faults
from tests.helpers.kills import kill_at_random
from tests.helpers.small_runs import SMALL, small_clip, small_run
from vidconcept.errors import ExitCode
from vidconcept.fleet.board import Board
from vidconcept.fleet.footage import Film
from vidconcept.fleet.intake import Listed
from vidconcept.fleet.stalls import Stalls
from vidconcept.runners.batch import Batch
from vidconcept.runners.processes import ProcessPool

FATES = ("good", "killer", "greedy", "hungry", "unlucky", "removed")


@pytest.mark.slow
def test_every_film_but_the_guilty_is_done(tmp_path, tiny_model):
    camera = tmp_path / "archive" / "cam1"
    camera.mkdir(parents=True)
    clip = small_clip(tmp_path / "clip.mp4", 9)
    for fate in FATES:
        shutil.copy(clip, camera / f"{fate}.mp4")
    out = tmp_path / "runs"
    done = batch(
        camera, "--jobs", 2, "--tries", 2, "--json", model=tiny_model, out=out, env=with_faults(tmp_path / "hook")
    )
    assert done.returncode == ExitCode.SOME_FAILED, done.stderr
    told = json.loads(done.stdout)
    reasons = {failed["source"].rpartition("/")[2]: failed["reason"] for failed in told["failed"]}
    assert set(reasons) == {"killer.mp4", "greedy.mp4"}
    assert reasons["killer.mp4"].startswith("given up after 2 tries: its process was killed (SIGKILL)")
    assert reasons["greedy.mp4"].startswith("also alone: out of memory")
    for fate in ("good", "hungry", "unlucky", "removed"):
        film = camera / f"{fate}.mp4"
        alone = small_run(film, tiny_model, tmp_path / fate)
        assert tables_of(out / Film(film).run_name) == tables_of(alone.path)
    assert not list((out / ".batch" / "leases").iterdir())
    # The next call tries the two again, and only them.
    again = json.loads(batch(camera, "--jobs", 1, "--json", model=tiny_model, out=out).stdout)
    assert (again["done"], again["skipped"], again["failed"]) == (2, 4, [])


@pytest.mark.slow
def test_a_worker_that_stands_still_is_ended_and_its_film_done(tmp_path, tiny_model, monkeypatch):
    for key, value in with_faults(tmp_path / "hook").items():
        monkeypatch.setenv(key, value)
    path, out = small_clip(tmp_path / "asleep.mp4"), tmp_path / "runs"
    film = Film(path, {"concepts": ("scratch", "dent"), "model": str(tiny_model), **SMALL, "threshold": 0.01})
    board, mark = Board(), out / ".batch" / f"asleep-asleep-{film.key[:8]}"

    def clock() -> float:
        """Hours pass for a worker that is stopped, and for no other."""
        nonlocal skipped_s
        skipped_s += 600.0 if not board.deaths and mark.exists() else 0.0
        return time.monotonic() + skipped_s

    skipped_s, words = 0.0, []
    pool = ProcessPool.in_runs(out, 1)
    try:
        Batch(out, Listed([film]), pool, board=board, tell=words.append, stalls=Stalls(300.0, clock)).run()
    finally:
        pool.close()
    assert (board.done, board.deaths, board.failed) == (1, 1, [])
    (again,) = [word.said for word in words if word.kind == "again"]
    assert again == "no progress for 5 min (starting), so its worker was ended; it is tried again alone"
    assert tables_of(out / film.run_name) == tables_of(small_run(path, tiny_model, tmp_path / "alone").path)
    assert not list((out / ".batch" / "leases").iterdir())


@pytest.mark.slow
def test_a_full_disk_ends_the_batch_and_costs_nothing(tmp_path, tiny_model):
    camera = tmp_path / "archive" / "cam1"
    camera.mkdir(parents=True)
    clip = small_clip(tmp_path / "clip.mp4", 9)
    for name in ("a", "full", "z"):
        shutil.copy(clip, camera / f"{name}.mp4")
    out, env = tmp_path / "runs", with_faults(tmp_path / "hook")
    done = batch(camera, "--jobs", 1, model=tiny_model, out=out, env=env)
    assert done.returncode == ExitCode.FAILURE, done.stderr
    assert "the disk is full. Next: free some space, then run again" in done.stderr
    assert len(runs_in(out)) == 2
    told = json.loads(batch(camera, "--jobs", 1, "--json", model=tiny_model, out=out, env=env).stdout)
    assert (told["done"], told["skipped"], told["failed"]) == (2, 1, [])
    alone = small_run(camera / "full.mp4", tiny_model, tmp_path / "alone")
    assert tables_of(out / Film(camera / "full.mp4").run_name) == tables_of(alone.path)


@pytest.mark.slow
def test_two_batches_on_one_folder_share_the_films(tmp_path, tiny_model):
    archive = write_archive(tmp_path / "archive", films=4)
    line = [sys.executable, "-m", "vidconcept"]
    line += batch_arguments(archive, "--jobs", 1, "--json", model=tiny_model, out=tmp_path / "runs")
    both = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = []
    for process in both:
        out, err = process.communicate(timeout=280)
        assert process.returncode == 0, err
        told.append(json.loads(out))
    assert sum(one["done"] for one in told) == 4
    assert [one["done"] + one["skipped"] for one in told] == [4, 4]
    assert len({json.dumps(sorted(map(str, tables_of(run)))) for run in runs_in(tmp_path / "runs")}) == 1


def wait_for_window(folder: Path, process: subprocess.Popen) -> None:
    """Until a film of the batch has its second window."""
    deadline_s = time.monotonic() + 200
    while not list(folder.glob("runs/*/*/maps/window_000001.safetensors")):
        assert time.monotonic() < deadline_s
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.slow
def test_ctrl_c_leaves_what_goes_on(tmp_path, tiny_model):
    archive = write_archive(tmp_path / "archive", films=2, frames=41)
    line = [sys.executable, "-m", "vidconcept"]
    line += batch_arguments(archive, "--jobs", 1, model=tiny_model, out=tmp_path / "runs")
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_window(tmp_path, process)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=200)
    assert process.returncode == ExitCode.INTERRUPTED, said
    assert "2 films left; what was done is kept" in said
    assert not list((tmp_path / "runs" / ".batch" / "leases").iterdir())
    again = batch(archive, "--jobs", 1, model=tiny_model, out=tmp_path / "runs")
    assert again.returncode == 0, again.stderr
    assert "went on after" in again.stderr


@pytest.mark.slow
def test_a_signal_that_reaches_the_workers_too_costs_no_film(tmp_path, tiny_model):
    """Slurm and systemd send it to every process."""
    archive = write_archive(tmp_path / "archive", films=2, frames=41)
    line = [sys.executable, "-m", "vidconcept"]
    line += batch_arguments(archive, "--jobs", 1, "--tries", 1, model=tiny_model, out=tmp_path / "runs")
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_window(tmp_path, process)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for number in [*map(int, workers), process.pid]:
        os.kill(number, signal.SIGTERM)
    _, said = process.communicate(timeout=200)
    assert process.returncode == ExitCode.INTERRUPTED, said
    assert "2 films left; what was done is kept" in said
    assert not list((tmp_path / "runs" / ".batch" / "leases").iterdir())


@pytest.mark.slow
def test_a_recording_that_is_still_coming_is_waited_for(tmp_path, tiny_model):
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    clip = small_clip(tmp_path / "clip.mp4", 9).read_bytes()
    line = [sys.executable, "-m", "vidconcept"]
    line += batch_arguments("--watch", incoming, "--settle", 1.5, "--jobs", 1, model=tiny_model, out=tmp_path / "runs")
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        with open(incoming / "a.mp4", "wb") as file:
            for part in range(8):
                file.write(clip[part * len(clip) // 8 : (part + 1) * len(clip) // 8])
                file.flush()
                time.sleep(0.5)
        deadline_s = time.monotonic() + 200
        while not any(json.loads((run / "run.json").read_text())["done"] for run in runs_in(tmp_path / "runs")):
            assert time.monotonic() < deadline_s
            assert process.poll() is None
            time.sleep(0.1)
        time.sleep(0.5)
    finally:
        os.kill(process.pid, signal.SIGINT)
        out, said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert "1 film: 1 done, 0 done before, 0 failed" in out
    assert (tmp_path / "runs" / "summary.csv").is_file()


@pytest.mark.slow
def test_a_batch_that_is_killed_again_and_again_comes_to_the_same_tables(tmp_path, tiny_model):
    assert kill_at_random(tmp_path, tiny_model, kills=3, films=2, seed=1) >= 1
