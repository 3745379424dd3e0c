"""What was filmed is what is read: side data, several streams, filters, guessed times."""

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.helpers.clips import FRAMES, NTSC, image_folder, paint, write_clip
from tests.helpers.footage import hdr_film, raw_stream, two_streams
from tests.helpers.reading import numbers, read, remarks_about
from vidconcept.errors import UsageError, VidconceptError
from vidconcept.video.colour import RgbConverter
from vidconcept.video.orientation import orientation
from vidconcept.video.probe import examine, probe
from vidconcept.video.reading import Reading


class TestSideData:
    @pytest.mark.parametrize("tag", range(1, 9))
    def test_pictures_with_exif_are_upright(self, tag, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = tag
        path = tmp_path / "photo.jpg"
        Image.fromarray(paint(5)).save(path, exif=exif, quality=95)
        upright = np.asarray(ImageOps.exif_transpose(Image.open(path)))
        (frame,) = read(path)
        assert np.abs(frame.image.astype(int) - upright).mean() < 2
        with av.open(str(path)) as container:
            stored = next(container.decode(video=0))
        by_libav, _ = RgbConverter(orientation(stored))(stored)
        assert np.abs(by_libav.astype(int) - upright).mean() < 2

    def test_a_film_of_exif_pictures_is_read(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 1
        with av.open(str(tmp_path / "film.avi"), "w") as out:
            stream = out.add_stream("mjpeg", rate=25)
            stream.width, stream.height, stream.pix_fmt = 192, 128, "yuvj420p"
            for number in range(4):
                Image.fromarray(paint(number)).save(tmp_path / "one.jpg", exif=exif, quality=95)
                packet = av.Packet((tmp_path / "one.jpg").read_bytes())
                packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, number, number, True
                out.mux(packet)
        assert numbers(read(tmp_path / "film.avi")) == [0, 1, 2, 3]

    @pytest.mark.parametrize("name", ["page.tif", "photo.jpg", "plain.png", "flat.bmp", "web.webp"])
    def test_one_image_is_a_video_of_one_frame(self, name, tmp_path):
        Image.fromarray(paint(7)).save(tmp_path / name)
        assert numbers(read(tmp_path / name)) == [7]
        assert probe(tmp_path / name).declared_frames == 1


class TestStreams:
    @pytest.mark.parametrize(("name", "default"), [("a.mkv", None), ("a.ts", None), ("a.mkv", 1), ("a.mp4", 1)])
    def test_the_film_is_read_not_the_preview(self, name, default, tmp_path):
        film = two_streams(tmp_path / name, default)
        assert numbers(read(film)) == [0, 1, 2, 3]
        assert "number 1 is read" in remarks_about(film, "streams")
        assert (probe(film).width_px, probe(film).stream) == (192, 1)

    def test_the_flag_goes_before_the_size(self, tmp_path):
        film = two_streams(tmp_path / "a.mkv", 0)
        assert numbers(read(film))[0] == 100
        assert "flagged as the default" in remarks_about(film, "streams")

    def test_another_stream_on_request(self, tmp_path):
        film = two_streams(tmp_path / "a.mkv", 1)
        assert numbers(read(film, reading=Reading(stream=0))) == [100, 101, 102, 103]
        assert examine(film, reading=Reading(stream=0)).frames == 4
        with pytest.raises(UsageError, match="one of: 0: 96x64 h264, 1: 192x128 h264"):
            read(film, reading=Reading(stream=7))

    def test_one_stream_is_no_remark(self, tmp_path):
        assert remarks_about(write_clip(tmp_path / "a.mp4", count=FRAMES).path, "streams") == ""


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("https://example.org/a/film.mp4", "https://example.org/a/film.mp4 is an address"),
        ("rtsp://camera/1", "Next: vidconcept watch rtsp://camera/1 where it is live; else fetch it first"),
        ("file:///home/me/a.mp4", "pass the path alone, /home/me/a.mp4"),
        ("-", "Next: vidconcept watch - where it is live; else save it as a file"),
        ("/dev/null", "is a device.*Next: vidconcept watch /dev/null"),
    ],
)
def test_what_is_no_file_is_called_what_it_is(source, words):
    for look in (read, examine, probe):
        with pytest.raises(VidconceptError, match=words) as caught:
            look(source)
        assert caught.value.exit_code == 4


