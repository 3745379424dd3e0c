"""From a stream of latent steps and the frames they cover to scores of every frame, with bounded look-ahead.

Methods: `energy` (default; key-frame energy and guided filter), `flow` (robust mean of the tokens along the motion),
and the plain baselines `none` (each latent step alone), `nearest`, `linear` (in time; all three but `nearest` bilinear
in space), `ema` and `gaussian` (over latent steps, in image coordinates).
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from vidconcept.temporal.carry import Carry, carries
from vidconcept.temporal.flow import STILL, Motion, Proxy, estimate, grid_points, proxy
from vidconcept.temporal.regularize import (
    Canvas,
    EnergySettings,
    Observation,
    active_cells,
    robust_mean,
    solve,
)
from vidconcept.temporal.unpool import Guide, GuideSettings, carried, upsample
from vidconcept.types import FrameScores, LatentMaps

METHODS = ("none", "nearest", "linear", "ema", "gaussian", "flow", "energy")


@dataclass(frozen=True, slots=True)
class SmoothSettings:
    """Reach and weights of the temporal stage."""

    # Latent steps that are looked at before and after the present one; the stage lags by the second.
    past_steps: int = 5
    ahead_steps: int = 3
    # Weight of a new latent step in `ema`; standard deviation of `gaussian` in latent steps.
    ema_weight: float = 0.5
    gaussian_steps: float = 1.0
    energy: EnergySettings = field(default_factory=EnergySettings)
    guide: GuideSettings = field(default_factory=GuideSettings)


@dataclass(slots=True)
class _Step:
    """A latent step with the frames it covers. `images` is dropped once its scores are out."""

    maps: LatentMaps
    motions: dict[int, Motion]
    images: dict[int, np.ndarray]
    size: tuple[int, int]


def smooth(
    latents: Iterable[LatentMaps],
    frames: Iterable[np.ndarray],
    *,
    method: str = "energy",
    settings: SmoothSettings | None = None,
) -> Iterator[FrameScores]:
    """Scores of every frame that the latent steps cover, in order.

    frames: working images `(h, w, 3)` uint8 RGB by position from 0, all of one size, covering what the map grid covers.
    Both streams are pulled as needed; at most `past_steps + ahead_steps + 1` latent steps of maps and
    `ahead_steps + 2` of frames are held. Scores come as `(concept, h, w)` float32 in [0, 1]; `reset` marks the first
    frame after a scene cut, across which nothing is carried. Raises ValueError for an unknown method.
    """
    settings = settings or SmoothSettings()
    if method not in METHODS:
        raise ValueError(f"method is one of {', '.join(METHODS)}, got {method!r}")
    for steps, index in _neighbourhoods(_observed(latents, frames), settings):
        yield from _frames_of(steps, index, method, settings)
        steps[index].images.clear()


def _observed(latents: Iterable[LatentMaps], frames: Iterable[np.ndarray]) -> Iterator[_Step]:
    """Join latent steps with their frames and the motion of each frame to its predecessor."""
    stream = enumerate(frames)
    before: Proxy | None = None
    prior = STILL
    for maps in latents:
        step = _Step(maps, {}, {}, (0, 0))
        while True:
            position, image = next(stream, (-1, None))
            if image is None:
                break
            if step.size != (0, 0) and step.size != image.shape[:2]:
                raise ValueError(f"all frames share one size, got {image.shape} after {step.size}")
            step.size = image.shape[:2]
            here = proxy(image)
            if before is not None:
                prior = estimate(before, here, prior)
                step.motions[position] = prior
            before = here
            step.images[position] = image
            if position >= maps.last:
                break
        if step.images:
            yield step


def _neighbourhoods(steps: Iterable[_Step], settings: SmoothSettings) -> Iterator[tuple[Sequence[_Step], int]]:
    """Every latent step with its neighbours, and its index among them."""
    held: deque[_Step] = deque()
    index = 0
    for step in steps:
        held.append(step)
        if len(held) - 1 - index >= settings.ahead_steps:
            yield held, index
            index += 1
            if index > settings.past_steps:
                held.popleft()
                index -= 1
    while index < len(held):
        yield held, index
        index += 1
        if index > settings.past_steps:
            held.popleft()
            index -= 1


def _segments(steps: Sequence[_Step], index: int) -> Iterator[list[int]]:
    """Positions of the latent step between scene cuts, a list for each stretch."""
    stretch: list[int] = []
    for position in sorted(steps[index].images):
        motion = steps[index].motions.get(position)
        if stretch and motion is not None and motion.cut:
            yield stretch
            stretch = []
        stretch.append(position)
    yield stretch


def _reach(motions: Mapping[int, Motion], stretch: Sequence[int], first: int, last: int) -> tuple[int, int]:
    """First and last position around a stretch that no scene cut separates from it."""
    low, high = stretch[0], stretch[-1]
    while low > first and low in motions and not motions[low].cut:
        low -= 1
    while high < last and not motions[high + 1].cut:
        high += 1
    return low, high


def _frames_of(steps: Sequence[_Step], index: int, method: str, settings: SmoothSettings) -> Iterator[FrameScores]:
    """Scores of the frames of `steps[index]`."""
    here = steps[index]
    motions = {p: m for step in steps for p, m in step.motions.items()}
    spans = [(min(s.images, default=s.maps.first), s.maps.last) for s in steps]
    for stretch in _segments(steps, index):
        low, high = _reach(
            motions, stretch, steps[0].maps.first, max(p for s in steps for p in (*s.images, *s.motions))
        )
        near = [k for k, s in enumerate(steps) if s.maps.last >= low and s.maps.first <= high]
        if method in ("energy", "flow"):
            scores = _along_motion(
                [steps[k] for k in near], near.index(index), motions, stretch, (low, high), method, settings
            )
        else:
            scores = _in_place([steps[k].maps for k in near], near.index(index), here, stretch, method, settings)
        for position, frame_scores in zip(stretch, scores, strict=True):
            motion = motions.get(position)
            yield FrameScores(
                position,
                here.maps.latent_index,
                here.maps.window_index,
                frame_scores,
                reset=motion is not None and motion.cut,
                flow=None if motion is None or motion.cut else _displacement(motion, here),
            )


def _displacement(motion: Motion, step: _Step) -> np.ndarray:
    """Displacement from the previous frame to this one in working pixels, on an eighth of the working grid."""
    h, w = step.size
    points = grid_points(max(1, h // 8), max(1, w // 8))
    return ((motion.targets(points) - points) * np.float32([w, h])).astype(np.float32)


def _in_place(
    near: Sequence[LatentMaps], index: int, here: _Step, stretch: Sequence[int], method: str, settings: SmoothSettings
) -> Iterator[np.ndarray]:
    """The plain baselines: they mix latent steps at the same place of the picture."""
    h, w = here.size
    distance = np.arange(len(near)) - index
    centres = np.array([(m.first + m.last) / 2 for m in near])
    for position in stretch:
        if method == "linear":
            weight = np.zeros(len(near))
            right = int(np.searchsorted(centres, position))
            left, right = max(0, right - 1), min(right, len(near) - 1)
            gap = centres[right] - centres[left]
            share = float(np.clip((position - centres[left]) / gap, 0, 1)) if gap else 0.0
            weight[left] += 1.0 - share
            weight[right] += share
        elif method == "ema":
            weight = np.where(distance <= 0, (1.0 - settings.ema_weight) ** np.abs(distance), 0.0)
        elif method == "gaussian":
            weight = np.exp(-0.5 * (distance / settings.gaussian_steps) ** 2)
        else:
            weight = (distance == 0).astype(float)
        weight = (weight / weight.sum()).astype(np.float32)
        mixed = sum((m.scores * g for m, g in zip(near, weight, strict=True) if g), np.float32(0.0))
        fine = [upsample(tokens, h, w, nearest=method == "nearest") for tokens in np.asarray(mixed)]
        yield np.clip(np.stack(fine), 0.0, 1.0) if fine else np.zeros((0, h, w), np.float32)


def _along_motion(
    near: Sequence[_Step],
    index: int,
    motions: Mapping[int, Motion],
    stretch: Sequence[int],
    reach: tuple[int, int],
    method: str,
    settings: SmoothSettings,
) -> Iterator[np.ndarray]:
    """`flow` and `energy`: a field per concept in the coordinates of the middle frame of the stretch."""
    here = near[index]
    concepts, rows, cols = here.maps.scores.shape
    h, w = here.size
    per_token = 4 if h / rows >= 12 else 2
    canvas = Canvas(rows * per_token, cols * per_token, 2 * per_token, per_token)
    key = stretch[len(stretch) // 2]
    ways = carries(motions, key, *reach, grid=(canvas.rows, canvas.cols))
    grey = _grey_on(canvas, here.images[key]) if method == "energy" else None

    fields, active = [], []
    for concept in range(concepts):
        observations = []
        for k, step in enumerate(near):
            inside = [p for p in range(step.maps.first, step.maps.last + 1) if reach[0] <= p <= reach[1]]
            if inside:
                share = len(inside) / (step.maps.last - step.maps.first + 1)
                weight = share * settings.energy.decay ** abs(k - index)
                tokens = np.ascontiguousarray(step.maps.scores[concept])
                observations.append(Observation(tokens, [ways[p] for p in inside], weight))
        mean = robust_mean(observations, canvas, settings.energy)
        worth = active_cells(mean, canvas, settings.energy)
        if method == "energy" and worth.any():
            assert grey is not None
            mean = solve(observations, mean, canvas, grey, settings.energy)
        fields.append(mean)
        active.append(worth.astype(np.float32) if method == "energy" and worth.any() else None)
    for position in stretch:
        yield _sharpened(fields, active, canvas, ways[position], here.images[position], (h, w), settings.guide)


def _grey_on(canvas: Canvas, image: np.ndarray) -> np.ndarray:
    """Grey levels of an image on the cells of the canvas, its border repeated into the margin; float32."""
    small = cv2.resize(image, (canvas.cols, canvas.rows), interpolation=cv2.INTER_AREA)
    m = canvas.margin
    return cv2.copyMakeBorder(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), m, m, m, m, cv2.BORDER_REPLICATE).astype(
        np.float32
    )


def _sharpened(
    fields: Sequence[np.ndarray],
    active: Sequence[np.ndarray | None],
    canvas: Canvas,
    way: Carry,
    image: np.ndarray,
    size: tuple[int, int],
    settings: GuideSettings,
) -> np.ndarray:
    """Warp the fields to a frame and pull them to its edges near active cells."""
    h, w = size
    out = np.zeros((len(fields), h, w), np.float32)
    radius = max(1, round(settings.radius_tokens * canvas.per_token * (h / canvas.rows + w / canvas.cols) / 2))
    grey: np.ndarray | None = None
    for concept, (field_, worth) in enumerate(zip(fields, active, strict=True)):
        out[concept] = carried(field_, canvas, way, h, w)
        if worth is None:
            continue
        box = _box(carried(worth, canvas, way, canvas.rows, canvas.cols) > 0.5, canvas, size, 2 * radius)
        if box is None:
            continue
        if grey is None:
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255.0
        y, x = box
        out[concept, y, x] = Guide(grey[y, x], radius, settings.epsilon).filter(out[concept, y, x])
    return out


def _box(cells: np.ndarray, canvas: Canvas, size: tuple[int, int], margin_px: int) -> tuple[slice, slice] | None:
    """Pixels around the true cells, as slices; None when there is no true cell."""
    h, w = size
    x, y, width, height = cv2.boundingRect(cells.astype(np.uint8))
    if not width:
        return None
    top, bottom = y * h / canvas.rows - margin_px, (y + height) * h / canvas.rows + margin_px
    left, right = x * w / canvas.cols - margin_px, (x + width) * w / canvas.cols + margin_px
    return slice(max(0, int(top)), min(h, int(bottom) + 1)), slice(max(0, int(left)), min(w, int(right) + 1))


def between(a: FrameScores, b: FrameScores, fraction: float) -> np.ndarray:
    """Scores `(concept, h, w)` of a frame that the model did not see, `fraction` of the way from `a` to `b`.

    Both neighbours are moved along `b.flow` by their share of the way and mixed; across a scene cut, or without flow,
    the nearer one is taken as it is.
    """
    if b.reset or b.flow is None:
        return (a if fraction < 0.5 else b).scores
    concepts, h, w = b.scores.shape
    flow = cv2.resize(b.flow, (w, h), interpolation=cv2.INTER_LINEAR)  # (h, w, 2)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    here = np.stack([x, y], axis=-1)
    out = np.zeros((concepts, h, w), np.float32)
    for concept in range(concepts):
        early = _moved(a.scores[concept], here - fraction * flow)
        late = _moved(b.scores[concept], here + (1.0 - fraction) * flow)
        out[concept] = (1.0 - fraction) * early + fraction * late
    return out


def _moved(scores: np.ndarray, at: np.ndarray) -> np.ndarray:
    return cv2.remap(scores, at.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
