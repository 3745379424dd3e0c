"""The folder of a report: its own files are replaced, those of others and those that somebody changed are not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from vidconcept.errors import InputError, OutputError
from vidconcept.files import open_replacing, read_bytes, read_json, validate

# Names of what reports wrote here, and digests of what is or was about to be in them.
RECORD = ".reports.json"
REPORTS = {
    "evaluation": ("evaluation.json", "report.md", "precision_recall.svg", "j_and_f.svg"),
    "sweep": ("sweep.json", "sweep.md", "sweep_*.svg"),
    "stress": ("stress.json", "stress.md", "stress.svg", "checklist.md"),
}


def check_report(folder: Path, kind: str) -> None:
    """Before the work of hours: raises OutputError where a report of this kind would take the place of a file that no
    report wrote, or that was changed since, as a checklist that somebody filled in."""
    recorded = _recorded(folder)
    for pattern in REPORTS[kind]:
        for path in sorted(folder.glob(pattern)):
            _check(path, recorded)


def write_part(path: Path, text: str) -> None:
    """Write one file of a report, whole or not at all. Raises OutputError as `check_report`."""
    recorded = _recorded(path.parent)
    _check(path, recorded)
    # Before the file itself: a kill in between leaves nothing that is not known.
    digests = [*recorded.get(path.name, [])[-1:], _digest(text.encode())]
    with open_replacing(path.parent / RECORD) as file:
        file.write(json.dumps(recorded | {path.name: digests}, indent=1, ensure_ascii=False) + "\n")
    with open_replacing(path) as file:
        file.write(text)


def _check(path: Path, recorded: dict[str, list[str]]) -> None:
    if not path.exists() and not path.is_symlink():
        return
    try:
        known = not path.is_symlink() and _digest(read_bytes(path)) in recorded.get(path.name, [])
    except InputError:
        known = False
    if not known:
        raise OutputError(
            f"{path} was not written by a report, or changed since, and is not replaced. "
            "Next: move it, or choose another folder with `out`"
        )


def _recorded(folder: Path) -> dict[str, list[str]]:
    path = folder / RECORD
    try:
        return validate(dict[str, list[str]], read_json(path), path)
    except InputError:
        # Nothing here is known then, so nothing is replaced.
        return {}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
