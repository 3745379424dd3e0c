"""Good footage with its maps, for `calibrate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidconcept.errors import UsageError
from vidconcept.pipelines.line_head import LearntHead
from vidconcept.pipelines.plan import Plan
from vidconcept.pipelines.rarity import Judge
from vidconcept.pipelines.workspace import Workspace
from vidconcept.runs import RunFolder
from vidconcept.video.identity import hash_source


@dataclass(frozen=True)
class Footage:
    """A good video with its maps. judge: what to compare its tokens with instead of what its settings say."""

    plan: Plan
    run: RunFolder
    judge: Judge | None = None


def refuse_twice(videos: Sequence[Path]) -> None:
    """Raises UsageError for footage that is there twice: it would count as more evidence than it is."""
    seen: dict[str, Path] = {}
    for video in videos:
        content = hash_source(video)
        if content in seen:
            raise UsageError(f"{seen[content]} and {video} are the same footage. Next: give it once")
        seen[content] = video


def read_footage(video: Path, settings: Mapping[str, Any], workspace: Workspace) -> Footage:
    """Compute the maps of one video, or find those of an earlier call."""
    plan = workspace.plan(video, settings)
    run = workspace.open_run(plan, video.stem)
    workspace.compute_maps(plan, run)
    return Footage(plan, run)


def read_all(
    videos: Sequence[Path], settings: Mapping[str, Any], workspace: Workspace, head: LearntHead | None
) -> list[Footage]:
    """All videos with their maps. With a head each comes in parts, each read with what was learnt of the others."""
    if head is None:
        return [read_footage(video, settings, workspace) for video in videos]
    parts = []
    for video, bounds_s in zip(videos, head.bounds_s, strict=True):
        spans = zip((None, *bounds_s), (*bounds_s, None), strict=True)
        for number, (start_s, end_s) in enumerate(spans):
            span = {key: at for key, at in (("start_s", start_s), ("end_s", end_s)) if at is not None}
            judge = head.write_judge(number, workspace.work)
            parts.append(read_footage(video, {**settings, **span, "line_head": str(judge)}, workspace))
    return parts
