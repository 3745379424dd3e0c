"""Which of several video streams of a file is meant."""

from pathlib import Path

import av.container
import av.video.stream
from av.stream import Disposition

from vidconcept.errors import InputError, UsageError
from vidconcept.video.problems import Finding

# Pictures that belong to the file, not to its film.
_NO_FILM = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


def pick_stream(
    source: Path, container: av.container.InputContainer, wanted: int | None
) -> av.video.stream.VideoStream:
    """The stream of index `wanted`; else the one that the file flags as its default, else the largest.

    Covers and thumbnails do not count. Raises InputError where there is no video stream, UsageError for an index that
    is none.
    """
    streams = list_video_streams(container)
    if wanted is not None:
        found = next((stream for stream in streams if stream.index == wanted), None)
        if found is None:
            known = ", ".join(_describe(stream) for stream in streams) or "none"
            raise UsageError(f"`stream={wanted}` is not a video stream of {source}. Next: one of: {known}")
        return found
    if not streams:
        if container.streams.audio:
            raise InputError(f"{source} has sound but no video stream. Next: pass a file with pictures")
        raise InputError(
            f"{source} has no video stream (read as {container.format.long_name}). Next: pass a video file"
        )
    flagged = [stream for stream in streams if stream.disposition & Disposition.default]
    return max(flagged or streams, key=lambda stream: (_count_pixels(stream), -stream.index))


def list_video_streams(container: av.container.InputContainer) -> list[av.video.stream.VideoStream]:
    """The streams that are films."""
    return [stream for stream in container.streams.video if not stream.disposition & _NO_FILM]


def describe_streams(
    container: av.container.InputContainer, chosen: av.video.stream.VideoStream, *, asked: bool
) -> list[Finding]:
    """That there are several, and which one is read."""
    streams = list_video_streams(container)
    if len(streams) < 2:
        return []
    is_default = bool(chosen.disposition & Disposition.default)
    reason = "as asked" if asked else "flagged as the default" if is_default else "the largest, none is flagged"
    known = ", ".join(_describe(stream) for stream in streams)
    others = "" if asked else "; `stream` takes another"
    text = f"{len(streams)} video streams ({known}); number {chosen.index} is read, {reason}{others}"
    return [Finding("note" if asked else "warning", "streams", text)]


def _count_pixels(stream: av.video.stream.VideoStream) -> int:
    """0 where there is no decoder, and so no size."""
    return stream.width * stream.height if stream.codec_context else 0


def _describe(stream: av.video.stream.VideoStream) -> str:
    context = stream.codec_context
    return f"{stream.index}: {f'{stream.width}x{stream.height} {context.name}' if context else 'no decoder here'}"
