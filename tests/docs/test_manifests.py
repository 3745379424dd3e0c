"""The manifests for Kubernetes and Slurm: their parts are those of `--shard`, each once."""

import os
import subprocess
from pathlib import Path

import pytest

from vidconcept.fleet.footage import Film
from vidconcept.fleet.shards import Shard

FOLDER = Path(__file__).parents[2] / "docs" / "how-to" / "batch"
FILMS = [Film(Path(f"/footage/cam{number % 7}/{number:04d}.mp4")) for number in range(300)]


def cover_all_once(shards: list[Shard]) -> bool:
    return all(sum(shard.holds(film) for shard in shards) == 1 for film in FILMS)


def test_a_job_of_kubernetes():
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load((FOLDER / "kubernetes.yaml").read_text())["spec"]
    assert job["completionMode"] == "Indexed"
    (container,) = job["template"]["spec"]["containers"]
    command = container["command"]
    text = command[command.index("--shard") + 1]
    assert "$(JOB_COMPLETION_INDEX)" in text
    shards = [Shard.parse(text.replace("$(JOB_COMPLETION_INDEX)", str(n))) for n in range(job["completions"])]
    assert cover_all_once(shards)


@pytest.mark.parametrize("submitted", [8, 2], ids=["whole", "what was left"])
def test_an_array_of_slurm(tmp_path, submitted):
    script = FOLDER / "slurm.sh"
    (line,) = [line for line in script.read_text().splitlines() if line.startswith("#SBATCH --array=")]
    first, last = map(int, line.partition("=")[2].split("-"))
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    shards = []
    for index in range(first, last + 1):
        given = {"SLURM_ARRAY_TASK_ID": str(index), "SLURM_ARRAY_TASK_COUNT": str(submitted)}
        env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", **given}
        arguments = subprocess.run(["bash", str(script)], env=env, check=True, capture_output=True, text=True).stdout
        words = arguments.splitlines()
        shards.append(Shard.parse(words[words.index("--shard") + 1]))
    assert cover_all_once(shards)
