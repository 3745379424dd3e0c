"""Cameras of one's own."""

import os

import pytest

from tests.helpers.clips import write_clip


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "camera.fifo"
    os.mkfifo(path)
    return path


@pytest.fixture
def site(tmp_path):
    """A web server's folder: a finished film, and lists of it as the only segment, one live and one that has ended."""
    write_clip(tmp_path / "film.ts", count=25)
    segments = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\nfilm.ts\n"
    (tmp_path / "live.m3u8").write_text(segments)
    (tmp_path / "ended.m3u8").write_text(f"{segments}#EXT-X-ENDLIST\n")
    return tmp_path
