"""The first command that a user types, on the clip that the package ships, with the model that it ships."""

import json
from pathlib import Path

import pytest

from vidconcept import track

EXAMPLES = Path(__file__).parents[1] / "examples"
pytestmark = [pytest.mark.slow, pytest.mark.slice]


def meet(a, b) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_finds_what_is_there_and_nothing_else(tmp_path):
    truth = json.loads((EXAMPLES / "line_cam.json").read_text())["defects"]

    def explains(defect, event) -> bool:
        box = defect["boxes"].get(str(event.peak_frame))
        return defect["concept"] == event.concept and box is not None and meet(box, event.box_px)

    def tracked(**options):
        run = track(EXAMPLES / "line_cam.mp4", ["scratch", "dent"], out=tmp_path / "run", **options)
        assert all(any(explains(d, e) for d in truth) for e in run.events)
        # A defect that moves through the picture keeps its id across window borders: one event each.
        assert len({e.tracker_id for e in run.events}) == len(run.events) <= len(truth)
        assert run.manifest["windows"] > 4
        return [(d, [e for e in run.events if explains(d, e)]) for d in truth]

    found = tracked()
    assert any(events for d, events in found if d["concept"] == "dent")
    # Decided anew at a much lower threshold there is still nothing else.
    for defect, events in found + tracked(existing="resume", threshold=0.6):
        if defect["concept"] == "scratch":
            frames = [int(number) for number in defect["boxes"]]
            assert [(e.start_frame, e.end_frame) for e in events] == [
                (pytest.approx(min(frames), abs=5), pytest.approx(max(frames), abs=5))
            ]
