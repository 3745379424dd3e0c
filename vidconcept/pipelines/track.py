"""The main job: frames -> windows -> maps -> stitched, un-pooled, regularised scores -> masks -> tracks -> files."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vidconcept.errors import InputError, Interrupted, output_errors
from vidconcept.files import take_path
from vidconcept.manifest import read_manifest
from vidconcept.pipelines.deliver import deliver
from vidconcept.pipelines.findings import Findings, find
from vidconcept.pipelines.freed import give_back_memory
from vidconcept.pipelines.heat import HeatJournal
from vidconcept.pipelines.live_pass import list_missed, split_as_live
from vidconcept.pipelines.maps import GetModel, compute_maps, load_model
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.out import choose_out
from vidconcept.pipelines.plan import Plan, make_plan
from vidconcept.pipelines.rarity import Gating
from vidconcept.run_changes import list_drawing_changes
from vidconcept.runs import Existing, RunFolder, open_run
from vidconcept.types import Event, FrameRow, Recurring, TrackMask
from vidconcept.video.identity import identify
from vidconcept.video.problems import Finding
from vidconcept.words import split_words
from vidconcept.writers import tables
from vidconcept.writers.journal import TrackJournal
from vidconcept.writers.review.page import write_review

log = logging.getLogger(__name__)
_LIBRARIES = ("vidconcept", "torch", "diffusers", "transformers", "av", "opencv-python-headless", "numpy", "scipy")


@dataclass(frozen=True)
class Run:
    """A finished run folder. Tables are read when asked for; tracks and frames one row at a time."""

    path: Path
    manifest: dict[str, Any] = field(repr=False)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Raises InputError when the folder is not a finished run."""
        folder = take_path(path, "path")
        manifest = read_manifest(folder)
        if not manifest.get("done"):
            raise InputError(f"{path} is not finished. Next: track again with `existing=resume`")
        return cls(folder, manifest)

    @property
    def events(self) -> list[Event]:
        return tables.read_events(self.path / "events.csv")

    def tracks(self) -> Iterator[TrackMask]:
        return tables.read_tracks(self.path / "tracks.csv")

    @property
    def recurring(self) -> list[Recurring]:
        """What looks alike all over the footage and is therefore no finding; see `--rarity`."""
        return tables.read_recurring(self.path / "recurring.csv")

    def frames(self) -> Iterator[FrameRow]:
        return tables.read_frames(self.path / "frames.csv")

    def find_video(self) -> Path:
        """Where the video is that the run was made from. Raises InputError when it is gone."""
        source = Path(self.manifest["video"]["path"])
        try:
            identify(source)
        except InputError as error:
            raise InputError(f"the video of {self.path} is not at {source} any more. Next: put it back") from error
        return source


def track(
    video: str | Path,
    concepts: str | Sequence[str] = (),
    *,
    out: str | Path | None = None,
    existing: Existing = "error",
    config: str | Path | None = None,
    monitor: Monitor | None = None,
    **settings: Any,
) -> Run:
    """Track concepts through a video and write the run folder; what the command `vidconcept track` does.

    video: a file, a folder of images or a printf pattern (the latter two with `fps`). concepts: names, or one string
    with commas between them. settings: any key of
    `TrackSettings`. existing: what to do when `out` holds a run; "resume" goes on with an interrupted one, or decides
    anew on the maps that are there, without the model, when only thresholds changed.

    Raises a `VidconceptError` subclass: UsageError, InputError, ModelError, OutputError, or Interrupted.
    """
    monitor = monitor or Monitor(warn=log.warning)
    source, own_config = take_path(video, "video"), take_path(config, "config") if config else None
    plan = make_plan(source, {"concepts": split_words(concepts), **settings}, own_config)
    return run_plan(plan, take_path(out, "out") if out else choose_out(source), existing, monitor)


def run_plan(
    plan: Plan, out: Path, existing: Existing, monitor: Monitor, get_model: GetModel = load_model,
    facts: Mapping[str, Any] | None = None,
) -> Run:  # fmt: skip
    """Carry out a plan; see `track`. get_model: asked when the first map is missing. facts: the plan's, if known."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    facts = {**(facts or plan.facts()), "created": started, "versions": list_versions()}
    run, finished = open_run(out, facts, existing, plan.read_paths)
    with run:
        if not finished:
            carry_out(plan, run, monitor, get_model)
        elif changes := list_drawing_changes(run.manifest, facts):
            text = f"annotated.mp4 stays as it was: {'; '.join(changes)}. `existing=resume` draws it again"
            monitor.remark(Finding("remark", "film", text))
    return Run(run.path, run.manifest)


def carry_out(plan: Plan, run: RunFolder, monitor: Monitor, get_model: GetModel = load_model) -> None:
    """Everything from the first map to the finished folder; maps that are there are kept."""
    for remark in plan.remarks:
        monitor.remark(remark)
    live = run.manifest.get("live") or {}
    plan = split_as_live(plan, live)
    for problem in list_missed(live):
        monitor.problem(problem)
    try:
        with output_errors(run.path):
            compute_maps(plan, run, monitor, get_model)
            give_back_memory()
            with TrackJournal(run.work / "tracks.jsonl") as journal, HeatJournal(run.work / "heat.bin") as heat:
                with monitor.time_stage("tracks"):
                    gating = Gating(plan, run)
                    findings = find(plan, gating.gate_all(), journal, heat, monitor)
                give_back_memory()
                with monitor.time_stage("video and tables"):
                    recurring = gating.list_recurring(*findings.seen)
                    deliver(plan, run, journal, heat, findings, recurring, monitor)
    except Interrupted:
        # A finished run of which no result was written anew stays what it was.
        if not run.manifest["done"]:
            run.save(**_facts_to_record(run, monitor), interrupted=datetime.now(UTC).isoformat(timespec="seconds"))
        raise
    finish_run(plan, run, findings, recurring, gating.evidence.facts(), monitor)


def finish_run(
    plan: Plan,
    run: RunFolder,
    findings: Findings,
    recurring: Sequence[Recurring],
    evidence: dict[str, Any],
    monitor: Monitor,
) -> None:
    """Record what was found in a folder that holds all results, and mark it done."""
    counts = {name: sum(e.concept == name for e in findings.events) for name in plan.settings.concepts}
    run.save(
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        frames=findings.frames,
        events=counts,
        cuts=findings.cuts,
        rarity=evidence,
        recurring=len(recurring),
        **_facts_to_record(run, monitor),
    )
    write_review(run.path, done=True)
    run.finish()


def _facts_to_record(run: RunFolder, monitor: Monitor) -> dict[str, Any]:
    # What an earlier pass fell back to still holds for the maps that it made.
    fallbacks = list(dict.fromkeys([*run.manifest.get("fallbacks", ()), *monitor.fallbacks]))
    # The maps of an earlier call are part of this run; tracks and tables are made anew each time.
    earlier = run.manifest.get("timings_s", {})
    before = {stage: earlier[stage] for stage in ("load", "model", "rarity") if stage in earlier}
    timings = before | {stage: round(s + before.get(stage, 0.0), 3) for stage, s in monitor.timings_s.items()}
    # Those of the plan are there from the start; others came up while the pictures were read.
    remarks = list(run.manifest.get("remarks", ()))
    remarks += [remark for remark in map(asdict, monitor.remarks) if remark not in remarks]
    return {"gaps": monitor.gaps, "remarks": remarks, "fallbacks": fallbacks, "timings_s": timings}


def list_versions() -> dict[str, str]:
    """Of Python and the libraries that results depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}
