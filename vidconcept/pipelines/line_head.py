"""What `calibrate` learns of a line's good surface: good footage, with defects painted on it -> `LineHead`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidconcept.errors import InputError
from vidconcept.files import read_text
from vidconcept.models.cogvideox_folder import EMBEDDED_CODEC
from vidconcept.models.configs import PipelineIndex, read_config
from vidconcept.models.line_head_file import compute_line_digest, read_line_head, write_line_head
from vidconcept.pipelines.maps import crop_to_model, estimate_frame_count, read_source_frames
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan
from vidconcept.pipelines.workspace import Workspace
from vidconcept.runs import compute_digest
from vidconcept.video.problems import Finding
from vidconcept.written import check_replaceable, open_own

if TYPE_CHECKING:
    from vidconcept.models.line_head import LineHead

# Frames of all footage that are looked at, and of a film at least; every so many where their number is not known.
FRAMES, FEWEST, EVERY = 300, 8, 10
# Parts of the footage, each judged by a member that was taught by the others.
PARTS = 4
# Footage that is shorter than this says too little of a surface.
SHORTEST_S = 10.0
# To be raised when the same footage comes to teach another head: those of before are then not taken from a workspace.
TEACHING = 1
SEED = 0


@dataclass(frozen=True)
class LearntHead:
    """A head of as many members as the films have parts; the number of a member is that of the part it has not seen.

    bounds_s: of each film when its parts but the first begin; none where it is too short to be divided, or was not
    looked at: all of it is in the first part, then. weights: fingerprint of the model. key: of what it was
    learnt from.
    """

    head: LineHead = field(repr=False)
    bounds_s: list[list[float]]
    weights: str
    key: str

    @property
    def digest(self) -> str:
        """As of `check_line_head`."""
        return compute_line_digest(self.head.tensors(), self.weights)

    def write(self, path: Path) -> None:
        """The head as `track` takes it. Raises OutputError."""
        write_line_head(path, self.head.tensors(), self.weights)

    def write_judge(self, part: int, folder: Path) -> Path:
        """A file of the member alone that has not seen this part of the footage."""
        path = folder / f"line_head-{self.key}-{part}.safetensors"
        write_line_head(path, self.head.select(part).tensors(), self.weights)
        return path


def learn_line_head(plans: Sequence[Plan], workspace: Workspace) -> LearntHead | None:
    """A head for the line that the plans' footage shows; nothing in it may be wrong.

    None where the model is not the embedded one, all films together are shorter than `SHORTEST_S`, or no part was found
    to paint on; a remark says so. It stays in the workspace: a second call finds it.
    """
    first = plans[0]
    if read_config(first.folder.path / "model_index.json", PipelineIndex).vae[1] != EMBEDDED_CODEC:
        return None
    key = compute_digest({"maps_from": [TEACHING, *(plan.facts()["maps_from"] for plan in plans)]})
    stored = workspace.work / f"line_head-{key}.json"
    if (bounds_s := _read_bounds(stored)) is None:
        bounds_s = _teach(plans, workspace, stored, key)
    if not any(bounds_s):
        text = f"not learnt: the footage is shorter than {SHORTEST_S:g} s, or shows no part to paint defects on"
        workspace.monitor.remark(Finding("remark", "surface", text))
        return None
    from vidconcept.models.line_head import LineHead

    return LearntHead(LineHead.read(stored.with_suffix(".safetensors")), bounds_s, first.layout.fingerprint, key)


def _read_bounds(stored: Path) -> list[list[float]] | None:
    """What an earlier call found; None where there was none, or its head is damaged."""
    try:
        bounds_s = json.loads(read_text(stored))
        if any(bounds_s):
            read_line_head(stored.with_suffix(".safetensors"))
    except (InputError, ValueError):
        return None
    return bounds_s


def _teach(plans: Sequence[Plan], workspace: Workspace, stored: Path, key: str) -> list[list[float]]:
    """Learn a head, and write it and the bounds of its parts; nothing but empty bounds where none can be learnt.

    Raises OutputError where a file that is not our own, or was changed, lies in its place.
    """
    from vidconcept.models.line_teaching import learn_line_head as teach

    check_replaceable(stored.with_suffix(".safetensors"))
    # Of very many films some are looked at.
    every = -(-len(plans) * FEWEST // FRAMES)
    each = max(FEWEST, FRAMES // len(plans))
    films = [
        sample_frames(plan, each, workspace.monitor) if number % every == 0 else [] for number, plan in enumerate(plans)
    ]
    # Parts of as many frames each: where footage has a hole, none is empty.
    bounds_s = [
        [film[len(film) * part // PARTS][0] for part in range(1, PARTS)] if _is_long(film) else [] for film in films
    ]
    frames = [
        (int(np.searchsorted(bounds, time_s, "right")), frame)
        for film, bounds in zip(films, bounds_s, strict=True)
        for time_s, frame in film
    ]
    head = None
    if any(bounds_s) and sum(film[-1][0] - film[0][0] for film in films if film) >= SHORTEST_S:
        head = teach(workspace.load(plans[0]), frames, PARTS, workspace.monitor.check)
    workspace.work.mkdir(parents=True, exist_ok=True)
    if head is None:
        bounds_s = [[] for _ in plans]
    else:
        LearntHead(head, bounds_s, plans[0].layout.fingerprint, key).write(stored.with_suffix(".safetensors"))
    with open_own(stored) as file:
        file.write(json.dumps(bounds_s))
    return bounds_s


def _is_long(film: Sequence[tuple[float, np.ndarray]]) -> bool:
    """Whether a film can be divided into parts by time."""
    times_s = [time_s for time_s, _ in film]
    return len(times_s) >= PARTS and all(a < b for a, b in pairwise(times_s))


def sample_frames(plan: Plan, count: int, monitor: Monitor) -> list[tuple[float, np.ndarray]]:
    """About `count` frames all over the asked range, `(h, w, 3)` uint8 as the model sees them, with their times.

    Of a picture in tiles each frame shows one of them, any.
    """
    rng = np.random.default_rng(SEED)
    total = estimate_frame_count(plan)
    stride = plan.settings.frame_stride * (max(1, total // count) if total else EVERY)
    frames = []
    for frame in read_source_frames(plan, monitor, stride):
        tiles = plan.tiles.cut(crop_to_model(plan, frame)[None])
        frames.append((frame.time_s, np.ascontiguousarray(tiles[rng.integers(len(tiles))][0])))
    kept = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    return [frames[number] for number in kept]
