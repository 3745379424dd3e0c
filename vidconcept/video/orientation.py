"""How stored pictures are shown: the display matrix of a frame, past all that the library does not know of it."""

import re
from dataclasses import dataclass
from fractions import Fraction

import av
import av.error
import numpy as np
from av.filter import Graph

# Each kind of side data that PyAV has no name for costs one try; frames carry a handful of kinds.
MAX_UNKNOWN_KINDS = 16


@dataclass(frozen=True, slots=True)
class Orientation:
    """How stored pictures are shown: mirrored left-right or not, then turned counter-clockwise in quarters."""

    turns: int
    mirrored: bool

    def compute_size(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Width and height in pixels as shown."""
        return (frame.height, frame.width) if self.turns % 2 else (frame.width, frame.height)


def orientation(frame: av.VideoFrame) -> Orientation:
    """Of the stream that `frame` begins. Angles between quarter turns are rounded to the nearest.

    Once a stream, not once a frame: PyAV ties a frame whose side data was asked for into a reference cycle, and the
    pictures of hundreds of frames pile up between two garbage collections.

    Source: the display matrix of ISO/IEC 14496-12, 8.3.2.
    """
    matrix = _read_display_matrix(frame)
    if matrix is None:
        return Orientation(0, False)
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].astype(np.int64)
    mirrored = bool(a * d - b * c < 0)
    # Mirroring first turns (a, b) into (-a, -b); the angle is that of the picture's x axis.
    x, y = (-a, -b) if mirrored else (a, b)
    return Orientation(round(np.degrees(np.arctan2(-float(y), float(x))) / 90) % 4, mirrored)


def _read_display_matrix(frame: av.VideoFrame) -> bytes | None:
    """PyAV reads the side data of a frame as a whole or not at all, and some libraries are newer than its list of
    kinds (EXIF, for one): those kinds are taken off a copy of the frame first.
    """
    unknown: list[int] = []
    while len(unknown) < MAX_UNKNOWN_KINDS:
        try:
            side_data = _drop_side_data(frame, unknown).side_data
        except ValueError as error:
            number = re.match(r"(\d+) is not a valid", str(error))
            if number is None or int(number[1]) in unknown:
                return None
            unknown.append(int(number[1]))
        else:
            matrix = side_data.get("DISPLAYMATRIX")
            return None if matrix is None else bytes(matrix)
    return None


def _drop_side_data(frame: av.VideoFrame, kinds: list[int]) -> av.VideoFrame:
    """A reference to the same picture without these kinds of side data."""
    if not kinds:
        return frame
    graph = Graph()
    size = f"width={frame.width}:height={frame.height}"
    before = graph.add("buffer", f"{size}:pix_fmt={frame.format.name}:time_base={Fraction(1, 1000)}")
    for kind in kinds:
        remover = graph.add("sidedata", f"mode=delete:type={kind}")
        before.link_to(remover)
        before = remover
    before.link_to(graph.add("buffersink"))
    graph.configure()
    graph.push(frame)
    copy = graph.pull()
    assert isinstance(copy, av.VideoFrame)
    return copy
