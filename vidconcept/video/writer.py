"""Annotated video with the times of its source: constant memory, playable in a browser, never half-written."""

from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import av.error
import numpy as np

from vidconcept.errors import OutputError, output_errors
from vidconcept.files import new_scratch
from vidconcept.types import VideoInfo
from vidconcept.video.encoder import ENCODER_PRESET, Encoder, WriterCodec, get_encoder
from vidconcept.video.problems import Problem
from vidconcept.video.remux import remux
from vidconcept.video.source import HIGHEST_FPS, LOWEST_FPS

# A finer clock than this is rounded to 90 kHz: MP4 stores durations in 32 bits.
MAX_TICKS_PER_SECOND = 1_000_000
# MP4 cannot hold a longer step between two pictures, and its writer counts no coarser than this.
LONGEST_STEP_TICKS, COARSEST_TICKS_PER_SECOND = 2**31 - 2, 10_000
# What is left in the film of a hole that is too long for it.
SHOWN_HOLE_S = 1
# What browsers decode of H.264 on every system: the limits of the decoder that Windows brings.
H264_SIDE_PX, H264_AREA_PX = 4096, 4096 * 2304


def fit_film_size(size_px: tuple[int, int], codec: WriterCodec) -> tuple[int, int]:
    """Width and height of the film for pictures of `size_px`: their own, or the same shape as large as H.264 plays."""
    width, height = size_px
    if codec != "h264":
        return size_px
    scale = min(1.0, H264_SIDE_PX / max(width, height), (H264_AREA_PX / (width * height)) ** 0.5)
    return size_px if scale == 1 else (max(2, int(width * scale) // 2 * 2), max(2, int(height * scale) // 2 * 2))


def find_longest_step_s(time_base: Fraction) -> Fraction:
    """How long one picture can last in an MP4 whose times are counted in `time_base`."""
    ticks_per_second = time_base.denominator
    while ticks_per_second < COARSEST_TICKS_PER_SECOND:
        ticks_per_second *= 2
    return Fraction(LONGEST_STEP_TICKS, ticks_per_second)


def open_writer(
    path: str | Path,
    info: VideoInfo,
    *,
    codec: WriterCodec = "h264",
    audio_from: Path | None = None,
    size: tuple[int, int] | None = None,
    on_problem: Callable[[Problem], None] = lambda problem: None,
    encoder_preset: str = ENCODER_PRESET,
) -> "VideoWriter":
    """A context manager that writes `path` (MP4) frame by frame.

    info: the source; its time base is the unit of every `pts`. size: width and height in pixels of the pictures that
    will be written; default that of `info`. Odd sizes are padded by one pixel. audio_from: a file whose sound is
    kept, cut to the time between the first and the last frame written; what is lost of it goes to `on_problem`.
    encoder_preset: effort of the H.264 encoder, by x264's own names.

    The file appears under its name only when the block ends without an exception; until then it grows as
    `<stem>.<digits>.partial.mp4` (in a run under way, in its scratch folder), fragmented, so that a killed run leaves
    what it had. Raises OutputError.
    """
    return VideoWriter(
        Path(path),
        info,
        codec=codec,
        audio_from=audio_from,
        size=size,
        on_problem=on_problem,
        encoder_preset=encoder_preset,
    )


class VideoWriter:
    """See `open_writer`. Holds one frame back, because a frame's duration is known when the next one comes."""

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        *,
        codec: WriterCodec,
        audio_from: Path | None,
        size: tuple[int, int] | None,
        on_problem: Callable[[Problem], None],
        encoder_preset: str = ENCODER_PRESET,
    ) -> None:
        self.path = path
        self.partial_path = new_scratch(path)
        self._audio_from = audio_from
        self._on_problem = on_problem
        self._size_px = size or (info.width_px, info.height_px)
        self._source_time_base = info.time_base
        self._pixel_aspect = info.pixel_aspect
        too_fine = 1 / info.time_base > MAX_TICKS_PER_SECOND
        # MP4 counts in whole parts of a second.
        self._time_base = Fraction(1, 90_000) if too_fine else min(info.time_base, Fraction(1))
        self._codec = get_encoder(codec, encoder_preset)
        # Files declare anything; the encoder plans by it, and each picture keeps its own time.
        declared_fps = min(max(info.declared_fps or 25, LOWEST_FPS), HIGHEST_FPS)
        self._rate = Fraction(declared_fps).limit_denominator(100_000)
        self._held: tuple[av.VideoFrame | av.Packet, int, int | None] | None = None
        self._first_pts: int | None = None
        self._held_pts = self._pictures = 0
        self._durations: dict[int, int] = {}
        self._step = max(1, round(1 / (self._rate * self._time_base)))
        self._longest_step_s = find_longest_step_s(self._time_base)
        self._skipped_s = Fraction(0)
        self.skips: list[tuple[int, float]] = []
        self.frames_written = 0

    def __enter__(self) -> "VideoWriter":
        with output_errors(self.path, av.error.FFmpegError):
            # A probe of the final name: a writable folder may still hold a file of that name that is a folder.
            if self.path.is_dir():
                raise OutputError(f"cannot write {self.path}: a folder has that name. Next: choose another `out`")
            # A Python file, because libav's own writer keeps quiet about a full disk until the end.
            self._file = self.partial_path.open("x+b")
            self._container = av.open(
                self._file, "w", format="mp4", options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}
            )
            self._encoder = Encoder(
                self._container,
                self._codec,
                size_px=self._size_px,
                rate=self._rate,
                time_base=self._time_base,
                pixel_aspect=self._pixel_aspect,
            )
        return self

    def read_parameter_sets(self) -> bytes:
        """As of `Encoder`. Packets can be written that came with the same ones."""
        with output_errors(self.path, av.error.FFmpegError):
            return self._encoder.read_parameter_sets()

    def write(self, image: np.ndarray | av.VideoFrame | av.Packet, pts: int, duration: int | None = None) -> None:
        """Append an RGB picture `(h, w, 3)` uint8 at `pts` (source time base, strictly rising).

        A frame is taken as it is: yuv420p with the colours of `Bt709Encoding`, both sides even. A packet is a picture
        of another film, as `groups.read_copies` gives it; it is copied. Groups of pictures are copied whole.

        duration: how long it is shown, in the same unit; by default until the next one. A hole that MP4 cannot hold
        lasts `SHOWN_HOLE_S` in the film, and `skips` says what is left out: (number of the picture behind it, seconds).
        """
        self._check_picture(image)
        if self._first_pts is None:
            self._first_pts = pts
        step_s = (pts - self._held_pts) * self._source_time_base
        if self._held is not None and step_s > self._longest_step_s:
            self._skipped_s += step_s - SHOWN_HOLE_S
            self.skips.append((self._pictures, float(step_s - SHOWN_HOLE_S)))
        self._pictures += 1
        ticks = self._to_ticks((pts - self._first_pts) * self._source_time_base - self._skipped_s)
        if self._held is not None:
            if pts <= self._held_pts:
                raise ValueError(f"timestamps must rise, got {pts = } after {self._held_pts}")
            # No longer held before it is encoded: whoever is interrupted in between would have it encoded twice.
            (held, held_ticks, held_duration), self._held = self._held, None
            # Two pictures of a very fast camera can lie within one tick.
            ticks = max(ticks, held_ticks + 1)
            self._encode(held, held_ticks, held_duration or ticks - held_ticks)
        self._held_pts = pts
        self._held = (
            self._encoder.to_frame(image) if isinstance(image, np.ndarray) else image,
            ticks,
            None if duration is None else self._to_ticks(duration * self._source_time_base),
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            # What ended the block is told, and not what is wrong with the film because of it.
            with suppress(Exception):
                self._finish_partial()
            return
        with output_errors(self.path, av.error.FFmpegError):
            end_s = self._finish_partial()
        if self._first_pts is None:
            self.partial_path.unlink(missing_ok=True)
            raise OutputError(f"nothing to write to {self.path}: no frame was given. Next: write one before the end")
        start_s = self._first_pts * self._source_time_base
        with output_errors(self.path, av.error.FFmpegError):
            audio_from = self._audio_from
            if self.skips and audio_from is not None:
                text = f"the sound of {audio_from} is left out: it does not fit a film in which a hole is shortened"
                self._on_problem(Problem("audio-dropped", text))
                audio_from = None
            remux(
                self.partial_path,
                self.path,
                audio_from=audio_from,
                start_s=start_s,
                end_s=end_s,
                frames=self.frames_written,
                on_problem=self._on_problem,
            )

    def _check_picture(self, image: np.ndarray | av.VideoFrame | av.Packet) -> None:
        if isinstance(image, av.Packet):
            return
        if isinstance(image, av.VideoFrame):
            size_px, kind, wanted = (image.width, image.height), image.format.name, "yuv420p"
        else:
            size_px, kind, wanted = (image.shape[1], image.shape[0]), str(image.dtype), "uint8"
        if size_px != self._size_px or kind != wanted:
            raise ValueError(f"this writer takes {self._size_px} pictures of {wanted}, got {size_px} of {kind}")

    def _to_ticks(self, time_s: Fraction) -> int:
        return round(time_s / self._time_base)

    def _encode(self, picture: av.VideoFrame | av.Packet, ticks: int, duration: int) -> None:
        """Encode a frame, or copy a packet behind all that was encoded before."""
        picture.pts, picture.time_base = ticks, self._time_base
        self._durations[ticks] = self._step = duration
        with output_errors(self.path, av.error.FFmpegError):
            if isinstance(picture, av.Packet):
                self._mux(self._encoder.end_stretch())
                picture.dts, picture.stream = ticks, self._encoder.stream
                self._mux([picture])
            else:
                self._mux(self._encoder.encode(picture))

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts or 0)
            self._container.mux(packet)
            self.frames_written += 1

    def _finish_partial(self) -> Fraction:
        """Flush and close the partial file; the time at which the last frame ends, in the source's own time."""
        end = Fraction(0)
        try:
            if self._held is not None:
                picture, ticks, duration = self._held
                self._held = None
                duration = duration or self._step
                self._encode(picture, ticks, duration)
                end = (self._first_pts or 0) * self._source_time_base + (ticks + duration) * self._time_base
            self._mux(self._encoder.end_stretch())
        finally:
            try:
                self._container.close()
            finally:
                self._file.close()
        return end
