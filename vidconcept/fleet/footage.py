"""Which films an archive holds: folders, patterns, lists and single files become one film after the other."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidconcept.errors import InputError
from vidconcept.files import SCRATCH_NAME, check_name, identify_path, shorten_name
from vidconcept.manifest import MANIFEST
from vidconcept.video.source import IMAGE_SUFFIXES, VIDEO_SUFFIXES

# Told of each folder that was searched, and of each folder or link that cannot be, then with the reason.
Searched = Callable[[Path, str], None]


@dataclass(frozen=True, slots=True)
class Film:
    """A recording and how it is to be read.

    source: absolute; links are not followed, so that a film is called what its owner calls it. settings: above those
    of the call, as of a camera. camera: what its list calls it. view: of a file that a list names more than once,
    camera and stream, but for the first. unread: of a folder or link in which films may be, why it cannot be read.
    """

    source: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    config: Path | None = None
    camera: str = ""
    view: str = ""
    # Of a long film: from one frame to the other, not included; None: to the end.
    part: tuple[int, int | None] | None = None
    unread: str = ""

    @property
    def task(self) -> str:
        """The key of the film, or of the part of it that is to be done."""
        return self.key if self.part is None else f"{self.key}.{self.part[0]}"

    @property
    def title(self) -> str:
        """For people: the run's name, of which view, and from which frame on."""
        begin = "" if self.part is None else f"from frame {self.part[0]} on"
        return ", ".join(part for part in (self.run_name, self.view, begin) if part)

    @property
    def key(self) -> str:
        """Sixteen digits that stand for the film's path, and its view where it has one."""
        view = f"\0{self.view}".encode() if self.view else b""
        return hashlib.sha256(os.fsencode(self.source) + view).hexdigest()[:16]

    @property
    def run_name(self) -> str:
        """The film's folder among the runs: `<folder>/<stem>-<8 digits>`.

        It depends on the film's path and view alone, so that it does not matter in which order, by which pattern or
        beside which others a film is given.
        """
        # A pattern of numbered pictures has no number of its own.
        stem = self.source.stem.split("%")[0].rstrip("_-. ") or self.source.parent.name
        return f"{shorten_name(self.source.parent.name) or 'root'}/{shorten_name(stem)[:180]}-{self.key[:8]}"


def find_films(
    arguments: Iterable[str],
    *,
    out: Path,
    listed: Iterable[str] = (),
    pictures: bool = False,
    searched: Searched = lambda place, reason: None,
) -> Iterator[Path]:
    """Sources that the arguments stand for, each once, in the order of the arguments and by name within a folder.

    arguments: files, folders, patterns such as `cam*/**/*.mp4`, and `-` for the paths in `listed`. In folders, at any
    depth, files count as films by their suffix; hidden ones, films still being written, links back up, `out` and run
    folders are passed over. pictures: folders of images count as films, too. searched: see `Searched`; a link is told
    where it may lead to films by its suffix, and films with invalid names once for an argument, with the folder that
    holds them. Raises InputError for an argument that is not there, has an invalid name, or in which nothing is found,
    and nothing that cannot be read. Holds the names of one folder, and a number for each film found.
    """
    seen: set[int] = set()
    count = 0

    def search(place: Path, reason: str) -> None:
        nonlocal count
        count += bool(reason)
        searched(place, reason)

    for argument in arguments:
        count = 0
        for source in _with_valid_names(_sources(argument, listed, out, pictures, search), search):
            count += 1
            mark = hash(str(source))
            if mark not in seen:
                seen.add(mark)
                yield source
        if not count:
            raise InputError(_nothing_in(argument, pictures))


def _sources(argument: str, listed: Iterable[str], out: Path, pictures: bool, searched: Searched) -> Iterator[Path]:
    if argument == "-":
        for line in listed:
            if line.strip():
                yield from _of_path(line.rstrip("\r\n"), out, pictures, searched)
    else:
        path = Path(argument).expanduser()
        # What a list names and is not there costs itself; a slip on the command line would cost nothing but time.
        if not (glob.has_magic(argument) or "%" in path.name or path.exists()):
            raise InputError(f"{path} does not exist. Next: check the path")
        check_name(absolute(path))
        yield from _of_path(argument, out, pictures, searched)


def _with_valid_names(sources: Iterable[Path], searched: Searched) -> Iterator[Path]:
    """The sources whose names a table can hold; of the others their folder is told at the end, once."""
    invalid: list[Path] = []
    reason = ""
    for source in sources:
        try:
            check_name(source)
        except InputError as error:
            invalid.append(source)
            reason = reason or str(error)
        else:
            yield source
    if invalid:
        more = f", and {len(invalid) - 1} more" if len(invalid) > 1 else ""
        searched(_find_folder(invalid), f"{reason}{more}")


def _find_folder(invalid: Sequence[Path]) -> Path:
    """The deepest folder above all of them that has a valid name."""
    folder = Path(os.path.commonpath(invalid))
    while True:
        try:
            check_name(folder)
            return folder
        except InputError:
            folder = folder.parent


