"""Calibration on good footage: maps -> background by place -> candidates -> thresholds for a rate of false alarms."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from vidconcept.errors import UsageError
from vidconcept.evaluation.alarms import Candidate, Choice, choose, describe_choice, find_strengths
from vidconcept.evaluation.background import Background
from vidconcept.evaluation.shares import LOWEST
from vidconcept.files import take_path
from vidconcept.models.line_head_file import name_line_head
from vidconcept.pipelines.findings import ScoredFrame, Tracker, make_decision, score_frames
from vidconcept.pipelines.good_footage import Footage, read_all, refuse_twice
from vidconcept.pipelines.good_parts import GoodParts, learn_good_parts
from vidconcept.pipelines.line_head import LearntHead, learn_line_head
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import MAPS_VERSION, Plan
from vidconcept.pipelines.rarity import gate_maps
from vidconcept.pipelines.workspace import Workspace
from vidconcept.rarity.good_parts import name_memory, write_good_parts
from vidconcept.settings import RARITY_WORDS, Stage, TrackSettings
from vidconcept.temporal.stitch import split_recordings, stitch
from vidconcept.tracks.decision import Decision, subtract_lifts
from vidconcept.tracks.events import frame_duration_s, measure_elapsed_s, measure_footage_s
from vidconcept.tracks.link import Linker, LinkSettings
from vidconcept.video.identity import hash_source
from vidconcept.written import check_replaceable, open_own


@dataclass(frozen=True)
class Calibration:
    """choice: thresholds and their promise. lifts: by place. keys: the settings that the numbers hold for.

    good_parts, line_head: the memory that the promise is made with, and what was learnt of the surface; None where
    there is none.
    """

    choice: Choice
    lifts: Mapping[str, list[list[float]]] = field(repr=False)
    keys: Mapping[str, Any] = field(repr=False)
    provenance: Mapping[str, Any] = field(repr=False)
    good_parts: GoodParts | None = field(default=None, repr=False)
    line_head: LearntHead | None = field(default=None, repr=False)

    def save(self, path: str | Path) -> None:
        """Write the TOML that `track` takes as `config`, and beside it what it names: the memory of good parts and the
        line head, where they are there.

        All are needed, and lie side by side wherever they are moved. Raises OutputError, also where a file of one of
        the names was not written by vidconcept; then none is written.
        """
        path, keys, weights = take_path(path, "path"), dict(self.keys), self.provenance["weights"]
        memory, head = name_memory(path), name_line_head(path)
        for own in (path, *([memory] if self.good_parts else []), *([head] if self.line_head else [])):
            check_replaceable(own)
        if self.good_parts is not None:
            write_good_parts(memory, self.good_parts.memory, self.good_parts.usual, weights)
            keys["rarity"] = memory.name
        if self.line_head is not None:
            self.line_head.write(head)
            keys["line_head"] = head.name
        write_toml(path, keys, self.choice.thresholds, self.lifts, self.provenance, describe_choice(self.choice))


# Good footage that may lower thresholds as far as they go.
LONG_ENOUGH_H = 0.5


def calibrate_good(
    videos: Sequence[Path],
    settings: Mapping[str, Any],
    target_per_hour: float,
    workspace: Workspace,
    *,
    adapt: bool = True,
) -> Calibration:
    """Learn thresholds, and with `adapt` the line's surface, from footage in which nothing is wrong.

    What was learnt of all parts of the footage but one reads that part: what good parts score there is what they will
    score on other footage. Of an earlier calibration in the workspace's config, what it learnt does not count. Raises
    UsageError, and what `track` raises.
    """
    if not isinstance(target_per_hour, Real) or not 0 < target_per_hour < float("inf"):
        raise UsageError(f"`false_alarms_per_hour={target_per_hour!r}` is not a rate above 0. Next: 1 for one an hour")
    workspace = replace(workspace, calibrating=True)
    refuse_twice(videos)
    plans = [workspace.plan(video, settings) for video in videos]
    line_head = learn_line_head(plans, workspace) if adapt and not plans[0].settings.line_head else None
    footage = read_all(videos, settings, workspace, line_head)
    good_parts = None
    if footage[0].plan.settings.rarity == "auto":
        good_parts = learn_good_parts([part.run for part in footage])
    if good_parts is not None:
        footage = [replace(part, judge=judge) for part, judge in zip(footage, good_parts.judges, strict=True)]
    background = learn_background(footage)
    candidates, hours = find_candidates(footage, background, workspace.monitor)
    if not hours:
        raise UsageError("single frames have no duration, so there is no rate of alarms. Next: give videos")
    first = footage[0].plan
    choice = choose(candidates, find_usual(first), hours, target_per_hour, find_floors(first, hours))
    return Calibration(
        choice, background.compute_lifts(), select_settings(plans[0]),
        describe_provenance(plans, choice, line_head), good_parts, line_head,
    )  # fmt: skip


def find_usual(plan: Plan) -> dict[str, float]:
    """The threshold of each concept without a calibration: of a plan that is made with `calibrating`."""
    return {name: plan.settings.find_threshold(name) for name in plan.settings.concepts}


def find_floors(plan: Plan, hours: float) -> dict[str, float]:
    """Of each concept the lowest threshold that good footage of this length may bring.

    From `LONG_ENOUGH_H` on it is the score down to which `track` follows a finding anyway: below it a threshold would
    be a guess about noise. Minutes in which nothing was seen say little of what other parts will show: the shorter the
    footage, the nearer the floor is to the threshold without a calibration.
    """
    share = 1 - (1 - plan.settings.hysteresis) * min(1.0, hours / LONG_ENOUGH_H)
    return {name: max(LOWEST, round(share * usual, 3)) for name, usual in find_usual(plan).items()}


def learn_background(footage: Sequence[Footage]) -> Background:
    """Statistics of each place in the picture."""
    first = footage[0].plan
    background = Background(first.settings.concepts, find_usual(first))
    for part in footage:
        background.begin_video()
        # Counted as `score_frames` counts them: on from one recording to the next.
        begins = last = 0
        for maps in split_recordings(gate_maps(part.plan, part.run, part.judge)):
            for step in stitch(maps):
                last = begins + step.origin.latent_index
                background.add(last, step.scores)
            begins = last + 1
    return background


def score_footage(part: Footage, monitor: Monitor) -> Iterable[ScoredFrame]:
    return score_frames(part.plan, gate_maps(part.plan, part.run, part.judge), monitor)


def find_candidates(
    footage: Sequence[Footage],
    background: Background | None,
    monitor: Monitor,
    scored: Callable[[Footage, Monitor], Iterable[ScoredFrame]] = score_footage,
) -> tuple[list[Candidate], float]:
    """Tracks at the lowest threshold, and the hours of footage.

    background: of the same footage; each stretch is judged by the lifts of the others. None: without lifts.
    """
    lifts = background.compute_left_out() if background else [{} for _ in footage]
    candidates: list[Candidate] = []
    seconds = 0.0
    for part, by_step in zip(footage, lifts, strict=True):
        frames = _subtract_step_lifts(part, scored(part, monitor), by_step)
        found, length_s = _collect_candidates(part, frames, seconds, monitor)
        candidates += found
        seconds += length_s
    return candidates, seconds / 3600


def _subtract_step_lifts(
    part: Footage, frames: Iterable[ScoredFrame], by_step: Mapping[int, Mapping[str, Sequence[Sequence[float]]]]
) -> Iterable[ScoredFrame]:
    """Frames with their scores less the lifts of their latent step; none where there is no table at all."""
    concepts = part.plan.settings.concepts
    for frame in frames:
        lifts = by_step[frame.origin.latent_index] if by_step else {}
        yield replace(frame, scores=subtract_lifts(frame.scores, concepts, lifts))


def _collect_candidates(
    part: Footage, frames: Iterable[ScoredFrame], start_s: float, monitor: Monitor
) -> tuple[list[Candidate], float]:
    """start_s: the good footage before this part. Candidates, and seconds of this part."""
    plan, settings = part.plan, part.plan.settings
    link = LinkSettings(min_area_px=settings.min_area_px, min_duration_s=0.0)
    linker = Linker(settings.concepts, plan.region, (plan.info.width_px, plan.info.height_px), link)
    low = replace(make_decision(plan).masks, threshold=settings.hysteresis * LOWEST)
    tracker = Tracker(Decision(settings.concepts, low), linker)
    rows: dict[int, list[tuple[float, float, str]]] = {}
    times = []
    for scored in frames:
        for row in tracker.add(scored):
            rows.setdefault(row.tracker_id, []).append((row.time_s, row.score_max, row.concept))
        times.append(scored.ref.time_s)
        monitor.check("looking for false alarms", len(times), None)
    frame_s, elapsed_s = frame_duration_s(times), measure_elapsed_s(times)
    shown_s = np.diff(elapsed_s, prepend=-frame_s)
    candidates = []
    for track in rows.values():
        at, scores, names = zip(*track, strict=True)
        found = find_strengths(
            at, scores, settings.min_duration_s, link.max_gap_s, frame_s, settings.hysteresis,
            shown_s[np.searchsorted(times, at)],
        )  # fmt: skip
        for level, at_s in found:
            if level >= LOWEST:
                begun_s = start_s + float(elapsed_s[np.searchsorted(times, at_s)])
                candidates.append(Candidate(names[0], level, begun_s))
    return candidates, measure_footage_s(times)


def select_settings(plan: Plan) -> dict[str, Any]:
    """The concepts, how an event is told, and every setting that was given: what `track` must share."""
    # Tables and files of their own; what is said of one video only; and what changes no finding.
    of_one_video = {"keep_recurring", "start_s", "end_s", "fps"}
    idle = TrackSettings.list_keys(Stage.DRAWING, Stage.MACHINE)
    skip = {"thresholds", "place_lifts"} | of_one_video | idle
    values = plan.settings.model_dump(mode="json", exclude_none=True)
    given = {key for key, source in plan.sources.items() if source != "default" and not source.startswith("preset")}
    # So that files are found wherever this one will lie.
    if values["rarity"] not in RARITY_WORDS:
        values["rarity"] = os.path.abspath(values["rarity"])
    if values["line_head"]:
        values["line_head"] = os.path.abspath(values["line_head"])
    always = ("concepts", "model", "hysteresis", "min_duration_s")
    return {key: values[key] for key in (*always, *sorted(given - skip - set(always)))}


def describe_provenance(plans: Sequence[Plan], choice: Choice, head: LearntHead | None) -> dict[str, Any]:
    """Where the numbers come from; a table that sets nothing. plans: of the films, as they were given."""
    plan = plans[0]
    facts = {key: value for key, value in asdict(choice).items() if key != "thresholds"}
    return {
        "kind": "good footage",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "vidconcept": version("vidconcept"),
        "weights": plan.layout.fingerprint,
        "maps_version": MAPS_VERSION,
        "line_head": plan.line_head if head is None else head.digest,
        "footage": [plan.video_name for plan in plans],
        "footage_sha256": [hash_source(plan.source) for plan in plans],
        **facts,
    }


def write_toml(
    path: Path,
    keys: Mapping[str, Any],
    thresholds: Mapping[str, float],
    lifts: Mapping[str, Sequence[Sequence[float]]],
    provenance: Mapping[str, Any],
    notes: Sequence[str],
) -> None:
    """Write a calibration as a file that `track --config` takes."""
    lines = [f"# {note}" for note in notes]
    lines += [f"{key} = {_toml(value)}" for key, value in keys.items()]
    for title, table in (("thresholds", thresholds), ("place_lifts", lifts), ("provenance", provenance)):
        if table:
            lines += ["", f"[{title}]", *(f"{_toml(key)} = {_toml(value)}" for key, value in table.items())]
    with open_own(path) as file:
        file.write("\n".join(lines) + "\n")


def _toml(value: Any) -> str:
    """A TOML value; strings, numbers, booleans and lists are written as in JSON, mappings as inline tables."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(own)}" for key, own in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
