"""The run folder: manifest, journal of maps, resume, and files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from vidconcept.errors import InputError, OutputError, UsageError, output_errors
from vidconcept.files import SCRATCH, check_path, open_replacing, open_replacing_bytes
from vidconcept.manifest import MANIFEST, read_manifest
from vidconcept.ownership import (
    RESULTS,
    RunLock,
    check_apart,
    check_ours,
    check_writable,
    clear_scratch,
    list_missing,
    list_own_files,
    remove_results,
    sync,
    sync_results,
)
from vidconcept.rarity.memory import Described, Memory
from vidconcept.run_changes import check_same_maps, check_same_question
from vidconcept.temporal.motion import pack_motions, unpack_motions
from vidconcept.types import ConceptMaps
from vidconcept.written import compute_digest as compute_file_digest

log = logging.getLogger(__name__)
Existing = Literal["error", "resume", "overwrite", "skip"]


@dataclass(frozen=True)
class RunFolder:
    """A run folder that is being written, locked against others until `close`; the context manager closes it.

    manifest: the content of `run.json`, written by `save`. A finished run that is opened again stays finished, and
    `run.json` as it is, until the first `save`. lock: None for a finished run that is only looked at.
    """

    path: Path
    manifest: dict[str, Any] = field(repr=False)
    lock: RunLock | None = field(default=None, repr=False)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave nothing that is not whole, and let others write into the folder."""
        if self.lock is not None:
            # What went wrong before goes first.
            with suppress(OSError):
                clear_scratch(self.path)
            self.lock.release()

    @property
    def work(self) -> Path:
        """Journals of a run under way, and files that are not whole yet; removed when it is done."""
        return self.path / SCRATCH

    def save(self, **changes: Any) -> None:
        """Write `run.json`; unless `done` is among the changes, the run is not finished."""
        self.manifest.update({"done": False} | changes)
        with open_replacing(self.path / MANIFEST) as file:
            file.write(json.dumps(self.manifest, indent=1, ensure_ascii=False) + "\n")

    def map_path(self, window_index: int) -> Path:
        return self.path / "maps" / f"window_{window_index:06d}.safetensors"

    def save_maps(self, maps: ConceptMaps, start: int, described: Described | None = None) -> None:
        """Journal one window's scores as float16; a score in [0, 1] keeps three digits."""
        tensors = {"scores": maps.scores.astype(np.float16), "positions": maps.positions.astype(np.int64)}
        if described is not None:
            tensors |= {"tokens": described.tokens.astype(np.int32), "vectors": described.vectors.astype(np.float16)}
        if maps.motions:
            tensors |= pack_motions(maps.motions)
        facts = {"step": str(maps.step), "real_frames": str(maps.real_frames), "start": str(start)}
        facts["maps_from"] = compute_digest(self.manifest)
        with open_replacing_bytes(self.map_path(maps.window_index)) as file:
            file.write(save(tensors, metadata=facts))

    def load_maps(self, window_index: int) -> ConceptMaps | None:
        """The journaled scores of a window; None if it is not there, damaged, or made from something else."""
        path = self.map_path(window_index)
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="numpy") as stored:
                facts = stored.metadata()
                scores, positions = stored.get_tensor("scores"), stored.get_tensor("positions")
                names = [name for name in stored.keys() if name.startswith("motion_")]  # noqa: SIM118 - not a dict
                motions = unpack_motions({name: stored.get_tensor(name) for name in names}) if names else ()
            if facts.get("maps_from") != compute_digest(self.manifest) or not np.isfinite(scores).all():
                return None
            step, real_frames = int(facts["step"]), int(facts["real_frames"])
            return ConceptMaps(window_index, positions, step, real_frames, scores.astype(np.float32), motions=motions)
        except (SafetensorError, OSError, KeyError, ValueError, AttributeError, IndexError):
            return None

    def load_described(self, window_index: int) -> Described | None:
        """The described tokens of a window whose maps are there; None for a run of before they were kept."""
        with safe_open(self.map_path(window_index), framework="numpy") as stored:
            if "vectors" not in stored.keys():  # noqa: SIM118 - not a dict
                return None
            return Described(stored.get_tensor("tokens"), stored.get_tensor("vectors"))

    @property
    def memory_path(self) -> Path:
        return self.path / "maps" / "memory.safetensors"

    def save_memory(self, memory: Memory) -> None:
        tensors, facts = memory.to_tensors()
        with open_replacing_bytes(self.memory_path) as file:
            file.write(save(tensors, metadata=facts | {"maps_from": compute_digest(self.manifest)}))

    def load_memory(self) -> Memory | None:
        """What the run remembers of its footage; None if it is not there, damaged, or made from something else."""
        try:
            with safe_open(self.memory_path, framework="numpy") as stored:
                facts = stored.metadata()
                if facts.get("maps_from") != compute_digest(self.manifest):
                    return None
                return Memory.from_tensors({key: stored.get_tensor(key) for key in stored.keys()}, facts)  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, ValueError):
            return None

    def read_maps(self) -> Iterator[ConceptMaps]:
        """All windows in order, one at a time. Raises InputError for a window that is missing or damaged."""
        for index in range(self.manifest["windows"]):
            maps = self.load_maps(index)
            if maps is None:
                raise InputError(
                    f"{self.map_path(index)} is missing or damaged. Next: run again with `existing=resume`, "
                    "which computes it again."
                )
            yield maps

    @property
    def film_path(self) -> Path:
        return self.path / "annotated.mp4"

    @property
    def drawn_path(self) -> Path:
        return self.path / "maps" / "drawn.safetensors"

    def save_drawn(self, drawn: np.ndarray, made: Mapping[str, Any]) -> None:
        """Note what the whole film shows. drawn: `(n,)` uint64, what is drawn on each picture. made: all else."""
        with open_replacing_bytes(self.drawn_path) as file:
            file.write(save({"drawn": drawn}, metadata=self._describe_film(made)))

    def load_drawn(self, made: Mapping[str, Any]) -> np.ndarray | None:
        """What is drawn on each picture of the film; None where that is not known, or the film was made otherwise."""
        try:
            with safe_open(self.drawn_path, framework="numpy") as stored:
                return stored.get_tensor("drawn") if stored.metadata() == self._describe_film(made) else None
        except (SafetensorError, InputError, OSError, KeyError, ValueError):
            return None

    def _describe_film(self, made: Mapping[str, Any]) -> dict[str, str]:
        facts = {"made": made, "film_sha256": compute_file_digest(self.film_path)}
        return {"facts": json.dumps(facts, sort_keys=True)}

    def begin_results(self, **changes: Any) -> None:
        """Have the disk hold that the run is not finished, and `changes`: results are written anew from now on."""
        self.save(**changes)
        sync([self.path / MANIFEST, self.path])

    def finish(self) -> None:
        """Mark the run done once the disk holds all of it, and remove the journals."""
        sync_results(self.path)
        self.save(done=True)
        sync([self.path / MANIFEST, self.path])
        clear_scratch(self.path)


