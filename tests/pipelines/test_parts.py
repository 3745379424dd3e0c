"""A long film in parts: what comes of it is what comes of one pass, to the bit."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.helpers.archives import tables_of
from tests.helpers.clips import write_clip
from tests.helpers.lines import write_line
from tests.helpers.small_runs import SMALL, small_run
from vidconcept.errors import Interrupted
from vidconcept.manifest import read_manifest
from vidconcept.pipelines.maps import ModelShelf
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.parts import Part, compute_part, split_film, take_parts
from vidconcept.pipelines.plan import Plan, make_plan
from vidconcept.pipelines.track import run_plan
from vidconcept.rarity.memory import Memory
from vidconcept.runs import open_run

SHELF = ModelShelf()


def a_line(folder: Path) -> Path:
    return write_line(folder / "line.mp4", 37, scratched=(0, 2))


def with_a_hole(folder: Path) -> Path:
    """Two recordings in one file, nine seconds apart."""
    stamps = [40 * n + 9000 * (n >= 14) for n in range(24)]
    return write_clip(folder / "hole.mkv", stamps_ms=stamps, size_px=(96, 64)).path


def planned(film: Path, model: Path, **settings) -> Plan:
    given = SMALL | {"threshold": 0.01, "model": str(model), "concepts": ("scratch", "dent")} | settings
    return make_plan(film, given)


def compute(plan: Plan, parts: list[Part], folder: Path, monitor: Monitor | None = None) -> None:
    for part in parts:
        run, _ = open_run(folder / part.name, plan.facts(), "resume", plan.read_paths)
        with run:
            compute_part(plan, run, part, monitor or Monitor(), SHELF)


def join(plan: Plan, folder: Path, out: Path) -> int:
    facts = plan.facts()
    with open_run(out, dict(facts), "resume", plan.read_paths)[0] as run:
        taken = take_parts(run, folder, facts)

    def no_model(*_):
        raise AssertionError("all maps are there")

    run_plan(plan, out, "resume", Monitor(), no_model)
    return taken


@pytest.mark.parametrize("make", [a_line, with_a_hole])
def test_the_tables_are_those_of_one_pass(make, tmp_path, tiny_model):
    film = make(tmp_path)
    whole = small_run(film, tiny_model, tmp_path / "whole")
    assert (14 in whole.manifest["cuts"]) == (make is with_a_hole)
    plan = planned(film, tiny_model)
    parts = [Part(0, 8), Part(8, 12), Part(12, 20), Part(20, None)]
    # Whoever is done first.
    compute(plan, parts[::-1], tmp_path / "parts")
    assert join(plan, tmp_path / "parts", tmp_path / "joined") == whole.manifest["windows"]
    assert tables_of(tmp_path / "joined") == tables_of(whole.path)
    one, other = (load_file(run / "maps" / "memory.safetensors") for run in (whole.path, tmp_path / "joined"))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("make", [a_line, with_a_hole])
def test_so_they_are_where_the_motion_chooses_the_windows(make, tmp_path, tiny_model):
    film, moving = make(tmp_path), {"stride": "auto", "smooth": "flow"}
    whole = small_run(film, tiny_model, tmp_path / "whole", **moving)
    plan = planned(film, tiny_model, **moving)
    assert plan.settings.skips_windows
    compute(plan, [Part(20, None), Part(9, 20), Part(0, 9)], tmp_path / "parts")
    assert join(plan, tmp_path / "parts", tmp_path / "joined") == whole.manifest["windows"]
    assert tables_of(tmp_path / "joined") == tables_of(whole.path)
    one, other = (load_file(run / "maps" / "memory.safetensors") for run in (whole.path, tmp_path / "joined"))
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_a_memory_that_thins_remembers_the_same(tmp_path, tiny_model, monkeypatch):
    """The footage of hours fills the memory; here a small one is full after a few windows."""
    monkeypatch.setattr(Memory.__init__, "__defaults__", (300, 128, *Memory.__init__.__defaults__[2:]))
    film = a_line(tmp_path)
    whole = small_run(film, tiny_model, tmp_path / "whole")
    plan = planned(film, tiny_model)
    compute(plan, [Part(0, 16), Part(16, None)], tmp_path / "parts")
    join(plan, tmp_path / "parts", tmp_path / "joined")
    one, other = (load_file(run / "maps" / "memory.safetensors") for run in (whole.path, tmp_path / "joined"))
    assert one["counts"].max() < 128
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert tables_of(tmp_path / "joined") == tables_of(whole.path)


@pytest.mark.slow
def test_a_part_that_was_stopped_goes_on(tmp_path, tiny_model):
    film = a_line(tmp_path)
    plan = planned(film, tiny_model)
    seen = []
    monitor = Monitor(progress=lambda *told: seen.append(told), stop=lambda: len(seen) > 5)
    with pytest.raises(Interrupted):
        compute(plan, [Part(8, None)], tmp_path / "parts", monitor)
    kept = sorted(path.name for path in tmp_path.glob("parts/*/maps/window_*"))
    assert kept
    compute(plan, [Part(8, None), Part(0, 8)], tmp_path / "parts")
    join(plan, tmp_path / "parts", tmp_path / "joined")
    assert tables_of(tmp_path / "joined") == tables_of(small_run(film, tiny_model, tmp_path / "whole").path)


@pytest.mark.parametrize("first", ["run", "part"])
def test_parts_serve_a_run_that_says_the_same_in_other_words(tmp_path, tiny_model, first):
    film, out, parts = a_line(tmp_path), tmp_path / "out", tmp_path / "parts"
    one, other = Part(0, 20), Part(20, None)
    found = planned(film, tiny_model, dtype="auto")
    if first == "run":
        monitor = Monitor(stop=lambda: any(out.glob("maps/window_*")))
        with pytest.raises(Interrupted):
            run_plan(found, out, "resume", monitor, SHELF)
    else:
        compute(found, [one], parts)
    begun = out if first == "run" else parts / one.name
    named = planned(film, tiny_model, dtype=read_manifest(begun)["engine"]["dtype"])
    compute(named, [one, other], parts)
    assert join(named, parts, out) == read_manifest(out)["windows"]
    assert tables_of(out) == tables_of(run_plan(named, tmp_path / "whole", "error", Monitor(), SHELF).path)


def test_parts_cover_the_film(tmp_path, tiny_model):
    plan = planned(a_line(tmp_path), tiny_model)
    parts = split_film(plan, 0.5)
    assert len(parts) == 3
    assert (parts[0].first, parts[-1].end) == (0, None)
    assert all(before.end == after.first for before, after in pairwise(parts))
    assert split_film(plan, 2.0) == [Part(0, None)]


def test_a_part_is_counted_from_where_the_film_is_asked_for(tmp_path, tiny_model):
    plan = planned(a_line(tmp_path), tiny_model, start_s=0.8)
    parts = [Part(0, 8), Part(8, None)]
    compute(plan, parts, tmp_path / "parts")
    first, second = (
        sorted(path.name for path in (tmp_path / "parts" / part.name / "maps").glob("window_*")) for part in parts
    )
    assert first, "windows of the beginning belong to the first part"
    assert second
    assert not set(first) & set(second)
