"""Motion between frames: sub-pixel for translations, affine for turns, dense for the rest, and scene cuts."""

import cv2
import numpy as np
import pytest

from vidconcept.temporal.carry import compute_carries
from vidconcept.temporal.flow import estimate, join_motion
from vidconcept.temporal.motion import STILL
from vidconcept.temporal.proxy import make_proxy
from vidconcept.temporal.sampling import grid_points

H, W = 256, 384


def surface(seed: int, h: int = 640, w: int = 900) -> np.ndarray:
    """A textured surface, float32 in grey levels."""
    rng = np.random.default_rng(seed)
    fine = cv2.GaussianBlur(rng.normal(0, 60, (h, w)).astype(np.float32), (0, 0), 2.0)
    coarse = cv2.GaussianBlur(rng.normal(0, 600, (h, w)).astype(np.float32), (0, 0), 15.0)
    return np.clip(120 + 2 * fine + coarse, 0, 255).astype(np.float32)


def view(picture: np.ndarray, matrix: np.ndarray, gain: float = 1.0) -> np.ndarray:
    """The frame whose pixel p shows `matrix` · p of the surface, `(256, 384, 3)` uint8."""
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    grey = np.clip(cv2.warpAffine(picture, matrix, (W, H), flags=flags) * gain, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def shift(dx: float, dy: float) -> np.ndarray:
    return np.array([[1.0, 0.0, 200 + dx], [0.0, 1.0, 150 + dy]])


def error_px(motion, true_sources) -> float:
    points = grid_points(20, 30)
    found = motion.sources(points) * [W, H] - 0.5
    return float(np.hypot(*(found - true_sources(points * [W, H] - 0.5)).reshape(-1, 2).T).mean())


@pytest.mark.parametrize("step", [(6.0, 0.0), (0.3, -0.4), (-17.5, 2.25), (60.0, 0.0)])
@pytest.mark.parametrize("gain", [1.0, 0.8])
def test_translations_are_found_to_a_tenth_of_a_pixel(step, gain):
    picture = surface(0)
    motion = estimate(make_proxy(view(picture, shift(0, 0))), make_proxy(view(picture, shift(*step), gain)))
    assert motion.kind == "translation"
    assert error_px(motion, lambda p: p + step) < 0.1


def test_a_turn_with_zoom_is_affine():
    picture = surface(1)
    centre = np.array([[1.0, 0.0, 200.0], [0.0, 1.0, 150.0]])
    turned = cv2.getRotationMatrix2D((W / 2, H / 2), 1.2, 1.01)
    later = centre[:, :2] @ turned + np.hstack([np.zeros((2, 2)), centre[:, 2:]])
    motion = estimate(make_proxy(view(picture, centre)), make_proxy(view(picture, later)))
    assert motion.kind == "affine"
    assert error_px(motion, lambda p: p @ turned[:, :2].T + turned[:, 2]) < 0.15


def test_two_parts_that_move_apart_are_dense_and_doubted_where_they_part():
    one, two = surface(2), surface(3)
    frames = []
    for t in (0, 1):
        frame = view(one, shift(-5.0 * t, 0))
        frame[:, W // 2 :] = view(two, shift(5.0 * t, 0))[:, W // 2 :]
        frames.append(make_proxy(frame))
    motion = estimate(*frames)
    assert motion.kind == "dense"
    assert motion.valid is not None
    h, w = motion.valid.shape
    assert motion.valid[:, w // 2 - 3 : w // 2 + 3].mean() < motion.valid[:, w // 8 : 3 * w // 8].mean()
    left = motion.back[h // 4 : -h // 4, w // 8 : 3 * w // 8, 0] * W
    assert float(np.median(left)) == pytest.approx(-5.0, abs=0.3)


def test_equal_frames_are_still_and_other_scenes_are_cuts():
    frame = make_proxy(view(surface(4), shift(0, 0)))
    assert estimate(frame, frame).kind == "still"
    assert estimate(frame, make_proxy(view(surface(5), shift(0, 0)))).cut
    assert not estimate(frame, make_proxy(view(surface(4), shift(9, 0)))).cut


def sheet(step_px: float, noise: float, seed: int, *, blot: bool = True) -> np.ndarray:
    """A plain sheet with one dark blot, `(256, 384, 3)` uint8, as a noisy camera has it."""
    rng = np.random.default_rng(seed)
    grey = np.full((H, W), 150.0, np.float32)
    if blot:
        cv2.circle(grey, (100 + round(step_px), H // 2), 9, 60.0, -1)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (H, W)).astype(np.float32), (0, 0), 0.8)
    noisy = grey + noise * grain / grain.std()
    return np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("noise", [1.0, 3.0, 6.0])
@pytest.mark.parametrize("step", [0, 12])
def test_noise_on_a_plain_sheet_is_neither_motion_nor_a_cut(step, noise):
    pictures = [sheet(step * k, noise, k) for k in range(5)]
    motions = [motion for _, motion in join_motion(pictures) if motion is not None]
    assert not any(motion.cut for motion in motions)
    assert [float(motion.matrix[0, 2]) * W for motion in motions] == pytest.approx([-step] * 4, abs=0.5)


@pytest.mark.parametrize("noise", [1.0, 6.0])
def test_a_bare_surface_with_noise_stands_still(noise):
    motions = [motion for _, motion in join_motion(sheet(0, noise, k, blot=False) for k in range(6))][1:]
    assert all(np.array_equal(motion.matrix, np.eye(2, 3)) and not motion.cut for motion in motions)


def with_overlay(frame: np.ndarray, kind: str) -> np.ndarray:
    """A frame as an edited film or a camera with a display has it."""
    frame = frame.copy()
    if kind == "bars":
        frame[:, : W // 8] = frame[:, -W // 8 :] = 0
    elif kind == "cross-hair":
        frame[H // 2 - 1 : H // 2 + 1] = 255
        frame[:, W // 2 - 1 : W // 2 + 1] = 255
    else:
        cv2.putText(frame, "2026-11-30 12:00", (10, H - 20), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255, 255, 255), 3)
    return frame


@pytest.mark.parametrize("kind", ["bars", "cross-hair", "time stamp"])
def test_the_surface_behind_what_stands_still_in_the_picture_is_followed(kind):
    picture = 120 + (surface(8) - 120) / 6
    frames = [make_proxy(with_overlay(view(picture, shift(6.0 * k, 0)), kind)) for k in (0, 1)]
    motion = estimate(*frames)
    assert not motion.cut
    step = np.array([6.0, 0.0])
    assert error_px(motion, lambda p: p + step) < 0.5


@pytest.mark.parametrize("noise", [0.5, 3.0])
def test_a_hand_before_a_standing_scene_does_not_move_it(noise):
    rng = np.random.default_rng(0)
    frames = []
    for k in (0, 1):
        scene = view(surface(9), shift(0, 0)).astype(np.float32) + rng.normal(0, noise, (H, W, 3))
        scene[60:160, 40 + 12 * k : 140 + 12 * k] = view(surface(3), shift(-12.0 * k, 0))[60:160, 40:140]
        frames.append(make_proxy(np.clip(scene, 0, 255).astype(np.uint8)))
    back = estimate(*frames).sources(grid_points(8, 12)) * [W, H] - grid_points(8, 12) * [W, H]
    assert np.abs(back[:, 8:]).max() < 0.5


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_a_part_that_is_taken_away_is_no_standing_scene(share):
    """What was on it is gone, though nothing on the bare belt behind it seems to have moved."""
    rng = np.random.default_rng(5)
    belt = np.full((H, W, 3), 60.0)
    part, right = belt.copy(), 40 + round(W * share)
    part[30:226, 40:right] = view(surface(2), shift(0, 0))[30:226, 40:right]
    there, again, gone = (
        make_proxy(np.clip(scene + rng.normal(0, 1, scene.shape), 0, 255).astype(np.uint8))
        for scene in (part, part, belt)
    )
    for pair in ((there, gone), (gone, there)):
        motion = estimate(*pair)
        assert motion.cut or motion.kind == "dense"
    assert estimate(there, again).kind == "translation"


def test_a_part_that_moves_before_a_standing_background_is_followed():
    frames = []
    for k in (0, 1):
        scene = view(surface(10), shift(0, 0))
        scene[50:200, 60 + 8 * k : 220 + 8 * k] = view(surface(11), shift(0, 0))[50:200, 60:220]
        frames.append(make_proxy(scene))
    motion = estimate(*frames)
    assert motion.kind == "dense"
    back = motion.sources(grid_points(32, 48)) * [W, H] - grid_points(32, 48) * [W, H]
    assert np.median(back[10:22, 12:24, 0]) == pytest.approx(-8, abs=0.5)
    assert np.abs(np.median(back[:, 36:, 0])) < 0.5


@pytest.mark.parametrize("share", [0.55, -0.65])
@pytest.mark.parametrize("down", [0, 1])
def test_a_line_that_moves_by_more_than_half_of_the_picture_is_followed(share, down):
    step = (0.0, share * H) if down else (share * W, 0.0)
    picture = surface(7, 900, 1200)
    frames = [
        make_proxy(view(picture, shift(200, 150) + np.pad(np.outer(step, [k]), ((0, 0), (2, 0))))) for k in (0, 1)
    ]
    motion = estimate(*frames)
    assert motion.kind == "translation"
    assert error_px(motion, lambda p: p + step) < 0.2


def test_carries_are_inverse_to_each_other():
    picture = surface(6)
    frames = [make_proxy(view(picture, shift(4.0 * t, 0))) for t in range(5)]
    motions = {t: estimate(frames[t - 1], frames[t], STILL) for t in range(1, 5)}
    points = grid_points(8, 12)
    forth = compute_carries(motions, 0, 0, 4, (64, 96))[4].points(points)
    back = compute_carries(motions, 4, 0, 4, (64, 96))[0].points(forth)
    np.testing.assert_allclose(back, points, atol=1e-4)
    np.testing.assert_allclose((forth - points)[..., 0] * W, 16.0, atol=0.2)
