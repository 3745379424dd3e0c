"""Which data set a path is, and reading it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vidconcept.errors import InputError, UsageError
from vidconcept.evaluation.datasets.dataset import Dataset
from vidconcept.evaluation.datasets.folders import read_clips, read_davis, read_mvtec, read_vspw
from vidconcept.evaluation.datasets.json_files import read_coco, read_youtube_vis
from vidconcept.evaluation.datasets.shapes import load_json
from vidconcept.files import MAX_MEGAPIXELS, refuse_special

FORMATS = ("davis2016", "davis2017", "youtube-vis", "vspw", "mvtec", "coco", "clips")


def read_dataset(
    path: Path,
    format: str | None = None,
    split: str = "val",
    rename: Mapping[str, str] | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Dataset:
    """Read a data set, its format guessed from its files where it is not given.

    rename: data set's word -> the word to ask for. max_megapixels: larger pictures of truth are refused. Raises
    InputError when it is not a data set, UsageError for an unknown format or a word that the data set does not have.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist. Next: check the path")
    if not path.is_dir():
        refuse_special(path)
    if format is not None and format not in FORMATS:
        raise UsageError(f"`format={format!r}` is not known. Next: one of {', '.join(FORMATS)}")
    dataset = _read(path, format or guess_format(path, split), split, max_megapixels)
    if not dataset.clips:
        raise InputError(f"{path} holds no clip of the split {split!r}. Next: check `split`")
    if not rename:
        return dataset
    unknown = [word for word in rename if word not in dataset.concepts]
    if unknown:
        raise UsageError(
            f"`rename={unknown[0]!r}` is not a concept of the data set. Next: one of {', '.join(dataset.concepts)}"
        )
    return replace(dataset, clips=tuple(clip.rename(rename) for clip in dataset.clips))


def guess_format(path: Path, split: str) -> str:
    """The format that the files at `path` look like. Raises InputError when none fits."""
    if path.is_file():
        return _guess_json_format(path)
    if (path / "clips.json").is_file():
        return "clips"
    if (path / "label_num_dic_final.json").is_file():
        return "vspw"
    if (path / "JPEGImages").is_dir() and (path / "Annotations").is_dir():
        # The release of 2017 has the splits of 2016 beside its own.
        lists = path / "ImageSets"
        older = not (lists / "2017").is_dir() and any((lists / name).is_dir() for name in ("2016", "480p"))
        return "davis2016" if older else "davis2017"
    if (path / "test").is_dir() or any((child / "test").is_dir() for child in path.iterdir() if child.is_dir()):
        return "mvtec"
    found = _find_json(path, split)
    if found is not None:
        return _guess_json_format(found)
    raise InputError(f"{path} is not a known data set. Next: `format={'|'.join(FORMATS)}`")


def _read(path: Path, format: str, split: str, max_megapixels: float) -> Dataset:
    if format.startswith("davis"):
        return read_davis(path, int(format.removeprefix("davis")), split, max_megapixels)
    if format == "vspw":
        return read_vspw(path, split, max_megapixels)
    if format == "mvtec":
        return read_mvtec(path, max_megapixels)
    if format == "clips":
        return read_clips(path, max_megapixels)
    found = path if path.is_file() else _find_json(path, split)
    if found is None:
        raise InputError(f"{path} has no JSON file for the split {split!r}. Next: check `split`")
    return (read_youtube_vis if format == "youtube-vis" else read_coco)(found, max_megapixels)


def _guess_json_format(path: Path) -> str:
    table = load_json(path)
    return "youtube-vis" if isinstance(table, dict) and "videos" in table else "coco"


def _find_json(path: Path, split: str) -> Path | None:
    """The annotation file of a split, or the only one there is."""
    found = sorted([*path.glob("*.json"), *path.glob("annotations/*.json")])
    # COCO's own folder has captions and key points of the same split beside its instances.
    found.sort(key=lambda p: not p.stem.startswith("instances"))
    return next((p for p in found if split in p.stem), found[0] if len(found) == 1 else None)
