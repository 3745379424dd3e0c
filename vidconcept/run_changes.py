"""What an earlier run was asked otherwise than now, in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vidconcept.errors import UsageError
from vidconcept.settings import Stage, TrackSettings


def changes_of(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What an earlier run was asked otherwise than now, as `key was A, is B`; empty where it answers the same."""
    return _differences(select_question(before), select_question(now))


def select_question(facts: dict[str, Any]) -> dict[str, Any]:
    """All that the events depend on."""
    indifferent = TrackSettings.list_keys(Stage.DRAWING, Stage.MACHINE)
    settings = {key: value for key, value in facts.get("settings", {}).items() if key not in indifferent}
    return {**settings, **facts.get("maps_from", {})}


def check_same(
    path: Path,
    what: str,
    before: dict[str, Any],
    now: dict[str, Any],
    advice: str = "`existing=overwrite`, or another `out`",
) -> None:
    """Raises UsageError, "PATH cannot be WHAT" and why, where the facts of an earlier run are not those of now."""
    if different := _differences(before, now):
        raise UsageError(f"{path} cannot be {what}: {'; '.join(different[:3])}. Next: {advice}")


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    # Through JSON, as the earlier run's were.
    now = json.loads(json.dumps(now))
    different = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    # Follows from the settings named beside it, or says the same as the words.
    different = [key for key in different if key not in ("asked", "windows") or len(different) == 1]
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
        return f"the model read {read}, and `smooth` as it is now needs {wanted}"
    return f"{key} was {_shorten_value(before.get(key))}, is {_shorten_value(now.get(key))}"


def _shorten_value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."
