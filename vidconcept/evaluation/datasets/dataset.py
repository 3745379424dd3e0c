"""What a data set is to the harness: clips, and the truth of their frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from vidconcept.errors import InputError
from vidconcept.files import MAX_MEGAPIXELS, shorten
from vidconcept.video.limits import open_picture
from vidconcept.wording import format_count

Kind = Literal["mask", "box"]


@dataclass(frozen=True)
class FrameTruth:
    """What is truly on a frame.

    masks: `(object, h, w)` bool. concepts, ids: of each object, in the data set's words; an id is unique in its clip.
    ignore: `(h, w)` bool of pixels that count for nothing, or None.
    """

    masks: np.ndarray = field(repr=False)
    concepts: tuple[str, ...]
    ids: tuple[int, ...]
    ignore: np.ndarray | None = field(default=None, repr=False)

    def of(self, concept: str) -> np.ndarray:
        """`(h, w)` bool: all objects of one concept."""
        chosen = [mask for mask, name in zip(self.masks, self.concepts, strict=True) if name == concept]
        return np.any(chosen, axis=0) if chosen else np.zeros(self.masks.shape[1:], bool)


@dataclass(frozen=True)
class Clip:
    """One video, image sequence or image with truth.

    source: what the reader opens; fps: of an image sequence, where the settings give none. concepts: what may occur in
    it, empty for good footage. truth: of a frame index, None where a frame is not annotated. kind: whether truth is
    outlines or filled boxes. identities: whether an object keeps its id over time. last_annotated: index of the last
    frame with truth, where that is counted apart from the pictures. places: where truth belongs to image files, the
    index that `truth` has for each of them, by name: one that cannot be read is no frame.
    """

    name: str
    source: Path
    concepts: tuple[str, ...]
    truth: Callable[[int], FrameTruth | None] = field(repr=False)
    fps: float | None = None
    kind: Kind = "mask"
    identities: bool = True
    last_annotated: int | None = None
    places: Mapping[str, int] | None = field(default=None, repr=False)

    def find_truth(self, index: int, name: str) -> FrameTruth | None:
        """Truth of the frame that was read as number `index`. name: of its image file, empty for a video."""
        place = index if self.places is None else self.places.get(name)
        return None if place is None else self.truth(place)

    def rename(self, names: Mapping[str, str]) -> Clip:
        """The same clip in other words for its concepts."""

        def truth(index: int) -> FrameTruth | None:
            found = self.truth(index)
            return found and replace(found, concepts=tuple(names.get(c, c) for c in found.concepts))

        return replace(self, concepts=tuple(dict.fromkeys(names.get(c, c) for c in self.concepts)), truth=truth)


@dataclass(frozen=True)
class Dataset:
    """name: of its folder. format: how it was read. Raises InputError for two clips of one name."""

    name: str
    format: str
    clips: tuple[Clip, ...] = field(repr=False)

    def __post_init__(self) -> None:
        twice = [name for name, count in Counter(clip.name for clip in self.clips).items() if count > 1]
        if twice:
            raise InputError(
                f"{self.name}: {format_count(len(twice), 'name')} for more than one clip: {shorten(', '.join(twice))}. "
                "Next: give each clip a name of its own"
            )

    @property
    def concepts(self) -> tuple[str, ...]:
        return tuple(sorted({concept for clip in self.clips for concept in clip.concepts}))


def read_labels(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> np.ndarray:
    """Label numbers `(h, w)` of a picture: palette indices or grey values.

    Raises InputError when it cannot be read, and for colours and transparency, which have no number.
    """
    return _load_values(path, max_megapixels, grey=False)


def read_grey(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> np.ndarray:
    """Grey values `(h, w)` of a picture, also of one with a palette of greys or a single bit a pixel (0 and 255).

    Raises InputError as `read_labels`.
    """
    return _load_values(path, max_megapixels, grey=True)


def _load_values(path: Path, max_megapixels: float, grey: bool) -> np.ndarray:
    with open_picture(path, max_megapixels) as opened:
        shown_as = {"1": "L", "P": "RGBA", "PA": "RGBA"}.get(opened.mode) if grey else None
        image = opened.convert(shown_as) if shown_as else opened
        values, bands = np.asarray(image), image.getbands()
    if values.ndim == 2:
        return values.astype(np.uint8) if values.dtype == bool else values
    # Of the channels that should agree, a single one could miss what is painted in the others.
    has_alpha = bands[-1] == "A"
    colours = values[..., :-1] if has_alpha else values
    if (colours != colours[..., :1]).any() or (has_alpha and np.ptp(values[..., -1]) > 0):
        raise InputError(
            f"{path} is in colour or partly transparent, and truth is grey values. Next: save it as a grey picture"
        )
    return colours[..., 0]


def split_labels(labels: np.ndarray, concepts: Mapping[int, str], ignore: np.ndarray | None = None) -> FrameTruth:
    """Truth of a frame from its label numbers; labels without a concept are background."""
    present = [number for number in np.unique(labels).tolist() if number in concepts]
    masks = np.stack([labels == n for n in present]) if present else np.zeros((0, *labels.shape), bool)
    return FrameTruth(masks, tuple(concepts[n] for n in present), tuple(present), ignore)
