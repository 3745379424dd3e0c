"""The pictures of a source in order, with index and time, converted to RGB only when asked for."""

from collections import deque
from collections.abc import Generator, Iterator
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import av
import av.container
import av.video.stream
import numpy as np
from av.format import Flags

from vidconcept.errors import InputError, UsageError
from vidconcept.video.clock import Clock
from vidconcept.video.colour import RgbConverter, is_deep, read_deep_values
from vidconcept.video.decode import decode_packets
from vidconcept.video.filters import filter_frames, needs_filters
from vidconcept.video.images import read_pages
from vidconcept.video.joins import Joiner, describe_jump, read_pts
from vidconcept.video.levels import LOOK_AT_FRAMES, Levels, find_levels
from vidconcept.video.orientation import orientation
from vidconcept.video.picture import Converted, Picture, Prepared, describe_excess
from vidconcept.video.problems import ProblemLog
from vidconcept.video.reading import Reading
from vidconcept.video.sampling import sample_frames
from vidconcept.video.sequence import ImageSequence
from vidconcept.video.source import explain_no_picture, open_sequence, open_video, require_fps

# What a raw stream that names no rate is taken to have, as players do.
USUAL_FPS = 25
# Pictures at the start that are kept until one has a timestamp.
MOST_UNTIMED = 16
# Slow growth is filmed with a picture a day.
LONGEST_UNIT_S = 86_400


def open_pictures(source: Path, fps: float | None, reading: Reading, log: ProblemLog) -> Generator[Picture, None, None]:
    """All pictures that can be decoded. Raises InputError where there is none, UsageError for options in vain."""
    sequence = open_sequence(source, reading.max_megapixels)
    return (
        _open_video_pictures(source, fps, reading, log)
        if sequence is None
        else _open_image_pictures(source, sequence, fps, reading, log)
    )


def read_rate(stream: av.video.stream.VideoStream) -> Fraction | None:
    """Frames per second as the stream says, by average or by guess."""
    rate = stream.average_rate or stream.guessed_rate
    return Fraction(rate) if rate else None


def has_times(container: av.container.InputContainer) -> bool:
    """Whether the format stores times at all: raw streams do not."""
    return not container.format.flags & Flags.no_timestamps.value


def read_time_base(
    source: Path, container: av.container.InputContainer, stream: av.video.stream.VideoStream, fps: float | None
) -> Fraction:
    """Unit of the pictures' times in seconds: the file's, or one frame where a raw stream has no times.

    Raises UsageError for a rate that would do nothing, InputError for a unit that no recording has.
    """
    if has_times(container):
        if fps is not None:
            raise UsageError(f"{source} has times of its own, so `fps={fps:g}` would do nothing. Next: leave `fps` out")
        unit = Fraction(stream.time_base or Fraction(1, 90_000))
        if unit > LONGEST_UNIT_S:
            raise InputError(
                f"{source} counts time in units of {float(unit):.3g} s, which no recording does. "
                "Next: copy or record it again"
            )
        return unit
    if fps is not None:
        return 1 / Fraction(require_fps(source, fps)).limit_denominator(100_000)
    return 1 / (read_rate(stream) or Fraction(USUAL_FPS))


def _open_video_pictures(
    source: Path, fps: float | None, reading: Reading, log: ProblemLog
) -> Generator[Picture, None, None]:
    with open_video(source, reading.stream, reading.max_megapixels) as (container, stream):
        time_base = read_time_base(source, container, stream, fps)
        clock = Clock(time_base, read_rate(stream)) if has_times(container) else None
        joiner = Joiner(container, stream)
        frames = decode_packets(container, stream, log, joiner)
        first = next(frames, None)
        if first is None:
            raise explain_no_picture(source)
        view = orientation(first)
        frames = chain((first,), frames)
        if needs_filters(reading):
            frames = filter_frames(frames, stream, reading)
        levels, frames = _find_video_levels(source, reading, frames)
        size_px, convert = view.compute_size(first), RgbConverter(view, levels)
        first_pts, joins_before = 0, 0
        for index, (frame, next_raw_pts, ahead) in enumerate(_look_ahead(frames)):
            raw_pts, pts, fault = read_pts(frame), index, None
            if clock is not None:
                pts, fault = clock.stamp(raw_pts, next_raw_pts, ahead)
            first_pts = first_pts if index else pts
            time_s = float((pts - first_pts) * time_base)
            if fault is not None:
                log.add(fault.kind, fault.message, index, time_s)
            joins = [join for join in joiner.joins[joins_before:] if raw_pts is not None and raw_pts >= join.begins]
            joins_before += len(joins)
            for join in joins:
                log.add("time-jump", describe_jump(join.back_s), index, time_s)
            if view.compute_size(frame) != size_px:
                log.add("size-change", _describe_size_change(view.compute_size(frame), size_px), index, time_s)
            pixels = Converted(convert, frame, size_px, log, index, time_s)
            begins_anew = bool(joins) or (fault is not None and fault.begins_anew)
            yield Picture(index, pts, time_s, "", levels, pixels, begins_anew)


