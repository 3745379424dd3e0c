"""`--edges` on a real run: the same findings, other masks, and no model needed to change one's mind."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidconcept.errors import UsageError
from vidconcept.pipelines.track import Run, track
from vidconcept.tracks.rle import decode
from vidconcept.types import TrackMask

EXAMPLE = Path(__file__).parents[2] / "examples" / "line_cam.mp4"


def stretch_of_a_scratch() -> tuple[float, float]:
    """Start and end, in seconds, of nine frames of the example that show a scratch at its largest."""
    truth = json.loads(EXAMPLE.with_suffix(".json").read_text("utf-8"))
    boxes = [(b, int(n)) for d in truth["defects"] if d["concept"] == "scratch" for n, b in d["boxes"].items()]
    (_, frame) = max(boxes, key=lambda pair: (pair[0][2] - pair[0][0]) * (pair[0][3] - pair[0][1]))
    first = min(max(0, frame - 4), truth["frames"] - 9)
    return (first - 0.5) / truth["fps"] if first else 0.0, (first + 8.5) / truth["fps"]


def run(out: Path, **settings: object) -> Run:
    start_s, end_s = stretch_of_a_scratch()
    stretch = {"start_s": start_s, "end_s": end_s, "threshold": 0.2}
    return track(EXAMPLE, ["scratch"], out=out, existing="resume", **stretch, **settings)


def same_findings(one: TrackMask, two: TrackMask) -> bool:
    names = ("frame_index", "tracker_id", "concept", "confidence", "score_mean", "score_max", "origin")
    return all(getattr(one, name) == getattr(two, name) for name in names)


@pytest.mark.parametrize("settings", [{}, {"stride": 2, "roi": (10, 6, 1262, 708)}], ids=["plain", "stride-roi"])
def test_edges_change_masks_and_nothing_else(tmp_path: Path, settings: dict):
    rows, sizes = {}, set()
    for edges in ("pixel", "coarse"):
        made = run(tmp_path / "run", edges=edges, **settings)
        rows[edges] = list(made.tracks())
        assert made.manifest["settings"]["edges"] == edges
        sizes.add((made.manifest["video"]["width_px"], made.manifest["video"]["height_px"]))
    fine, coarse = rows["pixel"], rows["coarse"]
    (size_px,) = sizes
    assert len(fine) == len(coarse) > 0
    assert all(same_findings(*pair) for pair in zip(fine, coarse, strict=True))
    assert {row.edges for row in coarse} == {"coarse"}
    assert "pixel" in {row.edges for row in fine}
    x, y, width, height = settings.get("roi", (0, 0, *size_px))
    for row, wide in zip(fine, coarse, strict=True):
        mask, before = decode(row.rle, size_px), decode(wide.rle, size_px)
        assert mask.sum() == row.area_px > 0
        if row.edges == "coarse":
            assert np.array_equal(mask, before)
        inside = np.zeros_like(mask)
        inside[y : y + height, x : x + width] = True
        assert not (mask & ~inside).any()
        surroundings = cv2.dilate(before.astype(np.uint8), np.ones((121, 121), np.uint8)) > 0
        assert not (mask & ~surroundings).any()


def test_tables_of_before_are_read_as_coarse(tmp_path: Path):
    made = run(tmp_path / "run")
    with open(made.path / "tracks.csv", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[-1] == "edges"
    assert len(rows) > 0
    with open(made.path / "tracks.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([row[:-1] for row in [header, *rows]])
    assert {row.edges for row in made.tracks()} == {"coarse"}


def test_an_unknown_word_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="edges"):
        run(tmp_path / "run", edges="sharp")
