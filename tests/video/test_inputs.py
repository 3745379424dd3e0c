"""What was filmed is what is read: deep pictures, several pictures in a file, several streams, side data."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps, TiffImagePlugin

from tests.helpers.clips import FRAMES, NTSC, paint, read_barcode, write_clip
from tests.helpers.footage import deep, deep_film, deep_folder, hdr_film, two_streams
from tests.helpers.reading import numbers, read
from vidconcept.errors import UsageError, VidconceptError
from vidconcept.video.colour import RgbConverter
from vidconcept.video.levels import Levels
from vidconcept.video.orientation import orientation
from vidconcept.video.probe import examine, probe
from vidconcept.video.reading import Reading


def said(source, *abouts, fps=None, **reading):
    report = examine(source, fps, reading=Reading(**reading))
    return " | ".join(finding.message for finding in report.remarks if finding.about in abouts)


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


class TestDepth:
    @pytest.mark.parametrize("bits", [10, 12, 14, 16])
    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_images_of_any_depth_keep_their_contrast(self, suffix, bits, tmp_path):
        folder = deep_folder(tmp_path / "lot", suffix, bits)
        frames = read(folder, fps=25)
        assert numbers(frames) == [0, 1, 2]
        assert np.abs(frames[1].image.astype(int) - paint(1)[:, :, :1]).max() <= 2
        assert probe(folder, 25).bits == bits
        assert f"0 to {2**bits - 1} ({bits} bits)" in said(folder, "depth", fps=25)

    @pytest.mark.parametrize("bits", [10, 12, 16])
    def test_films_of_any_depth_keep_their_contrast(self, bits, tmp_path):
        film = deep_film(tmp_path / "film.mkv", bits)
        frames = read(film)
        assert numbers(frames) == list(range(12))
        assert np.abs(frames[3].image.astype(int) - paint(3)[:, :, :1]).max() <= 2
        assert (probe(film).bits, probe(film).levels) == (bits, (0, 2**bits - 1))

    def test_colour_of_sixteen_bits(self, tmp_path):
        cv2.imwrite(str(tmp_path / "a.png"), paint(9)[:, :, ::-1].astype(np.uint16) << 4)
        (frame,) = read(tmp_path / "a.png")
        assert np.abs(frame.image.astype(int) - paint(9)).max() <= 2

    def test_one_scale_serves_for_all(self, tmp_path):
        folder = deep_folder(tmp_path / "lot", ".png", 12, count=30)
        # Every second one is looked at from here on.
        Image.fromarray(deep(1, 16)).save(folder / "9.png")
        problems = []
        frames = read(folder, problems, fps=25)
        assert np.array_equal(frames[1].image, read(folder / "1.png", reading=Reading(bits=12))[0].image)
        (problem,) = [p for p in problems if p.kind == "over-range"]
        assert "4095 is white" in problem.message

    def test_given_bits_are_taken(self, tmp_path):
        folder = deep_folder(tmp_path / "lot", ".png", 10)
        dark = read(folder, fps=25, reading=Reading(bits=16))
        assert max(frame.image.max() for frame in dark) < 8
        assert "only levels" in said(folder, "range", fps=25, bits=16)
        assert said(folder, "range", fps=25) == ""

    def test_levels_that_probe_found_are_used_as_they_are(self, tmp_path):
        folder = deep_folder(tmp_path / "lot", ".png", 12)
        bright = read(folder, fps=25, reading=Reading(levels=Levels(0, 2**11 - 1, None)))
        assert (bright[0].image == 255).any()

    @pytest.mark.parametrize(("top", "white"), [(1.0, 1), (255.0, 255), (4095.0, 4095)])
    def test_fractions_reach_to_a_usual_white(self, top, white, tmp_path):
        Image.fromarray(paint(3)[:, :, 0].astype(np.float32) / 255 * top).save(tmp_path / "a.tif")
        (frame,) = read(tmp_path / "a.tif")
        assert np.abs(frame.image.astype(int) - paint(3)[:, :, :1]).max() <= 1
        assert probe(tmp_path / "a.tif").levels == (0, white)

    def test_fractions_below_zero_and_no_numbers(self, tmp_path):
        values = paint(3)[:, :, 0].astype(np.float32) - 300
        values[0, 0] = np.nan
        Image.fromarray(values).save(tmp_path / "a.tif")
        (frame,) = read(tmp_path / "a.tif")
        assert read_barcode(frame.image) == 3
        assert frame.image[0, 0, 0] == 0

    def test_bits_of_what_has_eight_is_an_error(self, tmp_path):
        clip = write_clip(tmp_path / "a.mp4", count=2)
        with pytest.raises(UsageError, match="leave `bits` out"):
            read(clip.path, reading=Reading(bits=12))
        Image.fromarray(paint(0)).save(tmp_path / "a.png")
        with pytest.raises(UsageError, match="leave `bits` out"):
            read(tmp_path / "a.png", reading=Reading(bits=12))


ANIMATIONS = {
    "stack.tif": {"compression": "tiff_lzw"},
    "anim.webp": {"lossless": True, "duration": 40},
    "anim.png": {"duration": 40},
    "anim.gif": {"duration": 40},
}


def animated(path: Path, count: int = 5) -> Path:
    pictures = [Image.fromarray(paint(number)) for number in range(count)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **ANIMATIONS[path.name])
    return path


class TestFarApart:
    @pytest.mark.parametrize("last", ["1000000000", "9" * 200])
    def test_numbers_that_count_no_frames(self, tmp_path, last):
        for name in ("1", "2", "3", "4", "5", last):
            Image.fromarray(paint(1)).save(tmp_path / f"{name}.png")
        assert "count no frames: time is their order" in said(tmp_path, "names", fps=25)
        assert [frame.pts for frame in read(tmp_path, fps=25)] == list(range(6))


class TestPages:
    @pytest.mark.parametrize("name", ANIMATIONS)
    def test_a_folder_of_them_gives_every_page(self, name, tmp_path):
        folder = tmp_path / "lot"
        folder.mkdir()
        animated(folder / name)
        frames = read(folder, fps=10)
        assert numbers(frames) == list(range(5))
        assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
        assert frames[2].name == f"{name}#3"
        assert examine(folder, 10).frames == 5

    @pytest.mark.parametrize("name", [name for name in ANIMATIONS if name != "stack.tif"])
    def test_an_animation_keeps_its_times(self, name, tmp_path):
        frames = read(animated(tmp_path / name))
        assert numbers(frames) == list(range(5))
        assert [frame.time_s for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])
        with pytest.raises(UsageError, match="leave `fps` out"):
            read(tmp_path / name, fps=10)

    def test_a_stack_of_pages_needs_a_rate(self, tmp_path):
        stack = animated(tmp_path / "stack.tif")
        with pytest.raises(UsageError, match="`fps="):
            read(stack)
        assert numbers(read(stack, fps=10)) == list(range(5))

    def test_a_deep_stack_has_one_scale(self, tmp_path):
        pages = [Image.fromarray(deep(number, 12)) for number in range(20)]
        pages[0].save(tmp_path / "deep.tif", save_all=True, append_images=pages[1:])
        assert numbers(read(tmp_path / "deep.tif", fps=10)) == list(range(20))
        assert probe(tmp_path / "deep.tif", 10).bits == 12

    def test_a_small_copy_of_a_page_is_no_frame(self, tmp_path):
        pages = [Image.fromarray(paint(number)) for number in range(3)]
        small = TiffImagePlugin.ImageFileDirectory_v2()
        small[254] = 1
        pages[1].encoderinfo = {"tiffinfo": small}
        pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
        assert numbers(read(tmp_path / "a.tif", fps=10)) == [0, 2]


class TestStreams:
    @pytest.mark.parametrize(("name", "default"), [("a.mkv", None), ("a.ts", None), ("a.mkv", 1), ("a.mp4", 1)])
    def test_the_film_is_read_not_the_preview(self, name, default, tmp_path):
        film = two_streams(tmp_path / name, default)
        assert numbers(read(film)) == [0, 1, 2, 3]
        assert "number 1 is read" in said(film, "streams")
        assert (probe(film).width_px, probe(film).stream) == (192, 1)

    def test_the_flag_goes_before_the_size(self, tmp_path):
        film = two_streams(tmp_path / "a.mkv", 0)
        assert numbers(read(film))[0] == 100
        assert "flagged as the default" in said(film, "streams")

    def test_another_stream_on_request(self, tmp_path):
        film = two_streams(tmp_path / "a.mkv", 1)
        assert numbers(read(film, reading=Reading(stream=0))) == [100, 101, 102, 103]
        assert examine(film, reading=Reading(stream=0)).frames == 4
        with pytest.raises(UsageError, match="one of: 0: 96x64 h264, 1: 192x128 h264"):
            read(film, reading=Reading(stream=7))

    def test_one_stream_is_no_remark(self, tmp_path):
        assert said(write_clip(tmp_path / "a.mp4", count=FRAMES).path, "streams") == ""


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
        assert "Next: `tone_map`" in said(film, "colour")
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
        assert "Next: `deinterlace`" in said(film, "interlaced")
        assert "as asked" in said(film, "interlaced", deinterlace=True)

    def test_filters_are_not_for_images(self, tmp_path):
        Image.fromarray(paint(0)).save(tmp_path / "a.png")
        with pytest.raises(UsageError, match="`deinterlace` is for video files"):
            read(tmp_path / "a.png", reading=Reading(deinterlace=True))


class TestGuessedTimes:
    def raw(self, path):
        """The packets of a clip with B-frames, without their container."""
        clip = write_clip(path.with_suffix(".mp4"), options={"bf": "2"}).path
        with av.open(str(clip)) as source, av.open(str(path), "w", format="h264") as out:
            stream = out.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
        return path

    def test_a_raw_stream_takes_the_given_rate(self, tmp_path):
        raw = self.raw(tmp_path / "a.h264")
        frames = read(raw, fps=50)
        assert numbers(frames) == list(range(FRAMES))
        assert [frame.time_s for frame in frames] == pytest.approx(np.arange(FRAMES) / 50)
        assert examine(raw, 50).timestamps_trusted
        assert probe(raw, 50).time_base == 1 / Fraction(50)

    def test_without_one_its_times_are_not_trusted(self, tmp_path):
        raw = self.raw(tmp_path / "a.h264")
        assert numbers(read(raw)) == list(range(FRAMES))
        report = examine(raw)
        assert not report.timestamps_trusted
        assert "Next: give the rate with `fps`" in said(raw, "timestamps")

    def test_b_frames_in_avi_are_not_trusted(self, tmp_path):
        assert "B-frames" in said(write_clip(tmp_path / "a.avi", options={"bf": "2"}).path, "timestamps")
        assert said(write_clip(tmp_path / "b.avi", codec="mjpeg", pix_fmt="yuvj420p").path, "timestamps") == ""

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

    def test_a_rate_that_a_container_rounds_stays_as_declared(self, tmp_path):
        ntsc = write_clip(tmp_path / "a.mkv", rate=NTSC).path
        assert examine(ntsc).rate_fps == pytest.approx(30000 / 1001, rel=1e-4)
