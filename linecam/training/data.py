"""Training samples out of rendered shards: crops, flips, and the truth at token scale."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from linecam.training.augment import cut_rotated
from vidconcept.painting.cells import cell_shares, cell_truth
from vidconcept.painting.kinds import DEFECT_IDS


def group_shares(shares: np.ndarray, group: int = 4) -> np.ndarray:
    """Average over the frames of each latent step: `(t, ...)` -> `(t_lat, ...)`, grouped 1, 4, 4, …."""
    later = shares[1:].reshape(-1, group, *shares.shape[1:]).mean(1)
    return np.concatenate([shares[:1], later])


class ShardStream:
    """Random crops of the shards in a folder; new shards join as they appear.

    `defect_share` of the crops are centred near a defect where the scene has one. `turned_share` of those of a single
    frame are zoomed and turned.
    """

    def __init__(self, folder: Path, seed: int, defect_share: float = 0.6, turned_share: float = 0.0) -> None:
        self.folder, self.defect_share, self.turned_share = folder, defect_share, turned_share
        self.rng = np.random.default_rng(seed)
        self._names: list[Path] = []
        self._draws = 0

    def _open(self) -> tuple[np.ndarray, np.ndarray, str]:
        while True:
            if self._draws % 256 == 0 or not self._names:
                self._names = sorted(self.folder.glob("*_frames.npy"))
            if not self._names:
                raise FileNotFoundError(f"no shards in {self.folder}: run `python -m linecam.footage shards`")
            self._draws += 1
            path = self._names[int(self.rng.integers(len(self._names)))]
            stem = path.name.split("_")[0]
            try:
                frames = np.load(path, mmap_mode="r")
                classes = np.load(path.with_name(f"{stem}_classes.npy"), mmap_mode="r")
                captions = path.with_name(f"{stem}.txt").read_text(encoding="utf-8").splitlines()
            except FileNotFoundError:
                self._names = []  # The renderer has just retired it.
                continue
            scene = int(self.rng.integers(len(frames)))
            return frames[scene], classes[scene], captions[scene]

    def crop(self, frames: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray, str]:
        """One clip: frames `(t, h, w, 3)` uint8, classes `(t, h, w)` uint8, caption. `frames` 1: any single frame."""
        rng = self.rng
        video, classes, words = self._open()
        first = int(rng.integers(len(video))) if frames == 1 else 0
        swap = rng.random() < 0.3
        h, w = (width, height) if swap else (height, width)
        if h > video.shape[1] or w > video.shape[2]:
            h, w, swap = height, width, False
        y, x = int(rng.integers(video.shape[1] - h + 1)), int(rng.integers(video.shape[2] - w + 1))
        if rng.random() < self.defect_share:
            # Each piece alike, whatever its size: else nearly all clips show a stain.
            marked = np.ascontiguousarray(classes[first + frames // 2, ::4, ::4] >= DEFECT_IDS[0]).astype(np.uint8)
            count, pieces = cv2.connectedComponents(marked)
            if count > 1:
                hits = np.argwhere(pieces == 1 + rng.integers(count - 1)) * 4
                at = hits[rng.integers(len(hits))] - (rng.random(2) * (h, w)).astype(int)
                y, x = (int(v) for v in np.clip(at, 0, (video.shape[1] - h, video.shape[2] - w)))
        if frames == 1 and rng.random() < self.turned_share:
            middle = (y + (h - 1) / 2, x + (w - 1) / 2)
            image, labels = (a[None] for a in cut_rotated(rng, video[first], classes[first], (h, w), middle))
        else:
            part = (slice(first, first + frames), slice(y, y + h), slice(x, x + w))
            image, labels = np.array(video[part]), np.array(classes[part])
        if swap:
            image, labels = image.swapaxes(1, 2), labels.swapaxes(1, 2)
        for axis in (1, 2):
            if rng.random() < 0.5:
                image, labels = np.flip(image, axis), np.flip(labels, axis)
        return image, labels, words

    def batches(self, size: int, frames: int, height: int, width: int) -> Iterator[tuple[Tensor, Tensor, list[str]]]:
        """Endless batches: video `(b, 3, t, h, w)` float32 in [-1, 1], truth `(b, t_lat, h/8, w/8)` uint8, captions."""
        while True:
            items = [self.crop(frames, height, width) for _ in range(size)]
            video = torch.from_numpy(np.stack([np.ascontiguousarray(i[0]) for i in items]))
            truth = np.stack([cell_truth(group_shares(cell_shares(i[1]))) for i in items])
            video = video.permute(0, 4, 1, 2, 3).float().div_(127.5).sub_(1)
            yield video, torch.from_numpy(truth), [i[2] for i in items]
