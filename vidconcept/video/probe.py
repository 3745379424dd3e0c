"""What a video source is, from its headers and first picture."""

from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.video.stream

from vidconcept.errors import InputError
from vidconcept.types import VideoInfo
from vidconcept.video.colour import display_turns, displayed_size
from vidconcept.video.decode import decode_packets
from vidconcept.video.problems import ProblemLog
from vidconcept.video.reader import load_image
from vidconcept.video.source import image_paths, open_video, require_fps


def probe(source: str | Path, fps: float | None = None) -> VideoInfo:
    """What the source says of itself; reads no further than the first picture that can be decoded.

    `fps` is required for a folder of images or a printf pattern, and ignored for a video file. Raises InputError for
    what cannot be read, UsageError for a missing `fps`.
    """
    source = Path(source)
    paths = image_paths(source)
    if paths is not None:
        return _probe_images(source, paths, require_fps(source, fps))
    with open_video(source) as (container, stream):
        frame = next(decode_packets(container, stream, ProblemLog(lambda problem: None)), None)
        if frame is None:
            raise InputError(nothing_decodes(source))
        return video_info(source, container, stream, frame)


def video_info(
    source: Path,
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    first_frame: av.VideoFrame,
) -> VideoInfo:
    """The headers of an open file, with the size and rotation of its first decoded picture."""
    width_px, height_px = displayed_size(first_frame)
    rate = stream.average_rate or stream.guessed_rate
    time_base = stream.time_base or Fraction(1, 90_000)
    if stream.duration is not None:
        duration_s = float(stream.duration * time_base)
    else:
        duration_s = container.duration / av.time_base if container.duration else None
    return VideoInfo(
        path=source,
        width_px=width_px,
        height_px=height_px,
        codec=stream.codec_context.name,
        pix_fmt=first_frame.format.name,
        time_base=time_base,
        declared_fps=float(rate) if rate else None,
        declared_frames=stream.frames or None,
        duration_s=duration_s,
        rotation_deg=-90 * display_turns(first_frame)[0] % 360,
        has_audio=bool(container.streams.audio),
        container=container.format.name,
    )


def nothing_decodes(source: Path) -> str:
    """The message for a video stream without a single picture."""
    return f"{source}: not one picture could be decoded; the file is damaged: copy or record it again"


def _probe_images(source: Path, paths: list[Path], fps: float) -> VideoInfo:
    for path in paths:
        image = load_image(path)
        if image is not None:
            return VideoInfo(
                path=source,
                width_px=image.shape[1],
                height_px=image.shape[0],
                codec=path.suffix.lower().lstrip("."),
                pix_fmt="rgb24",
                time_base=1 / Fraction(fps).limit_denominator(100_000),
                declared_fps=fps,
                declared_frames=len(paths),
                duration_s=len(paths) / fps,
                container="images",
            )
    raise InputError(f"{source}: none of its {len(paths)} images can be read: they are damaged or not images")
