"""What a stress test says: a table, a plot, one sentence each, and the checklist for releasing a line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidconcept.evaluation.report import number, write_json
from vidconcept.evaluation.svg import lines
from vidconcept.writers.atomic import replacing

if TYPE_CHECKING:
    from vidconcept.pipelines.stress import Stressed, StressTest

# A calibration older than this is asked about.
CALIBRATION_DAYS = 90


def by_name(test: StressTest) -> dict[str, list[Stressed]]:
    """Results of each perturbation, severities rising; the clean footage is not among them."""
    groups: dict[str, list[Stressed]] = {}
    for result in test.results[1:]:
        groups.setdefault(result.name, []).append(result)
    return {name: sorted(found, key=lambda r: r.severity) for name, found in groups.items()}


def sentence(found: Sequence[Stressed], clean: Stressed, megapixels: float) -> str:
    """One plain sentence about a perturbation: from which level on findings are lost or false ones appear."""
    name, unit = found[0].name, found[0].unit

    def at(result: Stressed) -> str:
        if name == "low resolution":
            return f"at {megapixels * result.level**2:.2g} megapixel and below"
        if name == "compression":
            return f"from CRF {result.level:g} on"
        return f"from {result.level:g} {unit} on"

    parts = []
    for concept, before in clean.by_concept.items():
        lost = next((r for r in found if before.found and r.by_concept[concept].found <= before.found / 2), None)
        if lost is not None:
            left = lost.by_concept[concept].found
            whole = "are lost" if not left else f"drop to {left} of {before.found}"
            parts.append(f"the {concept} findings {whole} {at(lost)}")
    noisy = next((r for r in found if r.counts.false_events > 2 * clean.counts.false_events + 2), None)
    if noisy is not None:
        parts.append(f"false alarms rise from {clean.counts.false_events} to {noisy.counts.false_events} {at(noisy)}")
    if not clean.counts.found and not parts:
        return f"{name}: nothing is found on the clean footage, so nothing can be lost."
    return f"{name}: " + ("; ".join(parts) if parts else f"no change up to {found[-1].level:g} {unit}") + "."


def write_stress(out: Path, test: StressTest, command: str) -> dict[str, Any]:
    """Write `stress.md`, `stress.json` and `stress.svg` into `out`; returns the JSON's content."""
    clean, groups = test.results[0], by_name(test)
    said = [sentence(found, clean, test.megapixels) for found in groups.values()]
    content = {
        **test.facts,
        "command": command,
        "against": test.against,
        "says": said,
        "results": [asdict(result) for result in test.results],
    }
    write_json(out / "stress.json", content)
    curves = {
        name: [(0.0, _share(clean, clean)), *((float(r.severity), _share(r, clean)) for r in found)]
        for name, found in groups.items()
    }
    with replacing(out / "stress.svg") as file:
        file.write(lines("Findings that are left", curves, "severity", "share of the clean run's"))
    text = [
        "# Stress test",
        "",
        f"Model {test.facts['model']}, weights {test.facts['weights'][:12]}; {test.facts['clips']} clips of "
        f"{test.megapixels:.2g} megapixel; against {test.against}; seed {test.facts['seed']}. Command: `{command}`",
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
    with replacing(out / "stress.md") as file:
        file.write("\n".join(text) + "\n")
    return content


def _share(result: Stressed, clean: Stressed) -> float:
    return result.counts.found / clean.counts.found if clean.counts.found else 0.0


def write_checklist(out: Path, test: StressTest, calibration: Path | None) -> Path:
    """Write `checklist.md`: what must be looked at before a line is released, filled in as far as it is known."""
    clean = test.results[0]
    rows = [
        ("Sample coverage", *_coverage(clean)),
        ("Calibration", *_calibration(calibration)),
        *((f"Stress: {name}", *_margin(found, clean, test.megapixels)) for name, found in by_name(test).items()),
        ("False alarms", *_false_alarms(clean, calibration)),
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
    with replacing(out / "checklist.md") as file:
        file.write("\n".join(text) + "\n")
    return out / "checklist.md"


def _coverage(clean: Stressed) -> tuple[str, str]:
    counts = ", ".join(f"{name} {c.objects}" for name, c in clean.by_concept.items())
    few = [name for name, c in clean.by_concept.items() if c.objects < 5]
    return f"defects in the sample: {counts}", f"fewer than 5: {', '.join(few)}" if few else "–"


def _provenance(calibration: Path | None) -> Mapping[str, Any]:
    return tomllib.loads(calibration.read_text("utf-8")).get("provenance", {}) if calibration else {}


def _calibration(calibration: Path | None) -> tuple[str, str]:
    facts = _provenance(calibration)
    if not facts or calibration is None:
        return "none given", "calibrate on good footage of this line"
    age = (datetime.now(UTC) - datetime.fromisoformat(facts["created"])).days
    look = f"older than {CALIBRATION_DAYS} days" if age > CALIBRATION_DAYS else "–"
    return f"{calibration.name}, {age} days old, {facts.get('kind', '')}", look


def _margin(found: Sequence[Stressed], clean: Stressed, megapixels: float) -> tuple[str, str]:
    said = sentence(found, clean, megapixels).partition(": ")[2]
    return said, "–" if said.startswith("no change") else "can this line reach that?"


def _false_alarms(clean: Stressed, calibration: Path | None) -> tuple[str, str]:
    facts = _provenance(calibration)
    known = f"{clean.counts.false_events} in {clean.counts.minutes:.1f} minutes of the sample"
    if "per_hour_95" not in facts:
        return known, "no rate is promised without a calibration on good footage"
    low, high = facts["per_hour_95"]
    look = "the upper end is above the wish" if high > facts["target_per_hour"] else "–"
    return f"{known}; calibrated {number(low)} to {number(high)} an hour, wished {facts['target_per_hour']:g}", look
