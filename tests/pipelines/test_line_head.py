"""What a calibration learns of a line's surface, on the embedded model."""

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

import vidconcept
from tests.helpers.lines import write_line
from vidconcept.errors import OutputError, UsageError
from vidconcept.models import line_head as net
from vidconcept.models.line_head_file import name_line_head
from vidconcept.pipelines import line_head
from vidconcept.pipelines.calibrate import calibrate_good
from vidconcept.pipelines.good_footage import read_all
from vidconcept.pipelines.plan import make_plan
from vidconcept.pipelines.workspace import Workspace
from vidconcept.runs import RunFolder

SETTINGS = {"concepts": ("scratch", "dent"), "height": 96, "width": 160, "device": "cpu"}


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_line(tmp_path_factory.mktemp("good") / "good.mp4", 60)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("maps")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(line_head, "SHORTEST_S", 1.0)
    monkeypatch.setattr(line_head, "FRAMES", 12)
    monkeypatch.setattr(net, "STEPS", 20)
    monkeypatch.setattr(net, "FEWEST_CELLS", 1)


def test_frames_are_from_all_over_the_footage_and_as_the_model_sees_them(film):
    plan = make_plan(film, SETTINGS)
    frames = line_head.sample_frames(plan, 12, Workspace(film.parent).monitor)
    times_s = [time_s for time_s, _ in frames]
    assert 10 <= len(frames) <= 14
    assert times_s == sorted(times_s)
    assert times_s[0] == 0
    assert times_s[-1] > 0.8 * 60 / 25
    assert {frame.shape for _, frame in frames} == {(plan.tiles.tile_height, plan.tiles.tile_width, 3)}


def test_it_is_learnt_once_saved_beside_the_thresholds_and_read_by_track(film, work, tmp_path, monkeypatch):
    learnt = calibrate_good([film], SETTINGS, 1.0, Workspace(work))
    assert learnt.line_head is not None
    assert len(learnt.line_head.head.members) == line_head.PARTS
    monkeypatch.setattr(Workspace, "load", lambda *_: pytest.fail("a second calibration asked for the model"))
    again = calibrate_good([film], SETTINGS, 2.0, Workspace(work))
    assert again.line_head is not None
    assert again.line_head.bounds_s == learnt.line_head.bounds_s
    monkeypatch.undo()
    config = tmp_path / "line.toml"
    again.save(config)
    assert tomllib.loads(config.read_text())["line_head"] == name_line_head(config).name
    # Nothing of the parts that the good footage was read in.
    assert not {"start_s", "end_s"} & tomllib.loads(config.read_text()).keys()
    assert tomllib.loads(config.read_text())["provenance"]["footage"] == [film.name]
    plain = vidconcept.track(film, out=tmp_path / "plain", **SETTINGS)
    adapted = vidconcept.track(film, out=tmp_path / "adapted", config=config, **SETTINGS)
    assert adapted.manifest["engine"]["line_head"] is True
    assert adapted.manifest["maps_from"]["line_head"]
    assert "line_head" not in plain.manifest["maps_from"]
    one, other = (next(RunFolder(run.path, run.manifest).read_maps()).scores for run in (plain, adapted))
    assert not np.array_equal(one, other)


def test_every_part_is_judged_by_the_member_that_has_not_seen_it(film, work):
    plans = [make_plan(film, SETTINGS)]
    learnt = line_head.learn_line_head(plans, Workspace(work))
    assert learnt is not None
    for part in range(line_head.PARTS):
        judge = net.LineHead.read(learnt.write_judge(part, work))
        assert len(judge.members) == 1
        own = dict(learnt.head.members[part].named_buffers())
        assert np.array_equal(judge.tensors()["members.0.mean"], own["mean"].numpy())


