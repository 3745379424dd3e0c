"""Measures of masks, identities, steadiness: hand-computed cases, and TrackEval's figures where it is installed."""

import numpy as np
import pytest
from pycocotools import mask as coco

from vidconcept.evaluation.metrics.identity import Pairing, hota, idf1
from vidconcept.evaluation.metrics.masks import Confusion, area_ratio, boundary_f, boundary_iou, jaccard
from vidconcept.evaluation.metrics.temporal import VideoConsistency, WarpingError


def square(y, x, side, shape=(60, 80)):
    mask = np.zeros(shape, bool)
    mask[y : y + side, x : x + side] = True
    return mask


class TestRegions:
    def test_jaccard_by_hand(self):
        assert jaccard(square(0, 0, 4), square(0, 2, 4)) == pytest.approx(8 / 24)
        empty = np.zeros((60, 80), bool)
        assert jaccard(empty, empty) == 1.0
        assert jaccard(empty, square(0, 0, 4)) == 0.0

    def test_the_area_ratio_counts_what_meets(self):
        truths = [square(0, 0, 4), square(0, 40, 10)]
        assert area_ratio([square(0, 0, 8)], truths) == 64 / 16
        # Two masks on one defect count once where they overlap; what meets nothing does not count.
        assert area_ratio([square(0, 0, 4), square(0, 2, 4), square(50, 0, 9)], truths) == 24 / 16
        assert area_ratio([square(0, 0, 50)], truths) == 2500 / 116
        assert np.isnan(area_ratio([square(50, 0, 9)], truths))
        assert np.isnan(area_ratio([], truths))

    def test_boundary_f_forgives_the_tolerance_and_no_more(self):
        # The diagonal is 100 px, so 1 px is forgiven.
        assert boundary_f(square(20, 20, 20), square(20, 21, 20)) == 1.0
        assert boundary_f(square(20, 20, 20), square(20, 24, 20)) < 0.8
        assert boundary_f(square(20, 20, 20), np.zeros((60, 80), bool)) == 0.0

    def test_boundary_iou_sees_the_rim_where_jaccard_sees_the_area(self):
        one, two = square(5, 5, 50), square(5, 7, 50)
        # Bands of 2 px: of the sides, the shifted vertical ones do not meet.
        assert jaccard(one, two) > 0.9
        assert boundary_iou(one, two) == pytest.approx(jaccard(_band(one, 2), _band(two, 2)))
        assert boundary_iou(one, two) < 0.5

    def test_the_picture_border_is_an_outline(self):
        assert boundary_iou(square(0, 0, 40), square(0, 0, 40)) == 1.0
        assert _band(np.ones((60, 80), bool), 2).sum() == 60 * 80 - 56 * 76

    @pytest.mark.parametrize("seed", range(3))
    def test_j_and_f_as_trackeval(self, seed):
        metrics = pytest.importorskip("trackeval.metrics.j_and_f")
        pytest.importorskip("skimage")
        rng = np.random.default_rng(seed)
        masks = [square(*rng.integers(0, 30, 2), int(rng.integers(5, 30))) for _ in range(2)]
        runs = [[coco.encode(np.asfortranarray(m.astype(np.uint8)))] for m in masks]
        theirs = metrics.JAndF._compute_f([runs[1]], [runs[0]], 0, 0, 0.008)[0]
        assert boundary_f(*masks) == pytest.approx(theirs)
        assert jaccard(*masks) == pytest.approx(float(coco.iou(runs[0], runs[1], [0])[0, 0]))


def _band(mask, width_px):
    inner = np.pad(mask, width_px)
    h, w = mask.shape
    shifted = [inner[dy : dy + h, dx : dx + w] for dy in range(2 * width_px + 1) for dx in range(2 * width_px + 1)]
    return mask & ~np.all(shifted, axis=0)


class TestConfusion:
    def test_by_hand(self):
        confusion = Confusion.of(3)
        confusion.add(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1]))
        assert confusion.pixel_accuracy == pytest.approx(0.5)
        assert confusion.ious[:2] == pytest.approx([1 / 2, 1 / 3])
        # Label 2 never occurs, so it is no class of the mean.
        assert confusion.mean_iou == pytest.approx((1 / 2 + 1 / 3) / 2)

    def test_as_torchmetrics(self):
        functional = pytest.importorskip("torchmetrics.functional.classification")
        torch = pytest.importorskip("torch")
        rng = np.random.default_rng(1)
        predicted, truth = rng.integers(0, 4, (2, 500))
        confusion = Confusion.of(4)
        confusion.add(predicted, truth)
        theirs = functional.multiclass_jaccard_index(torch.from_numpy(predicted), torch.from_numpy(truth), 4)
        assert confusion.mean_iou == pytest.approx(float(theirs), abs=1e-6)


