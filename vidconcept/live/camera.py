"""The thread that reads a live source: decodes, stamps, and connects again for as long as it is wanted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from threading import Event, Thread

import av
import av.container
import av.error
import av.video.stream

from vidconcept.errors import InputError, VidconceptError
from vidconcept.live.backlog import Backlog, Shot
from vidconcept.live.clock import LiveClock
from vidconcept.live.repeats import Repeats
from vidconcept.live.setup import TIME_BASE
from vidconcept.live.sources import (
    LiveSource,
    explain,
    has_stamps,
    is_hopeless,
    is_segmented,
    open_live,
    read_packets,
)
from vidconcept.video.decode import MAX_DEMUX_ERRORS
from vidconcept.video.filters import filter_frames, needs_filters
from vidconcept.video.joins import read_pts
from vidconcept.video.reading import Reading

# Before a model is loaded a source has so long to answer; one that is slower is met while it loads.
MEET_S = 5.0
# What is waited for at the stop: the last pictures and a connection that is closed in order, or, where there has been
# no picture, only a thread that is about to end.
STOP_S, STOP_UNSEEN_S = 5.0, 0.5
# Waits between tries: doubled each time, from the first to the last.
FIRST_WAIT_S, LAST_WAIT_S = 0.5, 30.0
# How often it is asked whether to wait any longer.
POLL_S = 0.2


@dataclass
class CameraCounts:
    """What happened to a source so far."""

    frames: int = 0
    repeated: int = 0
    connections: int = 0
    failures: int = 0
    undecodable: int = 0
    corrupt: int = 0
    clock_jumps: int = 0


@dataclass
class Camera:
    """Puts the frames of a source into a backlog until it is stopped, or the source ends and may.

    options: FFmpeg's own for opening. warn: told of each loss and return. error: why it gave up, None while it has not.

    It connects when it is started, and keeps frames from `begin` on: so a wrong address is known before a model is
    loaded for it. Until then a source that can wait does so, and what a camera sends is thrown away, as it would be
    old by then.
    """

    source: LiveSource
    backlog: Backlog
    options: Mapping[str, str] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)
    warn: Callable[[str], None] = lambda message: None
    counts: CameraCounts = field(default_factory=CameraCounts)
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self._stopped, self._begun, self._met = Event(), Event(), Event()
        self._clock = LiveClock(TIME_BASE, keeps_pace=self._keeps_pace)
        self._repeats = Repeats()
        # New pictures that came, kept or not.
        self._seen = 0
        self._thread = Thread(target=self._run, name="vidconcept camera", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def meet(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Wait until the source has answered or could not be opened, but no longer than `MEET_S`, nor when `stopped`
        says so; raises what is hopeless. A FIFO is not waited for: nothing about it is hopeless, and its writer may
        come at any time."""
        ends_at = time.monotonic() + (0 if self.source.kind == "fifo" else MEET_S)
        while time.monotonic() < ends_at and not stopped() and not self._met.wait(POLL_S):
            pass
        if self.error is not None:
            raise self.error

    def begin(self) -> None:
        """From here on frames are wanted."""
        self._begun.set()

    def stop(self) -> None:
        """Have the thread end; one that waits for the network is left to its own time limit, and a process that ends
        before it must do so at once, as Python cannot be taken apart around it."""
        self._stopped.set()
        self._thread.join(STOP_S if self._seen else STOP_UNSEEN_S)

    def _run(self) -> None:
        try:
            self._watch()
        except BaseException as error:
            self.error = error
        finally:
            self.backlog.close()
            self._met.set()

    def _watch(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._stopped.is_set():
            seen_before = self._seen
            failure = self._read_once()
            if self._stopped.is_set():
                return
            had_frames = self._seen > seen_before
            if self.source.ends:
                if not self._seen:
                    raise self._describe_nothing(failure)
                return
            if failure is not None and not self._seen and is_hopeless(failure.__cause__ or failure):
                raise failure
            wait_s = FIRST_WAIT_S if had_frames else wait_s
            self.counts.failures += 1
            self._met.set()
            reason = str(failure) if failure is not None else f"{self.source.name}: the stream ended"
            self.warn(f"{reason}; trying again in {wait_s:g} s")
            self.backlog.gap()
            self._stopped.wait(wait_s)
            wait_s = min(2 * wait_s, LAST_WAIT_S)

    def _describe_nothing(self, failure: VidconceptError | None) -> VidconceptError:
        """The error of a source that ended without a picture."""
        if failure is not None and "Next: " in str(failure):
            return failure
        advice = (
            "send MPEG-TS, or another format that can be read from its beginning"
            if self.source.kind == "pipe"
            else "check the address; without `once` it is waited for"
        )
        why = str(failure) if failure is not None else f"{self.source.title}: not one picture came"
        return InputError(f"{why}. Next: {advice}")

    def _read_once(self) -> VidconceptError | None:
        """Frames of one connection; returns why it ended, None where the source ended it in peace."""
        self._clock.reconnect()
        self._repeats.reconnect()
        try:
            with open_live(self.source, self.options, self.reading, self._stopped.is_set) as (container, stream):
                self.counts.connections += 1
                self._met.set()
                if self._can_wait:
                    self._wait_begun()
                is_stamped = has_stamps(container) or not self._keeps_pace
                for picture in self._pictures(container, stream):
                    self._seen += 1
                    if self._begun.is_set():
                        self._put(picture, read_pts(picture) if is_stamped else None, stream)
                    if self._stopped.is_set():
                        break
        except VidconceptError as error:
            return error
        except (av.error.FFmpegError, OSError, ValueError) as error:
            failure = InputError(explain(self.source, error))
            failure.__cause__ = error
            return failure
        return None

    @property
    def _can_wait(self) -> bool:
        """Whether nothing is lost by not reading for a while: of a pipe, and of a stream that somebody plays for us."""
        return self.source.kind in ("pipe", "fifo") or (self.backlog.waits and self.source.kind != "udp")

    @property
    def _keeps_pace(self) -> bool:
        """Whether frames come as they are filmed: a pipe may bring them out of a file, and others wait for us."""
        return not self.backlog.waits and self.source.kind not in ("pipe", "fifo")

    def _wait_begun(self) -> None:
        while not self._begun.wait(POLL_S) and not self._stopped.is_set():
            pass

    def _put(self, picture: av.VideoFrame, stamp: int | None, stream: av.video.stream.VideoStream) -> None:
        ticks = Fraction(stream.time_base or TIME_BASE)
        arrived_s = time.monotonic()
        time_s = self._clock.time(None if stamp is None else float(stamp * ticks), arrived_s)
        self.counts.frames += 1
        self.counts.corrupt += picture.is_corrupt
        self.counts.clock_jumps = self._clock.jumps
        self.backlog.put(Shot(picture, time_s, time.time(), arrived_s))

    def _pictures(
        self, container: av.container.InputContainer, stream: av.video.stream.VideoStream
    ) -> Iterator[av.VideoFrame]:
        # A thread for each frame would hold back as many frames as there are cores.
        stream.thread_type = "SLICE"
        decoded = self._leave_out_repeats(self._decoded(container, stream))
        return filter_frames(decoded, stream, self.reading) if needs_filters(self.reading) else decoded

    def _leave_out_repeats(self, pictures: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for picture in pictures:
            if self._repeats.take_out(picture):
                self.counts.repeated += 1
            else:
                yield picture

    def _decoded(
        self, container: av.container.InputContainer, stream: av.video.stream.VideoStream
    ) -> Iterator[av.VideoFrame]:
        """What can be decoded, to the last picture also where the connection breaks off."""
        try:
            yield from self._decode_packets(container, stream)
        except (av.error.FFmpegError, OSError):
            with suppress(av.error.FFmpegError):
                yield from stream.codec_context.decode(None)
            raise

    def _decode_packets(
        self, container: av.container.InputContainer, stream: av.video.stream.VideoStream
    ) -> Iterator[av.VideoFrame]:
        """Pictures as they come; damage is counted, and so many errors in a row end the connection."""
        errors = 0
        for packet in read_packets(self.source, container, stream):
            if is_segmented(container):
                self._repeats.look_at(packet)
            try:
                frames = packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self.counts.undecodable += 1
                errors += 1
                if errors > 10 * MAX_DEMUX_ERRORS:
                    raise
                continue
            errors = 0 if frames else errors
            yield from frames  # pyright: ignore[reportReturnType]
