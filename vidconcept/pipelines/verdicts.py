"""Reviewed runs as a data set: accepted events are truth, rejected ones are not, the others count for nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vidconcept.errors import InputError, UsageError
from vidconcept.evaluation.datasets.dataset import Clip, Dataset, FrameTruth
from vidconcept.manifest import find_runs
from vidconcept.pipelines.track import Run
from vidconcept.tracks.rle import decode
from vidconcept.types import TrackMask
from vidconcept.video.identity import hash_source


def is_reviewed(path: Path) -> bool:
    """Whether a path is a run folder or a folder of such, at any depth, as `batch` makes it."""
    return path.is_dir() and any(True for _ in find_runs(path))


def read_verdicts(path: Path, rename: Mapping[str, str] | None = None) -> Dataset:
    """A run, or a folder of runs, with the verdicts in `events.csv`. rename: a run's concept -> what to call it.

    Raises InputError where a run is gone, or its video is gone or another one; UsageError where nothing was accepted.
    """
    names = {run: run.relative_to(path).as_posix() if run != path else run.resolve().name for run in find_runs(path)}
    clips = tuple(_clip(run, name) for run, name in names.items())
    dataset = Dataset(path.resolve().name, "verdicts", tuple(clip.rename(rename or {}) for clip in clips))
    if not dataset.concepts:
        raise UsageError(
            f"no event of {path} is accepted. Next: vidconcept review {path}, and write the verdicts into it"
        )
    return dataset


def _clip(path: Path, name: str) -> Clip:
    run = Run.open(path)
    video = run.manifest["video"]
    source = run.find_video()
    if hash_source(source) != video["sha256"]:
        raise InputError(
            f"{source} is not the video that {path} was made from: what is in it differs. "
            "Next: put that one back, or track again"
        )
    verdicts = {event.tracker_id: event.verdict for event in run.events}
    tracks: dict[int, list[TrackMask]] = defaultdict(list)
    for track in run.tracks():
        if verdicts.get(track.tracker_id) != "reject":
            tracks[track.frame_index].append(track)
    frames = {row.frame_index for row in run.frames()}
    size = (video["width_px"], video["height_px"])

    def truth(index: int) -> FrameTruth | None:
        if index not in frames:
            return None
        accepted = [t for t in tracks[index] if verdicts.get(t.tracker_id) == "accept"]
        open_ones = [decode(t.rle, size).astype(bool) for t in tracks[index] if verdicts.get(t.tracker_id) != "accept"]
        masks = [decode(t.rle, size).astype(bool) for t in accepted]
        return FrameTruth(
            np.stack(masks) if masks else np.zeros((0, size[1], size[0]), bool),
            tuple(t.concept for t in accepted),
            tuple(t.tracker_id for t in accepted),
            np.any(open_ones, axis=0) if open_ones else None,
        )

    concepts = tuple(dict.fromkeys(event.concept for event in run.events if event.verdict == "accept"))
    return Clip(name, source, concepts, truth, run.manifest["settings"].get("fps"))
