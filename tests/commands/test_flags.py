"""Messages of the library name settings; on the command line they are the options of the command that runs."""

import ast
import re
from pathlib import Path

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

import vidconcept
from vidconcept.cli import app
from vidconcept.commands.flags import NamingGroup, name_options
from vidconcept.errors import UsageError
from vidconcept.settings import TrackSettings

PACKAGE = Path(vidconcept.__file__).parent
FLAG = re.compile(r"(?<![\w<!-])--[a-z]")
# The page of a run tells what to type, as its exit codes do.
TELLS_WHAT_TO_TYPE = {"writers/review/page.py"}


def fail_with(message, *arguments):
    """The error of a command line that fails with this message, and what it warned of before."""
    app = typer.Typer(cls=NamingGroup)
    warned = []

    @app.command()
    def track(threshold: float = 0.5, start_s: float = typer.Option(0.0, "--start"), existing: str = "error") -> None:
        warned.append(name_options(message))
        raise UsageError(message)

    @app.command()
    def calibrate(setting: list[str] = typer.Option([], "--set"), out: str = "") -> None:  # noqa: B008
        raise UsageError(message)

    @app.command()
    def review(folder: str = "") -> None:
        raise UsageError(message)

    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, UsageError)
    return str(result.exception), warned


def test_each_setting_that_fits_in_a_line_is_an_option_of_track():
    track = get_command(app).commands["track"]
    options = {parameter.name for parameter in track.params}
    # Words come with --concepts; the others are tables, of a TOML.
    assert set(TrackSettings.model_fields) - options == {"words", "thresholds", "place_lifts"}


def test_settings_become_options_of_the_command():
    message = "`start_s=3` s is late. Next: a lower `threshold`, or `existing=overwrite`"
    named = "--start 3 s is late. Next: a lower --threshold, or --existing overwrite"
    assert fail_with(message, "track") == (named, [named])


def test_a_command_that_takes_settings_by_set_says_so():
    assert fail_with("Next: `threshold=0.4`, or another `out`", "calibrate")[0] == (
        "Next: --set threshold=0.4, or another --out"
    )


def test_what_another_command_has_is_named_as_track_has_it():
    assert fail_with("track again with `existing=resume`", "review")[0] == "track again with --existing resume"


@pytest.mark.parametrize("message", ["`vidconcept track` wrote it", "the column `mask_rle`"])
def test_other_words_in_quotes_stay(message):
    assert fail_with(message, "track")[0] == message


@pytest.mark.parametrize(("typed", "guesses"), [("--treshold", ["--threshold"]), ("--quiet", [])])
def test_an_unknown_option_is_told_with_those_that_are_like_it(typed, guesses):
    app = typer.Typer(cls=NamingGroup)

    @app.command()
    def track(threshold: float = 0.5, start: float = 0.0, bits: int = 8, view: str = "", out: str = "") -> None: ...

    @app.command()
    def other() -> None: ...

    result = CliRunner().invoke(app, ["track", typed, "1"])
    assert result.exit_code == 2
    named = re.findall(r"--[a-z]+", result.output.partition("No such option")[2])
    assert named == [typed, *guesses]


def test_the_library_names_no_options():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name != "cli.py" and not name.startswith("commands/") and name not in TELLS_WHAT_TO_TYPE:
            found += [f"{name}:{line}: {text}" for line, text in texts(path) if FLAG.search(text)]
    assert found == []


def texts(path):
    """Line and text of each string that is no docstring; exit codes are a matter of the command."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not (isinstance(node, ast.ClassDef) and node.name == "ExitCode")]
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value
