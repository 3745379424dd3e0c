"""What a live source is given as, and opening it with errors to act on."""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import av
import av.container
import av.error
import av.video.stream
from av.format import Flags

from vidconcept.errors import InputError, UsageError
from vidconcept.video.limits import check_pixels
from vidconcept.video.reading import Reading
from vidconcept.video.source import TOLERANT_TAGS
from vidconcept.video.streams import pick_stream

# Longer than this without a picture, and the connection is given up.
SILENCE_S = 10.0
# Found out of the first second: FFmpeg's own five would be five seconds of delay at each start, and the twenty pictures
# that it wants for the rate as long as a slow camera takes for them. Video that moves to another PID of MPEG-TS stays
# the same stream.
PROBING = {"analyzeduration": "1000000", "fpsprobesize": "0", "merge_pmt_versions": "1"}
_PROTOCOLS = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsp,rtsps,rtp,srtp,udp,tcp,tls",
    # A camera may lead from one to the other, and encrypt its segments.
    "http": "http,https,tls,tcp,crypto",
    "https": "http,https,tls,tcp,crypto",
    "srt": "srt",
    "udp": "udp",
    "tcp": "tcp",
}
# A key of a query whose name says that its value is secret, and the value.
_SECRET = re.compile(r"([?&;][^=&;#]*(?:pas|pwd|token|key|auth|secret|sig)[^=&;#]*=)[^&;#]*", re.IGNORECASE)


class FinishedError(InputError):
    """What a server gives is not live: its end is known."""


# Errors that no waiting heals.
_HOPELESS = (
    FinishedError,
    av.error.ProtocolNotFoundError,
    av.error.HTTPUnauthorizedError,
    av.error.HTTPForbiddenError,
    av.error.HTTPNotFoundError,
    av.error.HTTPBadRequestError,
    av.error.OptionNotFoundError,
    av.error.PermissionError,
    av.error.DecoderNotFoundError,
    UsageError,
)


@dataclass(frozen=True, slots=True)
class LiveSource:
    """kind: how it is opened. text: as it was given. ends: its end is the end of the footage, not a loss."""

    kind: str
    text: str
    ends: bool = False

    @property
    def name(self) -> str:
        """As it may be shown and stored: without a password, also one in a query."""
        # As FFmpeg reads it: a password goes to the last @ before the path.
        return _SECRET.sub(r"\1***", re.sub(r"(?<=://)[^/?#]*@", "", self.text))

    @property
    def title(self) -> str:
        """The same for sentences."""
        return "standard input" if self.kind == "pipe" else self.name


def parse_source(text: str, *, once: bool = False) -> LiveSource:
    """What a text stands for. Raises InputError for what is no live source, with what to do instead."""
    if text == "-":
        # Python has none where the shell closed it.
        if sys.stdin is None or sys.stdin.isatty():
            what = "closed" if sys.stdin is None else "a terminal"
            raise InputError(
                f"standard input is {what}. Next: pipe MPEG-TS into it, e.g. cat FILE.ts | vidconcept watch -"
            )
        return LiveSource("pipe", text, ends=True)
    if address := re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text):
        protocol = address[1].lower()
        if protocol not in _PROTOCOLS:
            raise InputError(
                f"{LiveSource('', text).name}: no live source has the protocol {protocol!r}. Next: one of "
                f"{', '.join(_PROTOCOLS)}, a device such as /dev/video0, a FIFO, or - for standard input"
            )
        return LiveSource(protocol, text, once)
    path = Path(text)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InputError(
            f"{text}: {error.strerror}. Next: an address such as rtsp://camera/stream, a device such as /dev/video0, "
            "a FIFO, or - for standard input"
        ) from error
    if stat.S_ISCHR(mode):
        return LiveSource("device", text, once)
    if stat.S_ISFIFO(mode):
        return LiveSource("fifo", text, once)
    raise InputError(
        f"{text} is a finished recording, not a live source. Next: vidconcept track {text}, or pipe it: "
        f"cat FILE.ts | vidconcept watch -"
    )


def is_hopeless(error: BaseException) -> bool:
    """Whether trying again cannot help: a wrong address or protocol, no permission, a device that is no camera."""
    return isinstance(error, _HOPELESS) or getattr(error, "errno", None) in (errno.ENOTTY, errno.EINVAL)


def choose_opening(source: LiveSource, options: Mapping[str, str]) -> tuple[str | None, dict[str, str]]:
    """FFmpeg's name of the input format, None for one that it finds out, and its options; those given go before."""
    if source.kind == "device":
        return "v4l2", dict(options)
    wanted = dict(PROBING)
    if source.kind in _PROTOCOLS:
        wanted["protocol_whitelist"] = _PROTOCOLS[source.kind]
    if source.kind.startswith("rtsp"):
        # Over UDP a lost packet is a torn picture.
        wanted["rtsp_transport"] = "tcp"
    return None, wanted | dict(options)


