"""Train the network that finds where a defect ends: `vidconcept.tracks.edge_net`.

python -m linecam.training.train_edges --out vidconcept/models/weights/edges

It renders its own scenes, single frames with many defects. Scores are made of each defect as the maps have
them, cells that it touches, blurred, uneven and shifted, and cut into a piece. A few minutes on an idle core.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from linecam.footage.clips import clip, training_seed
from vidconcept.painting.textures import Rng
from vidconcept.tracks.edge_net import LAYERS
from vidconcept.tracks.edges import EdgeSettings, make_channels
from vidconcept.tracks.masks import find_local_maximum

SIZE_PX = (256, 384)
# Side of a training window, and of a cell that a defect is spread over.
WINDOW_PX = 64
CELL_PX = 8
# Fine defects, whose pieces are too wide by the most, are shown the most.
SHARES = {
    "scratch": 0.25, "crack": 0.2, "hole": 0.15, "dent": 0.1, "chip": 0.08, "stain": 0.08, "fray": 0.07, "rust": 0.07
}  # fmt: skip


class EdgeModule(nn.Module):
    """`EdgeNet` to be trained; the same layers under the same names."""

    def __init__(self) -> None:
        super().__init__()
        for name, (inner, outer) in LAYERS.items():
            self.add_module(name, nn.Conv2d(inner, outer, 3, padding=1))
        self.o = nn.Conv2d(LAYERS["a3"][1], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(b, channel, h, w)`, sides a multiple of 4 -> logits `(b, h, w)`."""

        def layer(name: str, x: Tensor) -> Tensor:
            return F.relu(self.get_submodule(name)(x))

        def upsample(x: Tensor) -> Tensor:
            return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

        a = layer("a2", layer("a1", x))
        b = layer("b2", layer("b1", F.avg_pool2d(a, 2)))
        c = layer("c2", layer("c1", F.avg_pool2d(b, 2)))
        b = layer("b3", upsample(c) + b)
        return self.o(layer("a3", upsample(b) + a))[:, 0]


@dataclass(frozen=True, slots=True)
class Scene:
    """A frame `(h, w, 3)` uint8 RGB, its identities `(h, w)` uint16, and the numbers of those large enough."""

    frame: np.ndarray = field(repr=False)
    instances: np.ndarray = field(repr=False)
    numbers: tuple[int, ...]


def render(count: int, seed: int) -> list[Scene]:
    """Single frames of random lines, each with two kinds of defect, as a video's compression leaves them."""
    scenes = []
    for k in range(count):
        own = training_seed(seed, k)
        rng = np.random.default_rng(own)
        kinds = [str(kind) for kind in rng.choice(list(SHARES), 2, replace=False, p=list(SHARES.values()))]
        made = clip(own, SIZE_PX, 1, defects=2.5, kinds=kinds)
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 98))]
        frame = np.asarray(cv2.imdecode(cv2.imencode(".jpg", made.frames[0], quality)[1], cv2.IMREAD_COLOR))
        instances = made.instances[0].astype(np.uint16)
        numbers, areas = np.unique(instances, return_counts=True)
        large = tuple(int(n) for n, area in zip(numbers, areas, strict=True) if n and area >= 6)
        if large:
            scenes.append(Scene(frame, instances, large))
    return scenes


