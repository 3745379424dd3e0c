"""`watch` on live lists of segments (HLS)."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

from tests.helpers.clips import write_clip
from tests.helpers.small_runs import SMALL
from tests.helpers.streams import serving_whole_files, transport_stream
from tests.helpers.watching import EASY, until
from vidconcept.live.backlog import Backlog, Shot
from vidconcept.live.camera import Camera
from vidconcept.live.repeats import Repeats
from vidconcept.live.sources import parse_source


@contextmanager
def watching(folder: Path) -> Iterator[tuple[Camera, list[str]]]:
    """A camera that reads `live.m3u8` of a web server's folder and has a frame, and what it warns of."""
    warnings: list[str] = []
    with serving_whole_files(folder) as address:
        camera = Camera(parse_source(f"{address}/live.m3u8"), Backlog(100), warn=warnings.append)
        camera.begin()
        camera.start()
        until(lambda: camera.counts.frames > 0, 20)
        yield camera, warnings
        camera.stop()


def test_a_list_of_segments_that_ends_while_it_is_watched_is_not_read_again(site):
    with watching(site) as (camera, warnings):
        (site / "ended.m3u8").replace(site / "live.m3u8")
        until(lambda: len(warnings) > 2, 20)
    assert "is a finished recording" in warnings[2]
    assert warnings[2].endswith("trying again in 2 s")
    assert (camera.counts.frames, camera.counts.connections, camera.error) == (25, 1, None)


def test_pictures_of_a_list_of_segments_are_taken_once_where_its_server_was_away(site):
    stamps = []
    with watching(site) as (camera, warnings):
        (site / "live.m3u8").rename(site / "away.m3u8")
        until(lambda: bool(warnings), 20)
        (site / "more.ts").write_bytes(transport_stream(25, first=25, start_s=2))
        with (site / "away.m3u8").open("a") as segments:
            segments.write("#EXTINF:1.0,\nmore.ts\n")
        (site / "away.m3u8").rename(site / "live.m3u8")
        # The decoder holds the last ones.
        until(lambda: camera.counts.frames > 40, 20)
    while (item := camera.backlog.take(0)) != "end":
        stamps += [item.picture.pts] if isinstance(item, Shot) else []
    assert len(set(stamps)) == len(stamps) == camera.counts.frames
    assert camera.counts.repeated == 25


def test_new_pictures_of_an_encoder_that_counts_from_the_same_beginning_are_taken():
    old, new, picture = av.Packet(b"old"), av.Packet(b"new"), av.VideoFrame(16, 16)
    old.pts = new.pts = picture.pts = 1800
    repeats = Repeats()
    repeats.look_at(old)
    repeats.reconnect()
    repeats.look_at(new)
    assert not repeats.take_out(picture)
    repeats.look_at(old)
    assert repeats.take_out(picture)


def test_a_list_of_encrypted_segments_is_read(tmp_path):
    (tmp_path / "key").write_bytes(bytes(range(16)))
    (tmp_path / "key.info").write_text(f"key\n{tmp_path / 'key'}\n")
    options = {"hls_key_info_file": str(tmp_path / "key.info"), "hls_flags": "omit_endlist"}
    write_clip(tmp_path / "live.m3u8", count=25, container_options=options)
    with watching(tmp_path) as (camera, _):
        assert camera.error is None


@pytest.mark.slow
@pytest.mark.slice
def test_a_watch_that_ends_while_the_library_polls_for_segments_ends_at_once_and_whole(site, tiny_model):
    """Python that is taken apart around the thread of the camera may crash."""
    sets = [f"--set={key}={value}" for key, value in {**SMALL, **EASY, "model": tiny_model}.items()]
    script = "from vidconcept.__main__ import main; import atexit; atexit.register(print, 'taken apart'); main()"
    line = [sys.executable, "-c", script, "watch", "--concepts", "scratch,dent", *sets, "--no-skip", "--duration", "3"]
    with serving_whole_files(site) as address:
        done = subprocess.run(
            [*line, "--out", str(site / "out"), f"{address}/live.m3u8"], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["type"] == "run"
    assert not list((site / "out").glob("*.partial*"))
