"""Plain sentences about a video source, from its packets, headers and first picture."""

from collections.abc import Sequence
from fractions import Fraction

import av
import av.container
import av.video.stream
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange

from vidconcept.types import VideoInfo
from vidconcept.video.colour import choose_yuv_matrix
from vidconcept.video.endings import SHORT_LAST, describe_missing
from vidconcept.video.filters import HDR_NAMES
from vidconcept.video.levels import Levels, is_narrow
from vidconcept.video.packets import PacketScan
from vidconcept.video.problems import Finding
from vidconcept.video.reading import AS_IT_IS, Reading
from vidconcept.video.sampling import Glimpse


def describe_faults(packets: PacketScan) -> list[Finding]:
    findings = []
    total = packets.total
    repeated = len(packets.pts) - len(np.unique(packets.pts))
    if packets.missing:
        text = (
            f"{_count(packets.missing, 'picture')} of {total} without a timestamp; each is placed beside its neighbour"
        )
        findings.append(Finding("warning", "timestamps", text))
    if repeated:
        text = f"{_count(repeated, 'timestamp')} of {total} used twice; the second picture is moved after the first"
        findings.append(Finding("warning", "timestamps", text))
    if packets.joins:
        text = (
            f"time runs backward in {_count(len(packets.joins), 'place')}, as in recordings glued together: it goes on "
            "from the picture before, and nothing is followed across"
        )
        findings.append(Finding("warning", "timestamps", text))
    elif packets.backward_dts:
        text = (
            f"time runs backward in {_count(packets.backward_dts, 'place')}; the pictures there are moved after those "
            "before them"
        )
        findings.append(Finding("warning", "timestamps", text))
    if packets.damaged:
        text = f"{_count(packets.damaged, 'packet')} of {total} marked as damaged by the container"
        findings.append(Finding("warning", "damage", text))
    if packets.error is not None:
        findings.append(Finding("warning", "damage", f"reading breaks off with an error: {packets.error}"))
    if total < packets.promised:
        findings.append(Finding("warning", "damage", describe_missing(packets.promised, total)))
    if packets.ends_short:
        findings.append(Finding("warning", "damage", SHORT_LAST))
    if packets.hidden:
        text = f"an edit list hides {_count(packets.hidden, 'picture')}, as players do; they are not counted"
        findings.append(Finding("note", "edit list", text))
    return findings


def describe_order(packets: PacketScan) -> list[Finding]:
    """B-frames, and key frames that pictures before them depend on (open GOP), from the order of timestamps."""
    if not np.any(np.diff(packets.pts) < 0):
        return []
    if packets.has_open_gops():
        text = "B-frames with open GOPs: seeking lands on wrong pictures in many tools; here nothing is read by seeking"
    else:
        text = "B-frames: pictures are stored in another order than they are shown"
    return [Finding("note", "order", text)]


def describe_levels(levels: Levels | None, pictures: Sequence[np.ndarray]) -> list[Finding]:
    """What of deep values is black and white, and that the first pictures `(h, w, 3)` uint8 use little of the range."""
    findings = []
    advice = "Next: check exposure and lens cap"
    if levels is not None:
        how = "as given" if levels.given else "found in pictures from all over; `bits` settles it"
        findings.append(Finding("remark", "depth", f"values {levels.describe()} become black to white, {how}"))
        advice = "Next: give the depth with `bits`"
    narrow = is_narrow(pictures)
    if narrow is not None:
        text = f"the first pictures use only levels {narrow[0]} to {narrow[1]} of 0 to 255. {advice}"
        findings.append(Finding("warning", "range", text))
    return findings


def describe_pictures(
    info: VideoInfo, frame: av.VideoFrame, glimpse: Glimpse, reading: Reading = AS_IT_IS
) -> list[Finding]:
    """From the first picture, and from a glimpse of others where they may differ."""
    findings = []
    if info.rotation_deg:
        text = f"stored turned; shown after {info.rotation_deg} degrees clockwise, which is applied"
        findings.append(Finding("note", "rotation", text))
    if info.pixel_aspect != 1:
        shape = f"{info.pixel_aspect.numerator}:{info.pixel_aspect.denominator}"
        text = f"pixels of {shape}: players stretch the picture; boxes, masks and areas count stored pixels"
        findings.append(Finding("note", "pixels", text))
    if info.mirrored:
        text = "stored mirrored; shown turned over left to right, which is applied"
        findings.append(Finding("remark", "rotation", text))
    bits = max(component.bits for component in frame.format.components)
    if bits > 8 and info.levels is None:
        findings.append(Finding("note", "depth", f"{bits} bits per channel, reduced to 8 for the model"))
    hdr = next((number for number in (frame.color_trc, *sorted(glimpse.transfers)) if number in HDR_NAMES), None)
    if len(glimpse.sizes_px) > 1:
        sizes = " and ".join(f"{width}x{height}" for width, height in sorted(glimpse.sizes_px))
        text = f"pictures of {sizes} as stored; all are resized to the first"
        findings.append(Finding("warning", "size", text))
    if hdr is not None and reading.tone_map:
        text = f"HDR ({HDR_NAMES[hdr]}): tone-mapped to BT.709, as asked"
        findings.append(Finding("remark", "colour", text))
    elif hdr is not None:
        text = f"HDR ({HDR_NAMES[hdr]}): used without tone mapping, so it looks flat and dark to the model"
        findings.append(Finding("warning", "colour", f"{text}. Next: `tone_map`"))
    elif frame.color_primaries == ColorPrimaries.BT2020:
        findings.append(Finding("note", "colour", "wide colour (BT.2020): used without mapping to BT.709"))
    if not frame.format.is_rgb and int(frame.colorspace) == 2:
        matrix = choose_yuv_matrix(frame.colorspace, frame.width, frame.height)
        name = "BT.709" if matrix.name.upper() == "ITU709" else "BT.601"
        findings.append(Finding("note", "colour", f"no colour tag: read as {name}, as its size suggests"))
    if frame.color_range == ColorRange.JPEG and not frame.format.is_rgb:
        findings.append(Finding("note", "colour", "full colour range"))
    if reading.deinterlace:
        findings.append(Finding("remark", "interlaced", "deinterlaced, as asked: each picture shows one moment"))
    elif frame.interlaced_frame or glimpse.flagged or glimpse.combed:
        unsaid = "" if frame.interlaced_frame or glimpse.flagged else ", though the file does not say so"
        text = f"interlaced{unsaid}: pictures mix two moments, and moving edges look like combs. Next: `deinterlace`"
        findings.append(Finding("warning", "interlaced", text))
    return findings


def describe_sound(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> list[Finding]:
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
