"""The annotated frame: masks, contours, labels and a time code, in one of four views."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import Literal, get_args

import cv2
import numpy as np

from vidconcept.errors import UsageError
from vidconcept.tracks import rle
from vidconcept.types import Region, TrackMask
from vidconcept.video.planes import Planes
from vidconcept.writers.frames.labels import Box, LabelState, hold, place_label
from vidconcept.writers.frames.palette import Rgb, choose_colour
from vidconcept.writers.frames.text import fit_text, put_text, text_width_px

View = Literal["overlay", "heatmap", "side-by-side", "grid"]

_FILL = 0.35
_PLATE = 0.65
_WHITE: Rgb = (255, 255, 255)
_DARK: Rgb = (16, 18, 22)


def _heat_tables() -> tuple[np.ndarray, np.ndarray]:
    """Two `(1, 256, 3)` uint8 lookup tables by score: how much of the picture shines through, and the colour to add.

    Viridis, which is safe for colour-blind eyes; it covers the picture the more, the higher the score is.
    """
    levels = np.arange(256, dtype=np.uint8)[None]
    opacity = np.linspace(0.25, 0.75, 256)[None, :, None]
    viridis = cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[..., ::-1]
    through = np.repeat((1 - opacity) * 255, 3, axis=2)
    return np.rint(through).astype(np.uint8), np.rint(viridis * opacity).astype(np.uint8)


_SHINE_THROUGH, _HEAT = _heat_tables()


def needs_scores(view: str) -> bool:
    """Whether a view draws scores."""
    return view in ("heatmap", "grid")


@dataclass(frozen=True, slots=True)
class _Plate:
    """One line of text on a plate. box: x_min, y_min, x_max, y_max in pixels."""

    box: tuple[int, int, int, int]
    text: str
    colour: Rgb | None


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is to be drawn on one frame. time_code: None where none is written."""

    tracks: Sequence[TrackMask]
    labels: Sequence[_Plate]
    time_code: _Plate | None

    def compute_digest(self) -> int:
        """64 bits that stand for how a frame looks with this on it."""
        masks = [(track.class_id, track.box_px, track.rle) for track in self.tracks]
        described = repr((masks, list(self.labels), self.time_code)).encode()
        return int.from_bytes(hashlib.blake2b(described, digest_size=8).digest())


