"""What a stress test says: sentences that are true of the counts, a checklist that knows what it does not know."""

from datetime import UTC, datetime

import numpy as np
import pytest

from tests.helpers.clips import GOOD
from tests.helpers.films import write_video
from tests.helpers.reading import numbers, read
from vidconcept.evaluation.datasets.dataset import Clip, FrameTruth
from vidconcept.evaluation.metrics.events import EventCounts
from vidconcept.evaluation.perturb import PERTURBATIONS
from vidconcept.evaluation.readings import Stressed, StressTest
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.stress import _write, write_perturbed
from vidconcept.video.reader import read_frames
from vidconcept.writers.reports.stress import describe_perturbation, write_checklist

LEVELS = (4.0, 10.0, 24.0)


def result(level, found, false=0, name="sensor noise", unit="grey levels", misnamed=0):
    counts = EventCounts(found + false, false, 6, found, found, 2.0, misnamed)
    return Stressed(name if level else "none", unit, int(level > 0), level, counts, {"dent": counts})


def said(found, false=(0, 0, 0), **what):
    rows = [result(level, f, n, **what) for level, f, n in zip(LEVELS, found, false, strict=True)]
    return describe_perturbation(rows, result(0.0, 6), 0.1).partition(": ")[2]


class TestSentence:
    @pytest.mark.parametrize(
        ("found", "words"),
        [
            ((6, 6, 6), "nothing is lost and nothing false added up to 24 grey levels."),
            ((6, 0, 0), "the dent findings are lost from 10 grey levels on."),
            ((6, 3, 1), "the dent findings drop to 3 of 6 or fewer from 10 grey levels on."),
            # Fewer than half are lost: that is a change all the same.
            ((6, 5, 5), "the dent findings drop to 5 of 6 from 10 grey levels on."),
            # Found again at the highest level.
            ((6, 2, 6), "the dent findings drop to 2 of 6 at 10 grey levels, though not at every level beyond."),
        ],
    )
    def test_findings(self, found, words):
        assert said(found) == words

    def test_false_events(self):
        assert said((6, 6, 6), (0, 1, 4)) == "false events rise from 0 to 1 or more from 10 grey levels on."
        assert said((6, 6, 6), (0, 1, 0)).endswith("at 10 grey levels, though not at every level beyond.")

    def test_resolution_goes_down(self):
        rows = [result(level, 6, name="low resolution", unit="of the width") for level in (0.7, 0.5, 0.3)]
        assert describe_perturbation(rows, result(0.0, 6), 2.0).endswith("added down to 0.18 megapixel.")


def checklist(tmp_path, against, provenance=None):
    facts = {"model": "m", "weights": "abc", "clips": 1, "concepts": ["dent"], "seed": 0}
    results = (result(0.0, 3, 2, misnamed=1), *(result(level, 3, 2) for level in LEVELS))
    calibration = None
    if provenance is not None:
        calibration = tmp_path / "line.toml"
        calibration.write_text("[provenance]\n" + "\n".join(f"{key} = {value}" for key, value in provenance.items()))
    return write_checklist(tmp_path, StressTest(results, against, 0.1, facts), calibration).read_text()


class TestChecklist:
    def test_with_truth(self, tmp_path):
        text = checklist(tmp_path, "truth")
        assert "1 clips, 2.0 minutes; defects found: dent 3 of 6" in text
        # One of the two false events is on a defect of another name: nobody was alarmed for nothing.
        assert "1 in 2.0 minutes of the sample" in text

    def test_without_truth_nothing_is_claimed_of_defects_and_false_alarms(self, tmp_path):
        text = checklist(tmp_path, "the clean run's findings")
        assert "without truth" in text
        assert "defects found" not in text
        assert "not counted in the sample" in text

    def test_a_calibration_of_other_weights(self, tmp_path):
        created = f'"{datetime.now(UTC).isoformat(timespec="seconds")}"'
        text = checklist(tmp_path, "truth", {"created": created, "weights": '"old"', "kind": '"good footage"'})
        assert "0 days old" in text
        assert "made with other weights" in text


@pytest.mark.parametrize("size", [(64, 96), (63, 95)])
def test_perturbed_footage_keeps_its_size(tmp_path, size):
    """Regions and areas are given in its pixels; fewer pixels' worth of detail is what low resolution means."""
    noise = np.random.default_rng(0).integers(0, 255, (6, *size, 3), dtype=np.uint8)
    _write(tmp_path / "clip.mkv", iter((frame, k / 25) for k, frame in enumerate(noise)), 4)
    clip = Clip("clip", tmp_path / "clip.mkv", (), lambda index: None)
    low = next(p for p in PERTURBATIONS if p.scale)
    changed = write_perturbed(clip, low, 0.5, tmp_path, Monitor(), 0)
    before, images = ([f.image for f in read_frames(c.source, on_problem=Monitor().problem)] for c in (clip, changed))
    assert {image.shape for image in images} == {(*size, 3)}
    assert images[0].std() < 0.7 * before[0].std()


def test_the_same_frames_give_the_same_file(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (6, 64, 96, 3), dtype=np.uint8)
    for name in ("a.mkv", "b.mkv"):
        _write(tmp_path / name, iter((frame, k / 25) for k, frame in enumerate(frames)), 4)
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()


@pytest.mark.parametrize("size_px", [(448, 256), (1280, 720)])
@pytest.mark.parametrize("write", ["stress", "generated"])
def test_writing_adds_no_colour_of_its_own(size_px, write, tmp_path):
    """A reader takes large pictures that do not say otherwise for BT.709, small ones for BT.601."""
    image = np.empty((size_px[1], size_px[0], 3), np.uint8)
    image[:, : size_px[0] // 2], image[:, size_px[0] // 2 :] = (200, 60, 40), (40, 170, 60)
    path = tmp_path / "a.mkv"
    if write == "stress":
        _write(path, iter([(image, 0.0), (image, 0.04)]), 4)
    else:
        write_video(path, np.stack([image, image]), crf=4)
    (first, _) = read_frames(path, on_problem=print)
    for column in (size_px[0] // 4, size_px[0] * 3 // 4):
        assert first.image[50, column].astype(int) == pytest.approx(image[50, column].astype(int), abs=3)


@pytest.mark.parametrize("name", ["dropped frames", "duplicated frames"])
def test_truth_goes_where_its_frame_goes(tmp_path, name):
    """Each frame shows its number as a bar code, and its truth has that number for an id."""
    made = GOOD["h264"](tmp_path)
    width, height = made.size_px
    masks = np.zeros((1, height, width), bool)
    clip = Clip("clip", made.path, ("dent",), lambda index: FrameTruth(masks, ("dent",), (index,)))
    what = next(p for p in PERTURBATIONS if p.name == name)
    changed = write_perturbed(clip, what, 0.25, tmp_path, Monitor(), 0)
    shown = numbers(read(changed.source))
    assert shown != list(range(made.frame_count))
    assert [changed.truth(index).ids for index in range(len(shown))] == [(number,) for number in shown]
    assert changed.truth(len(shown)) is None
