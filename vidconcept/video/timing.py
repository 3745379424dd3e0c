"""What the timestamps of a source say as a whole: its rate, its holes, and whether they were measured or made up."""

from dataclasses import dataclass

import numpy as np

from vidconcept.holes import hole_length_s
from vidconcept.types import VideoInfo
from vidconcept.video.packets import PacketScan
from vidconcept.video.problems import Finding

# Steps between frames that differ by more than this are a variable frame rate, beyond a container's rounding.
VFR_FRAC = 0.05
RATE_FRAC = 0.01
LISTED_HOLES = 3


@dataclass(frozen=True, slots=True)
class Timing:
    """measured_fps: pictures over the whole time. rate_fps: the rate while it records: the declared one where the steps
    bear it out, on average or as they usually are, else theirs, holes left out. frame_s: how long a picture is usually
    shown. hole_s: steps longer than this are holes. All None with fewer than two pictures.
    """

    findings: tuple[Finding, ...] = ()
    measured_fps: float | None = None
    rate_fps: float | None = None
    frame_s: float | None = None
    hole_s: float | None = None


def measure_timing(info: VideoInfo, stamps: np.ndarray) -> Timing:
    """stamps: `(n,)` int64, sorted, in units of the time base."""
    findings: list[Finding] = []
    tick_s = float(info.time_base)
    if len(stamps) and stamps[0] > 0 and info.container != "images":
        text = f"the first picture is at {float(stamps[0] * tick_s):.3f} s; times are given relative to it"
        findings.append(Finding("note", "start", text))
    at = np.unique(stamps)
    steps = np.diff(at)
    if not len(steps):
        return Timing(tuple(findings))
    usual = float(np.median(steps))
    frame_s = usual * tick_s
    hole_s = hole_length_s(frame_s)
    is_hole = steps * tick_s > hole_s
    if is_hole.any():
        findings.append(_describe_holes((at[:-1][is_hole] - at[0]) * tick_s, steps[is_hole] * tick_s))
    regular = steps[~is_hole] if not is_hole.all() else steps
    measured_fps = float(len(steps) / (steps.sum() * tick_s))
    shown_fps = float(len(regular) / (regular.sum() * tick_s))
    # Images without times of their own are counted by the rate that was given for them.
    is_timed = info.container != "images" or info.declared_fps is None
    if is_timed and regular.max() - regular.min() > max(2.0, VFR_FRAC * usual):
        text = (
            f"variable frame rate: usually {1 / (usual * tick_s):.3f} per second, between "
            f"{1 / (regular.max() * tick_s):.3f} and {1 / (regular.min() * tick_s):.3f}; every picture keeps its time"
        )
        findings.append(Finding("remark", "rate", text))
    declared = info.declared_fps
    # Holes are told by themselves; a container may count them in or leave them out.
    fits = declared and any(abs(declared - fps) <= RATE_FRAC * fps for fps in (measured_fps, shown_fps))
    if declared and info.container != "images" and not fits:
        text = f"declared {declared:.3f} frames per second, measured {shown_fps:.3f}; time is never counted by rate"
        findings.append(Finding("remark", "rate", text))
    if info.declared_frames and info.declared_frames != len(stamps):
        text = f"the header declares {info.declared_frames} pictures, {len(stamps)} are there to be shown"
        findings.append(Finding("remark", "count", text))
    # Short gaps, as pictures that are missing leave, make the mean longer than the usual step.
    is_borne_out = declared and any(abs(declared - fps) <= VFR_FRAC * fps for fps in (shown_fps, 1 / frame_s))
    return Timing(tuple(findings), measured_fps, declared if is_borne_out else shown_fps, frame_s, hole_s)


def _describe_holes(begin_s: np.ndarray, length_s: np.ndarray) -> Finding:
    order = np.argsort(-length_s, kind="stable")[:LISTED_HOLES]
    places = ", ".join(f"{length_s[i]:.3f} s after {begin_s[i]:.3f} s" for i in sorted(order))
    count = "1 hole" if len(length_s) == 1 else f"{len(length_s)} holes"
    more = f", the longest {length_s.max():.3f} s"
    text = f"{count} in the recording{more} ({places}); nothing is followed across"
    return Finding("warning", "holes", text)


def describe_guesses(
    info: VideoInfo, packets: PacketScan, *, timeless: bool, choose_fps: float | None
) -> list[Finding]:
    """That times were made up: raw streams store none, and AVI none of pictures that come in another order."""
    if timeless:
        if choose_fps is not None:
            return [
                Finding(
                    "remark", "time", f"a raw stream: time is the order of pictures divided by `fps={choose_fps:g}`"
                )
            ]
        text = (
            f"a raw stream stores no times: {info.declared_fps:.3f} pictures per second are assumed. "
            "Next: give the rate with `fps`"
        )
        return [Finding("warning", "timestamps", text)]
    if info.container == "avi" and packets.reordered:
        text = (
            "AVI stores no times of B-frames: each picture takes the time of a packet, in the order in which they are "
            "shown"
        )
        return [Finding("warning", "timestamps", text)]
    return []
