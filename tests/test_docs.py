"""What the reference page promises is what the code does."""

import re
import runpy
from pathlib import Path

import pytest

from vidconcept.errors import ExitCode
from vidconcept.runs import OUTPUTS
from vidconcept.writers.tables import EVENT_COLUMNS, FRAME_COLUMNS, TRACK_COLUMNS

DOCS = Path(__file__).parents[1] / "docs"
REFERENCE = (DOCS / "reference.md").read_text("utf-8")


def section(title: str) -> str:
    return REFERENCE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_settings_are_current():
    made = runpy.run_path(str(DOCS / "make_reference.py"))
    assert made["page"](REFERENCE) == REFERENCE, "run python docs/make_reference.py"


@pytest.mark.parametrize(
    ("table", "columns"), [("frames", FRAME_COLUMNS), ("tracks", TRACK_COLUMNS), ("events", EVENT_COLUMNS)]
)
def test_every_column_is_explained(table, columns):
    text = section("Columns")
    # Boxes are explained above the table, for tracks and events alike.
    boxes = {"x_min", "y_min", "x_max", "y_max"}
    told = set()
    for names, tables in re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", text, re.MULTILINE):
        if table in tables or tables == "all":
            told |= set(re.findall(r"`(\w+)`", names))
    assert set(columns) - boxes <= told
    assert boxes <= set(re.findall(r"`(\w+)`", text))


def test_every_exit_code_is_told():
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", section("Exit codes"), re.MULTILINE)} == set(ExitCode)


def test_every_output_is_named():
    named = set(re.findall(r"`([\w.]+)/?`", section("The run folder")))
    assert set(OUTPUTS) - {".work"} <= named


def test_links_between_pages_lead_somewhere():
    for page in [*DOCS.glob("*.md"), DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
