"""Pictures made fit to be looked at by the library's own filters: one moment each, and a usual range."""

from collections import deque
from collections.abc import Iterator

import av
import av.error
import av.filter
import av.video.stream
from av.filter import Graph
from av.video.reformatter import ColorTrc

from vidconcept.errors import UsageError
from vidconcept.video.reading import Reading

HDR_NAMES: dict[int, str] = {ColorTrc.SMPTE2084: "PQ", ColorTrc.ARIB_STD_B67: "HLG"}
# Newest first: bwdif keeps more of fine lines than yadif. A picture for a picture; flags of the file are not trusted.
_DEINTERLACERS = (("bwdif", "mode=send_frame:deint=all"), ("yadif", "mode=send_frame:deint=all"))
# Primaries, transfer and range are mapped in one step, highlights rolled off rather than cut.
_TONE_MAP = "out_primaries=bt709:out_transfer=bt709:out_range=full:intent=perceptual"


def needs_filters(reading: Reading) -> bool:
    """Whether anything is to be done to the pictures."""
    return reading.deinterlace or reading.tone_map


def filter_frames(
    frames: Iterator[av.VideoFrame], stream: av.video.stream.VideoStream, reading: Reading
) -> Iterator[av.VideoFrame]:
    """The frames after the filters that `reading` asks for, one for one, with their own timestamps.

    Raises UsageError where a filter is not built in here, or tone mapping is asked for pictures that are no HDR.
    """
    graph: Graph | None = None
    shape = None
    stamps: deque[tuple[int | None, int | None]] = deque()
    for frame in frames:
        if shape is None and reading.tone_map and frame.color_trc not in HDR_NAMES:
            raise UsageError("`tone_map` is for HDR, and the file does not say that it is. Next: leave `tone_map` out")
        now = (frame.width, frame.height, frame.format.name)
        if graph is None or now != shape:
            if graph is not None:
                graph.push(None)
                yield from _pull_ready(graph, stamps)
            graph, shape = _build_graph(frame, stream, reading), now
        stamps.append((frame.pts, frame.dts))
        # The filters count in the order of pictures; whatever the file says of time is put back afterwards.
        frame.pts = len(stamps)
        graph.push(frame)
        yield from _pull_ready(graph, stamps)
    if graph is not None:
        graph.push(None)
        yield from _pull_ready(graph, stamps)


def _pull_ready(graph: Graph, stamps: deque[tuple[int | None, int | None]]) -> Iterator[av.VideoFrame]:
    while stamps:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(frame, av.VideoFrame)
        frame.pts, frame.dts = stamps.popleft()
        yield frame


def _build_graph(frame: av.VideoFrame, stream: av.video.stream.VideoStream, reading: Reading) -> Graph:
    graph = Graph()
    last = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=stream.time_base, name="in"
    )
    for name, options in _list_steps(reading):
        step = graph.add(name, options)
        last.link_to(step)
        last = step
    last.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def _list_steps(reading: Reading) -> Iterator[tuple[str, str]]:
    if reading.deinterlace:
        known = [step for step in _DEINTERLACERS if step[0] in av.filter.filters_available]
        if not known:
            raise UsageError("`deinterlace`: the video library here has neither bwdif nor yadif. Next: leave it out")
        yield known[0]
    if reading.tone_map:
        yield "scale", _TONE_MAP
        yield "format", "pix_fmts=rgb24"
