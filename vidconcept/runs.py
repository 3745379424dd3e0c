"""The run folder: manifest, journal of maps, resume, and files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from vidconcept.errors import InputError, OutputError, UsageError, output_errors
from vidconcept.files import replacing, replacing_bytes
from vidconcept.types import ConceptMaps
from vidconcept.video.source import image_paths

Existing = Literal["error", "resume", "overwrite", "skip"]
MANIFEST = "run.json"
# What a run writes; `--existing overwrite` removes these and nothing else.
OUTPUTS = (
    "annotated.mp4",
    "frames.csv",
    "tracks.csv",
    "events.csv",
    "masks.json",
    "review.html",
    "thumbs",
    "maps",
    ".work",
    MANIFEST,
)


@dataclass(frozen=True)
class RunFolder:
    """An open run folder. `manifest` is the content of `run.json`, written by `save`."""

    path: Path
    manifest: dict[str, Any] = field(repr=False)

    @property
    def work(self) -> Path:
        """Journals of a run under way; removed when it is done."""
        return self.path / ".work"

    def save(self, **changes: Any) -> None:
        self.manifest.update(changes)
        with replacing(self.path / MANIFEST) as file:
            file.write(json.dumps(self.manifest, indent=1, ensure_ascii=False) + "\n")

    def map_path(self, window_index: int) -> Path:
        return self.path / "maps" / f"window_{window_index:06d}.safetensors"

    def save_maps(self, maps: ConceptMaps, start: int) -> None:
        """Journal one window's scores as float16; a score in [0, 1] keeps three digits."""
        tensors = {"scores": maps.scores.astype(np.float16), "positions": maps.positions.astype(np.int64)}
        facts = {"step": str(maps.step), "real_frames": str(maps.real_frames), "start": str(start)}
        facts["maps_from"] = maps_digest(self.manifest)
        with replacing_bytes(self.map_path(maps.window_index)) as file:
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
        except (SafetensorError, OSError):
            return None
        if facts.get("maps_from") != maps_digest(self.manifest):
            return None
        step, real_frames = int(facts["step"]), int(facts["real_frames"])
        return ConceptMaps(window_index, positions, step, real_frames, scores.astype(np.float32))

    def stored_maps(self) -> Iterator[ConceptMaps]:
        """All windows in order, one at a time. Raises InputError for a window that is missing or damaged."""
        for index in range(self.manifest["windows"]):
            maps = self.load_maps(index)
            if maps is None:
                raise InputError(
                    f"{self.map_path(index)} is missing or damaged. Next: run again with --existing resume, "
                    "which computes it anew."
                )
            yield maps

    def finish(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)


def maps_digest(facts: Mapping[str, Any]) -> str:
    """Eight digits that stand for all that the maps depend on, `facts["maps_from"]`."""
    return hashlib.sha256(json.dumps(facts.get("maps_from", {}), sort_keys=True).encode()).hexdigest()[:8]


def remove_outputs(path: Path) -> None:
    """Remove what an earlier run wrote; anything else in the folder stays."""
    for name in OUTPUTS:
        target = path / name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)


def read_manifest(path: Path) -> dict[str, Any]:
    """`run.json` of a run folder. Raises InputError when the folder is not a run or the file is damaged."""
    manifest = path / MANIFEST
    if not manifest.is_file():
        raise InputError(f"{path} is not a run folder: it has no {MANIFEST}")
    try:
        return json.loads(manifest.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{manifest} cannot be read: {error}") from error


def open_run(path: Path, facts: dict[str, Any], existing: Existing) -> tuple[RunFolder, bool]:
    """Create or re-open a run folder; the flag says that a finished run is there and `skip` was asked for.

    facts: the manifest's first content; `facts["maps_from"]` is all that the maps depend on, and a resumed run must
    agree with it. A finished run is skipped only where its settings agree too, so that nobody takes an old answer for
    that to a new question. A folder that an earlier call left before its first map counts as new. Raises OutputError
    when the folder exists and nothing was said, or cannot be written, UsageError when a run was made otherwise.
    """
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} is a file, not a folder. Next: choose another folder with --out")
    manifest_path = path / MANIFEST
    if manifest_path.is_file() and _begun(path):
        if existing == "error":
            raise OutputError(
                f"{path} already holds a run. Next: --existing resume (go on, or decide anew on its maps), overwrite "
                "or skip; or another --out"
            )
        if existing == "overwrite":
            with output_errors(path):
                remove_outputs(path)
        else:
            manifest = read_manifest(path)
            if existing == "skip" and manifest.get("done"):
                check_same(path, "skipped, it answers another question", _question(manifest), _question(facts))
                return RunFolder(path, manifest), True
            check_same(path, "resumed, its maps were made otherwise", manifest.get("maps_from", {}), facts["maps_from"])
            names = ("run_id", "created", "windows", "maps_done", "fallbacks", "timings_s")
            kept = {key: manifest[key] for key in names if key in manifest}
            return _prepared(RunFolder(path, facts | kept)), False
    elif path.is_dir() and existing == "error" and not manifest_path.is_file() and any(path.iterdir()):
        foreign = sorted(p.name for p in path.iterdir())[0]
        raise OutputError(
            f"{path} exists and is not a run (it holds {foreign!r}). Next: choose another folder with --out"
        )
    return _prepared(RunFolder(path, facts)), False


def _prepared(run: RunFolder) -> RunFolder:
    with output_errors(run.path):
        (run.path / "maps").mkdir(parents=True, exist_ok=True)
        run.work.mkdir(exist_ok=True)
    run.save(run_id=run.manifest.get("run_id", new_run_id()), done=False)
    return run


def new_run_id() -> str:
    """Verdicts are kept by this id: events that came out otherwise get a new one."""
    return uuid.uuid4().hex


def _begun(path: Path) -> bool:
    """Whether a run folder holds more than the plan of a run."""
    results = [name for name in OUTPUTS if name not in ("maps", ".work", MANIFEST)]
    return any((path / name).exists() for name in results) or any((path / "maps").glob("*"))


def _question(facts: dict[str, Any]) -> dict[str, Any]:
    """All that the events depend on."""
    looks = ("view", "codec", "device")
    settings = {key: value for key, value in facts.get("settings", {}).items() if key not in looks}
    return {**settings, **facts.get("maps_from", {})}


def check_same(
    path: Path,
    what: str,
    before: dict[str, Any],
    now: dict[str, Any],
    advice: str = "--existing overwrite, or another --out",
) -> None:
    """Raises UsageError, "PATH cannot be WHAT" and why, where the facts of an earlier run are not those of now."""
    # Through JSON, as the earlier run's were.
    now = json.loads(json.dumps(now))
    different = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    if different:
        changes = "; ".join(f"{key} was {_short(before.get(key))}, is {_short(now.get(key))}" for key in different[:3])
        raise UsageError(f"{path} cannot be {what}: {changes}. Next: {advice}")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."


def file_hash(source: Path) -> str:
    """SHA-256 of a file; of a folder or a pattern, of its images' names and what they hold.

    Raises InputError for a folder or pattern without images.
    """
    digest = hashlib.sha256()
    images = image_paths(source)
    for path in [source] if images is None else images:
        if images is not None:
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
