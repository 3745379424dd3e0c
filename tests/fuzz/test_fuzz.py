"""The fuzz job itself: its seeds are sound, its cases are the same each time, and it sees what it is there to see."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.fuzz import name_finding, prepare
from tests.fuzz.seeds import SEEDS, write_corpus
from tests.helpers.small_runs import tree


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


def test_findings_of_a_kind_have_one_name():
    """The figures of the documentation are as the job writes them."""
    raw = "OSError: [Errno 36] File name too long: '/a/b/cccc' at folders.py:92 files.py:41"
    assert name_finding(raw) == "OSError: [Errno 36] File name too long: at folders.py"
    assert name_finding(raw.replace("cccc'", "c" * 150)) == name_finding(raw.replace(":92", ":93"))
    assert name_finding("a hang of 30 s") == "a hang of 30 s"
    written = json.loads((Path(__file__).parents[2] / "docs" / "figures" / "fuzz.json").read_text())["figures"]["found"]
    assert [name_finding(what) for what in written] == list(written)


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
