"""Actors of a real local Ray cluster: killed in the middle of a film, killed by a film, and a node that goes away."""

import json
import shutil
import subprocess
import sys
import time

import pytest

from tests.helpers.archives import batch, batch_arguments, runs_in, tables_of, write_archive
from tests.helpers.faults import with_faults
from tests.helpers.small_runs import small_clip, small_run
from vidconcept.errors import ExitCode
from vidconcept.fleet.footage import Film

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray")


def test_actors_that_die_cost_the_guilty_film_alone(tmp_path, tiny_model, monkeypatch):
    camera = tmp_path / "archive" / "cam1"
    camera.mkdir(parents=True)
    clip = small_clip(tmp_path / "clip.mp4", 9)
    for fate in ("good", "killer", "unlucky"):
        shutil.copy(clip, camera / f"{fate}.mp4")
    out = tmp_path / "runs"
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    done = batch(
        camera, "--runner", "ray", "--jobs", 2, "--tries", 2, "--json",
        model=tiny_model, out=out, env=with_faults(tmp_path / "hook"),
    )  # fmt: skip
    assert done.returncode == ExitCode.SOME_FAILED, done.stderr
    told = json.loads(done.stdout)
    assert told["done"] == 2
    (failed,) = told["failed"]
    assert failed["source"].endswith("killer.mp4")
    assert failed["reason"].startswith("given up after 2 tries: its actor is gone")
    for fate in ("good", "unlucky"):
        alone = small_run(camera / f"{fate}.mp4", tiny_model, tmp_path / fate)
        assert tables_of(out / Film(camera / f"{fate}.mp4").run_name) == tables_of(alone.path)


def start_cluster():
    """A cluster of two nodes, and the second of them. Ray gives a node 30 seconds, too few on a busy machine."""
    from ray.cluster_utils import Cluster

    for attempt in range(3):
        cluster = Cluster()
        try:
            cluster.add_node(num_cpus=1, include_dashboard=False)
            return cluster, cluster.add_node(num_cpus=1)
        except Exception:
            cluster.shutdown()
            if attempt == 2:
                raise
            time.sleep(5)
    raise AssertionError


def test_a_node_that_goes_away_costs_no_film(tmp_path, tiny_model, monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    archive, out = write_archive(tmp_path / "archive", films=3, frames=41), tmp_path / "runs"
    cluster, second = start_cluster()
    try:
        line = [sys.executable, "-m", "vidconcept"]
        line += batch_arguments(
            archive, "--runner", "ray", "--address", cluster.address, "--jobs", 2, "--json", model=tiny_model, out=out
        )
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline_s = time.monotonic() + 250
        while len(list(out.glob("*/*/maps/window_000001.safetensors"))) < 2:
            assert time.monotonic() < deadline_s
            assert process.poll() is None
            time.sleep(0.05)
        cluster.remove_node(second, allow_graceful=False)
        told, said = process.communicate(timeout=280)
    finally:
        cluster.shutdown()
    assert process.returncode == 0, said
    assert json.loads(told)["done"] == 3
    assert "its actor is gone" in said
    alone = small_run(archive / "cam1" / "0000.mp4", tiny_model, tmp_path / "alone")
    assert [tables_of(run)["events.csv"] for run in runs_in(out)] == 3 * [tables_of(alone.path)["events.csv"]]
