"""Every command line of the pages names commands and options that exist."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from vidconcept.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def find_command_lines(page: Path) -> list[str]:
    """What follows `vidconcept` in the blocks of code of a page, and in code within its text."""
    text = page.read_text("utf-8")
    blocks = [block.replace("\\\n", " ") for _, block in re.findall(r"^( *)```[^\n]*\n(.*?)^\1```", text, re.S | re.M)]
    lines = [line for block in blocks for line in block.splitlines()] + re.findall(r"`(vidconcept [^`\n]*)`", text)
    calls = [re.search(r"(?:^|\s|/)vidconcept ([a-z].*)", line.split("  #")[0]) for line in lines]
    # `vidconcept models` and the like name a command alone.
    return [call[1] for call in calls if call is not None and " " in call[1] and "…" not in call[1]]


def check(line: str) -> None:
    """Raises what Typer says of a call that it would refuse; nothing is run."""
    command, name, words = get_command(app), [], shlex.split(line)
    while hasattr(command, "commands"):
        name.append(words.pop(0))
        command = command.commands[name[-1]]
    command.make_context(" ".join(name), words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_commands_and_options_that_exist(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # The one file that must be there for Typer to take a line.
    Path("line.toml").touch()
    for line in find_command_lines(page):
        try:
            check(line)
        except Exception as error:
            raise AssertionError(f"vidconcept {line}: {getattr(error, 'message', error)}") from error


def test_there_are_some_and_a_wrong_one_is_seen():
    assert sum(len(find_command_lines(page)) for page in PAGES) > 40
    with pytest.raises(Exception, match="--set"):
        check("track line_cam.mp4 --set model=cogvideox-2b")
