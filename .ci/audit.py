"""What an install of vidconcept brings with it: known vulnerabilities, licences, and a bill of materials.

    python .ci/audit.py FOLDER

writes licences.csv and sbom.cdx.json (CycloneDX) into the folder, of the packages that vidconcept needs at run time, at
the versions that are installed. Ends with 1 where a package has a known vulnerability or no licence, with 2 where the
advisories could not be asked about every package.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

# What the metadata of a package does not say.
NOTES = {
    "av": "its wheels carry FFmpeg with x264 and x265, which are GPL-2.0-or-later: whoever passes the wheels on passes "
    "those on. `--codec libvpx-vp9` writes films without them; a PyAV that is built against an LGPL FFmpeg has none",
    "opencv-python-headless": "its wheels carry FFmpeg, LGPL-2.1",
}
# The metadata of these names none; what their repositories say.
KNOWN: dict[str, str] = {}


def needed(root: str) -> dict[str, str]:
    """Every package that `root` needs here, without extras, and the versions that are installed."""
    found: dict[str, str] = {}
    waiting = [root]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            package = distribution(name)
        except PackageNotFoundError:
            # For another system.
            continue
        found[name] = package.version
        for line in package.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return dict(sorted(found.items()))


def write_licences(path: Path, packages: list[str]) -> list[str]:
    """Write the list; returns the packages of which no licence is known."""
    command = [sys.executable, "-m", "piplicenses", "--format", "json", "--with-urls", "--with-system", "--packages"]
    listed = json.loads(subprocess.run([*command, *packages], check=True, capture_output=True, text=True).stdout)
    unknown = []
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["package", "version", "licence", "address", "note"])
        for package in sorted(listed, key=lambda p: p["Name"].lower()):
            name = re.sub(r"[-_.]+", "-", package["Name"]).lower()
            licence = package["License"] if package["License"] != "UNKNOWN" else KNOWN.get(name, "")
            # Some put the whole text there.
            licence = licence.strip().splitlines()[0][:80] if licence.strip() else ""
            if not licence:
                unknown.append(name)
            rows.writerow([name, package["Version"], licence, package["URL"], NOTES.get(name, "")])
    return unknown


def write_bill(path: Path, packages: set[str]) -> None:
    """A CycloneDX bill of the packages, without those that only development needs."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", sys.executable]
    bill = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    kept = [c for c in bill.get("components", []) if re.sub(r"[-_.]+", "-", c["name"]).lower() in packages]
    references = {component["bom-ref"] for component in kept}
    bill["components"] = kept
    bill["dependencies"] = [
        entry | {"dependsOn": [ref for ref in entry.get("dependsOn", []) if ref in references]}
        for entry in bill.get("dependencies", [])
        if entry["ref"] in references
    ]
    path.write_text(json.dumps(bill, indent=1) + "\n", encoding="utf-8")


def check_vulnerabilities(pins: Path) -> bool | None:
    """Ask PyPI's advisories about the packages; prints what it finds. None where any could not be asked about."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(pins), "--no-deps", "--disable-pip", "--strict"]
    command += ["--progress-spinner", "off", "--timeout", "30", "--format", "json"]
    asked = subprocess.run(command, check=False, capture_output=True, text=True)
    try:
        packages = json.loads(asked.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = next((line for line in reversed(asked.stderr.splitlines()) if line.strip()), "it said nothing")
        print(f"vulnerabilities: NOT CHECKED. pip-audit: {last.rpartition('pip_audit._cli:')[2].strip()[:300]}")
        print(
            "  The advisories are those of https://pypi.org, which a proxy or a mirror of packages may not hand on. "
            f"Next: run it where that address answers, or there: pip-audit --no-deps --disable-pip -r {pins}"
        )
        return None
    found = [(package, fault) for package in packages for fault in package.get("vulns", ())]
    for package, fault in found:
        mended = ", ".join(fault.get("fix_versions", ())) or "no version yet"
        print(f"vulnerable: {package['name']} {package['version']}: {fault['id']}, mended in {mended}")
    print(f"vulnerabilities: {len(found)} known in {len(packages)} packages")
    return not found


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/audit")
    folder.mkdir(parents=True, exist_ok=True)
    packages = needed("vidconcept")
    unknown = write_licences(folder / "licences.csv", list(packages))
    write_bill(folder / "sbom.cdx.json", set(packages))
    pins = folder / "pins.txt"
    # A local version such as 2.13.0+cpu is not known to the advisories.
    lines = [f"{name}=={version.partition('+')[0]}" for name, version in packages.items() if name != "vidconcept"]
    pins.write_text("\n".join(lines) + "\n")
    print(f"{len(packages)} packages: {folder}/licences.csv, {folder}/sbom.cdx.json")
    for name, note in NOTES.items():
        if name in packages:
            print(f"note: {name}: {note}")
    for name in unknown:
        print(f"no licence in its metadata: {name}")
    safe = check_vulnerabilities(pins)
    sys.exit(2 if safe is None else 0 if safe and not unknown else 1)


if __name__ == "__main__":
    main()
