"""What a stress test says: a table, a plot, one sentence each, and the checklist for releasing a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vidconcept.evaluation.perturb import PERTURBATIONS, SEVERITIES
from vidconcept.evaluation.provenance import Provenance
from vidconcept.evaluation.readings import Stressed, StressTest
from vidconcept.wording import format_count, format_number
from vidconcept.writers.reports.evaluation import write_json
from vidconcept.writers.reports.folder import write_part
from vidconcept.writers.reports.svg import draw_lines

# A calibration older than this is asked about.
CALIBRATION_DAYS = 90


def group_by_name(test: StressTest) -> dict[str, list[Stressed]]:
    """Results of each perturbation, severities rising; the clean footage is not among them."""
    groups: dict[str, list[Stressed]] = {}
    for result in test.results[1:]:
        groups.setdefault(result.name, []).append(result)
    return {name: sorted(found, key=lambda r: r.severity) for name, found in groups.items()}


def describe_changes(found: Sequence[Stressed], clean: Stressed, megapixels: float) -> list[str]:
    """What one perturbation does to the findings, in words: which are lost, and what is false, from which level on."""
    parts = []
    for concept, before in clean.by_concept.items():
        left = [r.by_concept[concept].found for r in found]
        # Where half of them are lost, or else any.
        bounds = (before.found / 2, before.found - 1)
        first = next((i for bound in bounds for i, n in enumerate(left) if n <= bound), None)
        if before.found and first is not None:
            stays = [n < before.found for n in left[first:]]
            most = max(left[first:]) if all(stays) else left[first]
            fewer = " or fewer" if all(stays) and min(left[first:]) < most else ""
            whole = f"drop to {most} of {before.found}{fewer}" if most else "are lost"
            parts.append(f"the {concept} findings {whole} {_describe_where(found[first], megapixels, all(stays))}")
    false = [r.counts.false_events for r in found]
    first = next((i for i, n in enumerate(false) if n > clean.counts.false_events), None)
    if first is not None:
        stays = all(n > clean.counts.false_events for n in false[first:])
        least = min(false[first:]) if stays else false[first]
        more = " or more" if stays and max(false[first:]) > least else ""
        where = _describe_where(found[first], megapixels, stays)
        parts.append(f"false events rise from {clean.counts.false_events} to {least}{more} {where}")
    return parts


def _describe_where(result: Stressed, megapixels: float, onwards: bool) -> str:
    """At which level, and whether at all that are worse too."""
    at = _describe_level(result, megapixels)
    if not onwards:
        return f"at {at}, though not at every level beyond"
    return f"at {at} and below" if result.name == "low resolution" else f"from {at} on"


def _describe_level(result: Stressed, megapixels: float) -> str:
    if result.name == "low resolution":
        return f"{megapixels * result.level**2:.2g} megapixel"
    return f"CRF {result.level:g}" if result.name == "compression" else f"{result.level:g} {result.unit}"


def describe_perturbation(found: Sequence[Stressed], clean: Stressed, megapixels: float) -> str:
    """One plain sentence about a perturbation: from which level on findings are lost or false ones appear."""
    parts = describe_changes(found, clean, megapixels)
    if not clean.counts.found and not parts:
        what = "nothing that lasts long enough" if clean.counts.events else "nothing"
        return f"{found[0].name}: {what} is found on the clean footage, so nothing can be lost."
    reach = "down to" if found[0].name == "low resolution" else "up to"
    nothing = f"nothing is lost and nothing false added {reach} {_describe_level(found[-1], megapixels)}"
    return f"{found[0].name}: " + ("; ".join(parts) or nothing) + "."


def write_stress(out: Path, test: StressTest, command: str) -> dict[str, Any]:
    """Write `stress.md`, `stress.json` and `stress.svg` into `out`; returns the JSON's content."""
    clean, groups = test.results[0], group_by_name(test)
    said = [describe_perturbation(found, clean, test.megapixels) for found in groups.values()]
    content = {
        **test.facts,
        "command": command,
        "against": test.against,
        "says": said,
        "results": [asdict(result) for result in test.results],
    }
    write_json(out / "stress.json", content)
    curves = {
        name: [(0.0, _format_share(clean, clean)), *((float(r.severity), _format_share(r, clean)) for r in found)]
        for name, found in groups.items()
    }
    write_part(out / "stress.svg", draw_lines("Findings that are left", curves, "severity", "share of the clean run's"))
    text = [
        "# Stress test",
        "",
        f"Model {test.facts['model']}, weights {test.facts['weights'][:12]}; "
        f"{format_count(test.facts['clips'], 'clip')} of {test.megapixels:.2g} megapixel; "
        f"against {test.against}; seed {test.facts['seed']}. Command: `{command}`",
        "",
        *(f"* {line}" for line in said),
        "",
        "| perturbation | level | defects found | events | false events |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {r.name} | {r.level:g} {r.unit} | {r.counts.found} of {r.counts.objects} | {r.counts.events} | "
            f"{r.counts.false_events} |"
            for r in test.results
        ),
        "",
        "![findings that are left](stress.svg)",
    ]
    write_part(out / "stress.md", "\n".join(text) + "\n")
    return content