def score_map(rng: Rng, truth: np.ndarray) -> np.ndarray:
    """What the maps make of a defect `(h, w)` bool, `(h, w)` float32: how surely it touches the cells about a point.

    As `temporal.touched` has it: a mean over frames, in which the cells lie elsewhere along the line's motion.
    """
    h, w = truth.shape
    # A token also answers for what lies just beside it.
    reach = int(rng.integers(0, 5))
    truth = cv2.dilate(truth.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)) > 0
    top, left = (int(v) for v in rng.integers(0, CELL_PX, 2))
    step = rng.uniform(0, 3)
    seen = []
    for k in range(4):
        shift = (left + round(k * step)) % CELL_PX
        rows, cols = -(-(h + top) // CELL_PX), -(-(w + shift) // CELL_PX)
        padded = np.zeros((rows * CELL_PX, cols * CELL_PX), bool)
        padded[top : top + h, shift : shift + w] = truth
        cells = padded.reshape(rows, CELL_PX, cols, CELL_PX).mean((1, 3))
        sure = np.clip(cells / rng.uniform(0.02, 0.12), 0, 1) * rng.uniform(0.75, 1, cells.shape)
        spread = np.repeat(np.repeat(sure, CELL_PX, 0), CELL_PX, 1)
        seen.append(spread[top : top + h, shift : shift + w].astype(np.float32))
    strength = cv2.GaussianBlur(np.mean(seen, axis=0), (0, 0), rng.uniform(2.5, 5))
    if rng.random() < 0.5:
        uneven = rng.uniform(0.6, 1, (max(2, h // 24), max(2, w // 24))).astype(np.float32)
        strength *= cv2.resize(uneven, (w, h))
    move = np.array([[1, 0, rng.normal(0, 1.5)], [0, 1, rng.normal(0, 1.5)]])
    return cv2.warpAffine(strength, move, (w, h))


def decide_piece(rng: Rng, scores: np.ndarray) -> np.ndarray:
    """The piece that is decided on scores `(h, w)`: `(h, w)` bool, one connected part, perhaps empty."""
    local_peak = find_local_maximum(scores, 24)
    piece = scores > np.maximum(rng.uniform(0.4, 0.65) * local_peak, 0.1 * scores.max())
    count, labels = cv2.connectedComponents(piece.astype(np.uint8))
    return labels == 1 + np.bincount(labels.ravel())[1:].argmax() if count > 1 else piece


def sample(rng: Rng, scene: Scene, settings: EdgeSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Evidence `(channel, side, side)`, truth and weight `(side, side)` float32 of a defect; None where it is lost."""
    number = rng.choice(scene.numbers)
    ys, xs = np.nonzero(scene.instances == number)
    around = WINDOW_PX + 40
    pick = rng.integers(len(ys))
    y = int(np.clip(ys[pick] - around // 2, 0, scene.frame.shape[0] - around))
    x = int(np.clip(xs[pick] - around // 2, 0, scene.frame.shape[1] - around))
    frame, numbers = (part[y : y + around, x : x + around] for part in (scene.frame, scene.instances))
    truth, others = numbers == number, (numbers != number) & (numbers > 0)
    if rng.random() < 0.4:
        zoom = rng.uniform(0.7, 1.7)
        how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
        frame = cv2.resize(frame, None, fx=zoom, fy=zoom, interpolation=how)
        size = frame.shape[1::-1]
        truth, others = (cv2.resize(m.astype(np.float32), size, interpolation=how) > 0.5 for m in (truth, others))
    if not truth.any():
        return None
    scores = score_map(rng, truth)
    piece = decide_piece(rng, scores)
    if np.count_nonzero(piece) < 4:
        return None
    part = []
    for hits, limit in ((np.flatnonzero(piece.any(1)), piece.shape[0]), (np.flatnonzero(piece.any(0)), piece.shape[1])):
        pad = settings.ring_px[1] + 2
        low, high = max(0, hits[0] - pad), min(limit, hits[-1] + 1 + pad)
        if high - low > WINDOW_PX:
            low = int(rng.integers(low, high - WINDOW_PX + 1))
        part.append(slice(low, min(high, low + WINDOW_PX)))
    cut = tuple(part)
    piece, truth, scores = piece[cut], truth[cut], scores[cut]
    if np.count_nonzero(piece) < 4:
        return None
    channels = make_channels(frame[cut], piece, scores, settings.ring_px)
    reachable = cv2.dilate(piece.astype(np.uint8), np.ones((2 * settings.reach_px + 1,) * 2, np.uint8)) > 0
    arrays = [channels, truth.astype(np.float32), (reachable & ~(others[cut] & ~truth)).astype(np.float32)]
    for axis in (-1, -2):
        if rng.random() < 0.5:
            arrays = [np.flip(a, axis) for a in arrays]
    if rng.random() < 0.5:
        arrays = [a.swapaxes(-1, -2) for a in arrays]
    channels, truth, weight = arrays
    if rng.random() < 0.5:
        # A bright defect for a dark one.
        channels = channels * np.array([-1, 1, -1, 1, 1], np.float32)[:, None, None]
    return _pad(channels), _pad(truth), _pad(weight)


def _pad(values: np.ndarray) -> np.ndarray:
    room = [(0, WINDOW_PX - side) for side in values.shape[-2:]]
    return np.pad(values, [(0, 0)] * (values.ndim - 2) + room).astype(np.float32)


def batches(scenes: Sequence[Scene], seed: int, size: int) -> Iterator[list[Tensor]]:
    """Endless batches of evidence, truth and weight."""
    rng = np.random.default_rng(seed)
    settings = EdgeSettings()
    while True:
        rows = []
        while len(rows) < size:
            row = sample(rng, scenes[int(rng.integers(len(scenes)))], settings)
            if row is not None:
                rows.append(row)
        yield [torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)]


def losses(logits: Tensor, truth: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy and 1 - soft IoU, means over windows of what lies within the weight."""
    each = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    entropy = (each * weight).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1)
    guess, real = torch.sigmoid(logits) * weight, truth * weight
    both = (guess * real).sum((1, 2))
    overlap = (both + 2) / ((guess + real).sum((1, 2)) - both + 2)
    return entropy.mean(), 1 - overlap.mean()


def train(scenes: Sequence[Scene], steps: int, seed: int, rate: float = 6e-3, size: int = 16) -> EdgeModule:
    """A network trained for so many steps; prints the running loss."""
    torch.manual_seed(seed)
    net = EdgeModule()
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    running = np.zeros(2)
    for step, (channels, truth, weight) in zip(range(1, steps + 1), batches(scenes, seed, size), strict=False):
        entropy, miss = losses(net(channels), truth, weight)
        optimizer.zero_grad()
        (entropy + miss).backward()
        optimizer.step()
        schedule.step()
        now = np.array([entropy.item(), miss.item()])
        running = now if step == 1 else 0.98 * running + 0.02 * now
        if step % 50 == 0:
            print(
                json.dumps({"step": step, "entropy": round(running[0], 4), "soft_iou": round(1 - running[1], 4)}),
                flush=True,
            )
    return net


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of edges.safetensors")
    parser.add_argument("--scenes", type=int, default=600)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--seed", type=int, default=6)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    net = train(render(options.scenes, options.seed), options.steps, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    save_file({name: w.half().contiguous() for name, w in net.state_dict().items()}, options.out / "edges.safetensors")


if __name__ == "__main__":
    main()
