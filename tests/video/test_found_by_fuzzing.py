"""What `make fuzz` found in videos, each made small again."""

from pathlib import Path

import pytest

from tests.helpers.clips import write_clip
from vidconcept.errors import InputError
from vidconcept.video.probe import examine


def test_a_stream_of_a_kind_that_nothing_decodes(tmp_path: Path):
    path = write_clip(tmp_path / "a.avi", count=3, codec="mjpeg", pix_fmt="yuvj420p").path
    path.write_bytes(path.read_bytes().replace(b"MJPG", b"ZZZZ"))
    with pytest.raises(InputError, match="no decoder here for its video stream"):
        examine(path)
