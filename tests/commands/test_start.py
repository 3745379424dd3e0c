"""The first answer comes at once: what takes seconds to import is imported when a model is loaded, not before."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "line_cam.mp4"
HEAVY = {"torch", "diffusers", "transformers", "huggingface_hub", "scipy.sparse", "scipy.ndimage"}
# Runs a command in a process of its own and prints which of the heavy modules it has come to import.
PROBE = """
import json, sys
from vidconcept.cli import app
sys.argv = ["vidconcept", *{arguments!r}]
try:
    app(standalone_mode=True)
except SystemExit as end:
    assert end.code in (0, None), end.code
print(json.dumps(sorted(set(sys.modules) & set({heavy!r}))))
"""


def imported_by(*arguments: str) -> set[str]:
    code = PROBE.format(arguments=list(arguments), heavy=sorted(HEAVY))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["track", "--help"],
        ["track", str(EXAMPLE), "--concepts", "scratch,dent", "--dry-run"],
        ["probe", str(EXAMPLE)],
    ],
    ids=["help", "track-help", "dry-run", "probe"],
)
def test_nothing_heavy_is_imported_for(arguments):
    assert imported_by(*arguments) == set()
