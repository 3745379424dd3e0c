"""Images as a video: which files and pages, in which order, and at which place in time."""

import filecmp
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import gcd
from pathlib import Path

from vidconcept.errors import InputError
from vidconcept.files import MAX_MEGAPIXELS, shorten
from vidconcept.video.limits import open_picture
from vidconcept.video.problems import Finding

# Files of these kinds can hold several pictures.
_PAGED = frozenset({".tif", ".tiff", ".webp", ".png", ".apng", ".gif"})
# Of these, kinds whose pictures say themselves how long they are shown.
_ANIMATED = frozenset({".webp", ".png", ".apng", ".gif"})
_COPY = re.compile(r"(.+?)(?: ?\(\d+\)| - (?:Copy|Kopie|copie|copia)(?: ?\(\d+\))?| copy(?: \d+)?)", re.IGNORECASE)
_COUNTER = re.compile(r"(.*?)(\d+)(\D*)")
# Numbers count frames where at least this share of the steps between them is the usual one.
_COUNTED_SHARE = 0.7
# More missing pictures than this in one place are another recording, and more than a film can pause for.
LONGEST_JUMP = 100_000
_TIFF_SUBFILE_TAG, _TIFF_REDUCED = 254, 1
_LISTED_NAMES = 4


@dataclass(frozen=True, slots=True)
class Page:
    """One picture of a sequence. number: from 0 within its file, of `count`. slot: its place in time, from 0."""

    path: Path
    number: int
    count: int
    slot: int

    @property
    def name(self) -> str:
        """What tables call the picture: its file's name, with the page where there are several."""
        return self.path.name if self.count == 1 else f"{self.path.name}#{self.number + 1}"


def split_name(name: str) -> tuple[str, int | None]:
    """The file and the page, from 1, that a `Page.name` was made of; None for the one picture of its file.

    The name of a file ends in the suffix of its kind, so digits behind the last `#` are a page.
    """
    file_name, _, page = name.rpartition("#")
    return (file_name, int(page)) if file_name and page.isdecimal() else (name, None)


@dataclass(frozen=True, slots=True)
class ImageSequence:
    """pages: in the order of time. keeps_time: a file that says how long each of its pictures is shown."""

    pages: tuple[Page, ...] = field(repr=False)
    keeps_time: bool
    findings: tuple[Finding, ...]

    def time_base(self, fps: float) -> Fraction:
        """Unit of the pictures' times, in seconds."""
        return Fraction(1, 1000) if self.keeps_time else 1 / Fraction(fps).limit_denominator(100_000)