def _of_path(text: str, out: Path, pictures: bool, searched: Searched) -> Iterator[Path]:
    path = absolute(Path(text).expanduser())
    if os.path.isdir(path):
        yield from films_below(path, out=out, pictures=pictures, searched=searched)
    elif glob.has_magic(text) and not os.path.exists(path):
        _look_along(path, out, searched)
        # `cam1/*` means the whole films among what is there; whoever writes a suffix, or .partial, means that one.
        any_suffix = bool(path.suffix) and not glob.has_magic(path.suffix)
        with_partial = ".partial" in path.name
        for found in map(Path, sorted(glob.iglob(str(path), recursive=True))):
            if reason := _explain_link(found):
                searched(found, reason)
            elif not os.path.isdir(found):
                of_run = out in found.parents or (found.parent / MANIFEST).is_file()
                is_wanted = with_partial or not SCRATCH_NAME.fullmatch(found.name)
                if not of_run and is_wanted and (any_suffix or found.suffix.lower() in VIDEO_SUFFIXES):
                    yield found
            elif "**" not in text:
                # `**` gives each folder on the way, too.
                yield from films_below(found, out=out, pictures=pictures, searched=searched)
    else:
        yield path


def _look_along(pattern: Path, out: Path, searched: Searched) -> None:
    """Tell of the folders whose names a pattern is matched against: `glob` passes over what it cannot read."""
    parts, folders = pattern.parts, {}
    for depth, part in enumerate(parts):
        if glob.has_magic(part):
            folders[Path(*parts[:depth])] = None
        if part == "**":
            folders[Path(*parts[: depth + 1])] = None
    # With the separator at the end, a pattern matches folders only.
    named = dict.fromkeys(name for folder in folders for name in glob.iglob(f"{folder}{os.sep}", recursive=True))
    for folder in map(Path, named):
        if out not in (folder, *folder.parents):
            try:
                with os.scandir(folder) as entries:
                    list(entries)
                searched(folder, "")
            except OSError as error:
                searched(folder, _explain(folder, error))


def absolute(path: Path) -> Path:
    """Without `.` and `..`, and without following links."""
    return Path(os.path.abspath(path))


def films_below(
    folder: Path, *, out: Path, pictures: bool = False, searched: Searched = lambda place, reason: None
) -> Iterator[Path]:
    """Films in a folder at any depth, by name; see `find_films`."""
    yield from _with_valid_names(_walk(folder, out, pictures, searched), searched)


def _walk(folder: Path, out: Path, pictures: bool, searched: Searched) -> Iterator[Path]:
    passed = {identify_path(out)}
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        place = identify_path(here)
        if place is not None and place in passed:
            continue
        passed.add(place)
        content = _look_into(here)
        if content.is_run:
            continue
        searched(here, content.unread)
        for name, reason in sorted(content.unread_links):
            searched(here / name, reason)
        for name in sorted(content.videos):
            yield here / name
        if pictures and content.images and not content.videos:
            yield here
        waiting += [here / name for name in sorted(content.folders, reverse=True)]


@dataclass
class _Content:
    """What is in a folder, by name. images: how many. unread: why it could not be read, or not to its end."""

    videos: list[str] = field(default_factory=list)
    images: int = 0
    folders: list[str] = field(default_factory=list)
    unread_links: list[tuple[str, str]] = field(default_factory=list)
    is_run: bool = False
    unread: str = ""

    def add(self, entry: os.DirEntry[str]) -> None:
        if entry.name == MANIFEST:
            self.is_run = True
        if entry.name.startswith(".") or SCRATCH_NAME.fullmatch(entry.name):
            return
        if entry.is_symlink() and (reason := _explain_link(Path(entry.path))):
            self.unread_links.append((entry.name, reason))
            return
        try:
            is_file, is_folder = entry.is_file(), entry.is_dir()
        except OSError:
            # A link behind which no film is expected, or a file that says itself, when it is read, what is wrong.
            is_file, is_folder = not entry.is_symlink(), False
        suffix = os.path.splitext(entry.name)[1].lower()
        if suffix in VIDEO_SUFFIXES and is_file:
            self.videos.append(entry.name)
        elif suffix in IMAGE_SUFFIXES and is_file:
            self.images += 1
        elif is_folder:
            self.folders.append(entry.name)


def _look_into(folder: Path) -> _Content:
    content = _Content()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                content.add(entry)
    except FileNotFoundError:
        # Removed since its parent was read: nothing is left out.
        pass
    except OSError as error:
        content.unread = _explain(folder, error)
    return content


def _explain(folder: Path, error: OSError) -> str:
    return f"the folder {folder} cannot be read: {error.strerror}. Next: check its disk and its permissions"


def _explain_link(path: Path) -> str:
    """Why a link that may lead to films, by its suffix, cannot be followed; "" for any other."""
    suffix = path.suffix.lower()
    if not path.is_symlink() or not (suffix in VIDEO_SUFFIXES or not suffix.strip(".0123456789")):
        return ""
    try:
        path.stat()
    except OSError as error:
        return f"{path} is a link that cannot be followed: {error.strerror}. Next: mount its disk, or remove the link"
    return ""


def _nothing_in(argument: str, pictures: bool) -> str:
    if argument == "-":
        return "no film in the list on standard input. Next: one path a line, e.g. find … | vidconcept batch -"
    hint = "" if pictures else "; folders of images count as films with `fps`"
    return f"no film found in {argument}. Next: check the path, and put quotes around a pattern{hint}"
