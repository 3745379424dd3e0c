"""What is averaged over passes, and words that take part in the softmax without being reported."""

import numpy as np
import pytest

from tests.helpers.small_runs import SMALL, small_clip
from vidconcept.attention.maps import join_scales
from vidconcept.models import readout
from vidconcept.models.readout import read_described, read_scores, shrink, word_logits
from vidconcept.pipelines.maps import ModelShelf, compute_window_maps, cut_source_windows
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import make_plan

SHELF = ModelShelf()


@pytest.fixture(scope="module")
def open_model(tiny_model, tmp_path_factory):
    """Plan, model and a window, with these settings."""
    clip = small_clip(tmp_path_factory.mktemp("readout") / "clip.mp4")

    def open_it(**settings):
        given = {**SMALL, "concepts": ("scratch", "dent"), "model": str(tiny_model), **settings}
        plan = make_plan(clip, given)
        return plan, SHELF(plan, Monitor()), next(cut_source_windows(plan, Monitor()))

    return open_it


def test_scores_are_the_mean_over_timesteps_and_noise_draws(open_model):
    plan, model, window = open_model(timesteps=(20, 500), noise_samples=2, reduce="softmax-mean")
    frames = window.frames
    found = read_scores(model, frames, plan.lexicon)
    singles = []
    for timestep in (20, 500):
        own = model.with_settings(model.settings.model_copy(update={"timestep": timestep, "timesteps": ()}))
        for draw in (0, 1):
            logits = word_logits(own, frames, draw, lexicon=plan.lexicon)["concept-attention"]
            shares = np.exp(logits - logits.max(1, keepdims=True))
            singles.append((shares / shares.sum(1, keepdims=True)).mean(0))
    assert np.abs(singles[0] - singles[1]).max() > 1e-3
    assert np.abs(singles[0] - singles[2]).max() > 1e-3
    np.testing.assert_allclose(found.reshape(len(found), -1), np.mean(singles, 0), atol=1e-5)
    np.testing.assert_allclose(read_described(model, frames, plan.lexicon)[0], found, atol=1e-5)


def test_what_may_be_a_finding_is_read_at_the_coarse_scale_too(open_model, monkeypatch):
    plan, model, window = open_model(coarse_scale=0.5)
    frames = window.frames
    monkeypatch.setattr(readout, "SUSPECTED", 0.0)
    found, _ = read_described(model, frames, plan.lexicon)
    fine, coarse = (read_scores(model, own, plan.lexicon) for own in (frames, shrink(frames, 0.5, 16)))
    assert coarse.shape[2] < fine.shape[2]
    np.testing.assert_allclose(found, join_scales(fine, coarse), atol=1e-5)
    assert np.abs(found - fine).max() > 1e-3
    monkeypatch.setattr(readout, "SUSPECTED", 1.0)
    np.testing.assert_allclose(read_described(model, frames, plan.lexicon)[0], fine, atol=1e-5)


def test_stop_words_take_up_scores_and_are_not_reported(open_model):
    plain_plan, model, window = open_model()
    plain = read_scores(model, window.frames, plain_plan.lexicon)
    plan, model, window = open_model(sinks=("a", "of"))
    found = read_scores(model, window.frames, plan.lexicon)
    assert len(found) == len(plain) + 2
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    # What they take is missing from all others.
    assert (found[: len(plain)] < plain).all()
    maps = compute_window_maps(plan, model, window)
    assert len(maps.scores) == 2
    np.testing.assert_allclose(maps.scores, found[:2], atol=1e-5)
