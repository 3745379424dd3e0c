"""What an earlier run was asked otherwise than now, in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vidconcept.errors import UsageError
from vidconcept.files import MAX_MEGAPIXELS
from vidconcept.settings import LOOKS, Stage, TrackSettings

_ADVICE = "`existing=overwrite`, or another `out`"


def settle_maps_from(maps_from: dict[str, Any], layers: int, size_px: tuple[int, int]) -> dict[str, Any]:
    """What maps depend on, in the same words whichever settings said it; of a run, also as earlier versions wrote it.

    layers: of the model. size_px: width and height of the video.
    """
    said = dict(maps_from)
    if "windows" not in said:
        said.pop("looks", None)
        if said.get("stride") == "auto":
            said["stride"] = 1
    defaults = {"looks": LOOKS, "max_megapixels": MAX_MEGAPIXELS, "roi": [0, 0, *size_px]}
    for key, default in defaults.items():
        if said.get(key) == default:
            del said[key]
    match said.get("timesteps"):
        case [single]:
            del said["timesteps"]
            said["timestep"] = single
        case [_, *_]:
            said.pop("timestep", None)
    # A run may have been changed by hand.
    if isinstance(chosen := said.get("layers"), list) and all(isinstance(layer, int) for layer in chosen):
        said["layers"] = sorted({layer % layers for layer in chosen})
    return said


def changes_of(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What an earlier run was asked otherwise than now, as `key was A, is B`; empty where it answers the same.

    before, now: facts, of a run and of the plan for its video.
    """
    return _differences(*_select_questions(before, now))


def list_drawing_changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """How an earlier run's film was drawn otherwise than now; as `changes_of`."""
    old, new = before.get("settings", {}), now["settings"]
    drawing = sorted(TrackSettings.list_keys(Stage.DRAWING))
    return [f"{key} was {old.get(key)}, is {new[key]}" for key in drawing if old.get(key) != new[key]]


def check_same_question(path: Path, what: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises UsageError, "PATH cannot be WHAT" and why, where an earlier run does not answer what is asked now."""
    _check_same(path, what, *_select_questions(before, now))


def check_same_maps(
    path: Path, what: str, before: dict[str, Any], now: dict[str, Any], advice: str | None = None
) -> None:
    """As `check_same_question`, where the maps of an earlier run are not those of now."""
    old, new = _select_maps_from(before, now), now["maps_from"]
    every_window = {key: value for key, value in new.items() if key not in ("windows", "looks")} | {"stride": 1}
    if advice is None and "windows" in new and not _differences(old, every_window):
        advice = f"`stride=1`, which these maps serve, or {_ADVICE}"
    _check_same(path, what, old, new, advice or _ADVICE)


def has_same_maps(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether the maps of an earlier run are those of now. before, now: as in `changes_of`."""
    return not _differences(_select_maps_from(before, now), now["maps_from"])


def _select_questions(before: dict[str, Any], now: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """All that the events depend on, of both."""
    keys = {"concepts", *TrackSettings.list_keys(Stage.DECISION)}
    old, new = (
        {key: value for key, value in facts.get("settings", {}).items() if key in keys} for facts in (before, now)
    )
    return old | _select_maps_from(before, now), new | now["maps_from"]


def _select_maps_from(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What an earlier run's maps depend on, in the words of now."""
    video, wanted = now["video"], now["maps_from"]
    said = settle_maps_from(
        before.get("maps_from", {}), now["model"]["layers"], (video["width_px"], video["height_px"])
    )
    if said.get("dtype") == "auto" and wanted.get("dtype") != "auto":
        said["dtype"] = before.get("engine", {}).get("dtype", "auto")
    return said


def _check_same(path: Path, what: str, before: dict[str, Any], now: dict[str, Any], advice: str = _ADVICE) -> None:
    if different := _differences(before, now):
        raise UsageError(f"{path} cannot be {what}: {'; '.join(different[:3])}. Next: {advice}")


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    # Through JSON, as the earlier run's were.
    now = json.loads(json.dumps(now))
    different = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    # Follows from what is named beside it, or says the same.
    implied = {"asked"}
    if "windows" in different:
        by_number = (now if "windows" in before else before).get("stride", 1) != 1
        implied |= {"looks", "windows"} if by_number else {"looks", "stride"}
    different = [key for key in different if key not in implied or len(different) == 1]
    if "words" in different and (said := _describe_words(before, now)):
        return [said, *(_describe_difference(key, before, now) for key in different if key != "words")]
    return [_describe_difference(key, before, now) for key in different]


def _describe_words(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Which words came and went, or which concepts are asked for; empty where that does not tell."""
    was, is_now = before.get("words"), now.get("words")
    if not isinstance(was, list) or not isinstance(is_now, list):
        return ""
    new, gone = ([word for word in one if word not in other] for one, other in ((is_now, was), (was, is_now)))
    if said := [f"{', '.join(words)} {how}" for words, how in ((new, "added"), (gone, "left out")) if words]:
        return f"words: {'; '.join(said)}"
    asked, asked_now = was[: before.get("asked")], is_now[: now.get("asked")]
    return f"concepts were {', '.join(asked)}, are {', '.join(asked_now)}" if asked != asked_now else ""


def _describe_difference(key: str, before: dict[str, Any], now: dict[str, Any]) -> str:
    if key == "source_sha256":
        return "its video is another one (what is in the file differs)"
    if key == "windows":
        read, wanted = (
            "only the windows that the motion asked for" if key in facts else "every window" for facts in (before, now)
        )
        return f"the model read {read}, and `stride` and `smooth` as they are now need {wanted}"
    return f"{key} was {_shorten_value(before.get(key))}, is {_shorten_value(now.get(key))}"


def _shorten_value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."