def compute_digest(facts: Mapping[str, Any]) -> str:
    """Eight digits that stand for all that the maps depend on, `facts["maps_from"]`."""
    return hashlib.sha256(json.dumps(facts.get("maps_from", {}), sort_keys=True).encode()).hexdigest()[:8]


def open_run(path: Path, facts: dict[str, Any], existing: Existing, read: Iterable[Path]) -> tuple[RunFolder, bool]:
    """Create or re-open a run folder; the flag says that a finished run is there and `skip` was asked for.

    facts: the manifest's first content; `facts["maps_from"]` is all that the maps depend on, and a resumed run must
    agree with it. read: the source, and the files in it: none may lie where the run writes. A finished run is skipped
    only where its settings agree too, so that nobody takes an old answer for that to a new question, and where its
    results are there; else it goes on as with "resume". A folder that an earlier call left before its first map counts
    as new.
    Raises OutputError when the folder is no run and not empty, holds one and nothing was said, is in use by another
    process, or cannot be written; UsageError when a run was made otherwise, or would write over what it reads, and for
    another word than those of `Existing`.
    """
    before = _look_at_folder(path, facts, existing, read)
    if before is not None and existing == "skip" and before.get("done"):
        if not (missing := _list_missing(path, before)):
            return RunFolder(path, before), True
        log.warning("%s is done, but lacks %s: its results are made again", path, ", ".join(missing))
    with output_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    lock = RunLock(path)
    try:
        # Again, now that nobody else writes: another process may have come before.
        before = _read_earlier_run(path, facts, existing)
        if before is not None and existing == "skip" and before.get("done") and not _list_missing(path, before):
            lock.release()
            return RunFolder(path, before), True
        with output_errors(path):
            clear_scratch(path)
            if existing == "overwrite":
                remove_results(path)
        # The maps that are there carry a digest of `maps_from` as it was said then.
        names = (
            *("run_id", "created", "maps_from", "windows", "maps_done", "engine", "fallbacks", "timings_s"),
            *("live", "done"),
        )
        kept = {key: before[key] for key in names if key in before} if before and existing != "overwrite" else {}
        run = RunFolder(path, facts | {"run_id": new_run_id(), "done": False} | kept, lock)
        if not run.manifest["done"]:
            # First of all: from now on the folder is known as a run.
            run.save()
        with output_errors(path):
            (path / "maps").mkdir(exist_ok=True)
    except BaseException:
        lock.release()
        raise
    return run, False


