"""Pictures out of image files, page by page, at the depth that they are stored in."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from vidconcept.video.sequence import Page

# Values of such an array are read as they are; more bits are kept until the levels of the sequence are known.
_DEPTHS = (np.uint8, np.uint16, np.float32)
_READ = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
# Pages of a TIFF file read in one go: the library walks to the first of them anew each time.
_TIFF_PAGES_AT_ONCE = 8
# What players take where an animation gives a picture no time at all.
_UNTIMED_MS = 100
_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)

# How many milliseconds an animation shows the picture, 0 where it does not say, and `(h, w, 3)` RGB; None: unreadable.
Pixels = tuple[int, np.ndarray | None]


def read_pages(pages: Sequence[Page]) -> Iterator[tuple[Page, int, np.ndarray | None]]:
    """Each page with its time shown in ms and its pixels `(h, w, 3)` RGB, uint8, uint16 or float32.

    Files are opened one at a time, and pages are decoded as they are asked for. EXIF orientation is applied.
    """
    for _, group in groupby(pages, key=lambda page: page.path):
        of_file = list(group)
        path = of_file[0].path
        if of_file[0].count == 1 and of_file[0].number == 0:
            yield of_file[0], 0, load_image(path)
        elif path.suffix.lower() in (".tif", ".tiff"):
            for page, image in zip(of_file, _tiff_pages(path, [page.number for page in of_file]), strict=True):
                yield page, 0, image
        else:
            for page, (shown_ms, image) in zip(of_file, _animation(path, len(of_file)), strict=True):
                yield page, shown_ms, image


def load_image(path: Path) -> np.ndarray | None:
    """The only or first picture of a file, `(h, w, 3)` RGB, uint8, uint16 or float32; None if it cannot be read."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError:
        return None
    image = cv2.imdecode(data, _READ) if data.size else None
    return _by_pillow(path) if image is None and data.size else _as_rgb(image)


def _as_rgb(image: np.ndarray | None) -> np.ndarray | None:
    if image is None:
        return None
    rgb = image[:, :, ::-1] if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    return rgb if rgb.dtype in _DEPTHS else rgb.astype(np.float32)


def _by_pillow(path: Path) -> np.ndarray | None:
    """What OpenCV does not read: numbers of 32 bits, the rarer compressions."""
    try:
        with Image.open(path) as image:
            return _pillow_rgb(image)
    except _UNREADABLE:
        return None


def _pillow_rgb(image: Image.Image) -> np.ndarray | None:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(ImageOps.exif_transpose(image))
        return _as_rgb(values if values.dtype == np.uint16 else values.astype(np.float32))
    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _tiff_pages(path: Path, numbers: Sequence[int]) -> Iterator[np.ndarray | None]:
    for at in range(0, len(numbers), _TIFF_PAGES_AT_ONCE):
        wanted = numbers[at : at + _TIFF_PAGES_AT_ONCE]
        span = wanted[-1] - wanted[0] + 1
        images: Sequence[np.ndarray] = ()
        with suppress(cv2.error):
            _, images = cv2.imreadmulti(str(path), wanted[0], span, flags=_READ)
        for number in wanted:
            found = images[number - wanted[0]] if len(images) == span else None
            yield _tiff_page(path, number) if found is None else _as_rgb(found)


def _tiff_page(path: Path, number: int) -> np.ndarray | None:
    try:
        with Image.open(path) as image:
            image.seek(number)
            return _pillow_rgb(image)
    except _UNREADABLE:
        return None


def _animation(path: Path, count: int) -> Iterator[Pixels]:
    """The pictures of an animation as a viewer shows them, each painted over those before it."""
    done = 0
    with suppress(*_UNREADABLE), Image.open(path) as image:
        for number in range(count):
            image.seek(number)
            pixels = np.asarray(image.convert("RGB"))
            yield round(image.info.get("duration") or _UNTIMED_MS), pixels
            done += 1
    for _ in range(count - done):
        yield _UNTIMED_MS, None