def _format_share(result: Stressed, clean: Stressed) -> float:
    return result.counts.found / clean.counts.found if clean.counts.found else 0.0


def write_checklist(out: Path, test: StressTest, calibration: Provenance | None) -> Path:
    """Write `checklist.md`: what must be looked at before a line is released, filled in as far as it is known."""
    clean = test.results[0]
    rows = [
        ("Sample coverage", *_describe_coverage(test)),
        ("Calibration", *_describe_calibration(calibration, test.facts["weights"])),
        *(
            (f"Stress: {name}", *_describe_margin(found, clean, test.megapixels))
            for name, found in group_by_name(test).items()
        ),
        *_list_untested(test),
        ("False alarms", *_describe_false_alarms(test, calibration)),
    ]
    text = [
        "# Checklist for the release of a line",
        "",
        f"Model {test.facts['model']}, weights {test.facts['weights'][:12]}. Made "
        f"{datetime.now(UTC).date().isoformat()}.",
        "",
        "| point | what is known | look at it | accepted |",
        "| --- | --- | --- | --- |",
        *(f"| {point} | {known} | {look} | [ ] |" for point, known, look in rows),
        "",
        "Line: ______________________  Camera and light: ______________________",
        "",
        "Signed: ______________________  Date: ______________",
    ]
    write_part(out / "checklist.md", "\n".join(text) + "\n")
    return out / "checklist.md"


def _describe_coverage(test: StressTest) -> tuple[str, str]:
    clean = test.results[0]
    sample = f"{format_count(test.facts['clips'], 'clip')}, {clean.counts.minutes:.1f} minutes"
    if test.against != "truth":
        findings = ", ".join(f"{name} {c.events}" for name, c in clean.by_concept.items())
        return f"{sample} without truth; findings: {findings}", "what is missed is not known: needs truth"
    counts = ", ".join(f"{name} {c.found} of {c.objects}" for name, c in clean.by_concept.items())
    few = [name for name, c in clean.by_concept.items() if c.objects < 5]
    return f"{sample}; defects found: {counts}", f"fewer than 5 defects: {', '.join(few)}" if few else "–"


def _describe_calibration(calibration: Provenance | None, weights: str) -> tuple[str, str]:
    if calibration is None:
        return "none given", "calibrate on good footage of this line"
    look = []
    if calibration.created is None:
        age = "of unknown age"
        look.append("does not say when it was made")
    else:
        days = (datetime.now(UTC) - calibration.created).days
        age = f"{format_count(days, 'day')} old"
        look += [f"older than {CALIBRATION_DAYS} days"] if days > CALIBRATION_DAYS else []
    if calibration.weights is None:
        look.append("does not say with which weights it was made")
    elif calibration.weights != weights:
        look.append("made with other weights: calibrate again")
    return ", ".join(filter(None, (calibration.file, age, calibration.kind))), "; ".join(look) or "–"


def _describe_margin(found: Sequence[Stressed], clean: Stressed, megapixels: float) -> tuple[str, str]:
    said = describe_perturbation(found, clean, megapixels).partition(": ")[2]
    if describe_changes(found, clean, megapixels):
        return said, "can this line reach that?"
    return said, "–" if clean.counts.found else "give footage with findings"


def _list_untested(test: StressTest) -> list[tuple[str, str, str]]:
    """The row of perturbations and severities that the test left out; none where it left out nothing."""
    groups, levels = group_by_name(test), {result.severity for result in test.results[1:]}
    left_out = [what.name for what in PERTURBATIONS if what.name not in groups]
    left_out += [f"severity {severity}" for severity in SEVERITIES if severity not in levels]
    return [("Stress: not tested", ", ".join(left_out), "test these too before signing")] if left_out else []


def _describe_false_alarms(test: StressTest, calibration: Provenance | None) -> tuple[str, str]:
    counts = test.results[0].counts
    known = f"{counts.false_alarms} in {counts.minutes:.1f} minutes of the sample"
    if test.against != "truth":
        known = "not counted in the sample, which has no truth"
    if calibration is None or calibration.per_hour_95 is None or calibration.target_per_hour is None:
        return known, "no rate is promised without a calibration on good footage"
    (low, high), target = calibration.per_hour_95, calibration.target_per_hour
    look = "the upper end is above the target" if high > target else "–"
    return f"{known}; calibrated {format_number(low)} to {format_number(high)} an hour, target {target:g}", look