def check_folder(path: Path, facts: dict[str, Any], existing: Existing, read: Iterable[Path]) -> None:
    """Raises as `open_run`; nothing is written."""
    before = _look_at_folder(path, facts, existing, read)
    if before is None or existing != "skip" or not before.get("done") or _list_missing(path, before):
        check_writable(path)


def _look_at_folder(
    path: Path, facts: dict[str, Any], existing: Existing, read: Iterable[Path]
) -> dict[str, Any] | None:
    """What `open_run` finds: the manifest of the run that is there, or None. Raises as it does; nothing is written."""
    if existing not in (words := get_args(Existing)):
        raise UsageError(f"`existing={existing}` is not known. Next: one of {', '.join(words)}")
    check_path(path.absolute())
    with output_errors(path):
        check_apart(path, read)
        return _read_earlier_run(path, facts, existing)


def _list_missing(path: Path, manifest: dict[str, Any]) -> list[str]:
    return list_missing(path, sum(manifest.get("events", {}).values()) + manifest.get("recurring", 0))


def _read_earlier_run(path: Path, facts: dict[str, Any], existing: Existing) -> dict[str, Any] | None:
    """The manifest of the run that is there; None where nothing is, or only the plan of one.

    Raises OutputError and UsageError where `existing` does not allow to go on; nothing is written.
    """
    if not check_ours(path):
        return None
    if not any(file.parent.name == "maps" or file.name in RESULTS for file in list_own_files(path)):
        return None
    if existing == "error":
        raise OutputError(
            f"{path} already holds a run. Next: `existing=resume` (continue, or use its maps with other settings), "
            "overwrite or skip; or another `out`"
        )
    manifest = read_manifest(path)
    if existing == "skip" and manifest.get("done"):
        check_same_question(path, "skipped: made with different settings", manifest, facts)
    elif existing != "overwrite":
        check_same_maps(path, "resumed: its maps were made with other settings", manifest, facts)
    return manifest


def new_run_id() -> str:
    """Verdicts are kept by this id: events that came out otherwise get a new one."""
    return uuid.uuid4().hex
