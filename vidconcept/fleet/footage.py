"""Which films an archive holds: folders, patterns, lists and single files become one film after the other."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidconcept.errors import InputError
from vidconcept.files import check_name, identify_path, shorten_name
from vidconcept.manifest import MANIFEST
from vidconcept.video.source import IMAGE_SUFFIXES, VIDEO_SUFFIXES


@dataclass(frozen=True, slots=True)
class Film:
    """A recording and how it is to be read.

    source: absolute; links are not followed, so that a film is called what its owner calls it. settings: above those
    of the call, as of a camera. camera: what its list calls it.
    """

    source: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    config: Path | None = None
    camera: str = ""
    # Of a long film: from one frame to the other, not included; None: to the end.
    part: tuple[int, int | None] | None = None

    @property
    def task(self) -> str:
        """The key of the film, or of the part of it that is to be done."""
        return self.key if self.part is None else f"{self.key}.{self.part[0]}"

    @property
    def title(self) -> str:
        """For people: the run's name, and from which frame on."""
        return self.run_name if self.part is None else f"{self.run_name}, from frame {self.part[0]} on"

    @property
    def key(self) -> str:
        """Sixteen digits that stand for the film's path, whatever other films there are."""
        return hashlib.sha256(os.fsencode(self.source)).hexdigest()[:16]

    @property
    def run_name(self) -> str:
        """The film's folder among the runs: `<folder>/<stem>-<8 digits>`.

        It depends on the film's path alone, so that it does not matter in which order, by which pattern or beside
        which others a film is given.
        """
        # A pattern of numbered pictures has no number of its own.
        stem = self.source.stem.split("%")[0].rstrip("_-. ") or self.source.parent.name
        return f"{shorten_name(self.source.parent.name) or 'root'}/{shorten_name(stem)[:180]}-{self.key[:8]}"


def find_films(
    arguments: Iterable[str], *, out: Path, listed: Iterable[str] = (), pictures: bool = False
) -> Iterator[Path]:
    """Sources that the arguments stand for, each once, in the order of the arguments and by name within a folder.

    arguments: files, folders, patterns such as `cam*/**/*.mp4`, and `-` for the paths in `listed`. In folders, at any
    depth, files count as films by their suffix; hidden ones, links back up, `out` and run folders are passed over.
    pictures: folders of images count as films, too. Raises InputError for an argument that is not there or in which
    nothing is found. Holds the names of one folder, and a number for each film found.
    """
    seen: set[int] = set()
    for argument in arguments:
        count = 0
        for source in _sources(argument, listed, out, pictures):
            check_name(source)
            count += 1
            mark = hash(str(source))
            if mark not in seen:
                seen.add(mark)
                yield source
        if not count:
            raise InputError(_nothing_in(argument, pictures))


def _sources(argument: str, listed: Iterable[str], out: Path, pictures: bool) -> Iterator[Path]:
    if argument == "-":
        for line in listed:
            if line.strip():
                yield from _of_path(line.rstrip("\r\n"), out, pictures)
    else:
        path = Path(argument).expanduser()
        # What a list names and is not there costs itself; a slip on the command line would cost nothing but time.
        if not (glob.has_magic(argument) or "%" in path.name or path.exists()):
            raise InputError(f"{path} does not exist. Next: check the path")
        yield from _of_path(argument, out, pictures)


def _of_path(text: str, out: Path, pictures: bool) -> Iterator[Path]:
    path = absolute(Path(text).expanduser())
    if path.is_dir():
        yield from films_below(path, out=out, pictures=pictures)
    elif glob.has_magic(text) and not path.exists():
        # `cam1/*` means the films among what is there; whoever writes a suffix means that one.
        any_suffix = bool(path.suffix) and not glob.has_magic(path.suffix)
        for found in map(Path, sorted(glob.iglob(str(path), recursive=True))):
            if not found.is_dir():
                of_run = out in found.parents or (found.parent / MANIFEST).is_file()
                if not of_run and (any_suffix or found.suffix.lower() in VIDEO_SUFFIXES):
                    yield found
            elif "**" not in text:
                # `**` gives each folder on the way, too.
                yield from films_below(found, out=out, pictures=pictures)
    else:
        yield path


def absolute(path: Path) -> Path:
    """Without `.` and `..`, and without following links."""
    return Path(os.path.abspath(path))


def films_below(folder: Path, *, out: Path, pictures: bool = False) -> Iterator[Path]:
    """Films in a folder at any depth, by name; see `find_films`. Folders that may not be read are passed over."""
    passed = {identify_path(out)}
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        place = identify_path(here)
        if place is None or place in passed:
            continue
        passed.add(place)
        videos, images, folders, is_run = _look_into(here)
        if is_run:
            continue
        for name in sorted(videos):
            yield here / name
        if pictures and images and not videos:
            yield here
        waiting += [here / name for name in sorted(folders, reverse=True)]


def _look_into(folder: Path) -> tuple[list[str], int, list[str], bool]:
    """Names of the videos, how many images there are, names of the folders, and whether it is a run."""
    videos, images, folders, is_run = [], 0, [], False
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name == MANIFEST:
                    is_run = True
                if entry.name.startswith("."):
                    continue
                suffix = os.path.splitext(entry.name)[1].lower()
                if suffix in VIDEO_SUFFIXES and entry.is_file():
                    videos.append(entry.name)
                elif suffix in IMAGE_SUFFIXES and entry.is_file():
                    images += 1
                elif entry.is_dir():
                    folders.append(entry.name)
    except OSError:
        return [], 0, [], False
    return videos, images, folders, is_run


def _nothing_in(argument: str, pictures: bool) -> str:
    if argument == "-":
        return "no film in the list on standard input. Next: one path a line, e.g. find … | vidconcept batch -"
    hint = "" if pictures else "; folders of images count as films with `fps`"
    return f"no film found in {argument}. Next: check the path, and put quotes around a pattern{hint}"
