"""What the first pictures do not show: a dark start, woven fields that nothing declares, sizes that change, an end."""

import json

import av
import numpy as np
import pytest
from PIL import Image

from tests.helpers.clips import write_clip
from tests.helpers.small_runs import small_clip, small_run
from vidconcept.pipelines.monitor import Monitor
from vidconcept.video.probe import examine
from vidconcept.video.reader import read_frames

SIZE_PX = (96, 64)


def grey(number: int, white: int) -> np.ndarray:
    """A ramp `(h, w)` uint16 up to `white`, another on each picture."""
    return np.roll(np.linspace(0, white, SIZE_PX[0]).astype(np.uint16)[None].repeat(SIZE_PX[1], 0), number, axis=1)


def write_folder(folder, whites):
    folder.mkdir()
    for number, white in enumerate(whites):
        Image.fromarray(grey(number, white)).save(folder / f"{number:03d}.png")
    return folder


def write_film(path, whites):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        (stream.width, stream.height), stream.pix_fmt = SIZE_PX, "gray16le"
        for number, white in enumerate(whites):
            frame = av.VideoFrame.from_ndarray(grey(number, white), format="gray16le")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def write_woven(path, *, woven, flagged=False, count=16):
    """Smooth texture that moves by 6 pixels a picture; where woven, every second line is of half a picture later."""
    rng = np.random.default_rng(0)
    texture = np.clip(rng.normal(128, 60, (16, 100)), 0, 255).astype(np.uint8)
    wide = np.asarray(Image.fromarray(texture).resize((1600, 144), Image.Resampling.BICUBIC))
    options = {"bf": "0", "crf": "10"} | ({"x264-params": "tff=1:interlaced=1"} if flagged else {})
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 192, 144, "yuv420p"
        for number in range(count):
            luma = wide[:, 6 * number : 6 * number + 192].copy()
            if woven:
                luma[1::2] = wide[1::2, 6 * number + 3 : 6 * number + 195]
            planes = np.concatenate([luma, np.full((72, 192), 128, np.uint8)])
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def write_noisy_rows(path, count=30):
    """A bare surface that stands still, with noise of whole lines as sensors have it."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"bf": "0", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 192, 144, "yuv420p"
        for number in range(count):
            luma = np.clip(128 + rng.normal(0, 3, (144, 1)) + np.zeros((1, 192)), 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.concatenate([luma, np.full((72, 192), 128, np.uint8)]), "yuv420p")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def said(source, about, fps=None):
    return [finding.message for finding in examine(source, fps).findings if finding.about == about]


class TestLevels:
    @pytest.mark.parametrize("write", [write_folder, write_film])
    def test_a_dark_start_does_not_settle_them(self, tmp_path, write):
        source = write(tmp_path / ("film.mkv" if write is write_film else "images"), [90] * 12 + [4000] * 28)
        fps = 25 if write is write_folder else None
        assert examine(source, fps).info.bits == 12
        frames = list(read_frames(source, fps=fps, on_problem=lambda problem: pytest.fail(problem.message)))
        assert frames[-1].image.max() in range(245, 256)
        assert frames[0].image.max() < 10

    def test_a_flash_that_no_look_met_is_said_where_results_are_read(self, tmp_path, tiny_model):
        source = write_folder(tmp_path / "images", [1000] * 9 + [4000] + [1000] * 30)
        warned = []
        run = small_run(source, tiny_model, tmp_path / "run", fps=25, monitor=Monitor(warn=warned.append))
        assert run.manifest["video"]["bits"] == 10
        (remark,) = [remark for remark in run.manifest["remarks"] if "4000" in remark["message"]]
        assert (remark["level"], remark["about"]) == ("warning", "range")
        assert "frame 9" in remark["message"]
        assert "`bits=16`" in remark["message"]
        assert sum("4000" in text for text in warned) == 1
        assert run.manifest["gaps"] == []
        assert "4000" in (run.path / "review.html").read_text("utf-8")

    def test_maps_of_other_levels_are_not_gone_on_with(self, tmp_path, tiny_model):
        source = write_folder(tmp_path / "images", [4000] * 5)
        run = small_run(source, tiny_model, tmp_path / "run", fps=25)
        assert run.manifest["maps_from"]["levels"] == [0, 4095]


class TestInterlaced:
    def test_what_is_woven_is_said_to_be_whatever_the_file_says(self, tmp_path):
        (text,) = said(write_woven(tmp_path / "a.mp4", woven=True), "interlaced")
        assert "interlaced, though the file does not say so" in text
        assert "Next: `deinterlace`" in text
        (text,) = said(write_woven(tmp_path / "b.mp4", woven=True, flagged=True), "interlaced")
        assert "does not say so" not in text

    def test_what_is_not_is_not(self, tmp_path):
        assert said(write_woven(tmp_path / "a.mp4", woven=False), "interlaced") == []
        assert said(write_clip(tmp_path / "b.mp4", count=30).path, "interlaced") == []
        assert said(write_noisy_rows(tmp_path / "c.mp4"), "interlaced") == []


class TestSizes:
    def test_a_change_is_remarked_by_probe_and_by_a_run(self, tmp_path, tiny_model):
        film = tmp_path / "a.ts"
        parts = [write_clip(tmp_path / f"{width}.ts", count=30, size_px=(width, 64)).path for width in (96, 128)]
        film.write_bytes(b"".join(part.read_bytes() for part in parts))
        assert "96x64 and 128x64" in said(film, "size")[0]
        run = small_run(film, tiny_model, tmp_path / "run")
        assert "is 128x64 here and 96x64 at the start" in json.dumps(run.manifest["remarks"])
        assert all(gap["kind"] != "size-change" for gap in run.manifest["gaps"])


@pytest.mark.parametrize("suffix", ["avi", "ts"])
def test_a_cut_off_end_is_said_once(tmp_path, tiny_model, suffix):
    film = small_clip(tmp_path / f"a.{suffix}", count=20)
    film.write_bytes(film.read_bytes()[:-300])
    warned = []
    run = small_run(film, tiny_model, tmp_path / "run", monitor=Monitor(warn=warned.append))
    assert sum("was cut off" in text for text in warned) == 1, warned
    assert "was cut off" in json.dumps(run.manifest["remarks"])
    assert sum("was cut off" in finding.message for finding in examine(film, decode=True).findings) == 1
