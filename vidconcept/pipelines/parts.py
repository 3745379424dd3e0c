"""A long film by several workers: each computes the maps of some windows, and the run takes them in as its own.

Windows lie where they would lie without parts, so that neighbouring parts overlap as windows do, and maps are stitched
where they always are. What rarity remembers grows from window to window; a part keeps what the memory would have been
offered, and offers it in order when all is there. So the tables are those of one pass, to the bit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from math import ceil
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from vidconcept.errors import InputError, output_errors
from vidconcept.files import open_replacing_bytes
from vidconcept.manifest import read_manifest
from vidconcept.models.adapter import Model
from vidconcept.pipelines.describe import describe, remember_motion
from vidconcept.pipelines.maps import (
    GetModel,
    compute_checked_maps,
    cut_source_windows,
    estimate_frame_count,
    load_for_run,
)
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan
from vidconcept.rarity.memory import Memory
from vidconcept.run_changes import has_same_maps
from vidconcept.runs import RunFolder, compute_digest
from vidconcept.temporal.windows import Window

# A memory that never thins what it is offered.
_EVERYTHING = 1 << 60
# Windows after which the memory of a run that takes parts in is saved.
_CHECKPOINT = 64


@dataclass(frozen=True, slots=True)
class Part:
    """The windows that begin at frames from `first` on, up to `end`, which is not included; None: to the film's end.

    Frames are counted as those that go through the windows.
    """

    first: int
    end: int | None

    @property
    def name(self) -> str:
        return f"{self.first:08d}-{'end' if self.end is None else f'{self.end:08d}'}"


def split_film(plan: Plan, longest_s: float) -> list[Part]:
    """Parts of at most about `longest_s` seconds; one alone for a film that is no longer, or does not say how long."""
    frames, duration_s = estimate_frame_count(plan), plan.info.duration_s
    if frames is None or not duration_s or duration_s <= longest_s:
        return [Part(0, None)]
    each = max(ceil(frames / ceil(duration_s / longest_s)), 1)
    firsts = list(range(0, frames, each))
    # Headers do not count exactly: the last part takes what there is.
    return [Part(first, end) for first, end in zip(firsts, [*firsts[1:], None], strict=True)]


@dataclass(frozen=True)
class _Offer:
    """What a window offers the run's memory. begins_at: position of the part of the footage that it begins, else -1.

    shifts, cuts: of the frames that are new in it. steps: latent step, position, vectors, sought.
    """

    begins_at: int
    last_latent: int
    shifts: np.ndarray = field(repr=False)
    cuts: np.ndarray = field(repr=False)
    steps: list[tuple[int, int, np.ndarray, np.ndarray]] = field(repr=False)

    def to_bytes(self) -> bytes:
        tensors = {"shifts": self.shifts.astype(np.float32).reshape(-1, 2), "cuts": self.cuts.astype(np.uint8)}
        for latent, position, vectors, sought in self.steps:
            tensors[f"vectors {latent} {position}"] = np.ascontiguousarray(vectors)
            tensors[f"sought {latent} {position}"] = sought.astype(np.uint8)
        return save(tensors, metadata={"begins_at": str(self.begins_at), "last_latent": str(self.last_latent)})

    @classmethod
    def read(cls, path: Path) -> _Offer | None:
        """None where it is not there or damaged."""
        try:
            with safe_open(path, framework="numpy") as stored:
                facts = stored.metadata()
                steps = []
                for name in (key for key in stored.keys() if key.startswith("vectors")):  # noqa: SIM118 - not a dict
                    latent, position = map(int, name.split()[1:])
                    sought = stored.get_tensor(f"sought {latent} {position}").astype(bool)
                    steps.append((latent, position, stored.get_tensor(name), sought))
                shifts, cuts = stored.get_tensor("shifts"), stored.get_tensor("cuts")
            return cls(
                int(facts["begins_at"]), int(facts["last_latent"]), shifts, cuts, sorted(steps, key=itemgetter(0))
            )
        except (SafetensorError, OSError, KeyError, ValueError, TypeError):
            return None

    def give_to(self, memory: Memory, window: int) -> None:
        """As the window itself would have done."""
        if self.begins_at >= 0:
            memory.parts.append((window, self.begins_at, memory.last_latent + 1))
        for shift, cut in zip(self.shifts, self.cuts, strict=True):
            memory.travel(len(memory.cuts), shift, bool(cut))
        for latent, position, vectors, sought in self.steps:
            if memory.wants(latent):
                memory.add(latent, position, vectors, sought)
        memory.last_latent = max(memory.last_latent, self.last_latent)
        memory.last_window = window


def compute_part(plan: Plan, run: RunFolder, part: Part, monitor: Monitor, get_model: GetModel) -> None:
    """Fill `maps/` of a folder of its own with the windows of a part; those that are there are kept.

    The film is decoded from its start, for only so its frames are surely counted as ever; the model sees the part.
    """
    if run.manifest.get("part_done"):
        return
    model: Model | None = None
    memory = Memory(tokens=_EVERYTHING)
    windows = 0
    for window in cut_source_windows(plan, monitor):
        at = window.frames_before + window.start
        if part.end is not None and at >= part.end:
            plan.identity.check()
            break
        windows = window.index + 1
        there = at < part.first or _is_there(run, window.index)
        if there:
            _pass_over(memory, window)
        else:
            if model is None:
                model = load_for_run(plan, run, monitor, get_model)
            with monitor.time_stage("model"):
                maps = compute_checked_maps(plan, model, window)
            with monitor.time_stage("rarity"):
                known = len(memory.cuts)
                remember_motion(memory, window)
                described = describe(memory, maps, window, plan.description_threshold)
                with open_replacing_bytes(_offer_path(run.path, window.index)) as file:
                    file.write(_offer_of(memory, window, known).to_bytes())
                run.save_maps(maps, window.start, described)
        memory.steps.clear()
        stage = "going to its part" if at < part.first else "reading maps"
        monitor.check(stage, max(at - part.first, 0), None if part.end is None else part.end - part.first)
    facts = {"fallbacks": monitor.fallbacks, "timings_s": monitor.timings_s}
    run.save(part_done=True, **facts, **({"windows": windows} if part.end is None else {}))


def _is_there(run: RunFolder, index: int) -> bool:
    return run.load_maps(index) is not None and _Offer.read(_offer_path(run.path, index)) is not None


def _offer_path(folder: Path, index: int) -> Path:
    return folder / "maps" / f"offer_{index:06d}.safetensors"


def _pass_over(memory: Memory, window: Window) -> None:
    """Count a window's frames and latent steps as if it had been described."""
    if window.motions:
        # Known, as they chose the windows.
        remember_motion(memory, window)
    elif window.start == 0:
        memory.begin_part(window.index, window.frames_before)
    begins, first_latent = memory.find_part(window.index)
    still = np.zeros(2, np.float32)
    while len(memory.cuts) < begins + window.start + window.real_frames:
        memory.travel(len(memory.cuts), still, False)
    memory.last_latent = max(memory.last_latent, first_latent + _last_step(window))
    memory.last_window = window.index


