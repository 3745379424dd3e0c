"""The data that flows from the reader to the writers. Frozen, self-validating, units in the names.

Axis order, everywhere: video `(t, h, w, c)` uint8 RGB; latents `(b, t, c, h, w)`; maps `(concept, t_lat, row, col)`
float32; flow `(h, w, 2)` in pixels, x first.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video source says of itself. Sizes are in stored pixels, after rotation."""

    path: Path
    width_px: int
    height_px: int
    codec: str
    pix_fmt: str
    time_base: Fraction
    # Average rate as declared by the container; wrong for variable-frame-rate files, so never used for time.
    declared_fps: float | None
    declared_frames: int | None
    duration_s: float | None
    # Clockwise degrees by which the stored picture is turned for display: 0, 90, 180 or 270.
    rotation_deg: int = 0
    # Width of a pixel over its height; a player stretches pictures by it.
    pixel_aspect: Fraction = Fraction(1)
    has_audio: bool = False
    container: str = ""
    # Index of the video stream in its file, None for images.
    stream: int | None = None
    # Of pictures with more than eight bits: the values that become black and white, and the bits of whole numbers.
    levels: tuple[float, float] | None = None
    bits: int | None = None
    # When a player that shows the file shows the first picture: sound may begin before it.
    starts_at_s: float = 0.0
    # Whether the stored picture is turned over left to right for display, before it is turned.
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame.

    index: position among the frames that can be decoded, from 0. pts: in units of the stream's time base.
    time_s: the frame's own timestamp relative to the first frame. image: `(h, w, 3)` uint8 RGB, rotation applied.
    after_hole: whether there is a hole in time since the frame that was given before, or another recording begins.
    name: of the image file that it comes from, empty for a video.
    """

    index: int
    pts: int
    time_s: float
    image: np.ndarray = field(repr=False)
    after_hole: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(f"a frame is (h, w, 3) uint8, got {self.image.shape = } {self.image.dtype = }")


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the source frame in pixels: what a map covers. `x`, `y` is the top left corner."""

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0 or self.x < 0 or self.y < 0:
            raise ValueError(f"not a region inside a frame: {self}")


@dataclass(frozen=True, slots=True)
class ConceptMaps:
    """Concept scores of one window, as the model gives them: one row per latent step of the window.

    window_index: from 0.
    positions: `(t_lat, 2)` int64, first and last position (inclusive) that each latent step covers, in the sequence
        of frames the model saw; the first step of a window covers one frame, later ones `step` frames.
    step: frames per latent step: 4 for CogVideoX, 8 for CogVideoX 1.5. Windows start at multiples of `step`, so latent
        step j of the whole stream covers positions (j-1)*step+1 .. j*step, and step 0 covers position 0.
    real_frames: how many frames of the window are real; the rest is padding (the last frame repeated).
    scores: `(concept, t_lat, row, col)` float32 in [0, 1].
    motions: of frames up to the window's end, by position, where windows were chosen by them: `temporal.motion.Motion`.
    features: `(n, row, col, dim)`, what tokens look like to the model, of each frame of the window or of each latent
        step; None for maps that come from a run folder.
    """

    window_index: int
    positions: np.ndarray = field(repr=False)
    step: int
    real_frames: int
    scores: np.ndarray = field(repr=False)
    features: np.ndarray | None = field(default=None, repr=False)
    motions: tuple[tuple[int, Any], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.scores.ndim != 4 or self.scores.dtype != np.float32:
            raise ValueError(
                f"scores are (concept, t_lat, row, col) float32, got {self.scores.shape = } {self.scores.dtype = }"
            )
        if self.positions.shape != (self.scores.shape[1], 2):
            raise ValueError(f"positions are (t_lat, 2), got {self.positions.shape = } for {self.scores.shape = }")


@dataclass(frozen=True, slots=True)
class Origin:
    """What the scores of a frame come from; the last columns of `tracks.csv` and `frames.csv`.

    latent_index: the latent step, from 0 in the whole (strided) video. window_index: the window that contributed most
    to it. interpolated: the model did not see this frame (`stride`).
    """

    latent_index: int
    window_index: int
    interpolated: bool = False


@dataclass(frozen=True, slots=True)
class LatentMaps:
    """Concept scores of one latent step of the stitched stream, as the temporal stage takes them.

    origin: which step it is.
    first, last: first and last position (inclusive), in the sequence of frames the model saw, that the latent covers:
        the first latent covers one frame, later ones four (CogVideoX) or eight (CogVideoX 1.5).
    scores: `(concept, row, col)` float32 in [0, 1]: the asked concepts out of the softmax over all of the run's.
    """

    origin: Origin
    first: int
    last: int
    scores: np.ndarray = field(repr=False)

    def __post_init__(self) -> None:
        if self.scores.ndim != 3 or self.scores.dtype != np.float32:
            raise ValueError(
                f"scores are (concept, row, col) float32, got {self.scores.shape = } {self.scores.dtype = }"
            )
        if not 0 <= self.first <= self.last:
            raise ValueError(f"a latent covers at least one frame, got {self.first = } {self.last = }")


@dataclass(frozen=True, slots=True)
class FrameScores:
    """Scores of one frame after un-pooling and regularisation.

    position: position in the sequence of frames the model saw. scores: `(concept, h, w)` float32 in [0, 1] on the
    working grid, which covers the same region as the maps. reset: true on the first frame after a scene cut.
    flow: `(h', w', 2)` displacement from the previous position to this one in pixels of the working grid, on a grid
        that may be coarser than the working grid; None on the first frame and on resets.
    """

    position: int
    origin: Origin
    scores: np.ndarray = field(repr=False)
    reset: bool = False
    flow: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class TrackMask:
    """One track on one frame: a row of `tracks.csv`. `rle` is COCO's compressed RLE of the frame-sized mask."""

    frame_index: int
    pts: int
    time_s: float
    concept: str
    class_id: int
    tracker_id: int
    confidence: float
    # x_min, y_min, x_max, y_max in pixels of the source frame, max exclusive.
    box_px: tuple[int, int, int, int]
    area_px: int
    score_mean: float
    score_max: float
    origin: Origin
    rle: bytes = field(repr=False)
    # Name of the image file, with its page where it has several; empty where the source is a video.
    source_frame: str = ""
    # Where the mask ends: at an edge of the picture, or as coarsely as the maps.
    edges: Literal["pixel", "coarse"] = "coarse"


@dataclass(frozen=True, slots=True)
class FrameRow:
    """One frame and concept: a row of `frames.csv`, also where nothing was found."""

    frame_index: int
    pts: int
    time_s: float
    concept: str
    score_max: float
    score_mean: float
    area_px: int
    tracks: int
    origin: Origin
    source_frame: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One track from birth to death: a row of `events.csv`, what a reviewer reads first."""

    event_id: int
    tracker_id: int
    concept: str
    start_frame: int
    end_frame: int
    start_s: float
    end_s: float
    peak_frame: int
    peak_score: float
    max_area_px: int
    # x_min, y_min, x_max, y_max on the peak frame, in pixels of the source frame, max exclusive.
    box_px: tuple[int, int, int, int]
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class Recurring:
    """Places that look alike and are all over the footage, so that none is a finding: a row of `recurring.csv`."""

    group_id: int
    concept: str
    count: int
    start_s: float
    end_s: float
    peak_frame: int
    peak_score: float
    # x_min, y_min, x_max, y_max of the strongest one, in pixels of the source frame, max exclusive.
    box_px: tuple[int, int, int, int]
    kept: bool = False
