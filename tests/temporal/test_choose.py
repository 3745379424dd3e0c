"""Which windows are read where the motion decides: every place often enough, every scene, and no more than that."""

import cv2
import numpy as np
import pytest

from vidconcept.temporal.choose import Spacing, choose_windows
from vidconcept.temporal.motion import pack_motions, unpack_motions
from vidconcept.temporal.smooth import smooth
from vidconcept.temporal.windows import Window
from vidconcept.types import LatentMaps, Origin

HEIGHT, WIDTH = 64, 160
SHAPE = {"length": 9, "overlap": 1, "step": 4}


def texture(seed: int, length: int = 4000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(40, 220, (HEIGHT // 4, length // 4, 1))
    return np.repeat(np.repeat(coarse, 4, 0), 4, 1).repeat(3, 2).astype(np.uint8)


def line(count: int, speed_px: int, seed: int = 0) -> list[np.ndarray]:
    """Frames of a texture that moves to the left."""
    strip = texture(seed)
    return [np.ascontiguousarray(strip[:, speed_px * k : speed_px * k + WIDTH]) for k in range(count)]


def blobs(seed: int) -> np.ndarray:
    """A picture that has nothing in common with that of another seed."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (24, 36, 3)).astype(np.uint8)
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def chosen(frames: list[np.ndarray], looks: float = 2, longest: int = 25) -> list[Window]:
    return list(choose_windows(iter(frames), **SHAPE, spacing=Spacing(1 / looks, longest)))


def looks_at(windows: list[Window], frames: int, speed_px: int) -> list[int]:
    """In how many windows each place is in view that crosses the whole picture."""
    counts = []
    for place in range(WIDTH, speed_px * frames, 8):
        seen = range(-(-(place - WIDTH) // speed_px), min(place // speed_px, frames - 1) + 1)
        if len(seen) >= WIDTH // speed_px:
            spans = [range(w.start, w.start + w.real_frames) for w in windows]
            counts.append(sum(bool(set(seen) & set(span)) for span in spans))
    return counts


@pytest.mark.parametrize("speed_px", [2, 7])
@pytest.mark.parametrize("looks", [1, 3])
def test_each_place_that_crosses_the_picture_is_seen_often_enough(speed_px, looks):
    frames = line(120, speed_px)
    windows = chosen(frames, looks, longest=1000)
    counts = looks_at(windows, len(frames), speed_px)
    assert counts
    assert min(counts) >= looks
    assert all(len(w.frames) % 4 == 1 and w.start % 4 == 0 for w in windows)
    starts = [w.start for w in windows]
    assert starts == sorted(set(starts))


def test_a_still_camera_needs_few_and_a_fast_line_all():
    still = chosen([line(1, 1)[0]] * 100, longest=25)
    assert 4 <= len(still) <= 6
    fast = chosen(line(90, 24))
    assert len(fast) >= 11


def test_each_scene_gets_a_window_of_its_own():
    frames = line(30, 2, seed=1) + line(30, 2, seed=2)
    windows = chosen(frames, longest=1000)
    assert any(w.start + w.real_frames <= 30 for w in windows)
    assert any(30 <= w.start < 36 for w in windows)
    cuts = [position for w in windows for position, motion in w.motions if motion.cut]
    assert cuts == [30]


def test_a_scene_that_begins_with_a_latent_step_is_read_from_its_first_frame():
    windows = chosen([blobs(0)] * 32 + [blobs(1)] * 30, longest=1000)
    assert 32 in [w.start for w in windows]


@pytest.mark.parametrize(("frames", "windows"), [(40, 1), (60, 2)])
def test_an_ending_is_read_where_half_the_way_to_the_next_window_has_passed(frames, windows):
    # From the middle of the first window on 0.44 of the picture, and 0.69.
    assert len(chosen(line(frames, 2), looks=1, longest=1000)) == windows


@pytest.mark.parametrize(("frames", "windows"), [(12, 1), (13, 2)])
def test_an_ending_is_read_where_more_frames_have_passed_than_may(frames, windows):
    assert len(chosen([blobs(0)] * frames, longest=4)) == windows


@pytest.mark.parametrize("cut", range(24, 34))
@pytest.mark.parametrize("length", [9, 40])
def test_a_window_that_began_before_a_cut_does_not_count_for_the_scene_behind_it(cut, length):
    """A part that is put under a still camera, wherever a window happens to end, and taken away again."""
    frames = [picture for n, count in enumerate((cut, length, 30)) for picture in [blobs(n % 2)] * count]
    windows = chosen(frames, longest=25)
    assert any(cut <= w.start and w.start + w.real_frames <= cut + length for w in windows)


@pytest.mark.parametrize(
    "lengths", [(3, 2, 40), (3, 1, 40), (5, 4, 30), (30, 2, 30), (6, 8, 10), (5, 4), (2, 1), (1, 1, 1, 30)]
)
def test_only_the_first_window_of_a_recording_starts_at_0_however_short_its_scenes_are(lengths):
    """A flash of two frames within the first window, for one."""
    frames = [picture for n, count in enumerate(lengths) for picture in [blobs(n % 2)] * count]
    windows = chosen(frames, longest=1000)
    cuts = [position for w in windows for position, motion in w.motions if motion.cut]
    assert cuts == np.cumsum(lengths)[:-1].tolist()
    starts = [w.start for w in windows]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert all(w.real_frames >= 1 and w.start + w.real_frames <= len(frames) for w in windows)
    begins = sum(lengths[:-1])
    if lengths[-1] >= 12:
        assert any(begins <= w.start < begins + 8 for w in windows), "the scene after it is read at once"


@pytest.mark.parametrize("count", [20, 80])
def test_motion_is_told_of_every_frame(count):
    """Also of those behind the last window: whoever measures them anew might see a cut where none was seen."""
    windows = chosen(line(count, 1))
    assert windows[-1].start + windows[-1].real_frames < count
    assert [position for w in windows for position, _ in w.motions] == list(range(1, count))


@pytest.mark.parametrize("method", ["flow", "energy"])
def test_scores_between_windows_go_along_with_the_motion(method):
    """A mark that moves 4 px a frame, read in two windows 24 frames apart, is where it is in each frame between."""
    frames, token = line(40, 4), 8
    for k, frame in enumerate(frames):
        frame[24:40, 150 - 4 * k + 0 : 166 - 4 * k] = 10

    def tokens(position: float) -> np.ndarray:
        left = 150 - 4 * position
        edges = np.arange(0, WIDTH, token)
        inside = (edges < left + 16) & (edges + token > left)
        scores = np.zeros((1, HEIGHT // token, WIDTH // token), np.float32)
        scores[0, 3:5, inside] = 0.9
        return scores

    def step(index: int, first: int, last: int) -> LatentMaps:
        return LatentMaps(Origin(index, index // 6), first, last, tokens((first + last) / 2))

    latents = [step(0, 0, 0), step(1, 1, 4), step(2, 5, 8), step(6, 24, 24), step(7, 25, 28), step(8, 29, 32)]
    found = list(smooth(iter(latents), iter(frames), method=method, between=8))
    assert [f.position for f in found] == list(range(40))
    assert [f.position for f in found if f.origin.interpolated] == [*range(9, 24), *range(33, 40)]
    for f in found[2:34]:
        centre = 158 - 4 * f.position
        if 8 < centre < WIDTH - 8:
            assert f.scores[0, 32, centre] > 0.5, f.position
            assert f.scores[0, 32, (centre + 60) % WIDTH] < 0.2


def test_motion_that_is_known_is_taken_as_it_is():
    """Scores with the motions of the first pass, through the form in which they are stored, are those with motions of
    the second."""
    frames = line(40, 4)
    windows = chosen(frames)
    stored = [unpack_motions(pack_motions(window.motions)) for window in windows]
    assert [position for own in stored for position, _ in own] == [p for w in windows for p, _ in w.motions]
    scores = np.zeros((1, HEIGHT // 8, WIDTH // 8), np.float32)
    scores[0, 3, 9] = 0.9
    latents = [LatentMaps(Origin(k, 0), 4 * k - 3 if k else 0, 4 * k, scores) for k in range(3)]
    known = dict(motion for own in stored for motion in own)
    taken = list(smooth(iter(latents), iter(frames), method="flow", between=8, known=known))
    assert known == {}, "those of frames that no window has are taken, too"
    measured = list(smooth(iter(latents), iter(frames), method="flow", between=8))
    for one, two in zip(taken, measured, strict=True):
        np.testing.assert_allclose(one.scores, two.scores, atol=0.02)
