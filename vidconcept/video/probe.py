"""What a video source is: from its headers alone (`probe`), or with a look through its packets (`examine`)."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.video.stream
import numpy as np

from vidconcept.types import VideoInfo
from vidconcept.video.colour import orientation
from vidconcept.video.decode import decode_packets
from vidconcept.video.findings import (
    Finding,
    fault_findings,
    order_findings,
    picture_findings,
    sound_findings,
    timing_findings,
)
from vidconcept.video.packets import scan_packets
from vidconcept.video.problems import Problem, ProblemLog
from vidconcept.video.reader import load_image
from vidconcept.video.source import image_paths, nothing_decodes, open_video, require_fps


@dataclass(frozen=True, slots=True)
class Examination:
    """The result of `examine`.

    frames: pictures counted, by packet or, where all were decoded, by picture. first_s, last_s: earliest and latest
    timestamp in the file's own time; None for an image sequence without any. timestamps_trusted: every picture has a
    timestamp of its own and they rise; a variable rate or a hole is no reason for distrust.
    """

    info: VideoInfo
    frames: int
    first_s: float | None
    last_s: float | None
    measured_fps: float | None
    timestamps_trusted: bool
    findings: tuple[Finding, ...]

    def rows(self) -> list[tuple[str, str]]:
        """What to print: a name and a value each, the verdict on the timestamps first."""
        info = self.info
        bad = [finding for finding in self.findings if finding.about == "timestamps"]
        trust = "can be trusted" if self.timestamps_trusted else f"not all sound ({len(bad)} findings below)"
        span = f", {self.last_s - self.first_s:.3f} s" if self.first_s is not None and self.last_s is not None else ""
        rate = f", {self.measured_fps:.3f} per second on average" if self.measured_fps else ""
        rows = [
            ("timestamps", trust),
            ("container", info.container),
            ("picture", f"{info.width_px}x{info.height_px}, {info.codec}, {info.pix_fmt}"),
            ("frames", f"{self.frames}{span}{rate}"),
        ]
        return rows + [
            (finding.about, finding.message if finding.level == "note" else f"WARNING: {finding.message}")
            for finding in self.findings
        ]


def probe(source: str | Path, fps: float | None = None) -> VideoInfo:
    """What the source says of itself; reads no further than the first picture that can be decoded.

    `fps` is required for a folder of images or a printf pattern, and ignored for a video file. Raises InputError for
    what cannot be read, UsageError for a missing `fps`.
    """
    source = Path(source)
    paths = image_paths(source)
    if paths is not None:
        return _probe_images(source, paths, require_fps(source, fps))
    with open_video(source) as (container, stream):
        frame = next(decode_packets(container, stream, ProblemLog(lambda problem: None)), None)
        if frame is None:
            raise nothing_decodes(source)
        return _video_info(source, container, stream, frame)


def examine(source: str | Path, fps: float | None = None, *, decode: bool = False) -> Examination:
    """Look through a source. Without `decode` a pass over its packets (seconds for an hour of video).

    decode: also decode every picture, which is how damage inside packets is found. Raises InputError and UsageError
    as `probe` does.
    """
    source = Path(source)
    paths = image_paths(source)
    if paths is not None:
        info = probe(source, fps)
        note = Finding("note", "time", f"{len(paths)} images; time is their order divided by --fps {fps:g}")
        last_s = float((len(paths) - 1) * info.time_base)
        return Examination(info, len(paths), 0.0, last_s, info.declared_fps, True, (note,))
    with open_video(source) as (container, stream):
        first = next(decode_packets(container, stream, ProblemLog(lambda problem: None)), None)
        if first is None:
            raise nothing_decodes(source)
        info = _video_info(source, container, stream, first)
        picture = picture_findings(info, first)
        sound = sound_findings(container, stream)
    packets = scan_packets(source)
    time_base = info.time_base
    stamps = np.sort(packets.pts)
    first_s = float(stamps[0] * time_base) if len(stamps) else None
    last_s = float(stamps[-1] * time_base) if len(stamps) else None
    faults = fault_findings(packets)
    timing, measured_fps = timing_findings(info, stamps)
    frames = len(packets.pts) + packets.missing
    damage: list[Finding] = []
    if decode:
        frames, damage = _decode_all(source)
    return Examination(
        info=info,
        frames=frames,
        first_s=first_s,
        last_s=last_s,
        measured_fps=measured_fps,
        timestamps_trusted=not any(finding.about == "timestamps" for finding in faults),
        findings=(*faults, *damage, *timing, *order_findings(packets), *picture, *sound),
    )


def _decode_all(source: Path) -> tuple[int, list[Finding]]:
    problems: list[Problem] = []
    log = ProblemLog(problems.append)
    with open_video(source) as (container, stream):
        frames = sum(1 for _ in decode_packets(container, stream, log))
    log.flush()
    return frames, [Finding("warning", "damage", problem.describe()) for problem in problems]


def _video_info(
    source: Path,
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    first_frame: av.VideoFrame,
) -> VideoInfo:
    view = orientation(first_frame)
    width_px, height_px = view.displayed_size(first_frame)
    rate = stream.average_rate or stream.guessed_rate
    # PyAV 19 has a rational type of its own, which is false where a value is missing; here are Fractions only.
    time_base = Fraction(stream.time_base or Fraction(1, 90_000))
    aspect = Fraction(stream.sample_aspect_ratio or Fraction(1))
    if stream.duration is not None:
        duration_s = float(stream.duration * time_base)
    else:
        duration_s = container.duration / av.time_base if container.duration else None
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
        pixel_aspect=1 / aspect if view.turns % 2 else aspect,
        has_audio=bool(container.streams.audio),
        container=container.format.name,
    )


def _probe_images(source: Path, paths: list[Path], fps: float) -> VideoInfo:
    for path in paths:
        image = load_image(path)
        if image is not None:
            return VideoInfo(
                path=source,
                width_px=image.shape[1],
                height_px=image.shape[0],
                codec=path.suffix.lower().lstrip("."),
                pix_fmt="rgb24",
                time_base=1 / Fraction(fps).limit_denominator(100_000),
                declared_fps=fps,
                declared_frames=len(paths),
                duration_s=len(paths) / fps,
                container="images",
            )
    raise nothing_decodes(source, paths)
