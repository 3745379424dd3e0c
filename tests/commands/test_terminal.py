"""The plain progress of a command whose output is no terminal."""

import re
import time

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
