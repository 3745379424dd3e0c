"""Footage in which nothing lasts long enough to be an event: scenes of a few frames, and a line that moves too fast."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from vidconcept.tracks.events import frame_duration_s, shortest_span_s
from vidconcept.video.problems import Finding
from vidconcept.wording import format_count

# From this share of the frames on it changes what a reader should believe.
MANY = 0.1
# So few pairs of frames tell no speed.
FEW = 2
# Share of the picture's side beyond which the surface moves too far within a latent step to tell which frame is meant.
FAR_IN_A_STEP = 0.5


@dataclass
class SceneCount:
    """Counts the frames of a film by scene: first and last index, and whether the model read any."""

    _times_s: array[float] = field(default_factory=lambda: array("d"), repr=False)
    _scenes: list[tuple[int, int, bool]] = field(default_factory=list, repr=False)

    _moved: array[float] = field(default_factory=lambda: array("d"), repr=False)

    def add(self, time_s: float, *, begins: bool, read: bool, moved: float = 0.0) -> None:
        """The next frame.

        begins: it is the first of a scene. read: the model read the latent step that it lies in. moved: by what share
        of the picture's side most of it moved since the frame before.
        """
        index = len(self._times_s)
        self._times_s.append(time_s)
        self._moved.append(moved)
        if begins or not self._scenes:
            self._scenes.append((index, index, read))
        else:
            first, _, before = self._scenes[-1]
            self._scenes[-1] = first, index, before or read

    def describe(self, min_duration_s: float, span: int, stride: int = 1) -> Finding | None:
        """What a person should know; None where all lasts long enough, was read, and lies where its masks are.

        min_duration_s: of events. span: frames of the film of a latent step, which share one map. stride: every so many
        were read.
        """
        count = format_count(len(self._times_s), "frame")
        frame_s = frame_duration_s(self._times_s)
        shortest_s = shortest_span_s(min_duration_s, frame_s)
        scenes = self._scenes if len(self._scenes) > 1 else []
        short = sum(b - a + 1 for a, b, _ in scenes if self._times_s[b] - self._times_s[a] < shortest_s)
        unread = sum(b - a + 1 for a, b, read in scenes if not read)
        # A place is in the picture for 1 / moved frames.
        fast = self._count_many(lambda moved: moved > 0 and (1 / moved - 1) * frame_s < shortest_s)
        beside = self._count_many(lambda moved: moved * (span - 1) > FAR_IN_A_STEP)
        event = f"{min_duration_s:g} s, as an event must last"
        said = []
        if short:
            said.append(f"{short} of {count} lie in scenes shorter than {event}")
        if unread:
            said.append(f"{unread} of {count} lie in scenes that were not read, and score 0")
        if fast:
            said.append(f"{fast} of {count} moved on so far that a place is in view for less than {event}")
        if beside:
            said.append(
                f"{beside} of {count} moved on so far that masks may lie a frame or two beside a defect, and one "
                f"defect may be two events: the model has one map for {span} frames"
            )
        if not said:
            return None
        advice = "look whether lamps flicker, noise is strong, or the line moves too far from one frame to the next"
        if short or fast:
            advice += f"; `min_duration_s={frame_s:.3g}` lets what is seen in two frames be an event"
        if beside:
            smaller = "a smaller `stride`, " if stride > 1 else ""
            advice += f"; {smaller}more frames a second, or a wider view, bring them closer together"
        if unread:
            advice += "; `stride=1` reads every frame"
        level = "warning" if max(short, unread, fast, beside) > MANY * len(self._times_s) else "remark"
        return Finding(level, "scenes", f"{'; '.join(said)}. Next: {advice}")

    def _count_many(self, is_so: Callable[[float], bool]) -> int:
        """How many frames moved so; 0 for a few, where the motion may be wrong as well."""
        count = sum(map(is_so, self._moved))
        return count if count > max(MANY * len(self._moved), FEW) else 0


def measure_move(flow: np.ndarray | None, width_px: int, height_px: int) -> float:
    """The share of the picture's side by which most of it moved. flow: `(h, w, 2)` pixels of that picture, or None."""
    if flow is None:
        return 0.0
    return float((np.abs(np.median(flow.reshape(-1, 2), axis=0)) / (width_px, height_px)).max())
