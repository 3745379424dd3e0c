"""Data sets whose truth is one JSON file: YouTube-VIS and COCO."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from vidconcept.errors import InputError
from vidconcept.evaluation.datasets.dataset import Clip, Dataset, FrameTruth
from vidconcept.evaluation.datasets.folders import load_json
from vidconcept.video.source import image_paths

# YouTube-VIS publishes every fifth frame of 30 a second.
YOUTUBE_VIS_FPS = 6.0


def decode_segmentation(segmentation: Any, height: int, width: int) -> np.ndarray:
    """`(h, w)` bool of polygons, an uncompressed RLE or a compressed one."""
    if isinstance(segmentation, list):
        runs: Any = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        runs = coco_mask.frPyObjects(segmentation, height, width)
    else:
        runs = segmentation
    return coco_mask.decode(runs).astype(bool)


def _outline(annotation: dict[str, Any]) -> Any:
    """A segmentation, or the box's outline where an annotation has a box alone. Raises ValueError with neither."""
    if annotation.get("segmentation"):
        return annotation["segmentation"]
    if not annotation.get("bbox"):
        raise ValueError(f"annotation {annotation.get('id')} has neither a segmentation nor a bbox")
    x, y, width, height = annotation["bbox"]
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def _truth(found: list[tuple[int, str, Any]], crowd: list[Any], height: int, width: int) -> FrameTruth:
    masks = [decode_segmentation(s, height, width) for _, _, s in found]
    ignore = [decode_segmentation(s, height, width) for s in crowd]
    return FrameTruth(
        np.stack(masks) if masks else np.zeros((0, height, width), bool),
        tuple(word for _, word, _ in found),
        tuple(number for number, _, _ in found),
        np.any(ignore, axis=0) if ignore else None,
    )


def read_youtube_vis(json_path: Path, images: Path) -> Dataset:
    """A YouTube-VIS file and the folder that its `file_names` are relative to."""
    table = load_json(json_path)
    words = {row["id"]: row["name"] for row in table["categories"]}
    tracks: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in table.get("annotations") or []:
        tracks[annotation["video_id"]].append(annotation)

    def clip(video: dict[str, Any]) -> Clip:
        own = tracks[video["id"]]
        files = [images / name for name in video["file_names"]]
        folder = files[0].parent
        place = {path.name: index for index, path in enumerate(files)}
        # The folder may hold more pictures than the file lists.
        order = [place.get(path.name) for path in image_paths(folder) or []] if folder.is_dir() else []

        def truth(index: int) -> FrameTruth | None:
            at = order[index] if index < len(order) else None
            if at is None:
                return None
            here = [(t["id"], words[t["category_id"]], t["segmentations"][at]) for t in own if t["segmentations"][at]]
            return _truth(here, [], video["height"], video["width"])

        concepts = tuple(dict.fromkeys(words[t["category_id"]] for t in own))
        inner = Path(video["file_names"][0]).parent
        return Clip(inner.as_posix() if inner.name else folder.name, folder, concepts, truth, YOUTUBE_VIS_FPS)

    return Dataset(json_path.stem, "youtube-vis", tuple(map(clip, table["videos"])))


def read_coco(json_path: Path, images: Path) -> Dataset:
    """A COCO instances file and its folder of images; each image is a clip of one frame, crowds count for nothing.

    An image with boxes alone has boxes for truth. Raises InputError for an annotation with neither mask nor box.
    """
    table = load_json(json_path)
    words: dict[int, str] = {}
    objects: dict[int, list[dict[str, Any]]] = defaultdict(list)

    def clip(image: dict[str, Any]) -> Clip:
        own = objects[image["id"]]
        found = [(a["id"], words[a["category_id"]], _outline(a)) for a in own if not a.get("iscrowd")]
        crowd = [_outline(a) for a in own if a.get("iscrowd")]
        boxes = [not a.get("segmentation") for a in own]
        return Clip(
            str(Path(image["file_name"]).with_suffix("")),
            images / image["file_name"],
            tuple(dict.fromkeys(word for _, word, _ in found)),
            lambda index: _truth(found, crowd, image["height"], image["width"]),
            kind="box" if any(boxes) else "mask",
            identities=False,
        )

    try:
        words |= {row["id"]: row["name"] for row in table["categories"]}
        for annotation in table.get("annotations") or []:
            objects[annotation["image_id"]].append(annotation)
        return Dataset(json_path.stem, "coco", tuple(map(clip, table["images"])))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{json_path} is not a COCO instances file: {error!r}") from error


def find_images(json_path: Path, file_name: str) -> Path:
    """The folder near a JSON file that `file_name` is relative to. Raises InputError when there is none."""
    for base in (json_path.parent, json_path.parent.parent):
        if not base.is_dir():
            continue
        inner = sorted(p for p in base.iterdir() if p.is_dir())
        for folder in (base, *inner, *(p / "JPEGImages" for p in inner)):
            if (folder / file_name).is_file():
                return folder
    raise InputError(f"{json_path} names {file_name}, which is not beside it. Next: put its image folder there")
