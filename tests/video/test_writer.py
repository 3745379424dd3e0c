"""The writer keeps the source's frames, times and sound, and never leaves a half-written file under its final name."""

import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.helpers.clips import GOOD, paint, read_barcode
from tests.helpers.reading import read
from tests.helpers.writing import copy, info_of
from vidconcept.errors import OutputError
from vidconcept.video.probe import examine, probe
from vidconcept.video.writer import VideoWriter, find_longest_step_s, open_writer

# The container does the timing, so the second codec needs fewer trials.
VP9_TRIALS = ("vfr_mp4", "ntsc", "odd_size", "with_audio", "one_frame")


@pytest.mark.parametrize(
    ("name", "codec"), [*((name, "h264") for name in GOOD), *((name, "libvpx-vp9") for name in VP9_TRIALS)]
)
def test_every_format_keeps_its_frames_and_times(name, codec, tmp_path):
    truth = GOOD[name](tmp_path)
    out = tmp_path / "annotated.mp4"
    frames = copy(truth.path, out, fps=truth.fps, codec=codec)
    written = read(out)
    assert [f.time_s for f in written] == pytest.approx([f.time_s for f in frames], abs=1e-9)
    if not truth.damaged:
        assert [read_barcode(f.image) for f in written] == list(range(truth.frame_count))
    width, height = truth.size_px
    assert written[0].image.shape == (height + height % 2, width + width % 2, 3)
    assert [p.name for p in tmp_path.glob("annotated*")] == ["annotated.mp4"]


@pytest.mark.parametrize("time_base", [Fraction(1, 25), Fraction(1, 1000), Fraction(1, 90_000), Fraction(1, 1_000_000)])
@pytest.mark.parametrize("codec", ["h264", "libvpx-vp9"])
def test_a_hole_that_mp4_can_hold_is_kept_and_a_longer_one_is_shortened(time_base, codec, tmp_path):
    step, years = round(Fraction(1, 25) / time_base), round(3 * 365 * 86_400 / time_base)
    longest = int(find_longest_step_s(time_base) / time_base)
    stamps = np.cumsum([7, step, longest, step, longest + 1, step, years, step]).tolist()
    out = tmp_path / "annotated.mp4"
    with open_writer(out, info_of(time_base=time_base), codec=codec) as video:
        for number, pts in enumerate(stamps):
            video.write(paint(number, (192, 128)), pts)
    shown = [frame.time_s for frame in read(out)]
    tick_s = float(time_base)
    long_s = longest * tick_s
    assert np.diff(shown) == pytest.approx([0.04, long_s, 0.04, 1, 0.04, 1, 0.04], abs=tick_s)
    assert video.skips == [(4, pytest.approx((longest + 1) * tick_s - 1)), (6, pytest.approx(years * tick_s - 1))]


def test_sound_is_left_out_of_a_film_in_which_a_hole_is_shortened(tmp_path):
    source, problems = GOOD["with_audio"](tmp_path), []
    out = tmp_path / "annotated.mp4"
    with open_writer(out, info_of(), audio_from=source.path, on_problem=problems.append) as video:
        for number, pts in enumerate((0, 1, 10**11)):
            video.write(paint(number, (192, 128)), pts)
    assert [problem.kind for problem in problems] == ["audio-dropped"]
    with av.open(str(out)) as container:
        assert not container.streams.audio
    assert len(read(out)) == 3


def test_pixels_that_are_not_square_stay_so(tmp_path):
    source, out = tmp_path / "dv.mp4", tmp_path / "annotated.mp4"
    info = replace(info_of(), pixel_aspect=Fraction(4, 3))
    with open_writer(source, info) as video:
        for pts in range(3):
            video.write(np.full((128, 192, 3), 90, np.uint8), pts)
    assert probe(source).pixel_aspect == Fraction(4, 3)
    copy(source, out)
    with av.open(str(out)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
    assert any("pixels of 4:3" in finding.message for finding in examine(source).findings)


def test_the_file_is_what_a_browser_plays(tmp_path):
    """H.264 4:2:0 8 bit, BT.709 tagged, no B-frames, the index before the data."""
    out = tmp_path / "annotated.mp4"
    copy(GOOD["h264_10bit"](tmp_path).path, out)
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert all(packet.pts == packet.dts for packet in packets)
    with av.open(str(out)) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries) == (1, 1, 1, 1)
    data = out.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_each_frame_is_shown_as_long_as_in_the_source(tmp_path):
    out = tmp_path / "annotated.mp4"
    truth = GOOD["vfr_mp4"](tmp_path)
    copy(truth.path, out)
    with av.open(str(out)) as container:
        durations = [float(p.duration * p.time_base) for p in container.demux(video=0) if p.size]
    # How long the last one is shown, the source does not say: as long as the one before.
    steps = np.diff(truth.times_s).tolist()
    assert durations == pytest.approx([*steps, steps[-1]])


