"""Data sets whose truth is pictures beside the footage: DAVIS, VSPW, MVTec-style folders, `clips.json` folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import ImageOps

from vidconcept.errors import InputError
from vidconcept.evaluation.datasets.dataset import Clip, Dataset, FrameTruth, read_grey, read_labels, split_labels
from vidconcept.evaluation.datasets.shapes import ClipRow, Clips, DavisWords, VspwNumbers, load_json
from vidconcept.files import read_text, shorten, validate
from vidconcept.video.limits import open_picture
from vidconcept.video.source import list_images, list_photos
from vidconcept.wording import format_count

# Frame rates at which the data sets were published as pictures.
DAVIS_FPS, VSPW_FPS = 24.0, 15.0
# A frame index with five digits, or more where it needs them.
_FRAME_NAME = re.compile(r"([0-9]{5}|[1-9][0-9]{5,})\.png")


def _read_lines(path: Path) -> list[str]:
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def _subfolder(parent: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (parent / name).is_dir():
            return parent / name
    raise InputError(f"{parent} has none of the folders {', '.join(names)}. Next: check `format`")


def read_davis(root: Path, year: int, split: str | None, max_megapixels: float) -> Dataset:
    """`JPEGImages/480p/SEQ`, `Annotations/480p/SEQ` (2016: above 0 is the object; 2017: palette index = object).

    Sequences come from `ImageSets/YEAR/SPLIT.txt`, or `ImageSets/480p/SPLIT.txt` as 2016 was first published (a picture
    a line), or all where there are no lists and no split is asked for. The words of a sequence's objects are those of
    `davis_semantics.json` where it is there (sequence -> object -> word), else the sequence's name up to its first "-".
    """
    pictures = _subfolder(root / "JPEGImages", ("480p", "Full-Resolution", "1080p"))
    labels = _subfolder(root / "Annotations", (pictures.name,))
    names = _list_davis(root / "ImageSets", year, split) or sorted(p.name for p in labels.iterdir() if p.is_dir())
    semantics = root / "davis_semantics.json"
    words: DavisWords = validate(DavisWords, load_json(semantics), semantics) if semantics.exists() else {}

    def clip(name: str) -> Clip:
        order, places = _match_labels(labels / name, pictures / name)
        own = words.get(name, {})
        # An object may enter late: all annotated frames say which there are.
        seen = _list_numbers(order, max_megapixels) | set(own)
        numbers = [1] if year == 2016 else sorted(seen - {0, 255})
        concepts = {n: own.get(n, name.partition("-")[0]) for n in numbers}

        def truth(index: int) -> FrameTruth | None:
            path = order[index] if index < len(order) else None
            if path is None:
                return None
            values = read_labels(path, max_megapixels)
            if year == 2016:
                return split_labels((values > 0).astype(np.uint8), concepts)
            return split_labels(values, concepts, values == 255)

        objects = tuple(dict.fromkeys(concepts.values()))
        return Clip(name, pictures / name, objects, truth, DAVIS_FPS, places=places)

    return Dataset(root.name, f"davis{year}", tuple(map(clip, names)))


def _list_davis(lists: Path, year: int, split: str | None) -> list[str]:
    folders = [lists / str(year), *([lists / "480p"] if year == 2016 else [])]
    known = [path for folder in folders for path in sorted(folder.glob("*.txt"))]
    # "bear", or "/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png".
    firsts = [Path(line.split()[0]) for line in _read_split(lists, known, split)]
    return list(dict.fromkeys(path.parent.name if path.suffix else path.name for path in firsts))


def _read_split(root: Path, known: Sequence[Path], split: str | None) -> list[str]:
    """Lines of the list of a split, of all `known` ones; None: val.

    Empty where there are no lists and none is asked for. Raises InputError where there is not this one.
    """
    if not known and split is None:
        return []
    listing = next((path for path in known if path.stem == (split or "val")), None)
    if listing is None:
        there = f"`split={'|'.join(path.stem for path in known)}`" if known else "leave `split` out: it has no lists"
        raise InputError(f"{root} has no split {split or 'val'!r}. Next: {there}")
    return _read_lines(listing)


def _match_labels(labels: Path, pictures: Path) -> tuple[list[Path | None], dict[str, int]]:
    """The label picture of each picture, which has the same name but for the suffix, None where there is none; and the
    place of each picture in that list, by the name of its file.

    Raises InputError for label pictures of no picture.
    """
    paths = {path.stem: path for path in list_photos(labels)}
    shown = list_photos(pictures)
    alone = [paths[stem].name for stem in sorted(paths.keys() - {path.stem for path in shown})]
    if alone:
        raise InputError(
            f"{labels}: {format_count(len(alone), 'label picture')} without a picture of that name in {pictures}: "
            f"{shorten(', '.join(alone))}. Next: name both alike, or add the pictures"
        )
    return [paths.get(path.stem) for path in shown], {path.name: place for place, path in enumerate(shown)}


def _list_numbers(paths: Iterable[Path | None], max_megapixels: float) -> set[int]:
    """The numbers that occur in label pictures."""
    return {n for path in paths if path for n in np.unique(read_labels(path, max_megapixels)).tolist()}


def read_vspw(root: Path, split: str | None, max_megapixels: float) -> Dataset:
    """`data/VIDEO/origin`, `data/VIDEO/mask`; labels by `label_num_dic_final.json`, 0 and 255 count for nothing.

    Videos come from `SPLIT.txt`, or all where there are no lists and no split is asked for.
    """
    listed = root / "label_num_dic_final.json"
    numbers = validate(VspwNumbers, load_json(listed), listed)
    words = {number: word for word, number in numbers.items() if number not in (0, 255)}
    known = [path for path in sorted(root.glob("*.txt")) if path.stem in ("train", "val", "test", split)]
    names = _read_split(root, known, split) or sorted(p.name for p in (root / "data").iterdir() if p.is_dir())

    def clip(name: str) -> Clip:
        folder = root / "data" / name
        order, places = _match_labels(folder / "mask", folder / "origin")
        seen = _list_numbers(order, max_megapixels)

        def truth(index: int) -> FrameTruth | None:
            path = order[index] if index < len(order) else None
            if path is None:
                return None
            values = read_labels(path, max_megapixels)
            return split_labels(values, words, (values == 0) | (values == 255))

        concepts = tuple(words[n] for n in sorted(seen) if n in words)
        return Clip(name, folder / "origin", concepts, truth, VSPW_FPS, identities=False, places=places)

    return Dataset(root.name, "vspw", tuple(map(clip, names)))


def read_mvtec(root: Path, max_megapixels: float) -> Dataset:
    """`[CATEGORY/]test/DEFECT/IMAGE` with `ground_truth/DEFECT/IMAGE_mask.png`; the defect's folder is the concept."""
    categories = [root] if (root / "test").is_dir() else sorted(p for p in root.iterdir() if (p / "test").is_dir())
    clips = []
    for category in categories:
        for defect in sorted(p for p in (category / "test").iterdir() if p.is_dir()):
            for path in list_images(defect) or []:
                name = f"{category.name}/{defect.name}/{path.stem}"
                masks = category / "ground_truth" / defect.name
                clips.append(_mvtec_clip(name, path, masks, defect.name, max_megapixels))
    return Dataset(root.name, "mvtec", tuple(clips))