def test_a_folder_of_videos_is_no_sequence_of_its_one_picture(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_clip(tmp_path / name, count=2)
    Image.fromarray(paint(0)).save(tmp_path / "cover.jpg")
    with pytest.raises(VidconceptError, match="folder of 2 videos"):
        read(tmp_path, fps=25)


class TestFilters:
    @pytest.mark.slow
    def test_hdr_on_request_comes_out_with_contrast(self, tmp_path):
        film = hdr_film(tmp_path / "hdr.mp4")
        assert "Next: `tone_map`" in remarks_about(film, "colour")
        flat, mapped = read(film), read(film, reading=Reading(tone_map=True))
        assert numbers(mapped) == list(range(5))
        assert [frame.pts for frame in mapped] == [frame.pts for frame in flat]
        red = paint(0)[:, :, 0].astype(int) - paint(0)[:, :, 2] > 100
        chroma = [int(np.ptp(frames[0].image[red].mean(axis=0))) for frames in (flat, mapped)]
        assert chroma[1] > 1.4 * chroma[0]
        assert mapped[0].image.min() < flat[0].image.min()
        with pytest.raises(UsageError, match="leave `tone_map` out"):
            read(write_clip(tmp_path / "a.mp4", count=2).path, reading=Reading(tone_map=True))

    def test_two_moments_in_a_picture_become_one(self, tmp_path):
        """Even rows show one place of an edge, odd rows another: combs, until they are taken apart."""
        path = tmp_path / "combs.mkv"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p"
            for number in range(8):
                image = np.full((128, 192, 3), 40, np.uint8)
                image[0::2, : 60 + 8 * number] = 200
                image[1::2, : 64 + 8 * number] = 200
                frame = av.VideoFrame.from_ndarray(image).reformat(format="yuv420p", dst_colorspace="itu601")
                frame.pts = number
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))

        def combs(frames):
            return np.mean([np.abs(np.diff(frame.image[:, :, 0].astype(int), axis=0)).mean() for frame in frames])

        woven, parted = read(path), read(path, reading=Reading(deinterlace=True))
        assert [frame.time_s for frame in parted] == [frame.time_s for frame in woven]
        assert combs(parted) < combs(woven) / 4

    def test_interlaced_footage_is_said_and_can_be_mended(self, tmp_path):
        options = {"x264-params": "tff=1:interlaced=1", "bf": "0"}
        film = write_clip(tmp_path / "a.mp4", options=options).path
        assert "Next: `deinterlace`" in remarks_about(film, "interlaced")
        assert "as asked" in remarks_about(film, "interlaced", deinterlace=True)

    def test_filters_are_not_for_images(self, tmp_path):
        Image.fromarray(paint(0)).save(tmp_path / "a.png")
        with pytest.raises(UsageError, match="`deinterlace` is for video files"):
            read(tmp_path / "a.png", reading=Reading(deinterlace=True))


class TestGuessedTimes:
    def test_a_raw_stream_takes_the_given_rate(self, tmp_path):
        raw = raw_stream(tmp_path / "a.h264")
        frames = read(raw, fps=50)
        assert numbers(frames) == list(range(FRAMES))
        assert [frame.time_s for frame in frames] == pytest.approx(np.arange(FRAMES) / 50)
        assert examine(raw, 50).timestamps_trusted
        assert probe(raw, 50).time_base == 1 / Fraction(50)

    def test_without_one_its_times_are_not_trusted(self, tmp_path):
        raw = raw_stream(tmp_path / "a.h264")
        assert numbers(read(raw)) == list(range(FRAMES))
        report = examine(raw)
        assert not report.timestamps_trusted
        assert "Next: give the rate with `fps`" in remarks_about(raw, "timestamps")

    def test_b_frames_in_avi_are_not_trusted(self, tmp_path):
        assert "B-frames" in remarks_about(write_clip(tmp_path / "a.avi", options={"bf": "2"}).path, "timestamps")
        assert remarks_about(write_clip(tmp_path / "b.avi", codec="mjpeg", pix_fmt="yuvj420p").path, "timestamps") == ""

    def test_a_rate_for_what_has_times_is_an_error(self, tmp_path):
        clip = write_clip(tmp_path / "a.mp4", count=3).path
        for look in (read, examine, probe):
            with pytest.raises(UsageError, match="leave `fps` out"):
                look(clip, fps=30)

    def test_the_measured_rate_goes_before_the_declared_one(self, tmp_path):
        with av.open(str(tmp_path / "a.avi"), "w") as out:
            stream = out.add_stream("mjpeg", rate=50)
            stream.width, stream.height, stream.pix_fmt = 192, 128, "yuvj420p"
            for number in range(12):
                frame = av.VideoFrame.from_ndarray(paint(number)).reformat(format="yuvj420p")
                frame.pts = 2 * number
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        report = examine(tmp_path / "a.avi")
        assert report.info.declared_fps == 50
        assert report.rate_fps == pytest.approx(25)

    @pytest.mark.parametrize(
        ("step_ms", "says"), [(40, ""), (50, "declared 25.000 frames per second, measured 20.000;")]
    )
    def test_a_hole_says_nothing_of_the_rate(self, step_ms, says, tmp_path):
        """Ten pictures, a hole of ten seconds, and ten more."""
        stamps_ms = [step_ms * number + 10_000 * (number >= 10) for number in range(20)]
        clip = write_clip(tmp_path / "a.mkv", count=20, stamps_ms=stamps_ms).path
        report, rates = examine(clip), remarks_about(clip, "rate")
        assert report.info.declared_fps == 25
        assert report.rate_fps == pytest.approx(1000 / step_ms)
        assert rates.startswith(says) if says else rates == ""

    def test_pictures_that_are_missing_leave_the_rate_that_was_given(self, tmp_path):
        folder = image_folder(tmp_path / "images").path
        for number in (5, 11):
            (folder / f"part{number}.png").unlink()
        assert examine(folder, 25).rate_fps == 25

    def test_a_rate_that_a_container_rounds_stays_as_declared(self, tmp_path):
        ntsc = write_clip(tmp_path / "a.mkv", rate=NTSC).path
        assert examine(ntsc).rate_fps == pytest.approx(30000 / 1001, rel=1e-4)
