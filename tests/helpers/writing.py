"""What the tests of the writer share: reading and writing again as the pipeline does, and a video to write."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.helpers.clips import paint
from vidconcept.types import VideoInfo
from vidconcept.video.encoder import Encoder
from vidconcept.video.probe import probe
from vidconcept.video.reader import read_frames
from vidconcept.video.writer import open_writer

__all__ = ["copy", "info_of", "list_times", "measure_psnr", "note_encoded", "open_writer", "paint"]


def copy(source, out, *, fps=None, problems=None, codec="h264", start_s=None, end_s=None):
    """Read and write again, as the pipeline does; the frames that were read."""
    info = probe(source, fps)
    audio = source if info.has_audio else None
    on_problem = (problems if problems is not None else []).append
    frames = []
    with open_writer(out, info, codec=codec, audio_from=audio, on_problem=on_problem) as writer:
        for frame in read_frames(source, fps=fps, start_s=start_s, end_s=end_s, on_problem=lambda problem: None):
            writer.write(frame.image, frame.pts)
            frames.append(frame)
    return frames


def info_of(size_px=(192, 128), time_base=Fraction(1, 25)):
    return VideoInfo(Path("x.mp4"), *size_px, "h264", "yuv420p", time_base, 25.0, None, None)


def note_encoded(monkeypatch: pytest.MonkeyPatch) -> list[av.VideoFrame]:
    """The frames that are encoded from now on, not those that are copied."""
    frames, encode = [], Encoder.encode

    def note(encoder: Encoder, frame: av.VideoFrame) -> list[av.Packet]:
        frames.append(frame)
        return encode(encoder, frame)

    monkeypatch.setattr(Encoder, "encode", note)
    return frames


def list_times(film: Path) -> list[tuple[int | None, int | None, int | None]]:
    """Of each picture when it is shown, when it is decoded, and how long it lasts, in ticks."""
    with av.open(str(film)) as container:
        return [(packet.pts, packet.dts, packet.duration) for packet in container.demux(video=0) if packet.size]


def measure_psnr(one: np.ndarray, other: np.ndarray) -> float:
    """How near two pictures are to each other, in dB."""
    return 10 * np.log10(255**2 / max(np.square(one.astype(float) - other).mean(), 1e-9))
