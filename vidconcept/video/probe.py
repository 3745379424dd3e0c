"""What a video source is: from its headers alone (`probe`), or with a look through its packets (`examine`)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import av.container
import av.video.stream
import numpy as np

from vidconcept.types import VideoInfo
from vidconcept.video.decode import decode_packets
from vidconcept.video.endings import find_broken_end, has_open_end
from vidconcept.video.findings import (
    describe_faults,
    describe_levels,
    describe_order,
    describe_pictures,
    describe_sound,
)
from vidconcept.video.joins import Joiner
from vidconcept.video.levels import LOOK_AT_FRAMES, Levels
from vidconcept.video.orientation import orientation
from vidconcept.video.packets import scan_packets
from vidconcept.video.picture import Picture
from vidconcept.video.pictures import has_times, open_pictures, read_rate, read_time_base, require_sequence_fps
from vidconcept.video.problems import Finding, Problem, ProblemLog, remark_on
from vidconcept.video.reading import AS_IT_IS, Reading
from vidconcept.video.sampling import look_around
from vidconcept.video.sequence import ImageSequence
from vidconcept.video.source import explain_no_picture, open_sequence, open_video
from vidconcept.video.streams import describe_streams
from vidconcept.video.timing import describe_guesses, measure_timing
from vidconcept.wording import format_count

# Containers whose times players count from zero, whenever the first stream begins.
COUNT_FROM_ZERO = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})


@dataclass(frozen=True, slots=True)
class Examination:
    """The result of `examine`.

    frames: pictures counted, by packet or, where all were decoded, by picture. first_s, last_s: earliest and latest
    timestamp in the file's own time, glued recordings one after the other; None without any. measured_fps, rate_fps,
    frame_s, hole_s: see `Timing`. timestamps_trusted: every picture has a timestamp of its own that somebody measured,
    and they rise; a variable rate or a hole is no reason for distrust.
    """

    info: VideoInfo
    frames: int
    first_s: float | None
    last_s: float | None
    measured_fps: float | None
    rate_fps: float | None
    frame_s: float | None
    hole_s: float | None
    timestamps_trusted: bool
    findings: tuple[Finding, ...]

    def settle_reading(self, asked: Reading) -> Reading:
        """`asked` with what was found, so that every pass reads alike and none searches again."""
        levels = None
        if self.info.levels is not None:
            levels = Levels(*self.info.levels, self.info.bits, given=asked.bits is not None)
        return replace(asked, levels=levels, hole_s=self.hole_s)

    @property
    def length_s(self) -> float | None:
        """Seconds from the first picture until the last has been shown; of a single one nobody knows how long it is."""
        if self.first_s is None or self.last_s is None or self.frame_s is None:
            return None
        return self.last_s - self.first_s + self.frame_s

    @property
    def remarks(self) -> tuple[Finding, ...]:
        """What belongs beside the results."""
        return tuple(finding for finding in self.findings if finding.level != "note")

    def list_rows(self) -> list[tuple[str, str]]:
        """What to print: a name and a value each, the verdict on the timestamps first."""
        info = self.info
        bad = [finding for finding in self.findings if finding.about == "timestamps"]
        trust = (
            "can be trusted"
            if self.timestamps_trusted
            else f"not all sound ({format_count(len(bad), 'finding')} below)"
        )
        span = "" if self.length_s is None else f", {self.length_s:.3f} s"
        rate = f", {self.measured_fps:.3f} per second on average" if self.measured_fps else ""
        rows = [
            ("timestamps", trust),
            ("container", info.container),
            ("picture", f"{info.width_px}x{info.height_px}, {info.codec}, {info.pix_fmt}"),
            ("frames", f"{self.frames}{span}{rate}"),
        ]
        return rows + [
            (finding.about, f"WARNING: {finding.message}" if finding.level == "warning" else finding.message)
            for finding in self.findings
        ]


def probe(source: str | Path, fps: float | None = None, reading: Reading = AS_IT_IS) -> VideoInfo:
    """What the source says of itself; reads no further than its first pictures that can be decoded.

    `fps` is required for a folder of images or a printf pattern, and is an error where the source has times of its
    own. Raises InputError for what cannot be read, UsageError for options that are missing or would do nothing.
    """
    source = Path(source)
    sequence = open_sequence(source, reading.max_megapixels)
    first = _read_first_pictures(source, fps, reading, 1)[0]
    if sequence is not None:
        return _describe_images(source, sequence, fps, first)
    with open_video(source, reading.stream, reading.max_megapixels) as (container, stream):
        frame = _read_first_frame(source, container, stream)
        return _describe_video(source, container, stream, frame, fps, first.levels)


def examine(
    source: str | Path, fps: float | None = None, *, decode: bool = False, reading: Reading = AS_IT_IS
) -> Examination:
    """Look through a source. Without `decode` a pass over its packets (seconds for an hour of video).

    decode: also decode every picture, which is how damage inside packets is found. Raises InputError and UsageError
    as `probe` does.
    """
    source = Path(source)
    sequence = open_sequence(source, reading.max_megapixels)
    first = _read_first_pictures(source, fps, reading, LOOK_AT_FRAMES)
    levels = describe_levels(first[0].levels, [picture.rgb() for picture in first])
    problems, counted = _decode_all(source, fps, reading) if decode else ([], None)
    if sequence is not None:
        info = _describe_images(source, sequence, fps, first[0])
        findings = (*sequence.findings, *levels, *_describe_problems(problems, ()))
        return _examine_images(info, sequence, reading, counted, findings)
    with open_video(source, reading.stream, reading.max_megapixels) as (container, stream):
        frame = _read_first_frame(source, container, stream)
        info = _describe_video(source, container, stream, frame, fps, first[0].levels)
        timeless = not has_times(container)
        picture = describe_pictures(info, frame, look_around(source, reading), reading)
        streams = describe_streams(container, stream, asked=reading.stream is not None)
        sound = describe_sound(container, stream)
    packets = scan_packets(source, reading)
    if timeless:
        # Made up by the library, in the order of storage.
        packets = replace(packets, pts=np.arange(packets.total), missing=0, backward_dts=0, joins=(), restarts=())
    time_base = info.time_base
    stamps = packets.list_shown(time_base, Fraction(info.declared_fps) if info.declared_fps else None)
    broken = find_broken_end(source, info.container)
    ends = [] if broken is None else [Finding("warning", "damage", broken)]
    if broken is None and has_open_end(source, info.container):
        text = "it has no end code, as most of its kind: whether it was cut off cannot be known"
        ends.append(Finding("note", "end", text))
    faults = [*describe_faults(packets), *ends, *describe_guesses(info, packets, timeless=timeless, choose_fps=fps)]
    damage = _describe_problems(problems, faults)
    timing = measure_timing(info, stamps)
    if info.duration_s is not None and len(stamps):
        # Where a clock starts anew or counts round, the library does not see how long the file is.
        info = replace(info, duration_s=max(info.duration_s, float((stamps[-1] - stamps[0]) * time_base)))
    return Examination(
        info=info,
        frames=len(packets.pts) + packets.missing if counted is None else counted,
        first_s=float(stamps[0] * time_base) if len(stamps) else None,
        last_s=float(stamps[-1] * time_base) if len(stamps) else None,
        measured_fps=timing.measured_fps,
        rate_fps=timing.rate_fps,
        frame_s=timing.frame_s,
        hole_s=timing.hole_s,
        timestamps_trusted=not any(finding.about == "timestamps" for finding in faults),
        findings=(*streams, *faults, *damage, *timing.findings, *describe_order(packets), *picture, *levels, *sound),
    )


def _examine_images(
    info: VideoInfo, sequence: ImageSequence, reading: Reading, counted: int | None, findings: tuple[Finding, ...]
) -> Examination:
    frames = len(sequence.pages)
    if sequence.keeps_time:
        text = f"{frames} pictures, each with a time of its own"
        # Only pictures that are read say how long they are shown.
        pictures = open_pictures(info.path, None, reading, ProblemLog(lambda problem: None))
        stamps = [picture.pts for picture in pictures]
    else:
        text = f"{frames} images; time is their order divided by `fps={info.declared_fps:g}`"
        stamps = [page.slot for page in sequence.pages]
    timing = measure_timing(info, np.array(stamps, np.int64))
    return Examination(
        info=info,
        frames=counted or frames,
        first_s=0.0,
        last_s=float(stamps[-1] * info.time_base),
        measured_fps=timing.measured_fps,
        rate_fps=timing.rate_fps,
        frame_s=timing.frame_s,
        hole_s=timing.hole_s,
        timestamps_trusted=True,
        findings=(Finding("note", "time", text), *findings, *timing.findings),
    )


def _read_first_pictures(source: Path, fps: float | None, reading: Reading, count: int) -> list[Picture]:
    pictures = open_pictures(source, fps, reading, ProblemLog(lambda problem: None))
    try:
        return list(islice(pictures, count))
    finally:
        pictures.close()


def _read_first_frame(
    source: Path, container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> av.VideoFrame:
    log = ProblemLog(lambda problem: None)
    frame = next(decode_packets(container, stream, log, Joiner(container, stream)), None)
    if frame is None:
        raise explain_no_picture(source)
    return frame


def _decode_all(source: Path, fps: float | None, reading: Reading) -> tuple[list[Problem], int]:
    problems: list[Problem] = []
    log = ProblemLog(problems.append)
    count = sum(1 for _ in open_pictures(source, fps, reading, log))
    log.flush()
    return problems, count


def _describe_problems(problems: Sequence[Problem], said: Sequence[Finding]) -> list[Finding]:
    """What decoding came upon, without what is said already."""
    known = {finding.message for finding in said}
    new = [problem for problem in problems if problem.message not in known]
    return [remark_on(problem) or Finding("warning", "damage", problem.describe()) for problem in new]


def _describe_video(
    source: Path,
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    first_frame: av.VideoFrame,
    fps: float | None,
    levels: Levels | None,
) -> VideoInfo:
    view = orientation(first_frame)
    width_px, height_px = view.compute_size(first_frame)
    # PyAV 19 has a rational type of its own, which is false where a value is missing; here are Fractions only.
    time_base = read_time_base(source, container, stream, fps)
    rate = read_rate(stream) if has_times(container) else 1 / time_base
    aspect = Fraction(stream.sample_aspect_ratio or Fraction(1))
    if stream.duration is not None and has_times(container):
        duration_s = float(stream.duration * time_base)
    else:
        duration_s = container.duration / av.time_base if container.duration and has_times(container) else None
    return VideoInfo(
        path=source,
        width_px=width_px,
        height_px=height_px,
        codec=stream.codec_context.name,
        pix_fmt=first_frame.format.name,
        time_base=time_base,
        declared_fps=float(rate) if rate else None,
        declared_frames=stream.frames or None,
        duration_s=duration_s,
        rotation_deg=-90 * view.turns % 360,
        mirrored=view.mirrored,
        pixel_aspect=1 / aspect if view.turns % 2 else aspect,
        has_audio=bool(container.streams.audio),
        container=container.format.name,
        stream=stream.index,
        levels=None if levels is None else (levels.black, levels.white),
        bits=None if levels is None else levels.bits,
        starts_at_s=_read_start_s(container, stream),
    )


def _read_start_s(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> float:
    """When a player that shows the file shows its first picture. MP4 and Matroska count from zero, others from the
    earliest of their streams."""
    if stream.start_time is None or not has_times(container):
        return 0.0
    start_s = float(stream.start_time * Fraction(stream.time_base or Fraction(1, 90_000)))
    zero_s = 0.0 if container.format.name in COUNT_FROM_ZERO else (container.start_time or 0) / av.time_base
    return max(0.0, start_s - zero_s)


def _describe_images(source: Path, sequence: ImageSequence, fps: float | None, first: Picture) -> VideoInfo:
    rate = require_sequence_fps(source, sequence, fps)
    height_px, width_px = first.rgb().shape[:2]
    slots = sequence.pages[-1].slot + 1
    return VideoInfo(
        path=source,
        width_px=width_px,
        height_px=height_px,
        codec=sequence.pages[0].path.suffix.lower().lstrip("."),
        pix_fmt="rgb24" if first.levels is None else "rgb48",
        time_base=sequence.time_base(rate),
        declared_fps=None if sequence.keeps_time else rate,
        declared_frames=len(sequence.pages),
        duration_s=None if sequence.keeps_time else slots / rate,
        container="images",
        levels=None if first.levels is None else (first.levels.black, first.levels.white),
        bits=None if first.levels is None else first.levels.bits,
    )
