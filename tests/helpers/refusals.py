"""Commands that must refuse what they are given, and ways to make files that they are to refuse."""

import contextlib
import io
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from vidconcept import cli, signals

# What opens more tables than any reader follows.
NESTED = "[" * 5000
SMALL = ["--height", 32, "--width", 48, "--window-frames", 5, "--overlap-frames", 1, "--device", "cpu"]


def type_command(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> tuple[int, str]:
    """Exit code and stderr of a command line, in this process."""
    monkeypatch.setattr(sys, "argv", ["vidconcept", *map(str, arguments)])
    # The signals stay pytest's.
    monkeypatch.setattr(signals, "STOPPING", ())
    errors = io.StringIO()
    with (
        contextlib.redirect_stderr(errors),
        contextlib.redirect_stdout(io.StringIO()),
        pytest.raises(SystemExit) as end,
    ):
        cli.main()
    return int(end.value.code or 0), errors.getvalue()


def check_refusal(monkeypatch: pytest.MonkeyPatch, arguments: Iterable[Any], code: int, *named: str) -> None:
    """The command ends with this code and one line on stderr that has all of `named` in it."""
    got, said = type_command(monkeypatch, *arguments)
    lines = [line for line in said.splitlines() if not line.startswith("warning: ")]
    assert got == code, said
    assert len(lines) == 1, said
    assert lines[0].startswith("error: ")
    assert "Traceback" not in said
    assert len(lines[0]) < 700
    for word in named:
        assert word in lines[0], lines[0]


def rewrite(path: Path, change: Callable[[Any], Any]) -> None:
    """Write a JSON file again as `change` makes it."""
    path.write_text(json.dumps(change(json.loads(path.read_text("utf-8")))), "utf-8")


def put(*place: Any, to: Any) -> Callable[[Any], Any]:
    """The same JSON with another value at a place."""

    def change(content: Any) -> Any:
        inner = content
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = to
        return content

    return change


def set_cell(table: Path, column: str, value: str, line: int = 1) -> None:
    """Put another value into one cell of a CSV table; line 0 is the header."""
    rows = table.read_text("utf-8").splitlines()
    cells = rows[line].split(",")
    cells[rows[0].split(",").index(column)] = value
    rows[line] = ",".join(cells)
    table.write_text("\n".join(rows) + "\n", "utf-8")