def test_colours_come_back(tmp_path):
    patches = np.array([[220, 30, 40], [30, 200, 60], [40, 60, 210], [200, 130, 60]], np.uint8)
    image = np.repeat(np.repeat(patches.reshape(2, 2, 3), 64, 0), 96, 1)
    out = tmp_path / "colour.mp4"
    with open_writer(out, info_of()) as writer:
        writer.write(image, 0)
    back = read(out)[0].image
    assert np.abs(back[[32, 32, 96, 96], [48, 144, 48, 144]].astype(int) - patches).max() <= 5


def test_pictures_of_another_size_than_the_source(tmp_path):
    out = tmp_path / "wide.mp4"
    with open_writer(out, info_of(), size=(321, 99)) as writer:
        writer.write(paint(5, (321, 99)), 0)
        with pytest.raises(ValueError, match="this writer takes"):
            writer.write(paint(6), 1)
    assert [read_barcode(frame.image) for frame in read(out)] == [5]


def test_a_time_base_too_fine_for_mp4_keeps_time_to_the_microsecond(tmp_path):
    out = tmp_path / "fine.mp4"
    stamps = [0, 40_000_123, 5_000_000_000, 5_040_000_000]
    with open_writer(out, info_of(time_base=Fraction(1, 10**9))) as writer:
        for number, pts in enumerate(stamps):
            writer.write(paint(number), pts)
    assert [frame.time_s for frame in read(out)] == pytest.approx([s / 1e9 for s in stamps], abs=1.2e-5)


def test_pictures_within_one_tick_follow_one_another(tmp_path):
    out = tmp_path / "fast.mp4"
    with open_writer(out, info_of(time_base=Fraction(1, 10**9))) as writer:
        for number in range(4):
            writer.write(paint(number), number)
    frames = read(out)
    assert [read_barcode(frame.image) for frame in frames] == list(range(4))
    assert [frame.time_s for frame in frames] == pytest.approx(np.arange(4) / 90_000)


def partial_of(out: Path) -> Path:
    """The file that `out` was growing in."""
    (found,) = out.parent.glob(f".{out.stem}.*.partial.mp4")
    return found