class Annotator:
    """Draws the frames of one video; holds each label's last place so that labels stay calm.

    Frames are placed in order, each once, whether they are drawn or not.

    concepts: names, the index is the class id and picks the colour. frame_size: (width, height) in pixels.
    region: what the scores cover of the frame, needed by the views "heatmap" and "grid". timed: whether the time and
    the number of the frame are written on it.
    """

    def __init__(
        self,
        concepts: Sequence[str],
        frame_size: tuple[int, int],
        view: str = "overlay",
        region: Region | None = None,
        *,
        timed: bool = True,
    ) -> None:
        if view not in get_args(View):
            raise UsageError(f"no view {view!r}. Next: one of {', '.join(get_args(View))}")
        self._concepts = tuple(concepts)
        self._frame_size = frame_size
        self._view = view
        self._region = region or Region(0, 0, *frame_size)
        self._timed = timed
        self._labels: dict[int, LabelState] = {}
        self._canvas: np.ndarray | None = None
        # Legible on a phone's 256 lines and not a banner on 1080.
        self._text_px = min(40, max(11, frame_size[1] // 36))
        self._line_px = max(1, round(frame_size[1] / 480))

    @property
    def needs_scores(self) -> bool:
        """Whether `draw` must be given scores."""
        return needs_scores(self._view)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the drawn frames."""
        width, height = self._frame_size
        return (2 * width, height) if self._view == "side-by-side" else (width, height)

    def place(self, tracks: Sequence[TrackMask], time_s: float, frame_index: int) -> Drawing:
        """What comes onto the next frame, and where."""
        time_code = self._place_time_code(time_s, frame_index) if self._timed else None
        overdrawn = [] if time_code is None else [time_code.box]
        return Drawing(tracks, self._place_labels(tracks, time_s, overdrawn), time_code)

    def draw(self, image: np.ndarray, drawing: Drawing, scores: np.ndarray | None = None) -> np.ndarray:
        """A new `(h, w, 3)` uint8 RGB frame of `size`. image: the source frame, left as it is.

        scores: `(concept, h', w')` in [0, 1] over the region. Raises ValueError where the view needs them and they
        are not given.
        """
        if self.needs_scores and scores is None:
            raise ValueError(f"the view {self._view!r} draws scores, got none")
        if self._view == "grid" and scores is not None:
            canvas = self._grid(image, drawing.tracks, scores)
        elif self._view == "heatmap" and scores is not None:
            canvas = self._draw_heat(image, scores.max(axis=0))
            self._contours(canvas, drawing.tracks, fill=0.0)
            self._draw_plates(canvas, drawing.labels)
        else:
            canvas = image.copy()
            self._contours(canvas, drawing.tracks, fill=_FILL)
            self._draw_plates(canvas, drawing.labels)
        if drawing.time_code is not None:
            self._draw_plates(canvas, [drawing.time_code])
        return np.hstack([image, canvas]) if self._view == "side-by-side" else canvas

    def _contours(self, canvas: np.ndarray, tracks: Sequence[TrackMask], fill: float) -> None:
        for track in tracks:
            draw_mask(canvas, track, self._frame_size, self._line_px, fill)

    @property
    def draws_in_places(self) -> bool:
        """Whether most of a frame stays as it is: then `draw_on` draws it too."""
        return self._view == "overlay"

    def draw_on(self, planes: Planes, drawing: Drawing) -> None:
        """What `draw` draws, on the planes of the source frame."""
        width, height = self._frame_size
        plates = [*drawing.labels, *([] if drawing.time_code is None else [drawing.time_code])]
        boxes = [plate.box for plate in plates] + [track.box_px for track in drawing.tracks]
        reach = self._line_px + 3
        boxes = [(x - reach, y - reach, right + reach, bottom + reach) for x, y, right, bottom in boxes]
        if self._canvas is None:
            self._canvas = np.empty((height, width, 3), np.uint8)
        for box in boxes:
            planes.load(box, self._canvas)
        self._contours(self._canvas, drawing.tracks, fill=_FILL)
        self._draw_plates(self._canvas, plates)
        for box in boxes:
            planes.store(box, self._canvas)

    def _draw_plates(self, canvas: np.ndarray, plates: Sequence[_Plate]) -> None:
        for plate in plates:
            _draw_plate(canvas, plate.box, plate.text, self._text_px, plate.colour)

    def _place_labels(self, tracks: Sequence[TrackMask], time_s: float, overdrawn: Sequence[Box]) -> list[_Plate]:
        avoid = [track.box_px for track in tracks]
        states, plates = {}, []
        for track in tracks:
            # The name is cut before the number, which a reviewer needs to find the row in the table.
            number = f" #{track.tracker_id} {track.confidence:.2f}"
            room_px = self._frame_size[0] // 2 - text_width_px(number, self._text_px)
            text = fit_text(track.concept, self._text_px, room_px) + number
            state = hold(self._labels.get(track.tracker_id), text, track.box_px, time_s)
            size = (text_width_px(state.text, self._text_px) + self._text_px, round(1.5 * self._text_px))
            box, side = place_label(state, size, self._frame_size, avoid, overdrawn)
            avoid.append(box)
            states[track.tracker_id] = replace(state, side=side)
            plates.append(_Plate(box, state.text, choose_colour(track.class_id)))
        # A track that is out of sight for a moment finds its label where it was; there are few of them.
        self._labels = states | {
            key: state for key, state in self._labels.items() if key not in states and time_s - state.text_since_s < 2.0
        }
        return plates

    def _place_time_code(self, time_s: float, frame_index: int) -> _Plate:
        bottom = self._frame_size[1]
        minutes, seconds = divmod(round(time_s, 3), 60)
        text = f"{int(minutes // 60):d}:{int(minutes % 60):02d}:{seconds:06.3f}  frame {frame_index}"
        width = text_width_px(text, self._text_px) + self._text_px
        return _Plate((0, bottom - round(1.5 * self._text_px), width, bottom), text, None)

    def _draw_heat(self, image: np.ndarray, score: np.ndarray) -> np.ndarray:
        """The image, of any scale, under a heat map of `(h', w')` scores; outside of the region it stays as it is."""
        r, scale = self._region, image.shape[1] / self._frame_size[0]
        canvas = image.copy()
        # A narrow region may shrink to less than a pixel.
        top, left = min(round(r.y * scale), canvas.shape[0] - 1), min(round(r.x * scale), canvas.shape[1] - 1)
        below, beyond = max(top + 1, round((r.y + r.height) * scale)), max(left + 1, round((r.x + r.width) * scale))
        part = canvas[top:below, left:beyond]
        level = cv2.resize(score, part.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        level = cv2.merge([(np.clip(level, 0, 1) * 255).astype(np.uint8)] * 3)
        cv2.multiply(part, cv2.LUT(level, _SHINE_THROUGH), dst=part, scale=1 / 255)
        cv2.add(part, cv2.LUT(level, _HEAT), dst=part)
        return canvas

    def _grid(self, image: np.ndarray, tracks: Sequence[TrackMask], scores: np.ndarray) -> np.ndarray:
        """One heat map a concept, as many in a row as in a column, together as large as the frame."""
        width, height = self._frame_size
        per_row = ceil(sqrt(len(scores)))
        per_column = ceil(len(scores) / per_row)
        cell_w, cell_h = width // per_row, height // per_column
        scale = min(cell_w / width, cell_h / height)
        size = (max(1, int(width * scale)), max(1, int(height * scale)))
        canvas = np.full((height, width, 3), _DARK, np.uint8)
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        for class_id, score in enumerate(scores):
            cell = self._draw_heat(small, score)
            self._contours(cell, [track for track in tracks if track.class_id == class_id], fill=0.0)
            x = (class_id % per_row) * cell_w + (cell_w - size[0]) // 2
            y = (class_id // per_row) * cell_h + (cell_h - size[1]) // 2
            canvas[y : y + size[1], x : x + size[0]] = cell
            number = f" {float(score.max()):.2f}"
            room_px = cell_w - 2 * self._text_px - text_width_px(number, self._text_px)
            title = fit_text(self._concepts[class_id], self._text_px, room_px) + number
            cv2.rectangle(canvas, (x, y), (x + size[0] - 1, y + size[1] - 1), _DARK, self._line_px)
            box = (x, y, x + text_width_px(title, self._text_px) + self._text_px, y + round(1.5 * self._text_px))
            _draw_plate(canvas, box, title, self._text_px, choose_colour(class_id))
        return canvas


def draw_mask(image: np.ndarray, track: TrackMask, frame_size: tuple[int, int], line_px: int, fill: float) -> None:
    """Draws a track's mask into `(h, w, 3)` uint8 in place: fill (its opacity) and contour with a dark rim.

    The contour follows where the image is a scaled frame; a fill needs the frame's own size.
    """
    x_min, y_min, x_max, y_max = track.box_px
    mask = rle.decode_box(track.rle, frame_size, track.box_px)
    colour = choose_colour(track.class_id)
    if fill > 0:
        part = image[y_min:y_max, x_min:x_max]
        tinted = cv2.addWeighted(part, 1 - fill, np.full_like(part, colour), fill, 0)
        cv2.copyTo(tinted, mask, part)
    outlines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE, offset=(x_min, y_min))
    scale = image.shape[1] / frame_size[0]
    if scale != 1:
        outlines = [(outline * scale).astype(np.int32) for outline in outlines]
    cv2.drawContours(image, outlines, -1, _DARK, line_px + 2)
    cv2.drawContours(image, outlines, -1, colour, line_px, cv2.LINE_AA)


def _draw_plate(image: np.ndarray, box: tuple[int, int, int, int], text: str, text_px: int, colour: Rgb | None) -> None:
    """Text on a dark translucent plate, with a bar of the concept's colour on its left."""
    x_min, y_min, x_max, y_max = box
    part = image[max(0, y_min) : y_max, max(0, x_min) : x_max]
    cv2.addWeighted(part, 1 - _PLATE, np.full_like(part, _DARK), _PLATE, 0, dst=part)
    if colour is not None:
        cv2.rectangle(image, (x_min, y_min), (x_min + max(2, text_px // 5) - 1, y_max - 1), colour, cv2.FILLED)
    put_text(image, text, x_min + text_px // 2, y_min + round(1.1 * text_px), text_px, _WHITE)
