"""The command calls a wrong input what it is, and options about the footage reach the run."""

import json
import os
import subprocess
import sys

import pytest

from tests.helpers.clips import write_clip
from tests.helpers.footage import deep_film, two_streams


def vidconcept(*arguments):
    command = [sys.executable, "-m", "vidconcept", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)


def test_image_names_what_it_takes_where_it_gets_several():
    done = vidconcept("image", "a.jpg", "b.jpg", "--concepts", "dent")
    assert done.returncode == 2
    said = "image takes one photo or a folder of photos, and got 2: a.jpg, b.jpg. Next: give the folder"
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 2


@pytest.mark.parametrize(
    ("sources", "code", "words"),
    [
        (["https://example.org/a.mp4"], 4, "https://example.org/a.mp4 is an address"),
        (["-"], 4, "standard input cannot be read twice"),
        (["/dev/video0"], 4, "/dev/video0"),
        (["a.mp4", "b.mp4", "c.mp4"], 2, "track takes one video, and got 3: a.mp4, b.mp4, c.mp4"),
    ],
)
def test_what_is_no_one_video_is_called_what_it_is(sources, code, words):
    done = vidconcept("track", *sources, "--concepts", "dent")
    assert done.returncode == code
    assert words in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_probe_takes_the_options_of_reading(tmp_path):
    film = two_streams(tmp_path / "a.mkv", 1)
    done = vidconcept("probe", film, "--stream", 0, "--json")
    assert json.loads(done.stdout)["info"]["width_px"] == 96
    deep = deep_film(tmp_path / "deep.mkv", 12)
    assert "0 to 65535 (16 bits) become black to white, as given" in vidconcept("probe", deep, "--bits", 16).stdout


def test_track_says_what_probe_knows(tiny_model, tmp_path):
    film = deep_film(tmp_path / "deep.mkv", 12)
    plan = vidconcept("track", film, "--concepts", "dent", "--model", tiny_model, "--dry-run", "--json")
    facts = json.loads(plan.stdout)
    assert (facts["video"]["bits"], facts["video"]["levels"]) == (12, [0, 4095])
    assert any("0 to 4095 (12 bits)" in remark["message"] for remark in facts["remarks"])
    done = vidconcept("track", film, "--concepts", "dent", "--model", tiny_model, "--json")
    assert done.returncode == 0
    assert "0 to 4095 (12 bits)" in done.stderr
    assert any("0 to 4095 (12 bits)" in remark["message"] for remark in json.loads(done.stdout)["remarks"])


def test_a_rate_for_a_video_is_an_error(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", count=3).path
    done = vidconcept("track", clip, "--concepts", "dent", "--fps", 30)
    assert (done.returncode, "leave --fps out" in done.stderr) == (2, True)
