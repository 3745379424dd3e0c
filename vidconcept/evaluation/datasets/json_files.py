"""Data sets whose truth is one JSON file: YouTube-VIS and COCO."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vidconcept.errors import InputError
from vidconcept.evaluation.datasets.dataset import Clip, Dataset, FrameTruth
from vidconcept.evaluation.datasets.shapes import (
    Coco,
    CocoAnnotation,
    CocoImage,
    Id,
    Segmentation,
    VisAnnotation,
    VisVideo,
    YoutubeVis,
    check_categories,
    check_segmentation,
    decode_segmentation,
    load_json,
)
from vidconcept.files import shorten, validate
from vidconcept.video.source import list_images

# YouTube-VIS publishes every fifth frame of 30 a second.
YOUTUBE_VIS_FPS = 6.0


def _truth(
    found: list[tuple[int, str, Segmentation]], crowd: list[Segmentation], height: int, width: int
) -> FrameTruth:
    masks = [decode_segmentation(s, height, width) for _, _, s in found]
    ignore = [decode_segmentation(s, height, width) for s in crowd]
    return FrameTruth(
        np.stack(masks) if masks else np.zeros((0, height, width), bool),
        tuple(word for _, word, _ in found),
        tuple(number for number, _, _ in found),
        np.any(ignore, axis=0) if ignore else None,
    )


def _find_word(words: Mapping[Id, str], category: Id, path: Path, place: str) -> str:
    if category not in words:
        raise InputError(f"{path}, {place}: there is no category {category!r}. Next: add it to categories")
    return words[category]


def read_youtube_vis(json_path: Path, max_megapixels: float, images: Path | None = None) -> Dataset:
    """A YouTube-VIS file and the folder that its `file_names` are relative to, by default one near it.

    Raises InputError, with the place, for a file that is none.
    """
    table = validate(YoutubeVis, load_json(json_path), json_path)
    words = check_categories(table.categories)
    images = images or find_images(json_path, table.videos[0].file_names[0])
    tracks: dict[Id, list[tuple[VisAnnotation, str]]] = defaultdict(list)
    for number, annotation in enumerate(table.annotations or []):
        word = _find_word(words, annotation.category_id, json_path, f"annotations.{number}")
        tracks[annotation.video_id].append((annotation, word))

    def clip(video: VisVideo) -> Clip:
        own = tracks[video.id]
        for track, _ in own:
            place = f"annotation {track.id}"
            if len(track.segmentations) < len(video.file_names):
                text = f"{len(track.segmentations)} segmentations for {len(video.file_names)} frames"
                raise InputError(f"{json_path}, {place}: {text}. Next: one a frame, null where there is nothing")
            for segmentation in track.segmentations:
                if segmentation:
                    check_segmentation(segmentation, video.height, video.width, json_path, place, max_megapixels)
        files = [images / name for name in video.file_names]
        folder = files[0].parent
        place_of = {path.name: index for index, path in enumerate(files)}
        # The folder may hold more pictures than the file lists.
        order = [place_of.get(path.name) for path in list_images(folder) or []] if folder.is_dir() else []

        def truth(index: int) -> FrameTruth | None:
            at = order[index] if index < len(order) else None
            if at is None:
                return None
            here = [(t.id, word, segmentation) for t, word in own if (segmentation := t.segmentations[at])]
            return _truth(here, [], video.height, video.width)

        concepts = tuple(dict.fromkeys(word for _, word in own))
        inner = Path(video.file_names[0]).parent
        return Clip(inner.as_posix() if inner.name else folder.name, folder, concepts, truth, YOUTUBE_VIS_FPS)

    return Dataset(json_path.stem, "youtube-vis", tuple(map(clip, table.videos)))


def read_coco(json_path: Path, max_megapixels: float, images: Path | None = None) -> Dataset:
    """A COCO instances file and its folder of images, by default one near it; each image is a clip of one frame.

    Crowds count for nothing. An image with boxes alone has boxes for truth. Raises InputError, with the place, for a
    file that is none, and for an annotation with neither mask nor box.
    """
    try:
        table = validate(Coco, load_json(json_path), json_path)
    except InputError as error:
        raise InputError(
            f"not a COCO instances file: {str(error).partition('. Next: ')[0]}. Next: check `format`"
        ) from error
    words = check_categories(table.categories)
    images = images or find_images(json_path, table.images[0].file_name)
    objects: dict[Id, list[CocoAnnotation]] = defaultdict(list)
    for annotation in table.annotations or []:
        objects[annotation.image_id].append(annotation)

    def outline(annotation: CocoAnnotation, image: CocoImage) -> Segmentation:
        """A segmentation, or the box's outline where an annotation has a box alone."""
        place = f"annotation {annotation.id}"
        found = annotation.segmentation
        if not found and annotation.bbox and len(annotation.bbox) == 4:
            x, y, width, height = annotation.bbox
            found = [[x, y, x + width, y, x + width, y + height, x, y + height]]
        if not found:
            raise InputError(
                f"{json_path}, {place} has neither a segmentation nor a bbox of four numbers. Next: add one"
            )
        check_segmentation(found, image.height, image.width, json_path, place, max_megapixels)
        return found

    def clip(image: CocoImage) -> Clip:
        own = objects[image.id]
        found = [
            (a.id, _find_word(words, a.category_id, json_path, f"annotation {a.id}"), outline(a, image))
            for a in own
            if not a.iscrowd
        ]
        crowd = [outline(a, image) for a in own if a.iscrowd]
        boxes = [not a.segmentation for a in own]
        return Clip(
            str(Path(image.file_name).with_suffix("")),
            images / image.file_name,
            tuple(dict.fromkeys(word for _, word, _ in found)),
            lambda index: _truth(found, crowd, image.height, image.width),
            kind="box" if any(boxes) else "mask",
            identities=False,
        )

    return Dataset(json_path.stem, "coco", tuple(map(clip, table.images)))


def find_images(json_path: Path, file_name: str) -> Path:
    """The folder near a JSON file that `file_name` is relative to. Raises InputError when there is none."""
    for base in (json_path.parent, json_path.parent.parent):
        if not base.is_dir():
            continue
        inner = sorted(p for p in base.iterdir() if p.is_dir())
        for folder in (base, *inner, *(p / "JPEGImages" for p in inner)):
            if (folder / file_name).is_file():
                return folder
    raise InputError(
        f"{json_path} names {shorten(file_name)}, which is not beside it. Next: put its image folder there"
    )
