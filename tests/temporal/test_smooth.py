"""The temporal stage as a stream: what goes in, what comes out, and what never happens."""

import sys
from types import ModuleType

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidconcept.errors import VidconceptError
from vidconcept.temporal.smooth import smooth
from vidconcept.temporal.smoothers import SMOOTHERS, Smoother
from vidconcept.temporal.stitch import stitch
from vidconcept.temporal.stride import extrapolate_scores, interpolate_scores
from vidconcept.types import ConceptMaps, FrameScores, LatentMaps, Origin


def latents_of(scores: list[np.ndarray], frames: int, step: int = 4) -> list[LatentMaps]:
    """Latent steps with the given maps `(concept, row, col)`: the first covers one frame, later ones `step`."""
    spans = [(0, 0), *((k, min(k + step, frames) - 1) for k in range(1, frames, step))]
    return [LatentMaps(Origin(k, 0), a, b, scores[k].astype(np.float32)) for k, (a, b) in enumerate(spans)]


def moving_line(frames: int, speed: float = 5.0, seed: int = 0, size=(96, 160)) -> tuple[list[np.ndarray], np.ndarray]:
    """A textured surface that moves to the left with a dark, thin scratch on it, and the scratch's masks."""
    h, w = size
    rng = np.random.default_rng(seed)
    strip = 130 + 2 * cv2.GaussianBlur(rng.normal(0, 40, (h, 1200)), (0, 0), 1.5).astype(np.float32)
    mask = np.zeros_like(strip, np.uint8)
    cv2.line(mask, (w, h // 4), (w + 34, h - h // 3), 1, 3)
    strip[mask > 0] = 30
    images, masks = [], []
    for t in range(frames):
        x = round(speed * t)
        grey = np.clip(strip[:, x : x + w], 0, 255).astype(np.uint8)
        images.append(np.repeat(grey[..., None], 3, axis=2))
        masks.append(mask[:, x : x + w] > 0)
    return images, np.stack(masks)


def pooled(masks: np.ndarray, step: int = 4, pitch: int = 16) -> list[np.ndarray]:
    """What an ideal model gives: means of the masks over tokens and latent steps, `(1, row, col)` each."""
    n, h, w = masks.shape
    area = masks.reshape(n, h // pitch, pitch, w // pitch, pitch).mean((2, 4))
    return [area[[0]], *(area[k : k + step].mean(0, keepdims=True) for k in range(1, n, step))]


@given(
    value=st.floats(0, 1),
    frames=st.integers(1, 14),
    method=st.sampled_from(tuple(SMOOTHERS)),
    step=st.sampled_from([4, 8]),
    seed=st.integers(0, 5),
)
@settings(max_examples=30, deadline=None)
def test_constant_maps_stay_constant(value, frames, method, step, seed):
    images, _ = moving_line(frames, seed=seed)
    maps = [np.full((1, 6, 10), value)] * (frames + 1)
    out = list(smooth(latents_of(maps, frames, step), images, method=method))
    assert [f.position for f in out] == list(range(frames))
    for frame in out:
        np.testing.assert_allclose(frame.scores, value, atol=1e-3)


@given(
    size=st.sampled_from([(8, 12), (16, 16), (50, 70), (96, 160)]),
    grid=st.sampled_from([(1, 1), (2, 3), (6, 10)]),
    concepts=st.integers(0, 3),
    frames=st.integers(1, 11),
    footage=st.sampled_from(["moving", "still", "noise"]),
    method=st.sampled_from(tuple(SMOOTHERS)),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_scores_stay_between_zero_and_one(size, grid, concepts, frames, footage, method, seed):
    rng = np.random.default_rng(seed)
    images, _ = moving_line(frames, speed=0.0 if footage == "still" else 5.0, seed=seed, size=size)
    if footage == "noise":
        images = [rng.integers(0, 256, (*size, 3)).astype(np.uint8) for _ in range(frames)]
    maps = [rng.random((concepts, *grid)) for _ in range(frames + 1)]
    out = list(smooth(latents_of(maps, frames), images, method=method))
    assert len(out) == frames
    for frame in out:
        assert frame.scores.shape == (concepts, *size)
        assert frame.scores.dtype == np.float32
        assert not concepts or 0.0 <= frame.scores.min() <= frame.scores.max() <= 1.0


@given(length=st.integers(2, 6), overlap=st.integers(0, 4), seed=st.integers(0, 9))
@settings(max_examples=4, deadline=None)
def test_the_result_does_not_depend_on_how_the_stream_was_cut(length, overlap, seed):
    frames = 21
    images, masks = moving_line(frames, seed=seed)
    tokens = pooled(masks)
    whole = smooth(latents_of(tokens, frames), images)
    advance = max(1, length - overlap)
    windows = []
    for index, start in enumerate(range(0, len(tokens), advance)):
        steps = np.arange(start, min(start + length + 1, len(tokens)))
        last = steps * 4
        positions = np.stack([np.where(steps == start, last, last - 3), last], axis=1)
        real = min(int(last[-1]), frames - 1) - 4 * start + 1
        windows.append(ConceptMaps(index, positions, 4, real, np.stack(tokens, 1)[:, steps].astype(np.float32)))
    for one, two in zip(whole, smooth(stitch(windows), images), strict=True):
        np.testing.assert_allclose(one.scores, two.scores, atol=1e-4)


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / max(1, (mask | truth).sum()))


def best_iou(scores: list[np.ndarray], masks: np.ndarray) -> float:
    levels = np.linspace(0.05, 0.6, 12)
    return max(float(np.mean([iou(s > v, m) for s, m in zip(scores, masks, strict=True)])) for v in levels)


def test_the_energy_gives_back_what_pooling_took():
    images, masks = moving_line(41)
    found = {}
    for method in ("linear", "flow", "energy"):
        out = list(smooth(latents_of(pooled(masks), 41), images, method=method))
        found[method] = best_iou([f.scores[0] for f in out[12:29]], masks[12:29])
    assert found["energy"] > 0.6
    assert found["energy"] > 2 * found["linear"]
    assert found["energy"] > found["flow"]


def test_one_false_latent_step_is_outvoted():
    images, _ = moving_line(41)
    maps = [np.full((1, 6, 10), 0.01) for _ in range(11)]
    maps[5][0, 2:4, 4:6] = 0.7
    out = list(smooth(latents_of(maps, 41), images))
    assert max(float(f.scores.max()) for f in out) < 0.1
    alone = list(smooth(latents_of(maps, 41), images, method="none"))
    assert max(float(f.scores.max()) for f in alone) > 0.5


def test_a_dropped_latent_step_is_bridged():
    images, masks = moving_line(41)
    maps = pooled(masks)
    whole = list(smooth(latents_of(maps, 41), images))
    maps[5] = np.zeros_like(maps[5])
    bridged = list(smooth(latents_of(maps, 41), images))
    assert bridged[19].scores.max() > 0.6 * whole[19].scores.max()


def test_a_scene_cut_resets_and_carries_nothing():
    images, _ = moving_line(20)
    other, _ = moving_line(20, seed=7)
    maps = [np.full((1, 6, 10), 0.9)] * 5 + [np.zeros((1, 6, 10))] * 6
    maps[5] = np.full((1, 6, 10), 0.9 * 3 / 4)  # the cut lies within this step: 17, 18, 19 before it, 20 after
    out = list(smooth(latents_of(maps, 40), images + other))
    assert [f.position for f in out if f.reset] == [20]
    assert out[20].flow is None
    assert out[0].flow is None
    assert out[19].flow is not None
    assert max(float(f.scores.max()) for f in out[24:]) < 0.01
    assert min(float(f.scores.mean()) for f in out[:16]) > 0.85


def test_the_flow_is_the_displacement_in_working_pixels():
    images, _ = moving_line(6, speed=4.0)
    out = list(smooth(latents_of([np.zeros((1, 6, 10))] * 6, 6), images))
    for frame in out[1:]:
        np.testing.assert_allclose(frame.flow[..., 0], -4.0, atol=0.1)
        np.testing.assert_allclose(frame.flow[..., 1], 0.0, atol=0.1)


def test_look_ahead_is_bounded():
    images, masks = moving_line(101)
    pulled = []

    def frames():
        for k, image in enumerate(images):
            pulled.append(k)
            yield image

    stream = smooth(latents_of(pooled(masks), 101), frames())
    for frame in stream:
        assert pulled[-1] <= frame.position + 4 + 4 * 4


def test_unknown_methods_and_changing_sizes_are_refused():
    with pytest.raises(ValueError, match="median"):
        next(smooth([], [], method="median"))
    frames = [np.zeros((16, 16, 3), np.uint8), np.zeros((16, 18, 3), np.uint8)]
    with pytest.raises(ValueError, match="one size"):
        list(smooth(latents_of([np.zeros((1, 1, 1))] * 2, 2), frames))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda frame: [frame[:, ::2, ::2]] * 5, r"position 0: float32 \(1, 48, 80\), where"),
        (lambda frame: [frame, frame.astype(float)], r"position 1: float64 \(1, 96, 160\), where"),
        (lambda frame: [frame, frame * 255], "position 1: scores from 127.5 to 127.5"),
        (lambda frame: [frame, frame - 1], "position 1: scores from -0.5 to -0.5"),
        (lambda frame: [frame, frame * np.nan], "position 1: scores from nan to nan"),
        (lambda frame: [frame] * 3, "position 3: no scores"),
        (lambda frame: [frame] * 5, "position 3: one more frame"),
    ],
)
def test_a_method_that_gives_other_scores_than_it_must_is_named(made, said, monkeypatch):
    module = ModuleType("my_package.mine")
    frame = np.full((1, 96, 160), 0.5, np.float32)
    module.score = lambda *_: iter(made(frame))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(SMOOTHERS, "mine", Smoother("my_package.mine:score", ""))
    images, _ = moving_line(4)
    maps = [LatentMaps(Origin(0, 0), 0, 3, np.zeros((1, 6, 10), np.float32))]
    with pytest.raises(VidconceptError, match=f"smoothing method mine, {said}"):
        list(smooth(maps, images, method="mine"))


