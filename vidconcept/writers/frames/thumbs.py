"""One JPEG an event: the peak frame around the defect, with its contour."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from vidconcept.files import open_replacing_bytes
from vidconcept.ownership import list_own_files
from vidconcept.types import Event, Recurring, TrackMask
from vidconcept.writers.frames.overlay import draw_mask

_SIZE = (256, 192)
# The defect takes at most this share of the thumbnail: a reviewer needs what is around it.
_SHARE = 0.5
# Below this a thumbnail would show pixels and not a part.
_MIN_WIDTH_PX = 96
_JPEG_QUALITY = 85


def name_thumb(event_id: int) -> str:
    """Path of an event's thumbnail inside the run folder."""
    return f"thumbs/{event_id:05d}.jpg"


def name_recurring_thumb(group_id: int) -> str:
    """Path of the picture of a recurring group inside the run folder."""
    return f"thumbs/recurring_{group_id:05d}.jpg"


class ThumbWriter:
    """Takes the frames of the final pass and writes the thumbnail of each event and group whose peak they are.

    Thumbnails of events that are no more, from an earlier decision, are removed.
    """

    def __init__(self, run_dir: Path, events: Sequence[Event], groups: Sequence[Recurring] = ()) -> None:
        self._run_dir = run_dir
        self._due: dict[int, list[Event | Recurring]] = defaultdict(list)
        for own in (*events, *groups):
            self._due[own.peak_frame].append(own)
        named = {name_thumb(event.event_id) for event in events} | {name_recurring_thumb(g.group_id) for g in groups}
        for old in list_own_files(run_dir):
            if old.parent.name == "thumbs" and f"thumbs/{old.name}" not in named:
                old.unlink()

    def wants(self, frame_index: int) -> bool:
        """Whether a thumbnail is made of the frame."""
        return frame_index in self._due

    def frame(self, frame_index: int, image: np.ndarray, tracks: Sequence[TrackMask]) -> None:
        """image: the source frame, `(h, w, 3)` uint8 RGB. tracks: the final ones of this frame."""
        for event in self._due.pop(frame_index, ()):
            if isinstance(event, Event):
                own = next((t for t in tracks if t.tracker_id == event.tracker_id), None)
                name = name_thumb(event.event_id)
            else:
                own, name = None, name_recurring_thumb(event.group_id)
            _, jpeg = cv2.imencode(
                ".jpg",
                cv2.cvtColor(draw_thumbnail(image, event.box_px, own), cv2.COLOR_RGB2BGR),
                [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY],
            )
            with open_replacing_bytes(self._run_dir / name) as file:
                file.write(jpeg.tobytes())


def draw_thumbnail(image: np.ndarray, box_px: tuple[int, int, int, int], track: TrackMask | None) -> np.ndarray:
    """`(192, 256, 3)` uint8 RGB: the box with its surroundings, and the track's contour where it is given."""
    height, width = image.shape[:2]
    x_min, y_min, x_max, y_max = box_px
    aspect = _SIZE[0] / _SIZE[1]
    crop_w = max((x_max - x_min) / _SHARE, (y_max - y_min) / _SHARE * aspect, _MIN_WIDTH_PX)
    crop_w = min(crop_w, width, height * aspect)
    crop_h = crop_w / aspect
    left = min(max(0.0, (x_min + x_max - crop_w) / 2), width - crop_w)
    top = min(max(0.0, (y_min + y_max - crop_h) / 2), height - crop_h)
    x, y, w, h = int(left), int(top), max(1, int(crop_w)), max(1, int(crop_h))
    drawn = image[y : y + h, x : x + w]
    if track is not None:
        whole = image.copy()
        # The line is drawn before the crop is scaled: it should come out two pixels wide.
        draw_mask(whole, track, (width, height), max(1, round(2 * w / _SIZE[0])), fill=0.0)
        drawn = whole[y : y + h, x : x + w]
    way = cv2.INTER_AREA if w > _SIZE[0] else cv2.INTER_CUBIC
    return cv2.resize(drawn, _SIZE, interpolation=way)
