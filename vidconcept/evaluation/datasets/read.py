"""Which data set a path is, and reading it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vidconcept.errors import InputError, UsageError
from vidconcept.evaluation.datasets.dataset import Dataset
from vidconcept.evaluation.datasets.folders import read_clips, read_davis, read_mvtec, read_vspw
from vidconcept.evaluation.datasets.json_files import read_coco, read_youtube_vis
from vidconcept.evaluation.datasets.shapes import load_json
from vidconcept.files import MAX_MEGAPIXELS, MalformedError, refuse_special, shorten

# Words that file names of annotations hold.
SPLITS = ("train", "val", "test")
FORMATS = ("davis2016", "davis2017", "youtube-vis", "vspw", "mvtec", "coco", "clips")


def read_dataset(
    path: Path,
    format: str | None = None,
    split: str | None = None,
    rename: Mapping[str, str] | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Dataset:
    """Read a data set, its format guessed from its files where it is not given.

    split: None takes val, or all where there are no splits. rename: data set's word -> the word to ask for.
    max_megapixels: larger pictures of truth are refused. Raises InputError when it is not a data set or lacks the
    split, UsageError for an unknown format, a word that the data set does not have, or a split where there are none.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist. Next: check the path")
    if not path.is_dir():
        refuse_special(path)
    if format is not None and format not in FORMATS:
        raise UsageError(f"`format={format!r}` is not known. Next: one of {', '.join(FORMATS)}")
    kind = format or guess_format(path, split)
    if split is not None and (path.is_file() or kind in ("mvtec", "clips")):
        raise UsageError(f"`split={split!r}` says nothing of {path}, which has no splits. Next: leave it out")
    dataset = _read(path, kind, split, max_megapixels)
    if not dataset.clips:
        raise InputError(f"{path} holds no clip. Next: check `format` and `split`")
    if not rename:
        return dataset
    unknown = [word for word in rename if word not in dataset.concepts]
    if unknown:
        raise UsageError(
            f"`rename={unknown[0]!r}` is not a concept of the data set. Next: one of {', '.join(dataset.concepts)}"
        )
    return replace(dataset, clips=tuple(clip.rename(rename) for clip in dataset.clips))


def guess_format(path: Path, split: str | None) -> str:
    """The format that the files at `path` look like. Raises InputError when none fits."""
    if path.is_file():
        try:
            return _guess_json_format(path)
        except MalformedError as error:
            if path.suffix.lower() == ".json":
                raise
            raise InputError(
                f"{path} is not a labelled data set. Next: give the folder of one, or its JSON file; to find something "
                "in a film, vidconcept track"
            ) from error
    if (path / "clips.json").is_file():
        return "clips"
    if (path / "label_num_dic_final.json").is_file():
        return "vspw"
    if (path / "JPEGImages").is_dir() and (path / "Annotations").is_dir():
        # The release of 2017 has the splits of 2016 beside its own.
        lists = path / "ImageSets"
        older = not (lists / "2017").is_dir() and any((lists / name).is_dir() for name in ("2016", "480p"))
        return "davis2016" if older else "davis2017"
    if any(_is_mvtec(folder) for folder in (path, *path.iterdir())):
        return "mvtec"
    if _list_json(path):
        return _guess_json_format(_find_json(path, split))
    raise InputError(
        f"{path} is not a known data set. Next: `format={'|'.join(FORMATS)}`, or the path of its JSON file"
    )


def _is_mvtec(folder: Path) -> bool:
    """Whether it is a category of MVTec: a folder `test` alone may be the pictures of a split."""
    tested = folder / "test"
    return (tested / "good").is_dir() or (tested.is_dir() and (folder / "ground_truth").is_dir())


def _read(path: Path, format: str, split: str | None, max_megapixels: float) -> Dataset:
    if format.startswith("davis"):
        return read_davis(path, int(format.removeprefix("davis")), split, max_megapixels)
    if format == "vspw":
        return read_vspw(path, split, max_megapixels)
    if format == "mvtec":
        return read_mvtec(path, max_megapixels)
    if format == "clips":
        return read_clips(path, max_megapixels)
    found = path if path.is_file() else _find_json(path, split)
    return (read_youtube_vis if format == "youtube-vis" else read_coco)(found, max_megapixels)


def _guess_json_format(path: Path) -> str:
    table = load_json(path)
    return "youtube-vis" if isinstance(table, dict) and "videos" in table else "coco"


def _list_json(path: Path) -> list[Path]:
    return sorted([*path.glob("*.json"), *path.glob("annotations/*.json")])


def _find_json(path: Path, split: str | None) -> Path:
    """The annotation file of a split, or the only one there is if it is not named for another.

    split: None takes val, or the only file whatever its name. Raises InputError where no file fits.
    """
    found, wanted = _list_json(path), split or "val"
    fitting = [p for p in found if any(_is_split(word, wanted) for word in _words(p))]
    if fitting:
        # COCO's own folder has captions and key points of the same split beside its instances.
        return min(fitting, key=lambda p: (not p.stem.startswith("instances"), wanted not in _words(p)))
    if len(found) == 1 and (split is None or not any(word.startswith(SPLITS) for word in _words(found[0]))):
        return found[0]
    there = f"only {shorten(', '.join(p.name for p in found))}" if found else "nor any other"
    raise InputError(f"{path} has no JSON file of the split {wanted!r}, {there}. Next: check the path and `split`")


def _words(path: Path) -> list[str]:
    return re.split(r"[_.-]", path.stem)


def _is_split(word: str, split: str) -> bool:
    """Whether a word of a file's name stands for a split: for val, `valid` and `val2017` do and `trainval` does not."""
    return word.startswith(split) and not any(other in word[len(split) :] for other in SPLITS)
