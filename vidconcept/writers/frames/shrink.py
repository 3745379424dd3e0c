"""Frames and their tracks on the smaller scale of a film that cannot hold the source's size."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from vidconcept.tracks import rle
from vidconcept.types import Region, TrackMask


@dataclass(frozen=True, slots=True)
class Shrinker:
    """frame_size, film_size: (width, height) in pixels; where they are the same everything passes as it is."""

    frame_size: tuple[int, int]
    film_size: tuple[int, int]

    def image(self, image: np.ndarray) -> np.ndarray:
        """`(h, w, 3)` uint8 at the film's size."""
        if self.frame_size == self.film_size:
            return image
        return cv2.resize(image, self.film_size, interpolation=cv2.INTER_AREA)

    def region(self, region: Region) -> Region:
        """The same part of the picture, at least a pixel."""
        x, y, width, height = self._box((region.x, region.y, region.x + region.width, region.y + region.height))
        return Region(x, y, width - x, height - y)

    def track(self, track: TrackMask) -> TrackMask:
        """The track with its box and mask on the film. What is thinner than a pixel there stays a pixel."""
        if self.frame_size == self.film_size:
            return track
        mask = rle.decode_box(track.rle, self.frame_size, track.box_px)
        x_min, y_min, x_max, y_max = box = self._box(track.box_px)
        small = cv2.resize(mask * np.uint8(255), (x_max - x_min, y_max - y_min), interpolation=cv2.INTER_AREA) > 0
        return replace(track, box_px=box, rle=rle.encode(small, x_min, y_min, self.film_size))

    def _box(self, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        across, down = (film / frame for film, frame in zip(self.film_size, self.frame_size, strict=True))
        x = min(int(box[0] * across), self.film_size[0] - 1)
        y = min(int(box[1] * down), self.film_size[1] - 1)
        return x, y, max(x + 1, round(box[2] * across)), max(y + 1, round(box[3] * down))