class TestNothingHalfWritten:
    """The final name holds a whole file or what it held before."""

    def test_an_exception_keeps_the_old_file_and_what_was_encoded(self, tmp_path):
        out = tmp_path / "annotated.mp4"
        out.write_bytes(b"old")
        with pytest.raises(KeyboardInterrupt):
            write_and_interrupt(out)
        assert out.read_bytes() == b"old"
        assert [read_barcode(f.image) for f in read(partial_of(out))] == list(range(60))

    @pytest.mark.parametrize("before", [True, False])
    def test_an_interrupt_while_a_picture_is_encoded_is_what_comes_out(self, tmp_path, monkeypatch, before):
        encode = VideoWriter._encode

        def interrupt(writer, frame, ticks, duration):
            monkeypatch.undo()
            if not before:
                encode(writer, frame, ticks, duration)
            raise KeyboardInterrupt

        def write() -> None:
            with open_writer(out, info_of()) as video:
                for number in range(60):
                    if number == 50:
                        monkeypatch.setattr(VideoWriter, "_encode", interrupt)
                    video.write(paint(number), number)

        out = tmp_path / "annotated.mp4"
        with pytest.raises(KeyboardInterrupt):
            write()
        assert [read_barcode(f.image) for f in read(partial_of(out))] == list(range(49 if before else 50))

    def test_a_killed_run_leaves_a_playable_part(self, tmp_path):
        script = """
            import os, sys
            sys.path.insert(0, sys.argv[2])
            from tests.helpers.writing import info_of, open_writer, paint
            with open_writer(sys.argv[1], info_of()) as writer:
                for number in range(150):
                    writer.write(paint(number), number)
                os.kill(os.getpid(), 9)
        """
        out = tmp_path / "annotated.mp4"
        run_child(script, out)
        assert not out.exists()
        numbers = [read_barcode(f.image) for f in read(partial_of(out))]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= 50

    def test_no_frame_at_all_is_an_error(self, tmp_path):
        with pytest.raises(OutputError, match="no frame"), open_writer(tmp_path / "a.mp4", info_of()):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_timestamps_that_do_not_rise_are_refused(self, tmp_path):
        with open_writer(tmp_path / "a.mp4", info_of()) as writer:
            writer.write(paint(0), 5)
            with pytest.raises(ValueError, match="must rise"):
                writer.write(paint(1), 5)

    def test_a_folder_that_does_not_exist_or_stands_in_the_way(self, tmp_path):
        (tmp_path / "taken.mp4").mkdir()
        for path, words in [(tmp_path / "no" / "a.mp4", "does not exist"), (tmp_path / "taken.mp4", "folder has that")]:
            with pytest.raises(OutputError, match=words), open_writer(path, info_of()):
                pass

    @pytest.mark.skipif(not hasattr(os, "setuid"), reason="needs user ids")
    def test_a_folder_without_write_permission(self, tmp_path):
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(0o755)
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o555)
        result = run_child(WRITE_AS_NOBODY, closed / "annotated.mp4")
        assert "no permission to write there. Next: choose another folder with `out`" in result.stdout
        assert list(closed.iterdir()) == []

    @pytest.mark.skipif(sys.platform != "linux", reason="uses RLIMIT_FSIZE")
    @pytest.mark.parametrize("limit_frac", [0.3, 0.9, 0.995])
    def test_a_file_size_limit(self, limit_frac, tmp_path):
        """Stands for a full disk; near the end it is the final remux that fails."""
        whole = tmp_path / "whole.mp4"
        write_noise(whole, 40)
        out = tmp_path / "small" / "annotated.mp4"
        out.parent.mkdir()
        result = run_child(WRITE_WITH_LIMIT, out, int(whole.stat().st_size * limit_frac))
        assert "OutputError: cannot write" in result.stdout, result.stdout + result.stderr
        assert not out.exists()
        assert not (out.parent / "annotated.remux.mp4").exists()

    @pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small disk")
    @pytest.mark.parametrize("room_frac", [0.4, 1.5])
    def test_a_full_disk(self, room_frac, tmp_path):
        whole = tmp_path / "whole.mp4"
        write_noise(whole, 40)
        disk = tmp_path / "disk"
        disk.mkdir()
        room = int(whole.stat().st_size * room_frac)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "none", str(disk)], check=False).returncode:
            pytest.skip("no right to mount")
        try:
            with pytest.raises(OutputError, match=r"the disk is full\. Next: free some space"):
                write_noise(disk / "annotated.mp4", 40)
            assert list(disk.iterdir()) == [partial_of(disk / "annotated.mp4")]
        finally:
            subprocess.run(["umount", str(disk)], check=True)


def write_and_interrupt(path):
    with open_writer(path, info_of()) as writer:
        for number in range(60):
            writer.write(paint(number), number)
        raise KeyboardInterrupt


def write_noise(path, count):
    """Pictures that do not compress."""
    rng = np.random.default_rng(0)
    with open_writer(path, info_of()) as writer:
        for number in range(count):
            writer.write(rng.integers(0, 256, (128, 192, 3), np.uint8), number)


WRITE_AS_NOBODY = """
    import os, sys
    sys.path.insert(0, sys.argv[2])
    from tests.video.test_writer import OutputError, info_of, open_writer, paint
    if os.geteuid() == 0:
        os.setgid(65534), os.setuid(65534)
    try:
        with open_writer(sys.argv[1], info_of()) as writer:
            writer.write(paint(0), 0)
    except OutputError as error:
        print("OutputError:", error)
"""

WRITE_WITH_LIMIT = """
    import resource, sys
    sys.path.insert(0, sys.argv[2])
    from tests.video.test_writer import OutputError, write_noise
    from pathlib import Path
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
    try:
        write_noise(Path(sys.argv[1]), 40)
    except OutputError as error:
        print("OutputError:", error)
"""


def run_child(script, out, *arguments):
    command = [sys.executable, "-B", "-c", textwrap.dedent(script), str(out), str(Path(__file__).parents[2])]
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=out.parent.parent
    )
