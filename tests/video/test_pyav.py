"""What differs between the versions of PyAV stays inside vidconcept.video."""

from fractions import Fraction

import av

from tests.helpers.clips import paint, write_clip
from tests.helpers.reading import numbers, read
from vidconcept.video.probe import probe


def test_rationals_are_fractions(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", count=3).path
    info = probe(path)
    assert type(info.time_base) is Fraction
    assert type(info.pixel_aspect) is Fraction


def test_tags_that_are_not_utf_8_are_no_obstacle(tmp_path):
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Prüfling"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(paint(number, (320, 240)))))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes().replace("Prüfling".encode(), b"Pr\xfcfling "))
    assert numbers(read(path)) == [0, 1, 2]