def lay_out(
    paths: Sequence[Path],
    *,
    is_file: bool,
    numbers: Sequence[int] | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> ImageSequence:
    """Images `paths`, in their order, as a sequence: every page of each, missing numbers as empty time.

    is_file: one file was given, not a folder or a pattern; an animation then keeps its own times. numbers: of the
    images, where a pattern says which they are; else they are looked for in the names.
    """
    counts = [list_pages(path, max_megapixels) for path in paths]
    per_file = {len(numbers) for numbers in counts}
    places, findings = _place_by_number(numbers) if numbers else _place_by_name([path.name for path in paths])
    if len(per_file) > 1 and places != list(range(len(paths))):
        places, findings = list(range(len(paths))), [*findings, Finding("warning", "time", _CLOSED_UP)]
    pages: list[Page] = []
    # Files of unequal length leave no way to tell how long a missing one was.
    slot = 0
    for path, place, numbers in zip(paths, places, counts, strict=True):
        slot = place * len(numbers) if len(per_file) == 1 else slot
        pages += [Page(path, number, len(numbers), slot + offset) for offset, number in enumerate(numbers)]
        slot += len(numbers)
    several = [path.name for path, numbers in zip(paths, counts, strict=True) if len(numbers) > 1]
    keeps_time = is_file and bool(several) and paths[0].suffix.lower() in _ANIMATED
    if several:
        what = f"{several[0]} holds" if len(several) == 1 else f"{len(several)} files hold"
        text = f"{what} several pictures: every page is a frame, {len(pages)} in all"
        findings.append(Finding("note", "pages", text))
    return ImageSequence(tuple(pages), keeps_time, tuple(findings))


_CLOSED_UP = "numbers are missing among files of several pictures each: time closes up there"


def list_pages(path: Path, max_megapixels: float) -> tuple[int, ...]:
    """The pages of an image file that are pictures of their own: not the small copies that some TIFF files carry, nor
    what an animated PNG shows to viewers that know no animation."""
    suffix = path.suffix.lower()
    if suffix not in _PAGED or (suffix == ".png" and not _may_be_animated(path)):
        return (0,)
    try:
        with open_picture(path, max_megapixels) as image:
            count = int(getattr(image, "n_frames", 1))
            if count == 1 or suffix not in (".tif", ".tiff"):
                return tuple(range(1 if getattr(image, "default_image", False) else 0, count))
            kept = []
            for number in range(count):
                image.seek(number)
                if not image.tag_v2.get(_TIFF_SUBFILE_TAG, 0) & _TIFF_REDUCED:  # pyright: ignore[reportAttributeAccessIssue]
                    kept.append(number)
            return tuple(kept) or (0,)
    except InputError:
        # What cannot be read is found, and said, when its turn comes.
        return (0,)


def _may_be_animated(path: Path) -> bool:
    """An animated PNG says so before its first picture."""
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except OSError:
        return False
    picture = head.find(b"IDAT")
    return picture < 0 or 0 <= head.find(b"acTL") < picture


def remove_copies(paths: Sequence[Path]) -> tuple[list[Path], list[tuple[Path, Path]]]:
    """What is no copy, and pairs of a copy and its original: named as a copy, and the same to the byte."""
    known = {path.name: path for path in paths}
    kept, copies = [], []
    for path in paths:
        match = _COPY.fullmatch(path.stem)
        original = known.get(match[1] + path.suffix) if match else None
        if original is not None and _have_same_bytes(path, original):
            copies.append((path, original))
        else:
            kept.append(path)
    return kept, copies


def describe_copies(copies: Sequence[tuple[Path, Path]]) -> list[Finding]:
    """What to say of the copies that are left out."""
    if not copies:
        return []
    names = _join_names([f"{copy.name} of {original.name}" for copy, original in copies])
    return [Finding("warning", "copies", f"copies are left out, their originals are read: {names}")]


def _have_same_bytes(a: Path, b: Path) -> bool:
    try:
        return filecmp.cmp(a, b, shallow=False)
    except OSError:
        return False


def _place_by_name(names: Sequence[str]) -> tuple[list[int], list[Finding]]:
    """Places in time by the numbers in the names, where those count; else one after the other."""
    in_order = list(range(len(names)))
    split = [_COUNTER.fullmatch(Path(name).stem) for name in names]
    frames = {(match[1].lower(), match[3].lower()) if match else None for match in split}
    if len(names) < 3:
        return in_order, []
    if len(frames) > 1 or None in frames:
        kinds = Counter((match[1].lower(), match[3].lower()) if match else None for match in split)
        usual, count = kinds.most_common(1)[0]
        strangers = [n for n, m in zip(names, split, strict=True) if (m and (m[1].lower(), m[3].lower())) != usual]
        if usual is None or count < _COUNTED_SHARE * len(names):
            return in_order, []
        text = f"named unlike the others, and frames all the same: {_join_names(strangers)}; time is the order of names"
        return in_order, [Finding("warning", "names", text)]
    return _place_by_number([int(match[2]) for match in split if match])


def _place_by_number(numbers: Sequence[int]) -> tuple[list[int], list[Finding]]:
    in_order = list(range(len(numbers)))
    if len(numbers) < 3:
        return in_order, []
    steps = [b - a for a, b in pairwise(numbers)]
    usual, count = Counter(steps).most_common(1)[0]
    if usual < 1 or count < _COUNTED_SHARE * len(steps) or gcd(*steps) != usual:
        # Times of day and the like: the order is all that they tell.
        return in_order, []
    places = [(number - numbers[0]) // usual for number in numbers]
    if max(steps) // usual > LONGEST_JUMP:
        text = f"numbers with a jump of {shorten(str(max(steps)))} count no frames: time is their order"
        return in_order, [Finding("warning", "names", text)]
    missing = places[-1] + 1 - len(places)
    if not missing:
        return places, []
    spans = [(a + usual, b - usual) for a, b in pairwise(numbers) if b - a > usual]
    text = _join_names([f"{first}" if first == last else f"{first} to {last}" for first, last in spans])
    what = "1 number is" if missing == 1 else f"{missing} numbers are"
    said = f"{what} missing among the names ({text}): the time of such pictures stays empty"
    return places, [Finding("warning", "missing images", said)]


def _join_names(names: Sequence[str]) -> str:
    more = len(names) - _LISTED_NAMES
    return ", ".join(names[:_LISTED_NAMES]) + (f" and {more} more" if more > 0 else "")
