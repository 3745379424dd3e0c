"""Pictures from all over a film: for what its first ones may not show."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import av.container
import av.error
import av.filter
import av.video.stream
from av.filter import Graph
from av.format import Flags

from vidconcept.video.reading import Reading
from vidconcept.video.source import open_video

# Enough for what holds from some point of a recording on, at the cost of a fraction of a second.
SPOTS, FRAMES_AT_SPOT = 4, 8
# Around damage a decoder may eat packets without giving a picture.
MAX_PACKETS_AT_SPOT = 64
# So many pictures of which most look woven from two moments are no chance.
SURE_COMBED = 3
# One order of fields must be seen so many times as often as the other.
CLEAR_ORDER = 5
# Pictures of fewer lines are no interlaced video, and few lines look combed by chance.
FEWEST_LINES = 96


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What pictures at a few places say. sizes_px: as stored. transfers: numbers of transfer functions.

    flagged: a picture is marked as interlaced. combed: most of those in which something moves look so.
    """

    sizes_px: frozenset[tuple[int, int]]
    transfers: frozenset[int]
    flagged: bool
    combed: bool


def look_around(source: Path, reading: Reading) -> Glimpse:
    """Decode a few pictures at a few places of a video file. Raises InputError where it cannot be opened."""
    sizes_px, transfers, flagged = set(), set(), False
    kinds: Counter[str] = Counter()
    orders: Counter[str] = Counter()
    for frames in sample_frames(source, reading, SPOTS, FRAMES_AT_SPOT):
        sizes_px |= {(frame.width, frame.height) for frame in frames}
        transfers |= {int(frame.color_trc) for frame in frames}
        flagged = flagged or any(frame.interlaced_frame for frame in frames)
        for counted, own in zip((kinds, orders), _count_combed(frames), strict=True):
            counted.update(own)
    combed = kinds["tff"] + kinds["bff"]
    # Fields have one order, which pictures show by themselves; noise of whole lines looks like either, or like none.
    other, one = sorted((orders["tff"], orders["bff"]))
    is_sure = other * CLEAR_ORDER <= one and 2 * one >= combed
    is_combed = is_sure and combed >= SURE_COMBED and combed > kinds["progressive"]
    return Glimpse(frozenset(sizes_px), frozenset(transfers), flagged, is_combed)


def sample_frames(source: Path, reading: Reading, spots: int, count: int) -> Iterator[list[av.VideoFrame]]:
    """Up to `count` pictures in a row at each of `spots` places, evenly spread; at the start alone where the file has
    no times to seek by. Places that do not decode are left out."""
    with open_video(source, reading.stream, reading.max_megapixels) as (container, stream):
        # Frame threads drop pictures around damage, differently each time.
        stream.codec_context.thread_count = 1
        for spot in range(spots):
            try:
                if spot and not _seek(container, stream, spot / spots):
                    return
                frames = list(islice(_decode(container, stream), count))
            except (av.error.FFmpegError, OSError):
                continue
            if frames:
                yield frames


def _seek(container: av.container.InputContainer, stream: av.video.stream.VideoStream, share: float) -> bool:
    """Whether there are times to go by."""
    if container.format.flags & Flags.no_timestamps.value or not stream.time_base:
        return False
    length = stream.duration or (container.duration or 0) / av.time_base / stream.time_base
    if not length:
        return False
    container.seek(int((stream.start_time or 0) + share * length), stream=stream, backward=True)
    return True


def _decode(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> Iterator[av.VideoFrame]:
    for packet in islice(container.demux(stream), MAX_PACKETS_AT_SPOT):
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        for frame in frames:
            if isinstance(frame, av.VideoFrame) and not frame.is_corrupt:
                yield frame


def _count_combed(frames: list[av.VideoFrame]) -> tuple[Counter[str], Counter[str]]:
    """How many of some pictures in a row look interlaced with either order of fields (tff, bff), and how many not
    (progressive), by libav's `idet`: seen together, and each by itself. None where it is not built in."""
    kinds: Counter[str] = Counter()
    orders: Counter[str] = Counter()
    first = frames[0]
    shape = (first.width, first.height, first.format.name)
    if "idet" not in av.filter.filters_available or first.height < FEWEST_LINES:
        return kinds, orders
    graph = Graph()
    source = graph.add_buffer(width=first.width, height=first.height, format=first.format, time_base=Fraction(1, 25))
    detector, sink = graph.add("idet"), graph.add("buffersink")
    source.link_to(detector)
    detector.link_to(sink)
    graph.configure()
    for number, frame in enumerate(frames):
        if (frame.width, frame.height, frame.format.name) != shape:
            break
        frame.pts = number
        graph.push(frame)
    graph.push(None)
    while True:
        try:
            facts = graph.pull().metadata
        except (av.error.BlockingIOError, av.error.EOFError):
            return kinds, orders
        kinds[facts.get("lavfi.idet.multiple.current_frame", "")] += 1
        orders[facts.get("lavfi.idet.single.current_frame", "")] += 1
