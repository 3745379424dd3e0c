"""The first command that a user types, on the clip that the package ships, with the model that it ships."""

import json
from pathlib import Path

import pytest

from vidconcept import track

EXAMPLES = Path(__file__).parents[1] / "examples"
pytestmark = [pytest.mark.slow, pytest.mark.slice]


def meet(a, b) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_finds_the_scratches_and_nothing_that_is_not_there(tmp_path):
    truth = json.loads((EXAMPLES / "line_cam.json").read_text())
    run = track(EXAMPLES / "line_cam.mp4", ["scratch", "dent"], out=tmp_path / "run")

    def explains(defect, event) -> bool:
        box = defect["boxes"].get(str(event.peak_frame))
        return defect["concept"] == event.concept and box is not None and meet(box, event.box_px)

    assert all(any(explains(d, e) for d in truth["defects"]) for e in run.events)
    scratches = [d for d in truth["defects"] if d["concept"] == "scratch"]
    assert all(any(explains(d, e) for e in run.events) for d in scratches)
    assert any(explains(d, e) for e in run.events for d in truth["defects"] if d["concept"] == "dent")
    # A defect that moves through the picture keeps its id across window borders: one event each.
    assert len({e.tracker_id for e in run.events}) == len(run.events) <= len(truth["defects"])
    assert run.manifest["windows"] > 10