def _find_video_levels(
    source: Path, reading: Reading, frames: Iterator[av.VideoFrame]
) -> tuple[Levels | None, Iterator[av.VideoFrame]]:
    """Levels of deep pictures, and all frames again."""
    first = next(frames)
    if not is_deep(first):
        if reading.bits is not None:
            depth = max(component.bits for component in first.format.components)
            raise UsageError(
                f"{source} says itself that it has {depth} bits, so `bits={reading.bits}` would do nothing. "
                "Next: leave `bits` out"
            )
        return None, chain((first,), frames)
    if reading.levels is not None:
        return reading.levels, chain((first,), frames)
    held = [first, *islice(frames, LOOK_AT_FRAMES - 1)]
    # A recording may begin in the dark; white is white for all of it.
    others = () if reading.bits else sample_frames(source, reading, LOOK_AT_FRAMES, 1)
    looked_at = chain(held, chain.from_iterable(others))
    levels = find_levels((read_deep_values(frame) for frame in looked_at if is_deep(frame)), reading.bits)
    return levels, chain(held, frames)


def _look_ahead(frames: Iterator[av.VideoFrame]) -> Iterator[tuple[av.VideoFrame, int | None, int]]:
    """Each frame with a later timestamp of the file, and how many places on that is.

    It is the next one's; at the start, where several have none, that of the first that has one.
    """
    held = deque(islice(frames, 1))
    while held and read_pts(held[-1]) is None and len(held) < MOST_UNTIMED:
        following = next(frames, None)
        if following is None:
            break
        held.append(following)
    while len(held) > 1:
        yield held.popleft(), read_pts(held[-1]), len(held)
    for following in frames:
        held.append(following)
        yield held.popleft(), read_pts(following), 1
    if held:
        yield held.popleft(), None, 1


def require_sequence_fps(source: Path, sequence: ImageSequence, fps: float | None) -> float:
    """Pictures per second. Raises UsageError for a rate that is missing, or would do nothing."""
    if sequence.keeps_time:
        if fps is not None:
            raise UsageError(f"{source} has times of its own, so `fps={fps:g}` would do nothing. Next: leave `fps` out")
        return float(USUAL_FPS)
    return float(USUAL_FPS) if fps is None and len(sequence.pages) == 1 else require_fps(source, fps)


def _open_image_pictures(
    source: Path, sequence: ImageSequence, fps: float | None, reading: Reading, log: ProblemLog
) -> Generator[Picture, None, None]:
    """An image's pts is its place in the sequence, so one that is missing or cannot be read leaves a gap in time."""
    _refuse_video_options(source, reading)
    rate = require_sequence_fps(source, sequence, fps)
    time_base = sequence.time_base(rate)
    levels = _find_image_levels(source, sequence, reading)
    index, first_pts, size_px, shown_before_ms = 0, 0, (0, 0), 0
    last_reason: InputError | None = None
    for page, shown_ms, values in read_pages(sequence.pages, reading.max_megapixels):
        pts = shown_before_ms if sequence.keeps_time else page.slot
        shown_before_ms += shown_ms
        if values is None or isinstance(values, InputError):
            reason = values or f"{page.name} is no image that can be read"
            log.add("unreadable-image", f"{reason}; skipped", index, float(pts * time_base))
            last_reason = values or last_reason
            continue
        height, width = values.shape[:2]
        if index == 0:
            first_pts, size_px = pts, (width, height)
        time_s = float((pts - first_pts) * time_base)
        if values.dtype != np.uint8:
            if levels is None:
                log.add("depth-change", f"{page.name} is deeper than the first pictures", index, time_s)
                levels = find_levels((values,), reading.bits)
            elif (top := levels.find_excess(values)) is not None:
                log.add("over-range", f"{page.name}: {describe_excess(top, levels)}", index, time_s)
        if (width, height) != size_px:
            log.add("size-change", f"{page.name}: {_describe_size_change((width, height), size_px)}", index, time_s)
        yield Picture(index, pts, time_s, page.name, levels, Prepared(values, levels, size_px))
        index += 1
    if index == 0:
        raise explain_no_picture(source, [page.path for page in sequence.pages], last_reason)


def _find_image_levels(source: Path, sequence: ImageSequence, reading: Reading) -> Levels | None:
    if reading.levels is not None:
        return reading.levels
    first: list[np.ndarray] = []
    looked_at = 0
    for _, _, values in read_pages(sequence.pages, reading.max_megapixels):
        looked_at += 1
        if values is None or isinstance(values, InputError):
            continue
        if not first and values.dtype == np.uint8:
            if reading.bits is not None:
                raise UsageError(
                    f"the images of {source} have 8 bits, so `bits={reading.bits}` would do nothing. "
                    "Next: leave `bits` out"
                )
            return None
        first.append(values)
        if len(first) == LOOK_AT_FRAMES or reading.bits is not None:
            break
    # A recording may begin in the dark; white is white for all of it.
    left = () if reading.bits is not None else sequence.pages[looked_at:]
    others = left[:: max(1, len(left) // LOOK_AT_FRAMES)]
    later = (values for page in others for _, _, values in read_pages([page], reading.max_megapixels))
    arrays = (values for values in chain(first, later) if isinstance(values, np.ndarray))
    deep = (values for values in arrays if values.dtype != np.uint8)
    return find_levels(deep, reading.bits) if first else None


def _refuse_video_options(source: Path, reading: Reading) -> None:
    given = {
        "`stream`": reading.stream is not None,
        "`deinterlace`": reading.deinterlace,
        "`tone_map`": reading.tone_map,
    }
    for name, is_given in given.items():
        if is_given:
            raise UsageError(f"{name} is for video files, and {source} is images. Next: leave it out")


def _describe_size_change(now: tuple[int, int], first: tuple[int, int]) -> str:
    return f"the picture is {now[0]}x{now[1]} here and {first[0]}x{first[1]} at the start; resized to that"
