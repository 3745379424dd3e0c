"""Data sets whose truth is one JSON file: YouTube-VIS and COCO."""

from __future__ import annotations

from collections import defaultdict
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
    check_segmentation,
    decode_segmentation,
    index_rows,
    load_json,
    look_up,
)
from vidconcept.files import shorten, validate
from vidconcept.wording import format_count

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


def read_youtube_vis(json_path: Path, max_megapixels: float, images: Path | None = None) -> Dataset:
    """A YouTube-VIS file and the folder that its `file_names` are relative to, by default one near it.

    Crowds count for nothing. Raises InputError, with the place, for a file that is none, for ids that are there
    twice or not at all, for pictures that are not there, and for a video whose pictures are of several folders or named
    twice.
    """
    table = validate(YoutubeVis, load_json(json_path), json_path)
    categories = index_rows(table.categories, json_path, "categories")
    videos = index_rows(table.videos, json_path, "videos")
    images = images or find_images(json_path, table.videos[0].file_names[0])
    tracks: dict[Id, list[tuple[VisAnnotation, str]]] = defaultdict(list)
    for annotation in index_rows(table.annotations or [], json_path, "annotations").values():
        place = f"annotation {annotation.id}"
        word = look_up(categories, annotation.category_id, json_path, place, "categories").name
        tracks[look_up(videos, annotation.video_id, json_path, place, "videos").id].append((annotation, word))

    def clip(video: VisVideo) -> Clip:
        own = tracks[video.id]
        for track, _ in own:
            place = f"annotation {track.id}"
            if len(track.segmentations) != len(video.file_names):
                text = f"{len(track.segmentations)} segmentations for {len(video.file_names)} frames"
                raise InputError(f"{json_path}, {place}: {text}. Next: one a frame, null where there is nothing")
            for segmentation in track.segmentations:
                if segmentation:
                    check_segmentation(segmentation, video.height, video.width, json_path, place, max_megapixels)
        files = [images / name for name in video.file_names]
        absent = [name for name, path in zip(video.file_names, files, strict=True) if not path.is_file()]
        if absent:
            raise InputError(
                f"{json_path} names {format_count(len(absent), 'picture')} of video {video.id} that {images} does not "
                f"have: {shorten(', '.join(absent))}. Next: put them there, or correct the names"
            )
        folder = files[0].parent
        # The folder may hold more pictures than the file lists.
        places = {path.name: place for place, path in enumerate(files)}
        strays = [
            name
            for place, (name, path) in enumerate(zip(video.file_names, files, strict=True))
            if path.parent != folder or places[path.name] != place
        ]
        if strays:
            raise InputError(
                f"{json_path}: video {video.id} names pictures of several folders, or a picture twice: "
                f"{shorten(', '.join(strays))}. Next: put its pictures into one folder, and name each once"
            )

        def truth(index: int) -> FrameTruth | None:
            here = [(t, word, segmentation) for t, word in own if (segmentation := t.segmentations[index])]
            found = [(t.id, word, segmentation) for t, word, segmentation in here if not t.iscrowd]
            crowd = [segmentation for t, _, segmentation in here if t.iscrowd]
            return _truth(found, crowd, video.height, video.width)

        concepts = tuple(dict.fromkeys(word for t, word in own if not t.iscrowd))
        inner = Path(video.file_names[0]).parent
        name = inner.as_posix() if inner.name else folder.name
        return Clip(name, folder, concepts, truth, YOUTUBE_VIS_FPS, places=places)

    return Dataset(json_path.stem, "youtube-vis", tuple(map(clip, table.videos)))


def read_coco(json_path: Path, max_megapixels: float, images: Path | None = None) -> Dataset:
    """A COCO instances file and its folder of images, by default one near it; each image is a clip of one frame.

    Crowds count for nothing. An image with boxes alone has boxes for truth. Raises InputError, with the place, for a
    file that is none, for an annotation with neither mask nor box, and for ids that are there twice or not at all.
    """
    try:
        table = validate(Coco, load_json(json_path), json_path)
    except InputError as error:
        raise InputError(
            f"not a COCO instances file: {str(error).partition('. Next: ')[0]}. Next: check `format`"
        ) from error
    categories = index_rows(table.categories, json_path, "categories")
    pictures = index_rows(table.images, json_path, "images")
    images = images or find_images(json_path, table.images[0].file_name)
    objects: dict[Id, list[CocoAnnotation]] = defaultdict(list)
    for annotation in index_rows(table.annotations or [], json_path, "annotations").values():
        place = f"annotation {annotation.id}"
        objects[look_up(pictures, annotation.image_id, json_path, place, "images").id].append(annotation)

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
            (
                a.id,
                look_up(categories, a.category_id, json_path, f"annotation {a.id}", "categories").name,
                outline(a, image),
            )
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
