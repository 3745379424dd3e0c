"""What `calibrate` learns of a line's good surface: good footage, with defects painted on it -> `LineHead`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidconcept.models.line_head_file import read_facts_of_head, write_line_head
from vidconcept.pipelines.maps import crop_to_model, estimate_frame_count, read_source_frames
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan
from vidconcept.pipelines.workspace import Workspace
from vidconcept.runs import compute_digest

if TYPE_CHECKING:
    from vidconcept.models.line_head import LineHead

# Frames of all footage that are looked at; every so many where their number is not known.
FRAMES, EVERY = 300, 10
# Parts of the footage, each judged by a member that was taught by the others.
PARTS = 4
# Footage that is shorter than this says too little of a surface.
SHORTEST_S = 10.0


@dataclass(frozen=True)
class LearntHead:
    """A head of as many members as the films have parts; the number of a member is that of the part it has not seen.

    bounds_s: of each film when its parts but the first begin. weights: fingerprint of the model. key: of what it was
    learnt from.
    """

    head: LineHead = field(repr=False)
    bounds_s: list[list[float]]
    weights: str
    key: str

    def write(self, path: Path) -> None:
        """The head as `track` takes it. Raises OutputError."""
        write_line_head(path, self.head.tensors(), self.weights, {"bounds_s": json.dumps(self.bounds_s)})

    def write_judge(self, part: int, folder: Path) -> Path:
        """A file of the member alone that has not seen this part of the footage."""
        path = folder / f"line_head-{self.key}-{part}.safetensors"
        write_line_head(path, self.head.select(part).tensors(), self.weights)
        return path


def learn_line_head(plans: Sequence[Plan], workspace: Workspace) -> LearntHead | None:
    """A head for the line that the plans' footage shows; nothing in it may be wrong.

    None where the model is not the embedded one, the footage is shorter than `SHORTEST_S` or its times do not rise, or
    no part was found to paint on. It stays in the workspace: a second call finds it.
    """
    weights = plans[0].layout.fingerprint
    key = compute_digest({"maps_from": [plan.facts()["maps_from"] for plan in plans]})
    stored = workspace.work / f"line_head-{key}.safetensors"
    if stored.exists():
        from vidconcept.models.line_head import LineHead

        return LearntHead(LineHead.read(stored), json.loads(read_facts_of_head(stored)["bounds_s"]), weights, key)
    films = [sample_frames(plan, FRAMES // len(plans), workspace.monitor) for plan in plans]
    if not all(map(_is_long, films)) or sum(film[-1][0] - film[0][0] for film in films) < SHORTEST_S:
        return None
    # Parts of as many frames each: where footage has a hole, none is empty.
    bounds_s = [[film[len(film) * part // PARTS][0] for part in range(1, PARTS)] for film in films]
    frames = [
        (int(np.searchsorted(bounds, time_s, "right")), frame)
        for film, bounds in zip(films, bounds_s, strict=True)
        for time_s, frame in film
    ]
    from vidconcept.models import line_teaching

    head = line_teaching.learn_line_head(workspace.load(plans[0]), frames, PARTS, workspace.monitor.check)
    if head is None:
        return None
    workspace.work.mkdir(parents=True, exist_ok=True)
    learnt = LearntHead(head, bounds_s, weights, key)
    learnt.write(stored)
    return learnt


def _is_long(film: Sequence[tuple[float, np.ndarray]]) -> bool:
    times_s = [time_s for time_s, _ in film]
    return len(times_s) >= PARTS and all(a < b for a, b in pairwise(times_s))


def sample_frames(plan: Plan, count: int, monitor: Monitor) -> list[tuple[float, np.ndarray]]:
    """About `count` frames all over the asked range, `(h, w, 3)` uint8 as the model sees them, with their times."""
    total = estimate_frame_count(plan)
    stride = plan.settings.frame_stride * (max(1, total // count) if total else EVERY)
    frames = []
    for number, frame in enumerate(read_source_frames(plan, monitor, stride)):
        tiles = plan.tiles.cut(crop_to_model(plan, frame)[None])
        frames.append((frame.time_s, np.ascontiguousarray(tiles[number % len(tiles)][0])))
    return frames[:: -(-len(frames) // count)] if len(frames) > count else frames