def _mvtec_clip(name: str, image: Path, masks: Path, defect: str, max_megapixels: float) -> Clip:
    if defect == "good":
        with open_picture(image, max_megapixels) as photo:
            width, height = ImageOps.exif_transpose(photo).size
        empty = FrameTruth(np.zeros((0, height, width), bool), (), ())
        return Clip(name, image, (), lambda index: empty, identities=False)
    mask = next((p for p in (masks / f"{image.stem}_mask.png", masks / f"{image.stem}.png") if p.is_file()), None)
    if mask is None:
        raise InputError(f"{image} has no mask. Next: add {masks / image.stem}_mask.png")

    def truth(index: int) -> FrameTruth:
        return split_labels((read_labels(mask, max_megapixels) > 0).astype(np.uint8), {1: defect})

    return Clip(name, image, (defect,), truth, identities=False)


def read_clips(root: Path, max_megapixels: float) -> Dataset:
    """`clips.json`, `videos/CLIP.mp4`, `annotations/CLIP/00000.png`, as docs/reference/data-sets.md describes them."""
    listed = root / "clips.json"
    try:
        rows = validate(Clips, load_json(listed), listed)
    except InputError as error:
        raise InputError(
            f"{str(error).partition('. Next: ')[0]}. Next: lay the data set out as docs/reference/data-sets.md says"
        ) from error

    def clip(row: ClipRow) -> Clip:
        name, concepts, instances = row.clip, row.words, row.truth == "instances"
        pictures = _list_annotated(root / "annotations" / name)

        def truth(index: int) -> FrameTruth | None:
            path = pictures.get(index)
            if path is None:
                return None
            if instances:
                values = read_labels(path, max_megapixels)
            else:
                values = (read_grey(path, max_megapixels) > 127).astype(np.uint8)
            unknown = values[~np.isin(values, [0, *concepts])]
            if unknown.size:
                shown, key = (f"object {unknown[0]}", "objects") if instances else ("a defect", "concept")
                raise InputError(
                    f"{path} shows {shown}, and clip {name} has no `{key}` for it. Next: add it in {listed}"
                )
            return split_labels(values, concepts)

        return Clip(
            name,
            root / "videos" / f"{name}.mp4",
            tuple(dict.fromkeys(concepts.values())),
            truth,
            kind="box" if row.truth == "box" else "mask",
            last_annotated=max(pictures, default=None),
        )

    return Dataset(root.name, "clips", tuple(map(clip, rows)))


def _list_annotated(folder: Path) -> dict[int, Path]:
    """The picture of each annotated frame. Raises InputError for pictures whose name is no frame's."""
    paths = list_photos(folder) if folder.is_dir() else []
    wrong = [path.name for path in paths if not _FRAME_NAME.fullmatch(path.name)]
    if wrong:
        raise InputError(
            f"{folder}: {format_count(len(wrong), 'picture')} whose name is no frame index with five digits: "
            f"{shorten(', '.join(wrong))}. Next: name them 00000.png, 00001.png and so on"
        )
    return {int(path.stem): path for path in paths}
