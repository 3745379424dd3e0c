"""Ctrl-C, a polite kill and a terminal that goes away end the command in one way, whenever they come."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.helpers.small_runs import SMALL, small_clip, tree

# The command, with a signal that comes when a module is first looked for, or when the run says that it is at a stage.
SCRIPT = """
import os, signal, sys

module, number, ignored, *arguments = sys.argv[1:]
number = int(number)
# Whatever the tests themselves were started with, nohup for example.
signal.signal(number, signal.SIG_IGN if ignored else signal.default_int_handler if number == 2 else signal.SIG_DFL)

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), number)

sys.meta_path.insert(0, Finder())
sys.argv = ["vidconcept", *arguments]
if module == "the second pass":
    from vidconcept.writers import journal
    append = journal.TrackJournal.append
    def and_stop(*given):
        append(*given)
        os.kill(os.getpid(), number)
    journal.TrackJournal.append = and_stop
from vidconcept.__main__ import main
main()
"""
NUMBERS = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))]


def command(module: str, number: int, *arguments, ignored: bool = False) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", SCRIPT, module, str(int(number)), "ignored" if ignored else "", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.parametrize(("module", "number"), [("typer", signal.SIGTERM), ("scipy", NUMBERS[-1])])
def test_while_importing(module, number, tmp_path, tiny_model):
    clip = small_clip(tmp_path / "a.mp4")
    done = command(
        module, number, "track", clip, "--concepts", "dent", "--model", tiny_model, "--out", tmp_path / "run"
    )
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO here")
def test_a_watch_that_is_stopped_while_it_starts_ends_in_peace(tmp_path, tiny_model):
    os.mkfifo(tmp_path / "camera.fifo")
    line = ("watch", tmp_path / "camera.fifo", "--concepts", "dent", "--set", f"model={tiny_model}")
    done = command("vidconcept.live.watch", signal.SIGTERM, *line)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", NUMBERS[1:])
def test_in_the_middle_of_a_run(number, tmp_path, tiny_model):
    clip = small_clip(tmp_path / "a.mp4")
    settings = [f"--{key.replace('_', '-')}={value}" for key, value in SMALL.items()]
    arguments = ["track", clip, "--concepts", "dent", "--model", tiny_model, "--out", tmp_path / "run", *settings]
    done = command("the second pass", number, *arguments)
    assert done.returncode == 130, done.stderr
    assert "Continue with: vidconcept track" in done.stderr
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    assert "interrupted" in manifest
    assert not manifest["done"]
    assert not (tmp_path / "run" / ".work").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signal here")
def test_nohup_stays_in_force(tmp_path):
    done = command("typer", signal.SIGHUP, "--version", ignored=True)
    assert done.returncode == 0, done.stderr


def test_an_export_leaves_nothing_half_written(tmp_path):
    from tests.helpers.review_runs import make_run

    make_run(tmp_path / "run", frames=30, video=False)
    before = tree(tmp_path / "run")
    script = SCRIPT.replace("from vidconcept.__main__", STOP_IN_EXPORT + "from vidconcept.__main__")
    line = [sys.executable, "-c", script, "", str(int(signal.SIGTERM)), "", "export", str(tmp_path / "run")]
    done = subprocess.run([*line, "--to", "cvat"], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 130, done.stderr
    assert tree(tmp_path / "run") == before


STOP_IN_EXPORT = """
from vidconcept.writers import by_track
ids = by_track.TrackStore.ids
def stopped(store):
    os.kill(os.getpid(), number)
    return ids(store)
by_track.TrackStore.ids = stopped
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
def test_what_comes_when_the_process_ends_prints_no_traceback():
    script = "import atexit, os, signal, sys; atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM))\n"
    script += "sys.argv = ['vidconcept', '--version']; from vidconcept.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
def test_what_comes_while_the_terminal_library_imports_a_part_of_itself_is_heard():
    # A module that is there and not whole, as in the middle of its import.
    script = "import os, signal, sys, types; from vidconcept.commands.terminal import Stop; import rich.text\n"
    script += "sys.modules['rich._emoji_codes'] = types.ModuleType('x'); sys.modules.pop('rich._emoji_replace', None)\n"
    script += "stop = Stop('stopping')\nwith stop.on_signals(): os.kill(os.getpid(), signal.SIGTERM)\nprint(stop())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "stopping\n")
