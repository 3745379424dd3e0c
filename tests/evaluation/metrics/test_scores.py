"""Measures of scores: hand-computed cases, and the figures of torchmetrics and ADEval where they are installed."""

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid

from vidconcept.evaluation.metrics.scores import Curves, PaperProtocol, assign_bins, average_precision


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    truth = np.zeros((40, 60), bool)
    truth[5:15, 8:20] = truth[25:30, 40:58] = True
    scores = np.clip(rng.normal(0.3, 0.15, truth.shape) + 0.25 * truth, 0.001, 0.999).astype(np.float32)
    return scores, truth


class TestAveragePrecision:
    def test_by_hand(self):
        # Ranked hit, miss, hit: precision 1/1 at the first hit, 2/3 at the second.
        assert average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True])) == pytest.approx(5 / 6)

    def test_ties_are_taken_together(self):
        assert average_precision(np.array([0.5, 0.5]), np.array([True, False])) == pytest.approx(0.5)
        assert average_precision(np.array([0.5, 0.5]), np.array([False, True])) == pytest.approx(0.5)

    def test_nothing_to_find_has_no_value(self):
        assert np.isnan(average_precision(np.array([0.1]), np.array([False])))

    def test_as_torchmetrics(self, picture):
        functional = pytest.importorskip("torchmetrics.functional.classification")
        scores, truth = (torch.from_numpy(x).flatten() for x in picture)
        theirs = float(functional.binary_average_precision(scores, truth.int()))
        assert average_precision(picture[0].ravel(), picture[1].ravel()) == pytest.approx(theirs, abs=1e-6)


class TestCurves:
    def test_bins_rise_with_the_score(self):
        bins = assign_bins(np.array([0.0, 1e-5, 0.01, 0.3, 0.5, 0.9, 0.9999, 1.0]))
        assert (np.diff(bins) > 0).all()

    def test_average_precision_and_auroc_as_torchmetrics(self, picture):
        functional = pytest.importorskip("torchmetrics.functional.classification")
        curves = Curves()
        curves.add(*picture)
        scores, truth = (torch.from_numpy(x).flatten() for x in picture)
        theirs = float(functional.binary_average_precision(scores, truth.int()))
        assert curves.average_precision == pytest.approx(theirs, abs=2e-3)
        assert curves.auroc == pytest.approx(float(functional.binary_auroc(scores, truth.int())), abs=1e-3)

    def test_counting_in_two_parts_is_counting_at_once(self, picture):
        scores, truth = picture
        whole, part, rest = Curves(), Curves(), Curves()
        whole.add(scores, truth)
        part.add(scores[:20], truth[:20])
        rest.add(scores[20:], truth[20:])
        part.merge(rest)
        assert part.average_precision == whole.average_precision
        assert part.au_pro() == pytest.approx(whole.au_pro())

    def test_shares_are_pixels(self):
        pixels, cells = Curves(), Curves()
        truth = np.zeros((4, 4), bool)
        truth[0, 0] = True  # a quarter of the first cell of 2x2 pixels
        scores = np.array([[0.8, 0.3], [0.2, 0.1]])
        pixels.add(np.kron(scores, np.ones((2, 2))), truth)
        cells.add_shares(scores.ravel(), np.array([0.25, 0, 0, 0]))
        assert cells.average_precision == pytest.approx(pixels.average_precision)

    def test_regions_that_are_left_out_do_not_count(self, picture):
        scores, truth = picture
        left = np.zeros(truth.shape, bool)
        left[:, 30:] = True
        part, alone = Curves(), Curves()
        part.add(scores, truth, left)
        alone.add(scores[:, :30], truth[:, :30])
        assert part.region_count == 1
        assert part.au_pro(0.3) == alone.au_pro(0.3)

    def test_ignored_pixels_count_for_nothing(self, picture):
        scores, truth = picture
        curves = Curves()
        curves.add(scores, truth, ignore=np.ones_like(truth))
        assert np.isnan(curves.average_precision)


class TestAuPro:
    def test_perfect_and_worst(self):
        truth = np.zeros((10, 10), bool)
        truth[2:4, 2:4] = truth[6:9, 6:9] = True
        for scores, value in ((np.where(truth, 0.9, 0.1), 1.0), (np.where(truth, 0.1, 0.9), 0.0)):
            curves = Curves()
            curves.add(scores, truth)
            # From no false positive on, everything is covered; or nothing is until all else is false.
            assert curves.au_pro(0.3) == pytest.approx(value, abs=1e-9)

    def test_a_small_region_counts_as_much_as_a_large_one(self):
        truth = np.zeros((20, 20), bool)
        truth[0, 0] = True
        truth[10:20, 10:20] = True
        curves = Curves()
        scores = np.where(truth, 0.9, 0.1)
        scores[0, 0] = 0.01  # the one-pixel region is missed
        curves.add(scores, truth)
        assert curves.au_pro(0.3) == pytest.approx(0.5, abs=1e-6)

    def test_as_adeval(self, picture, monkeypatch):
        # ADEval 1.1 asks for a name that NumPy 2 has dropped.
        monkeypatch.setattr(np, "trapz", trapezoid, raising=False)
        adeval = pytest.importorskip("adeval")
        scores, truth = picture
        theirs = adeval.EvalAccumulator(0.0, 1.0, nstrips=2000)
        theirs.add_anomap(scores, truth.astype(np.uint8))
        theirs.add_image(0.5, 1)
        theirs.add_image(0.4, 0)
        theirs.add_sample(0.5, 1)
        theirs.add_sample(0.4, 0)
        curves = Curves()
        curves.add(scores, truth)
        assert curves.au_pro(0.3) == pytest.approx(theirs.summary()["p_aupro"], abs=5e-3)


class TestPaperProtocol:
    def test_by_hand(self):
        # Normalised: 1, 0.25, 0, 0; the mean is 0.3125, so the mask is the first pixel.
        protocol = PaperProtocol()
        protocol.add(np.array([[0.9, 0.3], [0.1, 0.1]]), np.array([[True, True], [False, False]]))
        figures = protocol.figures()
        assert figures["pixel_accuracy"] == pytest.approx(3 / 4)
        assert figures["mean_iou"] == pytest.approx((1 / 2 + 2 / 3) / 2)
        # Ranked, foreground s and background 1 - s: 1 t, 1 t, 1 t, 0.75 f, 0.25 t, 0 f, 0 f, 0 f.
        assert figures["mean_ap"] == pytest.approx((3 * 1 + 4 / 5) / 4)

    def test_ignored_pixels_count_for_nothing(self):
        protocol = PaperProtocol()
        truth = np.array([[True, True], [False, False]])
        # The second pixel lies below the mean, and would be wrong.
        protocol.add(np.array([[0.9, 0.3], [0.1, 0.1]]), truth, ignore=np.array([[False, True], [False, False]]))
        assert protocol.figures() == {"pixel_accuracy": 1.0, "mean_iou": 1.0, "mean_ap": 1.0}

    def test_without_a_picture_there_are_no_figures(self):
        assert PaperProtocol().figures() == {}
