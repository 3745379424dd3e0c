"""The plain progress of a command whose output is no terminal."""

import re
import time

import pytest

from vidconcept.commands import terminal


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
