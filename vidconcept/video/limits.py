"""Opening pictures: only regular files, and their size is known and bounded before anything decodes them."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from vidconcept.errors import InputError, UsageError
from vidconcept.files import read_bytes

MAX_MEGAPIXELS = 128.0
MAX_MEGAPIXELS_VARIABLE = "VIDCONCEPT_MAX_MEGAPIXELS"
PICTURE_BYTES = 1 << 30


def check_pixels(width_px: int, height_px: int, path: Path) -> None:
    """Raises InputError for a picture that would need gigabytes, as a few damaged or hostile bytes can claim."""
    text = os.environ.get(MAX_MEGAPIXELS_VARIABLE) or str(MAX_MEGAPIXELS)
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not 0 < limit < float("inf"):
        raise UsageError(f"{MAX_MEGAPIXELS_VARIABLE}={text!r} is no number of megapixels, e.g. 256")
    megapixels = width_px * height_px / 1e6
    if megapixels > limit:
        raise InputError(
            f"{path} claims {width_px}x{height_px} pixels, {megapixels:.0f} megapixels where {limit:g} are allowed. "
            f"Next: if that is right and memory allows, set {MAX_MEGAPIXELS_VARIABLE}={megapixels + 1:.0f}"
        )


@contextmanager
def open_picture(path: Path) -> Iterator[Image.Image]:
    """A picture whose header alone is read so far. Raises InputError where it is none, too large, or damaged."""
    try:
        with _open(read_bytes(path, PICTURE_BYTES), path) as image:
            yield image
    except InputError:
        raise
    except Exception as error:
        # Of damaged files the decoders raise whatever their inside came upon.
        raise InputError(f"cannot read the picture {path}: {error}") from error


def check_picture(data: bytes, path: Path) -> None:
    """The check of `open_picture` for another decoder; formats that are not known here are left to that.

    Raises InputError for a picture that is too large.
    """
    try:
        _open(data, path).close()
    except InputError:
        raise
    except Exception:
        return


def _open(data: bytes, path: Path) -> Image.Image:
    # Pillow's own limit cannot be lifted for one picture; ours comes right after.
    usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        image = Image.open(io.BytesIO(data))
    finally:
        Image.MAX_IMAGE_PIXELS = usual
    check_pixels(*image.size, path)
    return image
