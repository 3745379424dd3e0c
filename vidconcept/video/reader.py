"""Every decodable frame of a video, in order, upright RGB, with its own timestamp; memory does not grow with length.

An index cannot be known after a seek: damage before the target, open GOPs and discarded leading pictures all change
how many frames came before. So reading always starts at the first packet; frames outside the asked range are decoded
and not converted. Pictures that the decoder marks as corrupt are delivered, and reported.
"""

from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np

from vidconcept.errors import UsageError
from vidconcept.types import Frame
from vidconcept.video.clock import Clock
from vidconcept.video.colour import RgbConverter, orientation
from vidconcept.video.decode import decode_packets, raw_pts
from vidconcept.video.problems import Problem, ProblemLog
from vidconcept.video.source import image_paths, nothing_decodes, open_video, require_fps

# Index, pts, time_s, and the conversion to RGB, which costs more than decoding and is not wanted for every frame.
Picture = tuple[int, int, float, Callable[[], np.ndarray]]


def read_frames(
    source: str | Path,
    *,
    fps: float | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    stride: int = 1,
    on_problem: Callable[[Problem], None],
) -> Iterator[Frame]:
    """Frames with `start_s <= time_s < end_s`, every `stride`-th of them, counted from the first in the range.

    Two passes give the same frames. `Frame.index` counts all decodable frames of the source, whatever the range.
    `fps` is for image sequences alone. Missing and backward timestamps are repaired, undecodable parts skipped; both
    go to `on_problem`, merged into ranges, at the latest when the iterator ends.

    Raises InputError if no frame can be decoded, UsageError for a range that holds none.
    """
    if stride < 1:
        raise UsageError(f"--stride {stride} must be 1 or more")
    if start_s is not None and end_s is not None and end_s <= start_s:
        raise UsageError(f"--end {end_s:g} must be after --start {start_s:g}")
    source = Path(source)
    log = ProblemLog(on_problem)
    paths = image_paths(source)
    pictures = (
        _decode_video(source, log) if paths is None else _decode_images(source, paths, require_fps(source, fps), log)
    )
    chosen, last_time_s = 0, None
    try:
        for index, pts, time_s, to_rgb in pictures:
            # Half a microsecond: decimal options must not miss a frame by the rounding of a fraction.
            if end_s is not None and time_s >= end_s - 5e-7:
                break
            last_time_s = time_s
            if start_s is not None and time_s < start_s - 5e-7:
                continue
            if chosen % stride == 0:
                yield Frame(index, pts, time_s, to_rgb())
            chosen += 1
    finally:
        pictures.close()
        log.flush()
    if chosen == 0 and last_time_s is not None:
        raise UsageError(
            f"no frame of {source} in the range: --start {start_s:g} s, but its last is at {last_time_s:.3f} s"
        )
    if chosen == 0 and end_s is not None:
        raise UsageError(f"no frame of {source} before --end {end_s:g} s")


def _decode_video(source: Path, log: ProblemLog) -> Generator[Picture, None, None]:
    with open_video(source) as (container, stream):
        time_base = stream.time_base or Fraction(1, 90_000)
        clock = Clock(time_base, stream.average_rate or stream.guessed_rate)
        index, first_pts = 0, 0
        for frame, following in _with_next(decode_packets(container, stream, log)):
            pts, fault = clock.stamp(raw_pts(frame), None if following is None else raw_pts(following))
            if index == 0:
                first_pts, view = pts, orientation(frame)
                size_px, convert = view.displayed_size(frame), RgbConverter(view)
            time_s = float((pts - first_pts) * time_base)
            if fault is not None:
                log.add(fault.kind, fault.message, index, time_s)
            if view.displayed_size(frame) != size_px:
                log.add("size-change", _size_change(view.displayed_size(frame), size_px), index, time_s)
            yield index, pts, time_s, partial(convert, frame, size_px)
            index += 1
    if index == 0:
        raise nothing_decodes(source)


def _decode_images(source: Path, paths: list[Path], fps: float, log: ProblemLog) -> Generator[Picture, None, None]:
    """An image's pts is its place in the sequence, so one that cannot be read leaves a gap in time."""
    index, first_pts, size_px = 0, 0, (0, 0)
    for pts, path in enumerate(paths):
        image = load_image(path)
        if image is None:
            log.add("unreadable-image", f"{path.name} is no image that can be read; skipped", index, pts / fps)
            continue
        height, width = image.shape[:2]
        if index == 0:
            first_pts, size_px = pts, (width, height)
        time_s = (pts - first_pts) / fps
        if (width, height) != size_px:
            log.add("size-change", f"{path.name}: {_size_change((width, height), size_px)}", index, time_s)
            image = cv2.resize(image, size_px, interpolation=cv2.INTER_AREA)
        yield index, pts, time_s, partial(np.ascontiguousarray, image)
        index += 1
    if index == 0:
        raise nothing_decodes(source, paths)


def load_image(path: Path) -> np.ndarray | None:
    """`(h, w, 3)` uint8 RGB, EXIF orientation applied, 16 bits reduced to 8; None if it cannot be read."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError:
        return None
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    return None if image is None else image[:, :, ::-1]


def _with_next(frames: Iterator[av.VideoFrame]) -> Iterator[tuple[av.VideoFrame, av.VideoFrame | None]]:
    """Each frame with the one that follows it."""
    held = next(frames, None)
    while held is not None:
        following = next(frames, None)
        yield held, following
        held = following


def _size_change(now: tuple[int, int], first: tuple[int, int]) -> str:
    return f"the picture is {now[0]}x{now[1]} here and {first[0]}x{first[1]} at the start; resized to that"