def _last_step(window: Window) -> int:
    """The latent step, within its part of the footage, of the window's last real frame."""
    last = window.start + window.real_frames - 1
    return max(-(-int(end) // window.step) for begin, end in window.positions.tolist() if begin <= last)


def _offer_of(memory: Memory, window: Window, known: int) -> _Offer:
    steps = [(latent, position, vectors, sought) for latent, (position, vectors, sought) in memory.steps.items()]
    shifts = np.array(memory.shifts[known:], np.float32).reshape(-1, 2)
    begins_at = memory.find_part(window.index)[0] if window.start == 0 else -1
    return _Offer(begins_at, memory.last_latent, shifts, np.array(memory.cuts[known:], bool), steps)


def take_parts(run: RunFolder, folder: Path, facts: dict[str, Any]) -> int:
    """Move the windows of the parts in `folder` into a run, as far as they follow on what it has.

    facts: of the plan, which the run was opened with. Parts may say in other words than the run what their maps depend
    on. Returns how many windows the run then has. What is missing is computed as ever. Can be interrupted anywhere.
    """
    parts = [found for path in sorted(folder.iterdir()) if (found := _finished_part(path, facts)) is not None]
    memory = run.load_memory() or Memory()
    index = memory.last_window + 1
    while (found := _offered(parts, run, index)) is not None:
        offer, path, made_from = found
        if path is not None:
            with output_errors(run.path):
                _mark_as_own(path, made_from, compute_digest(run.manifest))
                os.replace(path, run.map_path(index))
        offer.give_to(memory, index)
        index += 1
        if index % _CHECKPOINT == 0:
            run.save_memory(memory)
    if index:
        run.save_memory(memory)
    whole = any(facts.get("windows") == index for _, facts in parts)
    stages = {stage for _, facts in parts for stage in facts.get("timings_s", {})}
    timings = {s: round(sum(facts.get("timings_s", {}).get(s, 0.0) for _, facts in parts), 3) for s in stages}
    fallbacks = list(dict.fromkeys(text for _, facts in parts for text in facts.get("fallbacks", ())))
    engines = [facts["engine"] for _, facts in parts if "engine" in facts]
    if len(dtypes := sorted({str(engine.get("dtype")) for engine in engines})) > 1:
        fallbacks.append(f"parts of the film were read in {' and '.join(dtypes)}, as was quickest on each machine")
    known = {"timings_s": timings, "fallbacks": fallbacks, **({"engine": engines[0]} if engines else {})}
    run.save(**known, **({"windows": index, "maps_done": True} if whole else {}))
    return index


def _finished_part(path: Path, now: dict[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    try:
        facts = read_manifest(path)
    except InputError:
        return None
    return (path, facts) if facts.get("part_done") and has_same_maps(facts, now) else None


def _mark_as_own(path: Path, before: str, now: str) -> None:
    """Have a window's file tell the digest `now` where it tells `before`; one that is damaged is left as it is."""
    if before == now:
        return
    try:
        with safe_open(path, framework="numpy") as stored:
            facts = stored.metadata()
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
        if facts.get("maps_from") != before:
            return
    except (SafetensorError, OSError, AttributeError):
        return
    with open_replacing_bytes(path) as file:
        file.write(save(tensors, metadata=facts | {"maps_from": now}))


def _offered(parts: list[tuple[Path, Any]], run: RunFolder, index: int) -> tuple[_Offer, Path | None, str] | None:
    """What a window offers, where its maps are, and the digest that they tell; no place: in the run already."""
    for path, facts in parts:
        offer = _Offer.read(_offer_path(path, index))
        if offer is None:
            continue
        maps = path / "maps" / run.map_path(index).name
        if maps.is_file():
            return offer, maps, compute_digest(facts)
        if run.load_maps(index) is not None:
            return offer, None, compute_digest(run.manifest)
    return None
