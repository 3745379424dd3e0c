"""Rates and units of time that no camera has: each film is read with its times, or refused in a sentence."""

import struct

import pytest

from tests.helpers.clips import image_folder, write_clip
from tests.helpers.small_runs import small_run
from vidconcept.errors import InputError, UsageError
from vidconcept.video.probe import examine
from vidconcept.video.reader import read_frames

PICTURE = b"FRAME\n" + bytes(32 * 32 * 3 // 2)


def y4m(path, rate):
    path.write_bytes(b"YUV4MPEG2 W32 H32 %s Ip C420jpeg\n" % rate + PICTURE * 3)
    return path


def avi(path, scale, rate):
    data = bytearray(write_clip(path, count=3, codec="mjpeg", pix_fmt="yuvj420p").path.read_bytes())
    stream, film = data.index(b"strh") + 28, data.index(b"avih") + 8
    data[stream : stream + 8], data[film : film + 4] = struct.pack("<II", scale, rate), bytes(4)
    path.write_bytes(data)
    return path


def mp4(path, box, scale):
    data = bytearray(write_clip(path, count=3).path.read_bytes())
    at = data.index(box) + 16
    data[at : at + 4] = struct.pack(">I", scale)
    path.write_bytes(data)
    return path


def mkv(path, scale):
    data = bytearray(write_clip(path, count=3).path.read_bytes())
    at = data.index(b"\x2a\xd7\xb1") + 4
    data[at : at + 3] = struct.pack(">I", scale)[1:]
    path.write_bytes(data)
    return path


FILMS = {
    **{f"y4m {rate}": (y4m, rate) for rate in (b"F25:0", b"F0:1", b"F0:0", b"F-1:1", b"F2147483647:1", b"")},
    "y4m slow": (y4m, b"F1:2147483647"),
    **{f"avi {unit}": (avi, *unit) for unit in ((0, 25), (1, 0), (0, 0), (2**32 - 1, 1), (1, 2**32 - 1))},
    **{f"mp4 {scale}": (mp4, b"mdhd", scale) for scale in (0, 1, 2**32 - 1)},
    **{f"mkv {scale}": (mkv, scale) for scale in (0, 1, 2**24 - 1)},
}


@pytest.mark.parametrize("name", FILMS)
def test_a_film(tmp_path, name):
    write, *values = FILMS[name]
    path = write(tmp_path / f"a.{name[:3]}", *values)
    try:
        found = examine(path, decode=True)
    except InputError as error:
        said = str(error)
        assert said.startswith(str(path))
        return
    assert found.info.time_base > 0
    times_s = [frame.time_s for frame in read_frames(path, on_problem=lambda problem: None)]
    assert times_s == sorted(set(times_s))


@pytest.mark.parametrize("rate", [b"F1:86400", b"F2147483647:1"])
def test_a_run(tmp_path, tiny_model, rate):
    run = small_run(y4m(tmp_path / "a.y4m", rate), tiny_model, tmp_path / "run")
    assert run.manifest["frames"] == 3


@pytest.mark.parametrize("fps", [1e-320, 1e-9, 4e-6, 1e5, float("inf"), float("nan")])
def test_a_rate_that_is_asked_for(tmp_path, fps):
    with pytest.raises(UsageError, match="is not a frame rate"):
        examine(image_folder(tmp_path / "images").path, fps)
