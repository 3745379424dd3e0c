"""Data sets whose truth is pictures beside the footage: DAVIS, VSPW, MVTec-style folders, `clips.json` folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vidconcept.errors import InputError
from vidconcept.evaluation.datasets.dataset import Clip, Dataset, FrameTruth, read_grey, read_labels, split_labels
from vidconcept.evaluation.datasets.shapes import ClipRow, Clips, DavisWords, VspwNumbers, load_json
from vidconcept.files import read_text, validate
from vidconcept.video.source import list_images

# Frame rates at which the data sets were published as pictures.
DAVIS_FPS, VSPW_FPS = 24.0, 15.0


def _read_lines(path: Path) -> list[str]:
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def _subfolder(parent: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (parent / name).is_dir():
            return parent / name
    raise InputError(f"{parent} has none of the folders {', '.join(names)}. Next: check `format`")


def read_davis(root: Path, year: int, split: str, max_megapixels: float) -> Dataset:
    """`JPEGImages/480p/SEQ`, `Annotations/480p/SEQ` (2016: above 0 is the object; 2017: palette index = object).

    Sequences come from `ImageSets/YEAR/SPLIT.txt`, or `ImageSets/480p/SPLIT.txt` as 2016 was first published (a picture
    a line), or all where there are no lists. The words of a sequence's objects are those of `davis_semantics.json`
    where it is there (sequence -> object -> word), else the sequence's name up to its first "-".
    """
    pictures = _subfolder(root / "JPEGImages", ("480p", "Full-Resolution", "1080p"))
    labels = _subfolder(root / "Annotations", (pictures.name,))
    names = _list_davis(root / "ImageSets", year, split) or sorted(p.name for p in labels.iterdir() if p.is_dir())
    semantics = root / "davis_semantics.json"
    words: DavisWords = validate(DavisWords, load_json(semantics), semantics) if semantics.exists() else {}

    def clip(name: str) -> Clip:
        paths = list_images(labels / name) or []
        stems = {path.stem: path for path in paths}
        order = [stems.get(path.stem) for path in list_images(pictures / name) or []]
        own = words.get(name, {})
        # An object may enter late: all annotated frames say which there are.
        seen = {n for path in paths for n in np.unique(read_labels(path, max_megapixels)).tolist()} | set(own)
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

        return Clip(name, pictures / name, tuple(dict.fromkeys(concepts.values())), truth, DAVIS_FPS)

    return Dataset(root.name, f"davis{year}", tuple(map(clip, names)))


def _list_davis(lists: Path, year: int, split: str) -> list[str]:
    """Sequences of a split; empty where the data set has no lists. Raises InputError where it has, but not this one."""
    folders = [lists / str(year), *([lists / "480p"] if year == 2016 else [])]
    known = [path for folder in folders for path in sorted(folder.glob("*.txt"))]
    listing = next((path for path in known if path.stem == split), None)
    if known and listing is None:
        raise InputError(f"{lists} has no split {split!r}. Next: `split={'|'.join(path.stem for path in known)}`")
    # "bear", or "/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png".
    firsts = [Path(line.split()[0]) for line in _read_lines(listing)] if listing else []
    return list(dict.fromkeys(path.parent.name if path.suffix else path.name for path in firsts))


def read_vspw(root: Path, split: str, max_megapixels: float) -> Dataset:
    """`data/VIDEO/origin`, `data/VIDEO/mask`; labels by `label_num_dic_final.json`, 0 and 255 count for nothing."""
    listed = root / "label_num_dic_final.json"
    numbers = validate(VspwNumbers, load_json(listed), listed)
    words = {number: word for word, number in numbers.items() if number not in (0, 255)}
    listing = root / f"{split}.txt"
    names = (
        _read_lines(listing) if listing.is_file() else sorted(p.name for p in (root / "data").iterdir() if p.is_dir())
    )

    def clip(name: str) -> Clip:
        folder = root / "data" / name
        masks = {path.stem: path for path in list_images(folder / "mask") or []}
        order = [masks.get(path.stem) for path in list_images(folder / "origin") or []]
        seen = {int(n) for path in masks.values() for n in np.unique(read_labels(path, max_megapixels))}

        def truth(index: int) -> FrameTruth | None:
            path = order[index] if index < len(order) else None
            if path is None:
                return None
            values = read_labels(path, max_megapixels)
            return split_labels(values, words, (values == 0) | (values == 255))

        concepts = tuple(words[n] for n in sorted(seen) if n in words)
        return Clip(name, folder / "origin", concepts, truth, VSPW_FPS, identities=False)

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
        shape = read_labels(image, max_megapixels).shape
        empty = FrameTruth(np.zeros((0, *shape), bool), (), ())
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
        name, folder = row.clip, root / "annotations" / row.clip
        instances = row.truth == "instances"
        concepts = row.objects if instances else ({1: row.concept} if row.concept else {})

        def truth(index: int) -> FrameTruth | None:
            path = folder / f"{index:05d}.png"
            if not path.exists():
                return None
            return split_labels(
                read_labels(path, max_megapixels)
                if instances
                else (read_grey(path, max_megapixels) > 127).astype(np.uint8),
                concepts,
            )

        words = tuple(dict.fromkeys(concepts.values()))
        return Clip(name, root / "videos" / f"{name}.mp4", words, truth, kind="box" if row.truth == "box" else "mask")

    return Dataset(root.name, "clips", tuple(map(clip, rows)))
