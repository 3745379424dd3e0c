"""Frames that wait for their scores, which come out a few latent steps later."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from vidconcept.geometry import crop, resize
from vidconcept.pipelines.maps import read_source
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan
from vidconcept.types import Frame
from vidconcept.video.picture import Picture
from vidconcept.video.small import SmallPicture


@dataclass(frozen=True, slots=True)
class FrameRef:
    """A frame without its picture. name: of the image file that it comes from, empty for a video."""

    index: int
    pts: int
    time_s: float
    name: str = ""


@dataclass(frozen=True, slots=True)
class SmallFrame:
    """A frame with its working picture."""

    ref: FrameRef
    small: SmallPicture = field(repr=False)
    after_hole: bool


@dataclass(frozen=True, slots=True)
class WaitingFrame:
    """A frame whose scores are not out yet. picture: on the working grid, None where it is not kept."""

    ref: FrameRef
    picture: SmallPicture | None = field(default=None, repr=False)


def read_small_frames(plan: Plan, monitor: Monitor) -> Iterator[SmallFrame]:
    """Every frame in the asked range at the working size; see `read_source_frames`."""
    height, width = plan.work_size_px

    def shrink(picture: Picture) -> SmallFrame:
        ref = FrameRef(picture.index, picture.pts, picture.time_s, picture.name)
        return SmallFrame(ref, picture.shrink(plan.region, height, width), picture.after_hole)

    return read_source(plan, monitor, shrink)


def shrink_frame(plan: Plan, frame: Frame) -> SmallFrame:
    """A frame that was converted as a whole, as live ones are, at the working size."""
    image = resize(crop(frame.image, plan.region), *plan.work_size_px)
    ref = FrameRef(frame.index, frame.pts, frame.time_s, frame.name)
    return SmallFrame(ref, SmallPicture(image.shape, False, lambda: image), frame.after_hole)


def list_working_pictures(
    plan: Plan, frames: Iterable[SmallFrame], waiting: deque[WaitingFrame]
) -> Iterator[SmallPicture]:
    """Working pictures of the frames that the model saw; `waiting` collects all frames, in order.

    Pictures are kept with them where masks are to end at their edges.
    """
    kept = plan.settings.edges == "pixel"
    for number, frame in enumerate(frames):
        seen = number % plan.settings.frame_stride == 0
        # A long stride, or windows far apart, let hundreds of them wait.
        many = not seen or plan.settings.skips_windows
        picture = _pack(frame.small) if kept and many and not frame.small.light else frame.small
        waiting.append(WaitingFrame(frame.ref, picture if kept else None))
        if seen:
            yield frame.small


def _pack(picture: SmallPicture) -> SmallPicture:
    """The same as a JPEG."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
    packed = cv2.imencode(".jpg", picture.rgb()[..., ::-1], quality)[1]

    def unpack() -> np.ndarray:
        return cv2.cvtColor(np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)

    return SmallPicture(picture.shape, True, unpack)
