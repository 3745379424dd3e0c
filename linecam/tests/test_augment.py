"""Training crops made more various: the truth goes with the picture, and even areas stay even."""

import numpy as np
import torch

from linecam.training.augment import cut_rotated, jitter, roughen
from linecam.training.data import ShardStream


def test_the_truth_turns_with_the_picture():
    frame, classes = np.full((96, 160, 3), 40, np.uint8), np.zeros((96, 160), np.uint8)
    frame[30:60, 70:110], classes[30:60, 70:110] = 220, 9
    shares = []
    for seed in range(20):
        image, labels = cut_rotated(np.random.default_rng(seed), frame, classes, (64, 64), (48, 88))
        assert (image.shape, labels.shape) == ((64, 64, 3), (64, 64))
        # Only the border's pixels are between the two.
        assert ((image[..., 0] > 130) != (labels == 9)).mean() < 0.03
        shares.append((labels == 9).mean())
    assert max(shares) > 1.5 * min(shares)


def test_crops_of_single_frames_are_turned_as_asked(tmp_path):
    rows, columns = np.mgrid[0:192, 0:250]
    frame = np.stack([rows, columns, 0 * rows], -1).astype(np.uint8)
    np.save(tmp_path / "000000_frames.npy", frame[None, None])
    np.save(tmp_path / "000000_classes.npy", np.zeros((1, 1, 192, 250), np.uint8))
    (tmp_path / "000000.txt").write_text("a slope")
    for share in (0.0, 1.0):
        stream = ShardStream(tmp_path, 0, turned_share=share)
        for _ in range(12):
            (image,), labels, _ = stream.crop(1, 64, 96)
            assert (image.shape, labels.shape) == ((64, 96, 3), (1, 64, 96))
            # Cut out, mirrored or swapped, a slope still climbs by one for each pixel, along an axis.
            climbs = {tuple(np.unique(np.abs(np.diff(image[..., 0].astype(int), axis=axis)))) for axis in (0, 1)}
            assert (climbs == {(0,), (1,)}) == (share == 0.0)


def test_variation_keeps_an_even_area_even_but_for_its_texture():
    frames = torch.full((64, 3, 32, 48), -0.2)
    varied = roughen(frames, torch.Generator().manual_seed(3))
    assert varied.shape == frames.shape
    assert varied.abs().max() <= 1
    texture = varied.std((2, 3)).amax(1)
    assert 0.2 < (texture < 1e-4).float().mean() < 0.9
    assert texture.max() < 0.12
    # Contrast is about a picture's own mean, and a filter passes what is even.
    torch.testing.assert_close(varied.mean((1, 2, 3)), frames.mean((1, 2, 3)), atol=0.02, rtol=0)


def test_the_same_generator_varies_the_same():
    video = torch.rand(3, 3, 1, 24, 24) * 2 - 1
    one, two = (
        roughen(jitter(video, generator)[:, :, 0], generator)
        for generator in (torch.Generator().manual_seed(5), torch.Generator().manual_seed(5))
    )
    assert torch.equal(one, two)
    assert not torch.allclose(one, video[:, :, 0])
