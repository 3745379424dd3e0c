"""Plain sentences about a video source, from its packets, headers and first picture."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
import av.container
import av.video.stream
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

from vidconcept.types import VideoInfo
from vidconcept.video.colour import yuv_matrix
from vidconcept.video.packets import PacketScan

# Steps between frames that differ by more than this are a variable frame rate, beyond a container's rounding.
VFR_FRAC = 0.05
# A step this many times the usual one, and this long, is a hole in the recording.
HOLE_STEPS, HOLE_S = 5, 0.5
RATE_FRAC = 0.01


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about the source. "warning": it changes what a reader of the results should believe."""

    level: Literal["note", "warning"]
    about: str
    message: str


def fault_findings(packets: PacketScan) -> list[Finding]:
    findings = []
    total = packets.total
    repeated = len(packets.pts) - len(np.unique(packets.pts))
    if packets.missing:
        text = (
            f"{_count(packets.missing, 'picture')} of {total} without a timestamp; each is placed after its predecessor"
        )
        findings.append(Finding("warning", "timestamps", text))
    if repeated:
        text = f"{_count(repeated, 'timestamp')} of {total} used twice; the second picture is moved after the first"
        findings.append(Finding("warning", "timestamps", text))
    if packets.backward_dts:
        text = f"time runs backward in {_count(packets.backward_dts, 'place')}, as in recordings glued together"
        findings.append(Finding("warning", "timestamps", text))
    if packets.damaged:
        text = f"{_count(packets.damaged, 'packet')} of {total} marked as damaged by the container"
        findings.append(Finding("warning", "damage", text))
    if packets.error is not None:
        findings.append(Finding("warning", "damage", f"reading breaks off with an error: {packets.error}"))
    if total < packets.promised:
        text = f"the index promises {packets.promised} pictures, the file holds {total}: it was cut off"
        findings.append(Finding("warning", "damage", text))
    if packets.hidden:
        text = f"an edit list hides {_count(packets.hidden, 'picture')}, as players do; they are not counted"
        findings.append(Finding("note", "edit list", text))
    return findings


def timing_findings(info: VideoInfo, stamps: np.ndarray) -> tuple[list[Finding], float | None]:
    findings = []
    if len(stamps) and stamps[0] > 0:
        text = f"the first picture is at {float(stamps[0] * info.time_base):.3f} s; times are given relative to it"
        findings.append(Finding("note", "start", text))
    steps = np.diff(np.unique(stamps))
    if not len(steps):
        return findings, None
    tick_s = float(info.time_base)
    usual = float(np.median(steps))
    measured_fps = float(len(steps) / (steps.sum() * tick_s))
    holes = steps[(steps > HOLE_STEPS * usual) & (steps * tick_s >= HOLE_S)]
    if len(holes):
        text = f"{_count(len(holes), 'hole')} in the recording, the longest {holes.max() * tick_s:.3f} s"
        findings.append(Finding("warning", "holes", text))
    regular = steps[steps <= HOLE_STEPS * usual]
    if regular.max() - regular.min() > max(2.0, VFR_FRAC * usual):
        text = (
            f"variable frame rate: usually {1 / (usual * tick_s):.3f} per second, between "
            f"{1 / (regular.max() * tick_s):.3f} and {1 / (regular.min() * tick_s):.3f}; every picture keeps its time"
        )
        findings.append(Finding("note", "rate", text))
    declared = info.declared_fps
    if declared and abs(declared - measured_fps) > RATE_FRAC * measured_fps:
        text = f"declared {declared:.3f} frames per second, measured {measured_fps:.3f}; time is never counted by rate"
        findings.append(Finding("note", "rate", text))
    if info.declared_frames and info.declared_frames != len(stamps):
        text = f"the header declares {info.declared_frames} pictures, {len(stamps)} are there to be shown"
        findings.append(Finding("note", "count", text))
    return findings, measured_fps


def order_findings(packets: PacketScan) -> list[Finding]:
    """B-frames, and key frames that pictures before them depend on (open GOP), from the order of timestamps."""
    if not np.any(np.diff(packets.pts) < 0):
        return []
    if packets.has_open_gops():
        text = "B-frames with open GOPs: seeking lands on wrong pictures in many tools; here nothing is read by seeking"
    else:
        text = "B-frames: pictures are stored in another order than they are shown"
    return [Finding("note", "order", text)]


def picture_findings(info: VideoInfo, frame: av.VideoFrame) -> list[Finding]:
    findings = []
    if info.rotation_deg:
        text = f"stored turned; shown after {info.rotation_deg} degrees clockwise, which is applied"
        findings.append(Finding("note", "rotation", text))
    if info.pixel_aspect != 1:
        shape = f"{info.pixel_aspect.numerator}:{info.pixel_aspect.denominator}"
        text = f"pixels of {shape}: players stretch the picture; boxes, masks and areas count stored pixels"
        findings.append(Finding("note", "pixels", text))
    bits = max(component.bits for component in frame.format.components)
    if bits > 8:
        findings.append(Finding("note", "depth", f"{bits} bits per channel, reduced to 8 for the model"))
    if frame.color_trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67):
        name = "PQ" if frame.color_trc == ColorTrc.SMPTE2084 else "HLG"
        text = f"HDR ({name}): used without tone mapping, so it looks flat and dark to the model"
        findings.append(Finding("warning", "colour", text))
    elif frame.color_primaries == ColorPrimaries.BT2020:
        findings.append(Finding("note", "colour", "wide colour (BT.2020): used without mapping to BT.709"))
    if not frame.format.is_rgb and int(frame.colorspace) == 2:
        matrix = yuv_matrix(frame.colorspace, frame.width, frame.height)
        name = "BT.709" if matrix.name.upper() == "ITU709" else "BT.601"
        findings.append(Finding("note", "colour", f"no colour tag: read as {name}, as its size suggests"))
    if frame.color_range == ColorRange.JPEG and not frame.format.is_rgb:
        findings.append(Finding("note", "colour", "full colour range"))
    if frame.interlaced_frame:
        text = "interlaced: every picture mixes two moments; moving edges look like combs. Deinterlace first"
        findings.append(Finding("warning", "interlaced", text))
    return findings


def sound_findings(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> list[Finding]:
    if not container.streams.audio:
        return []
    sound = container.streams.audio[0]
    codec = sound.codec_context
    # FFmpeg has no decoder for some.
    text = "sound of an unknown kind" if codec is None else f"sound: {codec.name}, {codec.sample_rate} Hz"
    if sound.start_time is not None and stream.start_time is not None:
        offset = sound.start_time * (sound.time_base or 0) - stream.start_time * (stream.time_base or Fraction(0))
        if abs(offset) > Fraction(1, 25):
            text += f"; it starts {abs(float(offset)):.3f} s {'after' if offset > 0 else 'before'} the pictures"
    return [Finding("note", "sound", text)]


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
