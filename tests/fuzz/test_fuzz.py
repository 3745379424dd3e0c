"""The fuzz job itself: its seeds are sound, its cases are the same each time, and it sees what it is there to see."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.fuzz import prepare
from tests.fuzz.seeds import SEEDS, write_corpus
from tests.helpers.small_runs import tree


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


@pytest.mark.slow
class TestFuzz:
    @pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)
    def test_a_seed_without_damage_is_read(self, corpus, tmp_path, seed):
        seed.read(shutil.copytree(corpus / seed.name, tmp_path / "case"))

    @pytest.mark.parametrize("number", range(len(SEEDS)))
    def test_a_case_is_damaged_and_always_the_same(self, corpus, tmp_path, number):
        for name in ("one", "two"):
            prepare(number, corpus, tmp_path / name)
        assert tree(tmp_path / "one") == tree(tmp_path / "two") != tree(corpus / SEEDS[number].name)

    def test_a_few_cases(self, corpus, tmp_path):
        line = [sys.executable, "-m", "tests.fuzz.fuzz", "--corpus", str(corpus), "--cases", "36", "--seconds", "200"]
        line += ["--figures", str(tmp_path / "figures.json")]
        done = subprocess.run(line, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, done.stdout
        assert "36 damaged inputs of 18 kinds, 0 findings" in done.stdout
        figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
        assert (figures["inputs"], figures["kinds"], figures["findings"]) == (36, 18, 0)