@contextmanager
def open_live(
    source: LiveSource, options: Mapping[str, str], reading: Reading, stopped: Callable[[], bool]
) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
    """Open a live source and its video stream. options: FFmpeg's own, above those set here.

    stopped: asked while a pipe is waited for. Raises OSError and FFmpegError where it is not there, UsageError and
    InputError where it is something else: FinishedError for a finished film that a web server gives, unless the end of
    the source is the end of the footage.
    """
    pipe = _Pipe(source, stopped) if source.kind in ("pipe", "fifo") else None
    format_name, wanted = choose_opening(source, options)
    try:
        container = av.open(
            source.text if pipe is None else pipe,  # pyright: ignore[reportArgumentType]
            format=format_name,
            options=wanted,
            timeout=None if pipe is not None else (SILENCE_S, SILENCE_S),
            **TOLERANT_TAGS,
        )
        with container:
            if source.kind in ("http", "https") and not source.ends and _has_known_end(container):
                raise FinishedError(
                    f"{source.name} is a finished recording, not a live source. Next: download it for vidconcept "
                    "track, or read it to its end with `once`"
                )
            chosen = pick_stream(Path(source.name), container, reading.stream)
            if chosen.codec_context is None:
                raise UsageError(f"{source.name}: no decoder here for its video stream. Next: have it send H.264")
            size = chosen.codec_context.width, chosen.codec_context.height
            check_pixels(*size, Path(source.name), reading.max_megapixels)
            yield container, chosen
    finally:
        if pipe is not None:
            pipe.close()


def read_packets(
    source: LiveSource, container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> Iterator[av.Packet]:
    """The packets of a stream, an empty one at its end. Raises TimeoutError where only those of others, such as sound,
    came for SILENCE_S, except from a pipe, which may wait."""
    heard_at = monotonic()
    for packet in container.demux():
        if packet.stream.index == stream.index:
            yield packet
            # Whoever takes them may have waited.
            heard_at = monotonic()
        elif source.kind != "pipe" and monotonic() - heard_at > SILENCE_S:
            raise TimeoutError


def has_stamps(container: av.container.InputContainer) -> bool:
    """Whether times are part of the format. Of the others, such as MJPEG, FFmpeg calls any speed 25 a second."""
    return not container.format.flags & Flags.no_timestamps.value


def is_segmented(container: av.container.InputContainer) -> bool:
    """Whether it is a list of segments (HLS)."""
    return container.format.name == "hls"


def _has_known_end(container: av.container.InputContainer) -> bool:
    """Whether the server says how long it is: a list of segments in seconds, a film in bytes. Seconds say nothing of a
    film, as a live one has those of its beginning; bytes nothing of formats without times, as MJPEG of a camera may
    claim any length, nor of a still picture, which a camera may be asked for again and again."""
    if is_segmented(container):
        return container.duration is not None
    return has_stamps(container) and not container.format.name.endswith("_pipe") and container.size > 0


def explain(source: LiveSource, error: BaseException) -> str:
    """What went wrong with a source, and what to do, in one line without a password."""
    if isinstance(error, InputError | UsageError):
        return str(error)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, av.error.ProtocolNotFoundError):
        advice = (
            f"the video library here was built without {source.kind}. Next: pipe it, "
            f"ffmpeg -i {source.name} -c copy -f mpegts - | vidconcept watch -"
        )
    elif isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        advice = f"it wants another name or password. Next: {source.kind}://NAME:PASSWORD@…"
    elif isinstance(error, av.error.ExitError | TimeoutError):
        return f"{source.title}: no picture came for {SILENCE_S:g} s"
    elif source.kind == "device" and getattr(error, "errno", None) == errno.EINVAL:
        advice = (
            f"{reason}: the camera does not take these options. Next: `input_option` as "
            f"ffmpeg -f v4l2 -list_formats all -i {source.name} lists them"
        )
    elif source.kind == "device" and is_hopeless(error):
        advice = f"{reason}: no camera that gives pictures. Next: give one of those that v4l2-ctl lists"
    elif getattr(error, "errno", None) == errno.EINVAL:
        advice = (
            f"{reason}: the port is missing or impossible, or the address leads to another protocol. Next: check the "
            "port, or give the address that it leads to"
        )
    elif is_hopeless(error):
        advice = f"{reason}. Next: check the address, and who may read it"
    else:
        advice = reason
    return f"{source.title}: {advice}"


class _Pipe:
    """Standard input or a FIFO as a file for the library; a wait for bytes ends when the command is told to stop."""

    def __init__(self, source: LiveSource, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self._own = source.kind == "fifo"
        # Without O_NONBLOCK the opening itself would wait for a writer.
        self._handle = os.open(source.text, os.O_RDONLY | os.O_NONBLOCK) if self._own else sys.stdin.fileno()
        self._silence_s: float | None = SILENCE_S if self._own else None
        self._began = False

    def read(self, count: int) -> bytes:
        waited_s = 0.0
        while not self._stopped():
            ready, _, _ = select.select([self._handle], [], [], 0.2)
            if ready:
                with suppress(BlockingIOError):
                    data = os.read(self._handle, count)
                    if data or not self._own or self._began:
                        self._began = True
                        return data
                    # A FIFO without a writer yet reads as ended at once.
                    select.select([], [], [], 0.2)
            waited_s += 0.2
            if self._silence_s is not None and self._began and waited_s > self._silence_s:
                raise TimeoutError
        return b""

    def close(self) -> None:
        if self._own and self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def parse_input_options(pairs: list[str]) -> dict[str, str]:
    """`KEY=VALUE` of FFmpeg. Raises UsageError for what is none."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key.strip():
            raise UsageError(f"`input_option={pair}` is not KEY=VALUE. Next: e.g. `input_option=video_size=1280x720`")
        found[key.strip()] = value.strip()
    return found