def test_short_footage_teaches_nothing_which_is_said_and_kept(film, work, monkeypatch):
    monkeypatch.setattr(line_head, "SHORTEST_S", 10.0)
    plans = [make_plan(film, {**SETTINGS, "seed": 1})]
    assert line_head.learn_line_head(plans, Workspace(work)) is None
    monkeypatch.setattr(line_head, "sample_frames", lambda *_: pytest.fail("the footage was read again"))
    again = Workspace(work)
    assert line_head.learn_line_head(plans, again) is None
    assert [remark.about for remark in again.monitor.remarks] == ["surface"]


def test_a_film_too_short_to_be_divided_is_in_the_first_part(film, work, tmp_path):
    stub = write_line(tmp_path / "stub.mp4", 3)
    learnt = line_head.learn_line_head([make_plan(path, SETTINGS) for path in (film, stub)], Workspace(work))
    assert learnt is not None
    assert list(map(len, learnt.bounds_s)) == [line_head.PARTS - 1, 0]
    parts = read_all([film, stub], SETTINGS, Workspace(work), learnt)
    assert len(parts) == line_head.PARTS + 1


def test_every_tile_is_seen(film):
    plan = make_plan(film, {**SETTINGS, "tile": (2, 1)})
    wide = plan.tiles.width
    shown = np.tile(np.arange(wide, dtype=np.uint8), (plan.tiles.height, 1))[..., None].repeat(3, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_head, "crop_to_model", lambda *_: shown)
        frames = line_head.sample_frames(plan, 40, Workspace(film.parent).monitor)
    assert len(frames) == 40
    assert len({int(frame[0, 0, 0]) for _, frame in frames}) == 2


def test_a_damaged_head_of_a_workspace_is_told_of_before_the_work(film, work, tmp_path, monkeypatch):
    plans = [make_plan(film, SETTINGS)]
    learnt = line_head.learn_line_head(plans, Workspace(work))
    assert learnt is not None
    own = Path(shutil.copytree(work, tmp_path / "own"))
    (own / f"line_head-{learnt.key}.safetensors").write_bytes(b"nothing")
    monkeypatch.setattr(line_head, "sample_frames", lambda *_: pytest.fail("frames were read"))
    with pytest.raises(OutputError, match="changed since"):
        line_head.learn_line_head(plans, Workspace(own))


def test_a_calibration_without_its_head_is_warned_of(film, work, tmp_path):
    config = tmp_path / "line.toml"
    calibrate_good([film], SETTINGS, 1.0, Workspace(work)).save(config)
    assert not [remark for remark in make_plan(film, SETTINGS, config).remarks if remark.about == "calibration"]
    without = make_plan(film, {**SETTINGS, "line_head": ""}, config)
    assert [remark.level for remark in without.remarks if remark.about == "calibration"] == ["warning"]


def test_a_head_that_is_given_is_used_and_named_by_its_whole_path(film, work, tmp_path):
    learnt = line_head.learn_line_head([make_plan(film, SETTINGS)], Workspace(work))
    assert learnt is not None
    head, config = tmp_path / "own.safetensors", tmp_path / "line.toml"
    learnt.write(head)
    given = calibrate_good([film], {**SETTINGS, "line_head": str(head)}, 1.0, Workspace(work))
    assert given.line_head is None
    given.save(config)
    assert make_plan(film, SETTINGS, config).settings.line_head == str(head)


def test_another_model_is_left_as_it_is(film, work, tiny_model):
    settings = {**SETTINGS, "model": str(tiny_model), "window_frames": 9, "overlap_frames": 1}
    assert line_head.learn_line_head([make_plan(film, settings)], Workspace(work)) is None


def test_a_head_is_refused_by_another_model(film, work, tmp_path, tiny_model):
    learnt = line_head.learn_line_head([make_plan(film, SETTINGS)], Workspace(work))
    assert learnt is not None
    path = tmp_path / "head.safetensors"
    learnt.write(path)
    settings = {**SETTINGS, "model": str(tiny_model), "window_frames": 9, "overlap_frames": 1}
    with pytest.raises(UsageError, match="learnt with other weights"):
        make_plan(film, {**settings, "line_head": str(path)})
