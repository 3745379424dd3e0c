"""Pictures out of image files, page by page, at the depth that they are stored in."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from vidconcept.errors import InputError
from vidconcept.files import MAX_MEGAPIXELS, read_bytes
from vidconcept.video.limits import PICTURE_BYTES, check_picture, check_pixels, open_picture
from vidconcept.video.sequence import Page

# Values of such an array are read as they are; more bits are kept until the levels of the sequence are known.
_DEPTHS = (np.uint8, np.uint16, np.float32)
_READ = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
# Pages of a TIFF file read in one go: the library walks to the first of them anew each time.
_TIFF_PAGES_AT_ONCE = 8
# What players take where an animation gives a picture no time at all.
_UNTIMED_MS = 100

# `(h, w, 3)` RGB; None: unreadable; an error: unreadable for that reason.
Pixels = np.ndarray | InputError | None


def read_pages(pages: Sequence[Page], max_megapixels: float = MAX_MEGAPIXELS) -> Iterator[tuple[Page, int, Pixels]]:
    """Each page with its time shown in ms, 0 where its file does not say, and its pixels: uint8, uint16 or float32.

    Files are opened one at a time, and pages are decoded as they are asked for. EXIF orientation is applied.
    """
    for _, group in groupby(pages, key=lambda page: page.path):
        of_file = list(group)
        path = of_file[0].path
        if of_file[0].count == 1 and of_file[0].number == 0:
            yield of_file[0], 0, load_image(path, max_megapixels)
        elif path.suffix.lower() in (".tif", ".tiff"):
            numbers = [page.number for page in of_file]
            for page, image in zip(of_file, _read_tiff(path, numbers, max_megapixels), strict=True):
                yield page, 0, image
        else:
            shown = _read_animation(path, [page.number for page in of_file], max_megapixels)
            for page, (shown_ms, image) in zip(of_file, shown, strict=True):
                yield page, shown_ms, image


def load_image(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> Pixels:
    """The only or first picture of a file."""
    try:
        data = read_bytes(path, PICTURE_BYTES)
        check_picture(data, path, max_megapixels)
    except InputError as error:
        return error
    image = None
    with suppress(cv2.error):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _READ) if data else None
    return _load_page(path, 0, max_megapixels) if image is None and data else _convert_to_rgb(image)


def _convert_to_rgb(image: np.ndarray | None) -> np.ndarray | None:
    if image is None:
        return None
    rgb = image[:, :, ::-1] if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    return rgb if rgb.dtype in _DEPTHS else rgb.astype(np.float32)


def _load_page(path: Path, number: int, max_megapixels: float) -> Pixels:
    """What OpenCV does not read: numbers of 32 bits, the rarer compressions."""
    try:
        with open_picture(path, max_megapixels) as image:
            image.seek(number)
            check_pixels(*image.size, path, max_megapixels)
            return _convert_pillow(image)
    except InputError as error:
        return error


def _convert_pillow(image: Image.Image) -> np.ndarray | None:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(ImageOps.exif_transpose(image))
        return _convert_to_rgb(values if values.dtype == np.uint16 else values.astype(np.float32))
    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _read_tiff(path: Path, numbers: Sequence[int], max_megapixels: float) -> Iterator[Pixels]:
    try:
        with open_picture(path, max_megapixels) as image:
            for number in numbers:
                image.seek(number)
                check_pixels(*image.size, path, max_megapixels)
    except InputError as error:
        yield from (error for _ in numbers)
        return
    for at in range(0, len(numbers), _TIFF_PAGES_AT_ONCE):
        wanted = numbers[at : at + _TIFF_PAGES_AT_ONCE]
        span = wanted[-1] - wanted[0] + 1
        images: Sequence[np.ndarray] = ()
        with suppress(cv2.error):
            _, images = cv2.imreadmulti(str(path), wanted[0], span, flags=_READ)
        for number in wanted:
            found = images[number - wanted[0]] if len(images) == span else None
            yield _load_page(path, number, max_megapixels) if found is None else _convert_to_rgb(found)


def _read_animation(path: Path, numbers: Sequence[int], max_megapixels: float) -> Iterator[tuple[int, Pixels]]:
    """The pictures of an animation as a viewer shows them, each painted over those before it."""
    done, failed = 0, None
    try:
        with open_picture(path, max_megapixels) as image:
            for number in numbers:
                image.seek(number)
                pixels = np.asarray(image.convert("RGB"))
                yield round(image.info.get("duration") or _UNTIMED_MS), pixels
                done += 1
    except InputError as error:
        failed = error
    for _ in numbers[done:]:
        yield _UNTIMED_MS, failed
