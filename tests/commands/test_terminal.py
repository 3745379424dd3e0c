"""What a command says while it works and when it is stopped, and on terminals that cannot show it."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers.clips import write_clip
from vidconcept.commands import terminal
from vidconcept.errors import Interrupted


def test_what_a_resumed_run_found_done_does_not_shorten_the_time_left(monkeypatch, capsys):
    monkeypatch.setattr(terminal, "PLAIN_EVERY_S", 0)
    show = terminal._PlainProgress()
    show("reading maps", 240, 250)
    assert capsys.readouterr().err == "reading maps: 240/250 frames\n"
    time.sleep(0.2)
    show("reading maps", 241, 250)
    left = re.fullmatch(r"reading maps: 241/250 frames, about (\d+) s left\n", capsys.readouterr().err)
    assert left is not None
    assert int(left[1]) >= 2  # nine more at 0.2 s each; 240 of 250 without time would say 0


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (("windows read", 1, None), "windows read: 1"),
        (("clips measured", 1, 3), "clips measured: 1/3"),
        (("reading maps", 1, 1), "reading maps: 1/1 frame"),
        (("denoising", 2, 30), "denoising: 2/30 steps"),
        (("learning, part 1 of 3 aside", 65, 80), "learning, part 1 of 3 aside: 65/80 steps"),
        (("finding tracks", 40, None), "finding tracks: 40 frames"),
    ],
)
def test_what_is_counted_is_named_once(progress, line, monkeypatch, capsys):
    monkeypatch.setattr(terminal, "PLAIN_EVERY_S", 0)
    terminal._PlainProgress()(*progress)
    assert capsys.readouterr().err == f"{line}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
def test_whoever_stops_a_command_at_once_is_told_how_to_go_on(capsys):
    def stop_twice():
        with terminal.open_monitor():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match=r"^interrupted; what was finished is kept\. Next: "):
        stop_twice()
    assert capsys.readouterr().err.count("stopping after this window") == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_letter_that_the_terminal_cannot_show_does_not_end_a_command(tmp_path, encoding):
    clip = write_clip(tmp_path / "傷.mp4", count=2).path
    environ = {**os.environ, "PYTHONIOENCODING": encoding}
    line = [sys.executable, "-m", "vidconcept", "probe", clip]
    done = subprocess.run(line, capture_output=True, env=environ, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert rb"\u50b7.mp4" in done.stdout
