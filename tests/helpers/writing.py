"""What the tests of the writer share: reading and writing again as the pipeline does, and a video to write."""

from fractions import Fraction
from pathlib import Path

from tests.helpers.clips import paint
from vidconcept.types import VideoInfo
from vidconcept.video.probe import probe
from vidconcept.video.reader import read_frames
from vidconcept.video.writer import open_writer

__all__ = ["copy", "info_of", "open_writer", "paint"]


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