class TestBetween:
    def scores(self, position: int, x: int, flow: np.ndarray | None, reset: bool = False) -> FrameScores:
        scores = np.zeros((1, 32, 64), np.float32)
        scores[0, 12:20, x : x + 8] = 1.0
        return FrameScores(position, Origin(0, 0), scores, reset, flow)

    def test_moves_with_the_flow(self):
        flow = np.zeros((4, 8, 2), np.float32)
        flow[..., 0] = 8.0
        a, b = self.scores(0, 20, None), self.scores(1, 28, flow)
        middle = interpolate_scores(a, b, 0.5)
        assert middle[0, 15, 25:31].min() > 0.99
        assert middle[0, 15, :22].max() < 0.01
        np.testing.assert_allclose(interpolate_scores(a, b, 0.0), a.scores, atol=1e-5)
        np.testing.assert_allclose(interpolate_scores(a, b, 1.0), b.scores, atol=1e-5)

    def test_after_the_last_it_moves_on(self):
        flow = np.zeros((4, 8, 2), np.float32)
        flow[..., 0] = 8.0
        later = extrapolate_scores(self.scores(1, 20, flow), 0.5)
        assert later[0, 15, 25:31].min() > 0.99
        assert later[0, 15, :22].max() < 0.01
        for stays in (self.scores(1, 20, None), self.scores(1, 20, flow, reset=True)):
            np.testing.assert_array_equal(extrapolate_scores(stays, 0.5), stays.scores)

    def test_takes_the_nearer_frame_across_a_cut_and_half_way_the_later(self):
        a, b = self.scores(0, 20, None), self.scores(1, 28, None, reset=True)
        np.testing.assert_array_equal(interpolate_scores(a, b, 0.3), a.scores)
        for fraction in (0.5, 0.7):
            np.testing.assert_array_equal(interpolate_scores(a, b, fraction), b.scores)