def random_pairings(seed, frames=12):
    rng = np.random.default_rng(seed)
    pairings = []
    for _ in range(frames):
        true = sorted(rng.choice(4, rng.integers(0, 4), replace=False).tolist())
        found = sorted(rng.choice(5, rng.integers(0, 4), replace=False).tolist())
        pairings.append(Pairing(true, found, rng.random((len(true), len(found)))))
    return pairings


class TestIdentities:
    def test_perfect_tracks(self):
        frames = [Pairing(["a"], ["x"], np.ones((1, 1)))] * 5
        assert hota(frames) == pytest.approx({"hota": 1.0, "det_a": 1.0, "ass_a": 1.0})
        assert idf1(frames) == 1.0

    def test_a_switch_by_hand(self):
        # Half of the object's life under each of two identities: every frame is detected, association is 1/2.
        frames = [Pairing(["a"], [name], np.ones((1, 1))) for name in "xxyy"]
        assert hota(frames)["det_a"] == 1.0
        assert hota(frames)["ass_a"] == pytest.approx(0.5)
        assert idf1(frames) == pytest.approx(0.5)

    def test_nothing_true_has_no_figures(self):
        assert hota([Pairing([], ["x"], np.zeros((0, 1)))]) == {}

    @pytest.mark.parametrize("seed", range(4))
    def test_as_trackeval(self, seed):
        trackeval = pytest.importorskip("trackeval")
        pairings = random_pairings(seed)
        true_ids = sorted({i for p in pairings for i in p.true_ids})
        found_ids = sorted({i for p in pairings for i in p.found_ids})
        data = {
            "num_timesteps": len(pairings),
            "num_gt_ids": len(true_ids),
            "num_tracker_ids": len(found_ids),
            "num_gt_dets": sum(len(p.true_ids) for p in pairings),
            "num_tracker_dets": sum(len(p.found_ids) for p in pairings),
            "gt_ids": [np.array([true_ids.index(i) for i in p.true_ids], int) for p in pairings],
            "tracker_ids": [np.array([found_ids.index(i) for i in p.found_ids], int) for p in pairings],
            "similarity_scores": [p.similarity for p in pairings],
        }
        theirs = trackeval.metrics.HOTA({"PRINT_CONFIG": False}).eval_sequence(data)
        ours = hota(pairings)
        assert ours["hota"] == pytest.approx(theirs["HOTA"].mean())
        assert ours["ass_a"] == pytest.approx(theirs["AssA"].mean())
        identity = trackeval.metrics.Identity({"PRINT_CONFIG": False}).eval_sequence(data)
        assert idf1(pairings) == pytest.approx(identity["IDF1"])


class TestTime:
    def test_a_map_that_follows_the_motion_has_no_warping_error(self):
        rng = np.random.default_rng(0)
        before = rng.random((30, 40)).astype(np.float32)
        now = np.roll(before, 3, axis=1)
        flow = np.zeros((4, 5, 2), np.float32)
        flow[..., 0] = 3
        error, still = WarpingError(), WarpingError()
        error.add(before, now, flow)
        still.add(before, now, np.zeros_like(flow))
        assert error.mean == pytest.approx(0, abs=1e-10)
        # Columns that came in from outside are not valid.
        assert error.pixels == 30 * 37
        assert still.mean > 0.1

    def test_consistency_both_ways_by_hand(self):
        # One pixel, true label 1 on four frames, predicted 2 2 2 1, over runs of two frames.
        vc = VideoConsistency(2)
        for guess in (2, 2, 2, 1):
            vc.add(np.array([[guess]]), np.array([[1]]))
        vc.end_clip()
        # The script looks at the first two of three runs only, and takes steadily wrong for consistent.
        assert vc.figures() == {"vc2_as_published": 1.0, "vc2_correct": 0.0}

    def test_correct_leaves_out_what_counts_for_nothing(self):
        vc = VideoConsistency(2)
        for _ in range(3):
            vc.add(np.array([[1, 1]]), np.array([[1, 0]]), np.array([[False, True]]))
        assert vc.figures() == {"vc2_as_published": 1.0, "vc2_correct": 1.0}

    @pytest.mark.parametrize("length", [2, 3])
    def test_as_the_published_procedure(self, length):
        rng = np.random.default_rng(length)
        truth, guess = rng.integers(0, 2, (2, 7, 5, 6))
        vc = VideoConsistency(length)
        for frame in range(7):
            vc.add(guess[frame], truth[frame])
        expected = []
        for first in range(7 - length):
            stays = (truth[first : first + length] == truth[first]).all(0)
            steady = (guess[first : first + length] == guess[first]).all(0)
            expected.append((stays & steady).sum() / stays.sum())
        assert vc.as_published == pytest.approx(expected)
        assert len(vc.correct) == 7 - length + 1
