"""Pages say what the code and the measured figures say, and lead where they point."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest

from vidconcept.errors import ExitCode
from vidconcept.files import SCRATCH
from vidconcept.manifest import MANIFEST
from vidconcept.ownership import FOLDERS, RESULTS
from vidconcept.settings import TrackSettings
from vidconcept.writers import columns

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FIGURES = sorted((DOCS / "figures").glob("*.json"))
# Pages that are about measured figures, and write none of them by hand.
MEASURED = [DOCS / "index.md", DOCS / "model-card.md", DOCS / "explanation" / "embedded-model.md", ROOT / "README.md"]


@pytest.fixture(scope="module")
def macros():
    sys.path.insert(0, str(DOCS / "tools"))
    try:
        import macros
    finally:
        sys.path.pop(0)
    return macros


@pytest.fixture(scope="module")
def render(macros):
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters |= macros.FILTERS
    values = macros.make_macros()
    return lambda path: environment.from_string(path.read_text("utf-8")).render(values)


def typed_numbers(path: Path) -> list[str]:
    """Numbers with two or more decimals that stand in a page as such: not in code, not from a macro."""
    text = re.sub(
        r"```.*?```|`[^`\n]*`|\{\{.*?\}\}|\{%.*?%\}|\]\([^)]*\)|https?://\S+|Python \d\.\d+",
        " ",
        path.read_text("utf-8"),
        flags=re.S,
    )
    return re.findall(r"(?<![\w.])\d+\.\d{2,}(?![\w.])", text)


def leaves(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif isinstance(value, float):
        yield value


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_every_figure_and_macro_of_a_page_exists(page, render):
    assert render(page).strip()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_no_measured_figure_is_copied_by_hand(page):
    typed = typed_numbers(page)
    # With three decimals and more a number is a measurement; with two it may be a setting.
    measured = {value for path in FIGURES for value in leaves(json.loads(path.read_text("utf-8"))["figures"])}
    copies = {
        number
        for number in typed
        if any(round(value, len(number.split(".")[1])) == float(number) for value in measured)
    }
    assert not {number for number in copies if len(number.split(".")[1]) > 2}, "take it from docs/figures/*.json"
    if page in MEASURED:
        assert not typed


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_every_figure_file_says_how_it_was_measured(path):
    content = json.loads(path.read_text("utf-8"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert all(content[key] for key in ("title", "command", "data", "figures"))
    assert {"data_commands", "weights"} <= set(content)


def test_reference_tables_hold_what_the_code_has(render):
    settings = render(DOCS / "reference" / "settings.md")
    assert all(f"| `{key}` |" in settings for key in TrackSettings.model_fields)
    run_folder = render(DOCS / "reference" / "run-folder.md")
    assert all(f"| `{name}` |" in run_folder for table in columns.TABLES.values() for name in table)
    assert {*RESULTS, *FOLDERS, MANIFEST} - {SCRATCH} <= set(re.findall(r"`([\w.]+)/?`", run_folder))
    exit_codes = render(DOCS / "reference" / "exit-codes.md")
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", exit_codes, re.MULTILINE)} == set(ExitCode)
    commands = render(DOCS / "reference" / "command-line.md")
    assert re.findall(r"^## `vidconcept (\w+)`", commands, re.MULTILINE)[0] == "track"
    assert "--threshold" in commands


def test_stop_words_are_said_to_raise_leakage_where_the_whole_interval_is_above_zero(render, macros):
    def claim(change: str, method: str = "") -> str:
        return f"With stop words (a, of) leakage changes by +0.001{method} (95 % {change} to +0.002)."

    claims = [claim("-0.001"), claim("+0.001", " in imap"), claim("+0.000", " in gramcol")]
    list_leaking = macros.figure_tables.list_leaking
    assert list_leaking({"sinks": {"figures": {"claims": claims}}}, "sinks") == "`imap`"
    assert "Leakage rises a little in `value-space`; in no other" in render(DOCS / "how-to" / "words.md")


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE))
    assert listed == {str(page.relative_to(DOCS)) for page in PAGES}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "linecam/NOTEBOOK.md"])
def test_links_outside_of_the_site_lead_somewhere(name):
    page = ROOT / name
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_a_result_is_taken_over_into_its_file(macros, tmp_path, monkeypatch):
    import take_figures

    monkeypatch.setattr(take_figures, "FIGURES", tmp_path)
    (tmp_path / "events.json").write_text(
        '{"title": "t", "command": "c", "data": "d", "data_commands": [], "weights": "old"}'
    )
    clips = {"a": {"events": {"events": 0}}, "b": {"events": {"events": 2}}}
    result = {"model": {"weights": "0123456789abcdef0123"}, "figures": {"events": {"found": 3}}, "clips": clips}
    (tmp_path / "evaluation.out").write_text(json.dumps(result))
    monkeypatch.setattr(sys, "argv", ["take_figures", "events", str(tmp_path / "evaluation.out")])
    take_figures.main()
    taken = json.loads((tmp_path / "events.json").read_text())
    assert taken["weights"] == "0123456789abcdef"
    assert taken["figures"] == {"events": {"found": 3}, "clips": 2, "clips_without_events": 1}
    assert taken["command"] == "c"
