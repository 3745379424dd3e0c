"""A calibration holds for the weights and the scores that it was made with; with others `track` says so."""

import shutil
from pathlib import Path

import pytest

from tests.helpers.clips import write_clip
from vidconcept.errors import UsageError
from vidconcept.models.adapter import read_layout
from vidconcept.models.folder import find_folder, find_preset
from vidconcept.pipelines.calibrate import calibrate_good
from vidconcept.pipelines.plan import MAPS_VERSION, make_plan
from vidconcept.pipelines.workspace import Workspace

EXAMPLE = Path(__file__).parents[2] / "examples" / "line_cam.mp4"


@pytest.fixture(scope="module")
def weights():
    return read_layout(find_folder(find_preset("linecam")).path).fingerprint


def list_warnings(folder: Path, provenance: str) -> list[str]:
    config = folder / "line.toml"
    config.write_text(f'concepts = ["scratch"]\n[thresholds]\nscratch = 0.8\n[provenance]\n{provenance}\n')
    plan = make_plan(EXAMPLE, {}, config)
    assert plan.settings.thresholds == {"scratch": 0.8}
    return [remark.message for remark in plan.remarks if remark.about == "calibration"]


def test_a_calibration_with_these_weights_needs_no_word(tmp_path, weights):
    assert list_warnings(tmp_path, f'weights = "{weights}"\nmaps_version = {MAPS_VERSION}') == []


def test_a_calibration_with_other_weights_promises_nothing(tmp_path, weights):
    (warning,) = list_warnings(tmp_path, f'weights = "0123456789abcdef"\nmaps_version = {MAPS_VERSION}')
    assert "0123456789abcdef" in warning
    assert weights in warning
    assert "Next: vidconcept calibrate again" in warning


def test_a_calibration_from_before_the_scores_changed_promises_nothing(tmp_path, weights):
    (warning,) = list_warnings(tmp_path, f'weights = "{weights}"')
    assert "scores of before" in warning


@pytest.mark.parametrize(
    ("kind", "given", "voids"),
    [("good footage", 0.3, True), ("good footage", None, False), ("masks", 0.3, False)],
)
def test_a_threshold_given_beside_a_calibration_voids_its_promise(tmp_path, kind, given, voids):
    config = tmp_path / "line.toml"
    config.write_text(f'concepts = ["scratch"]\n[thresholds]\nscratch = 0.8\n[provenance]\nkind = "{kind}"\n')
    plan = make_plan(EXAMPLE, {"threshold": given}, config)
    said = [remark.message for remark in plan.remarks if "no rate of false alarms is promised" in remark.message]
    assert len(said) == voids


def test_a_config_without_a_calibration_needs_no_word(tmp_path):
    assert list_warnings(tmp_path, "hours = 1") == []


def test_footage_that_is_there_twice_is_refused_before_it_is_read(tmp_path, tiny_model):
    film = write_clip(tmp_path / "good.mp4", count=9).path
    copy = Path(shutil.copy(film, tmp_path / "again.mp4"))
    settings = {"concepts": ("scratch",), "model": str(tiny_model)}
    for videos in ([film, film], [film, copy]):
        with pytest.raises(UsageError, match=r"are the same footage\. Next: "):
            calibrate_good(videos, settings, 1.0, Workspace(tmp_path / "work"))
    assert not (tmp_path / "work").exists()
