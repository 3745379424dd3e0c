"""Every decodable frame of a source, in order, upright RGB, with its own timestamp; memory does not grow with length.

An index cannot be known after a seek: damage before the target, open GOPs and discarded leading pictures all change
how many frames came before. So reading always starts at the first packet; frames outside the asked range are decoded
and not converted. Pictures that the decoder marks as corrupt are delivered, and reported.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from vidconcept.errors import UsageError
from vidconcept.types import Frame
from vidconcept.video.picture import Picture
from vidconcept.video.pictures import open_pictures
from vidconcept.video.problems import Problem, ProblemLog
from vidconcept.video.reading import AS_IT_IS, Reading


def read_frames(
    source: str | Path,
    *,
    fps: float | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    stride: int = 1,
    reading: Reading = AS_IT_IS,
    on_problem: Callable[[Problem], None],
) -> Iterator[Frame]:
    """The frames of `read_pictures` as arrays."""
    pictures = read_pictures(
        source, fps=fps, start_s=start_s, end_s=end_s, stride=stride, reading=reading, on_problem=on_problem
    )
    with closing(pictures):
        yield from map(make_frame, pictures)


def make_frame(picture: Picture) -> Frame:
    """The picture as an array."""
    return Frame(picture.index, picture.pts, picture.time_s, picture.rgb(), picture.after_hole, picture.name)


def read_pictures(
    source: str | Path,
    *,
    fps: float | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    stride: int = 1,
    reading: Reading = AS_IT_IS,
    on_problem: Callable[[Problem], None],
) -> Generator[Picture, None, None]:
    """Pictures with `start_s <= time_s < end_s`, every `stride`-th of them, counted from the first in the range.

    Two passes give the same frames. `Picture.index` counts all decodable frames of the source, whatever the range.
    `fps` is for what has no times of its own: image sequences and raw streams. A frame with which another recording
    begins says so, and one after a hole where `reading` names holes, or those that it names themselves; the stride
    counts anew from it. Missing and
    backward timestamps are repaired, undecodable parts skipped; both go to `on_problem`, merged into ranges, at the
    latest when the iterator ends.

    Raises InputError if no frame can be decoded, UsageError for a range that holds none, and for an option that means
    nothing for this source.
    """
    if stride < 1:
        raise UsageError(f"`stride={stride}` must be 1 or more. Next: `stride=1` takes every frame")
    if start_s is not None and end_s is not None and end_s <= start_s:
        raise UsageError(f"`end_s={end_s:g}` is not after `start_s={start_s:g}`. Next: a later end")
    source = Path(source)
    log = ProblemLog(on_problem)
    pictures = open_pictures(source, fps, reading, log)
    hole_s = float("inf") if reading.hole_s is None else reading.hole_s
    chosen, since_hole, last_time_s, after_hole = 0, 0, None, False
    beyond_s: float | None = None
    try:
        for picture in pictures:
            # Half a microsecond: decimal options must not miss a frame by the rounding of a fraction.
            if end_s is not None and picture.time_s >= end_s - 5e-7:
                beyond_s = picture.time_s
                break
            before_s, last_time_s = last_time_s, picture.time_s
            if start_s is not None and picture.time_s < start_s - 5e-7:
                continue
            is_hole = before_s is not None and picture.time_s - before_s > hole_s
            begins = is_hole or picture.after_hole
            if reading.part_begins is not None:
                begins = picture.index in reading.part_begins
            if chosen and begins:
                since_hole, after_hole = 0, True
            if since_hole % stride == 0:
                yield picture if picture.after_hole == after_hole else replace(picture, after_hole=after_hole)
                after_hole = False
            chosen += 1
            since_hole += 1
    finally:
        pictures.close()
        log.flush()
    if chosen == 0 and last_time_s is not None and beyond_s is not None:
        raise UsageError(
            f"no frame of {source} between `start_s={start_s:g}` and `end_s={end_s:g}` s; the nearest are at "
            f"{last_time_s:.3f} and {beyond_s:.3f} s. Next: a later end"
        )
    if chosen == 0 and last_time_s is not None:
        raise UsageError(
            f"no frame of {source} in the range: `start_s={start_s:g}` s, but its last is at {last_time_s:.3f} s. "
            "Next: an earlier start"
        )
    if chosen == 0 and end_s is not None:
        raise UsageError(f"no frame of {source} before `end_s={end_s:g}` s. Next: a later end")
