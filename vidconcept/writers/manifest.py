"""What the writers need to know of a finished run, out of its `run.json`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidconcept.errors import InputError


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run says of itself.

    frame_size: (width, height) in pixels. declared_fps: as the container says, None where it says nothing. thresholds:
    concept -> the score that its findings reach at their peak; empty where the run does not say. hysteresis: the share
    of it down to which they are followed. cut: whether the video goes on behind the run's last frame.
    """

    run_id: str
    video: str
    frame_size: tuple[int, int]
    concepts: tuple[str, ...]
    declared_fps: float | None
    thresholds: dict[str, float]
    hysteresis: float
    gaps: int
    done: bool
    cut: bool


def read_run(run_dir: Path) -> RunInfo:
    """Raises InputError where `run_dir` is not a run folder."""
    path = run_dir / "run.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        video = manifest["video"]
        return RunInfo(
            run_id=manifest["run_id"],
            video=video["name"],
            frame_size=(int(video["width_px"]), int(video["height_px"])),
            concepts=tuple(manifest["concepts"]),
            declared_fps=video.get("declared_fps"),
            thresholds=_thresholds(manifest.get("settings", {}), manifest["concepts"]),
            hysteresis=manifest.get("settings", {}).get("hysteresis", 1.0),
            gaps=len(manifest.get("gaps", ())),
            done=bool(manifest.get("done")),
            cut=_goes_on(manifest.get("settings", {}).get("end_s"), video),
        )
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}; give the folder that `vidconcept track` made"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not the manifest of a run: {error!r}; track the video again") from error


def _goes_on(end_s: float | None, video: dict[str, Any]) -> bool:
    """Whether the video has a frame at `end_s` or later, as far as its header tells."""
    duration_s, rate = video.get("duration_s"), video.get("declared_fps")
    # The last frame begins one frame before the end; headers round, by less than a tenth of it.
    return None not in (end_s, duration_s) and bool(rate) and end_s < duration_s - 0.9 / rate


def _thresholds(settings: dict[str, Any], concepts: list[str]) -> dict[str, float]:
    if "threshold" not in settings:
        return {}
    return {name: settings.get("thresholds", {}).get(name, settings["threshold"]) for name in concepts}
