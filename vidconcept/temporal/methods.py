"""The two smoothing methods that follow the motion: a field on a key frame, seen in each frame of the stretch."""

from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np

from vidconcept.temporal.border import limit_border
from vidconcept.temporal.carry import Carry, compute_carries
from vidconcept.temporal.motion import Motion
from vidconcept.temporal.parameters import SmoothSettings
from vidconcept.temporal.pooling import Canvas, Observation, make_view
from vidconcept.temporal.regularize import average_tokens, choose_active_level, mark_active_cells, solve
from vidconcept.temporal.sampling import grid_points, sample
from vidconcept.temporal.stream import Step, find_reach
from vidconcept.temporal.touched import compute_touched_field, measure_smear
from vidconcept.temporal.unpool import Guide, carry_field, find_boxes, find_standing_out


def average_along_flow(
    steps_nearby: Sequence[Step],
    index: int,
    stretch: Sequence[int],
    motions: Mapping[int, Motion],
    settings: SmoothSettings,
) -> Iterator[np.ndarray]:
    """`flow`: the robust mean of the tokens that touch a place, along the motion."""
    return _solve_along_motion(steps_nearby, index, stretch, motions, settings, touched=True)


def minimise_energy(
    steps_nearby: Sequence[Step],
    index: int,
    stretch: Sequence[int],
    motions: Mapping[int, Motion],
    settings: SmoothSettings,
) -> Iterator[np.ndarray]:
    """`energy`: the field that fits the tokens along the motion and the key frame's edges, and a guided filter."""
    return _solve_along_motion(steps_nearby, index, stretch, motions, settings, touched=False)


def _solve_along_motion(
    steps_nearby: Sequence[Step],
    index: int,
    stretch: Sequence[int],
    motions: Mapping[int, Motion],
    settings: SmoothSettings,
    touched: bool,
) -> Iterator[np.ndarray]:
    """A field per concept in the coordinates of the stretch's middle frame, seen in each frame."""
    here = steps_nearby[index]
    _, rows, cols = here.maps.scores.shape
    per_token = 4 if here.size[0] / rows >= 12 else 2
    canvas = Canvas(rows * per_token, cols * per_token, per_token, settings.energy.spread_tokens)
    key = stretch[len(stretch) // 2]
    low, high = find_reach(motions, stretch)
    carry_at = compute_carries(motions, key, low, high, grid=(canvas.rows, canvas.cols))
    # A field that is not fitted to a picture needs none.
    grey = None if touched else _sample_grey(canvas, here.images[key])
    # The energy only begins with the mean: every other cell will do.
    block = 1 if touched else 2

    seen = []  # (step, carries of its frames, their views, weight)
    for k, step in enumerate(steps_nearby):
        span = range(step.maps.first, step.maps.last + 1) if step.seen else range(0)
        inside = [carry_at[p] for p in span if p in carry_at]
        if inside:
            # A step that a scene cut divides mixes both scenes: it speaks up only where no other does.
            weight = settings.energy.decay ** abs(k - index) * (len(inside) / len(span)) ** 3
            viewed = inside if touched else [inside[len(inside) // 2]]
            seen.append((step, inside, [make_view(carry, canvas, block) for carry in viewed], weight))
    if not seen:
        # A scene too short for a window of its own.
        yield from (np.zeros((len(here.maps.scores), *here.size), np.float32) for _ in stretch)
        return
    fields, solved = [], []
    smear = measure_smear([views for _, _, views, _ in seen], canvas) if touched else None
    for concept in range(len(here.maps.scores)):
        observations = [Observation(np.ascontiguousarray(s.maps.scores[concept]), *rest) for s, *rest in seen]
        if touched:
            fields.append(compute_touched_field(observations, canvas, settings.energy, smear))
            solved.append(False)
            continue
        assert grey is not None
        mean = average_tokens(observations, canvas, settings.energy)
        # An empty concept costs no more than its mean.
        solved.append(bool(mark_active_cells(mean, canvas, settings.energy).any()))
        fields.append(solve(observations, mean, canvas, grey, settings.energy) if solved[-1] else mean)
    looked = [step for step in steps_nearby if step.seen]
    for position in stretch:
        found = _sharpen(fields, solved, canvas, carry_at[position], here.images[position], here.size, settings)
        limit = limit_border(looked, position, carry_at, here.size)
        yield found if limit is None else np.minimum(found, limit)


def _sample_grey(canvas: Canvas, image: np.ndarray) -> np.ndarray:
    """Grey levels of an image on the cells of the canvas, its border repeated into the margin; float32."""
    small = cv2.resize(image, (canvas.cols, canvas.rows), interpolation=cv2.INTER_AREA)
    m = canvas.margin
    return cv2.copyMakeBorder(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), m, m, m, m, cv2.BORDER_REPLICATE).astype(
        np.float32
    )


def _sharpen(
    fields: Sequence[np.ndarray],
    solved: Sequence[bool],
    canvas: Canvas,
    carry: Carry,
    image: np.ndarray,
    size: tuple[int, int],
    settings: SmoothSettings,
) -> np.ndarray:
    """The fields in a frame, `(concept, h, w)`: bilinear, and pulled to the image's edges where there is something."""
    h, w = size
    at = canvas.cells(carry.points(grid_points(canvas.rows, canvas.cols)))
    coarse = [sample(values, at) for values in fields]
    out = np.zeros((len(fields), h, w), np.float32)
    for concept, values in enumerate(coarse):
        cv2.resize(values, (w, h), dst=out[concept], interpolation=cv2.INTER_LINEAR)
    strong = {
        k: find_standing_out(v, choose_active_level(v, settings.energy)) for k, v in enumerate(coarse) if solved[k]
    }
    strong = {k: cells for k, cells in strong.items() if cells.any()}
    if not strong:
        return out
    radius = max(1, round(settings.guide.radius_tokens * canvas.per_token * (h / canvas.rows + w / canvas.cols) / 2))
    for box in find_boxes(np.logical_or.reduce(list(strong.values())), h, w, radius):
        grey = cv2.cvtColor(np.ascontiguousarray(image[box]), cv2.COLOR_RGB2GRAY).astype(np.float32) / 255.0
        guide = Guide(grey, radius, settings.guide.epsilon)
        for concept in strong:
            coarse_box = guide.find_coarse_box(box)
            out[concept][box] = guide.filter(carry_field(fields[concept], canvas, carry, h, w, coarse_box))
    return out
