"""Frames that wait for their scores, which come out a few latent steps later."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from vidconcept.geometry import crop, resize
from vidconcept.pipelines.plan import Plan
from vidconcept.types import Frame


@dataclass(frozen=True, slots=True)
class FrameRef:
    """A frame without its picture. name: of the image file that it comes from, empty for a video."""

    index: int
    pts: int
    time_s: float
    name: str = ""


@dataclass(frozen=True, slots=True)
class WaitingFrame:
    """A frame whose scores are not out yet. image: its working picture; packed: the same as a JPEG."""

    ref: FrameRef
    image: np.ndarray | None = field(default=None, repr=False)
    packed: np.ndarray | None = field(default=None, repr=False)

    def picture(self) -> np.ndarray | None:
        """`(h, w, 3)` uint8 RGB on the working grid; None where it was not kept."""
        if self.packed is None:
            return self.image
        return cv2.cvtColor(np.asarray(cv2.imdecode(self.packed, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)


def read_working_pictures(plan: Plan, frames: Iterable[Frame], waiting: deque[WaitingFrame]) -> Iterator[np.ndarray]:
    """Working pictures of the frames that the model saw; `waiting` collects all frames, in order.

    Pictures are kept with them where masks are to end at their edges.
    """
    height, width = plan.work_size_px
    kept = plan.settings.edges == "pixel"
    for number, frame in enumerate(frames):
        ref = FrameRef(frame.index, frame.pts, frame.time_s, frame.name)
        seen = number % plan.settings.frame_stride == 0
        image = resize(crop(frame.image, plan.region), height, width) if seen or kept else None
        if image is None or (seen and not plan.settings.skips_windows):
            waiting.append(WaitingFrame(ref, image if kept else None))
        else:
            # Packed: a long stride, or windows far apart, let hundreds of them wait.
            quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
            waiting.append(WaitingFrame(ref, packed=cv2.imencode(".jpg", image[..., ::-1], quality)[1]))
        if seen and image is not None:
            yield image
