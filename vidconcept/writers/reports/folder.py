"""The folder of a report: its own files are replaced, those of others and those that somebody changed are not."""

from __future__ import annotations

from pathlib import Path

from vidconcept.written import check_replaceable, open_own

REPORTS = {
    "evaluation": ("evaluation.json", "report.md", "precision_recall.svg", "j_and_f.svg"),
    "sweep": ("sweep.json", "sweep.md", "sweep_*.svg"),
    "stress": ("stress.json", "stress.md", "stress.svg", "checklist.md"),
}


def check_report(folder: Path, kind: str) -> None:
    """Before the work of hours: raises OutputError where a report of this kind would take the place of a file that no
    report wrote, or that was changed since, as a checklist that somebody filled in."""
    for pattern in REPORTS[kind]:
        for path in sorted(folder.glob(pattern)):
            check_replaceable(path)


def write_part(path: Path, text: str) -> None:
    """Write one file of a report, whole or not at all. Raises OutputError as `check_report`."""
    with open_own(path) as file:
        file.write(text)
