"""What the JSON files of data sets must look like, and masks out of them: checked before a decoder believes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar

import numpy as np
from pycocotools import mask as coco_mask
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from vidconcept.errors import InputError
from vidconcept.files import LONGEST_NAME_BYTES, read_json
from vidconcept.tracks.rle import check_rle
from vidconcept.video.limits import check_pixels

# The largest published ones have half a gigabyte.
JSON_BYTES = 2 << 30
# Outlines are followed in steps of a fifth of a pixel: this many times the sides of the picture is a long one.
LONGEST_OUTLINE = 64


def _check_file_name(name: str) -> str:
    """Raises ValueError for what no file system holds, at which every look for the file would fail."""
    longest = max(len(part.encode()) for part in name.split("/"))
    if longest > LONGEST_NAME_BYTES or "\0" in name:
        raise ValueError("not a valid file name")
    return name


Id = int | str
FileName = Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(_check_file_name)]
Side = Annotated[int, Field(ge=1, le=1 << 20)]
Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]
Outline = Annotated[list[Coordinate], Field(min_length=6)]
Word = Annotated[str, Field(min_length=1)]


class _Row(BaseModel):
    """Keys that are not named here are not looked at."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class _HasId(Protocol):
    @property
    def id(self) -> Id: ...


Numbered = TypeVar("Numbered", bound=_HasId)


class Runs(_Row):
    size: tuple[int, int]
    counts: str | list[Annotated[int, Field(ge=0)]]


Segmentation = list[Outline] | Runs


class Category(_Row):
    id: Id
    name: Word


class CocoImage(_Row):
    id: Id
    file_name: FileName
    height: Side
    width: Side


class CocoAnnotation(_Row):
    id: int
    image_id: Id
    category_id: Id
    segmentation: Segmentation | None = None
    bbox: list[Coordinate] | None = None
    iscrowd: bool = False


class Coco(_Row):
    images: Annotated[list[CocoImage], Field(min_length=1)]
    categories: list[Category]
    annotations: list[CocoAnnotation] | None = None


class VisVideo(_Row):
    id: Id
    file_names: Annotated[list[FileName], Field(min_length=1)]
    height: Side
    width: Side


class VisAnnotation(_Row):
    id: int
    video_id: Id
    category_id: Id
    segmentations: list[Segmentation | None]
    iscrowd: bool = False


class YoutubeVis(_Row):
    videos: Annotated[list[VisVideo], Field(min_length=1)]
    categories: list[Category]
    annotations: list[VisAnnotation] | None = None


class ClipRow(_Row):
    clip: FileName
    truth: Literal["mask", "box", "instances"]
    concept: Word | None = None
    objects: dict[Annotated[int, Field(ge=1)], Word] | None = None

    @model_validator(mode="after")
    def check_truth(self) -> ClipRow:
        """Raises ValueError where the kind of truth has no use for the words that are given."""
        if self.truth == "instances" and self.concept is not None and self.objects is None:
            raise ValueError("`instances` takes `objects`, which say what each number is, not `concept`")
        if self.truth != "instances" and self.objects:
            raise ValueError(f"`{self.truth}` takes `concept`, not `objects`")
        return self

    @property
    def words(self) -> dict[int, str]:
        """The concept of each number in the pictures of truth; a mask is number 1."""
        if self.truth == "instances":
            return self.objects or {}
        return {1: self.concept} if self.concept else {}


Clips = list[ClipRow]
DavisWords = dict[str, dict[int, str]]
VspwNumbers = dict[str, int]


def load_json(path: Path) -> Any:
    return read_json(path, JSON_BYTES)


def index_rows(rows: Iterable[Numbered], path: Path, table: str) -> dict[Id, Numbered]:
    """The rows of a table by id. Raises InputError for an id of two rows: nobody could say which of them is meant."""
    found: dict[Id, Numbered] = {}
    for number, row in enumerate(rows):
        if row.id in found:
            raise InputError(f"{path}, {table}.{number}: an earlier row has the id {row.id!r}. Next: number them anew")
        found[row.id] = row
    return found


def look_up(found: Mapping[Id, Numbered], number: Id, path: Path, place: str, table: str) -> Numbered:
    """The row that an annotation is about. Raises InputError where the table has none of that id."""
    if number not in found:
        raise InputError(
            f"{path}, {place}: {table} has no id {number!r}. Next: add it there, or correct the annotation"
        )
    return found[number]


def check_segmentation(
    segmentation: Segmentation, height: int, width: int, path: Path, place: str, max_megapixels: float
) -> None:
    """Raises InputError for what a picture of that size cannot have; after that, decoding it is safe."""
    check_pixels(width, height, path, max_megapixels)
    try:
        if isinstance(segmentation, Runs):
            if segmentation.size != (height, width):
                raise ValueError(f"its size is {list(segmentation.size)}, that of the picture {[height, width]}")
            if isinstance(segmentation.counts, str):
                check_rle(segmentation.counts.encode(), (width, height))
            elif sum(segmentation.counts) != width * height:
                raise ValueError(f"its runs do not add up to the {width}x{height} pixels of the picture")
            return
        for outline in segmentation:
            if len(outline) % 2:
                raise ValueError(f"an outline of {len(outline)} numbers; they are pairs of x and y")
            corners = np.array(outline).reshape(-1, 2)
            length = float(np.abs(corners - np.roll(corners, 1, axis=0)).sum())
            if length > LONGEST_OUTLINE * (width + height):
                raise ValueError(f"an outline of {length:.3g} pixels around a picture of {width}x{height}")
    except ValueError as error:
        raise InputError(f"{path}, {place}: {error}. Next: correct it there") from error


def decode_segmentation(segmentation: Segmentation, height: int, width: int) -> np.ndarray:
    """`(h, w)` bool of polygons, an uncompressed RLE or a compressed one, after `check_segmentation`."""
    if isinstance(segmentation, Runs):
        runs: Any = {"size": list(segmentation.size), "counts": segmentation.counts}
        if not isinstance(segmentation.counts, str):
            runs = coco_mask.frPyObjects(runs, height, width)
    else:
        # A list of four numbers would be taken for a box.
        outlines: Any = [list(outline) for outline in segmentation]
        runs = coco_mask.merge(coco_mask.frPyObjects(outlines, height, width))
    return coco_mask.decode(runs).astype(bool)
