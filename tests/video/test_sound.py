"""Sound: kept in step with the pictures, as it is where MP4 can hold it."""

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from tests.helpers.clips import paint, write_clip
from tests.helpers.reading import read
from tests.helpers.writing import copy, info_of
from vidconcept.video import remux
from vidconcept.video.writer import open_writer


def loudness(path):
    """Time (s, of the pictures' clock) of every decoded piece of sound, and its level."""
    with av.open(str(path)) as container:
        return [(frame.time, float(np.abs(frame.to_ndarray()).mean())) for frame in container.decode(audio=0)]


def write_quiet_then_loud(path, coded, starts_s=0, pictures_after_s=0):
    with av.open(str(path), "w", options={"output_ts_offset": str(starts_s)}) as container:
        pictures = container.add_stream("libx264", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 192, 128, "yuv420p"
        sound = container.add_stream(coded, rate=48_000, layout="mono")
        wave = np.sin(np.arange(96_000) * 2 * np.pi * 440 / 48_000) * 16_000 * (np.arange(96_000) >= 48_000)
        for first in range(0, 96_000, 1024):
            piece = av.AudioFrame.from_ndarray(wave[None, first : first + 1024].astype(np.int16), "s16", "mono")
            piece.sample_rate, piece.pts, piece.time_base = 48_000, first, Fraction(1, 48_000)
            container.mux(sound.encode(piece))
        container.mux(sound.encode(None))
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(paint(number), format="rgb24")
            frame.pts, frame.time_base = number + 25 * pictures_after_s, Fraction(1, 25)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))


class TestSound:
    @pytest.mark.parametrize(
        ("suffix", "coded", "expected"),
        [
            (".mp4", "aac", "aac"),
            (".ts", "aac", "aac"),
            (".mkv", "libopus", "opus"),
            (".mkv", "flac", "flac"),
            (".mkv", "pcm_s16le", "aac"),
            (".mkv", "mp2", "aac"),
        ],
    )
    def test_codecs(self, suffix, coded, expected, tmp_path):
        source = write_clip(tmp_path / f"a{suffix}", audio=coded, count=50).path
        out, problems = tmp_path / "annotated.mp4", []
        copy(source, out, problems=problems)
        assert problems == []
        with av.open(str(out)) as container:
            assert container.streams.audio[0].codec_context.name == expected
        heard = loudness(out)
        assert heard[0][0] == pytest.approx(0, abs=0.05)
        assert heard[-1][0] == pytest.approx(2.0, abs=0.1)
        assert min(level for _, level in heard[3:-3]) > 0

    @pytest.mark.parametrize("coded", ["aac", "pcm_s16le"])
    def test_a_range_takes_its_own_part_of_the_sound(self, coded, tmp_path):
        """A source that is silent for a second and loud after it, cut at half a second."""
        source = tmp_path / "quiet_then_loud.mkv"
        write_quiet_then_loud(source, coded)
        out = tmp_path / "annotated.mp4"
        frames = copy(source, out, start_s=0.52, end_s=1.52)
        assert [f.time_s for f in read(out)] == pytest.approx([f.time_s - 0.52 for f in frames], abs=1e-9)
        heard = loudness(out)
        onset = next(time for time, level in heard if level > 0.05)
        assert onset == pytest.approx(0.48, abs=0.05)
        assert heard[-1][0] < 1.05

    @pytest.mark.parametrize("coded", ["aac", "mp2"])
    @pytest.mark.parametrize("starts_s", [(40, 20, 10), (400, 20, 20)])
    def test_recordings_glued_together_keep_their_sound(self, coded, starts_s, tmp_path):
        source, out, problems = tmp_path / "glued.ts", tmp_path / "annotated.mp4", []
        parts = []
        for number, start_s in enumerate(starts_s):
            write_quiet_then_loud(tmp_path / f"{number}.ts", coded, start_s)
            parts.append((tmp_path / f"{number}.ts").read_bytes())
        source.write_bytes(b"".join(parts))
        frames = copy(source, out, problems=problems)
        assert frames[-1].time_s == pytest.approx(149 / 25)
        heard = loudness(out)
        loud = [time for time, level in heard if level > 0.05]
        begins = [after for before, after in pairwise([-1, *loud]) if after - before > 0.5]
        assert begins == pytest.approx([1, 3, 5], abs=0.05)
        assert heard[-1][0] == pytest.approx(6, abs=0.1)
        assert problems == []

    def test_sound_of_a_glued_recording_that_cannot_be_placed_is_reported(self, tmp_path):
        """In the second recording sound and pictures begin far from each other."""
        source, out, problems = tmp_path / "glued.ts", tmp_path / "annotated.mp4", []
        write_quiet_then_loud(tmp_path / "a.ts", "aac", 40)
        write_quiet_then_loud(tmp_path / "b.ts", "aac", 10, pictures_after_s=10)
        source.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
        copy(source, out, problems=problems)
        assert [problem.kind for problem in problems] == ["audio-dropped"]
        assert "the sound ends where its clock goes back" in problems[0].message
        assert len(read(out)) == 100

    def test_a_pause_in_sound_that_is_encoded_again_stays_a_pause(self, tmp_path):
        """Half a second of tone, a second of which nothing is stored, and half a second of tone."""
        source, out = tmp_path / "pause.mkv", tmp_path / "annotated.mp4"
        tone = (np.sin(np.arange(1000) * 0.06) * 16_000).astype(np.int16)
        with av.open(str(source), "w") as container:
            pictures = container.add_stream("libx264", rate=25)
            pictures.width, pictures.height, pictures.pix_fmt = 192, 128, "yuv420p"
            sound = container.add_stream("pcm_s16le", rate=48_000, layout="mono")
            for first in (*range(0, 24_000, 1000), *range(72_000, 96_000, 1000)):
                piece = av.AudioFrame.from_ndarray(tone[None], "s16", "mono")
                piece.sample_rate, piece.pts, piece.time_base = 48_000, first, Fraction(1, 48_000)
                container.mux(sound.encode(piece))
            for number in range(50):
                container.mux(pictures.encode(av.VideoFrame.from_ndarray(paint(number), format="rgb24")))
            container.mux(pictures.encode(None))
        copy(source, out)
        heard = loudness(out)
        quiet = [time for time, level in heard if level < 0.01 and 0.2 < time < 1.8]
        assert quiet[0] == pytest.approx(0.5, abs=0.06)
        assert quiet[-1] == pytest.approx(1.48, abs=0.06)
        assert heard[-1][0] == pytest.approx(2.0, abs=0.1)

    def test_sound_that_mp4_refuses_is_reported_and_costs_no_picture(self, tmp_path, monkeypatch):
        monkeypatch.setattr(remux, "COPIED_AUDIO", frozenset({"pcm_mulaw"}))
        source = write_clip(tmp_path / "a.avi", audio="pcm_mulaw", options={"bf": "0"}).path
        out, problems = tmp_path / "annotated.mp4", []
        copy(source, out, problems=problems)
        assert len(read(out)) == 24
        assert [problem.kind for problem in problems] == ["audio-dropped"]

    def test_sound_that_cannot_be_read_is_reported_and_costs_no_picture(self, tmp_path):
        out, problems = tmp_path / "annotated.mp4", []
        broken = tmp_path / "broken.mp4"
        broken.write_bytes(b"not a film")
        with open_writer(out, info_of(), audio_from=broken, on_problem=problems.append) as writer:
            writer.write(paint(0), 0)
        assert len(read(out)) == 1
        assert [problem.kind for problem in problems] == ["audio-dropped"]
