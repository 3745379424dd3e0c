"""A calibration that begins from an earlier one, what it brings along, and the two files that it is kept in."""

import os
from pathlib import Path

import pytest

from tests.helpers.lines import write_line
from tests.helpers.small_runs import tree
from vidconcept.errors import OutputError
from vidconcept.pipelines.calibrate import Calibration, calibrate_good
from vidconcept.pipelines.plan import make_plan
from vidconcept.pipelines.workspace import Workspace
from vidconcept.rarity.good_parts import name_memory


@pytest.fixture(scope="module")
def footage(tmp_path_factory) -> list[Path]:
    """Good parts, and longer film of them."""
    folder = tmp_path_factory.mktemp("good")
    return [write_line(folder / "good.mp4", 60), write_line(folder / "more.mp4", 90)]


@pytest.fixture(scope="module")
def calibrate(tmp_path_factory, tiny_model):
    work = tmp_path_factory.mktemp("maps")
    settings = {"concepts": ("scratch",), "model": str(tiny_model), "height": 64, "width": 96, "device": "cpu"}
    settings |= {"window_frames": 9, "overlap_frames": 1}

    def calibrate(film: Path, config: Path | None = None, **more) -> Calibration:
        return calibrate_good([film], settings | more, 1.0, Workspace(work, config=config))

    return calibrate


def save(calibration: Calibration, path: Path) -> Path:
    calibration.save(path)
    return path


def test_it_learns_the_same_from_footage_whatever_was_learnt_before(footage, calibrate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good, more = footage
    # Without a memory beside it: an earlier calibration is of use all the same.
    old = save(calibrate(more), Path("old/line.toml"))
    name_memory(old).unlink()
    plain, again = calibrate(good), calibrate(good, old)
    assert again.choice == plain.choice
    assert again.lifts == plain.lifts
    assert again.good_parts is not None
    assert again.good_parts.memory.count == plain.good_parts.memory.count
    config = save(again, Path("new/line.toml"))
    assert make_plan(good, {}, config).settings.rarity == str(name_memory(config))


def test_repeating_it_lowers_no_threshold(footage, calibrate, tmp_path):
    given = {"threshold": 0.9, "rarity": "off"}
    first = calibrate(footage[0], **given)
    again = calibrate(footage[0], save(first, tmp_path / "line.toml"))
    assert first.choice.lowest == again.choice.lowest
    assert first.choice.thresholds == again.choice.thresholds
    assert again.keys == first.keys


def test_a_memory_that_the_user_gave_is_found_from_wherever_the_file_lies(footage, calibrate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    memory = name_memory(save(calibrate(footage[0]), Path("old/line.toml")))
    own = Path("old/own.toml")
    own.write_text(f'rarity = "{memory.name}"\n')
    for number, given in enumerate(({"rarity": str(memory)}, {"config": own})):
        calibration = calibrate(footage[0], **given)
        assert calibration.good_parts is None
        config = save(calibration, Path(f"new/{number}.toml"))
        assert make_plan(footage[0], {}, config).settings.rarity == os.path.abspath(memory)


@pytest.mark.parametrize("theirs", ["line.toml", "line.toml.rarity.safetensors"])
def test_saving_leaves_both_files_as_they_are_where_one_may_not_be_replaced(footage, calibrate, tmp_path, theirs):
    config = save(calibrate(footage[0]), tmp_path / "line.toml")
    (tmp_path / theirs).write_text("a week of work")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match="is not replaced"):
        calibrate(footage[1]).save(config)
    assert tree(tmp_path) == before


def test_each_file_has_a_memory_of_its_own():
    configs = [Path(name) for name in ("line", "line.toml", "line.v1", "line.v2", "line.v1.toml")]
    assert len({name_memory(config) for config in configs}) == len(configs)
