"""Which places show other surface: how far everything has moved, and where the scene was cut.

A defect must not be compared with itself. Its own surface is in view until the motion has carried it out of the
picture, so a frame counts as evidence only when it does not show that surface any more.
"""

from dataclasses import dataclass, field

import numpy as np

# How far beyond the picture, as a share of its side, a token must have moved: the rest of its defect follows it.
MARGIN = 0.2
# A stretch between two cuts that is shorter than this many frames is no scene but motion that could not be followed.
SHORTEST_SCENE = 4
# Views are counted in steps of this share of the picture's side.
VIEW_STEP = 0.5


@dataclass(frozen=True)
class Travel:
    """The motion of the whole picture, by position in the sequence of frames the model saw.

    shifts: `(frame, 2)` x and y by which the surface moved from the frame before, as shares of the picture's width and
    height. cuts: `(frame,)` bool, nothing of the frame before is left.
    """

    shifts: np.ndarray = field(repr=False)
    cuts: np.ndarray = field(repr=False)

    @property
    def offsets(self) -> np.ndarray:
        """Displacement since the first frame, `(frame, 2)` float64; across a cut it means nothing."""
        return np.cumsum(np.where(self.cuts[:, None], 0.0, self.shifts.astype(np.float64)), axis=0)

    @property
    def scenes(self) -> tuple[np.ndarray, np.ndarray]:
        """Number of each frame's scene and that scene's length in frames, both `(frame,)`.

        A run of stretches too short to be scenes is one scene, of length 0: nothing is known about its motion.
        """
        stretch = np.cumsum(self.cuts)
        lengths = np.bincount(stretch, minlength=int(stretch.max(initial=0)) + 1)
        short = lengths < SHORTEST_SCENE
        begins = np.ones(len(lengths), bool)
        begins[1:] = ~(short[1:] & short[:-1])
        number = np.cumsum(begins) - 1
        known = np.bincount(number, weights=np.where(short, 0, lengths))
        return number[stretch], known[number[stretch]]

    @property
    def dwell_frames(self) -> float:
        """How many frames a place of the surface stays in view at the usual speed; infinite where nothing moves."""
        moving = self.shifts[~self.cuts]
        speed = float(np.median(np.abs(moving).max(1))) if len(moving) else 0.0
        return (1 + 2 * MARGIN) / speed if speed > 1e-4 else float("inf")

    def shows_other_surface(self, places: np.ndarray, positions: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Whether frames show nothing of the surface around some places: `(place, other)` bool.

        places: `(place, 2)` x and y as shares of the picture; positions: `(place,)` of their frames; others:
        `(other,)`.
        Within a scene the displacement decides. Frames of another scene count, but not those near in time: a cut may
        be a flash after which the same surface goes on.
        """
        offsets = self.offsets
        scene, length = self.scenes
        moved = places[:, None] + offsets[others][None] - offsets[positions][:, None]  # (place, other, 2)
        outside = ((moved < -MARGIN) | (moved > 1 + MARGIN)).any(2)
        here, there = length[positions][:, None], length[others][None]
        apart = np.abs(positions[:, None] - others[None])
        same = scene[positions][:, None] == scene[others][None]
        later = apart > np.minimum(self.dwell_frames, np.maximum(here, there))
        known = (here > 0) & (there > 0)
        return known & np.where(same, outside, later)

    def views(self, positions: np.ndarray) -> np.ndarray:
        """A number for each frame: frames of one number show much the same surface."""
        scene, _ = self.scenes
        steps = np.floor(self.offsets[positions] / VIEW_STEP).astype(int)
        keys = np.column_stack([scene[positions], steps])
        return np.unique(keys, axis=0, return_inverse=True)[1].ravel()
