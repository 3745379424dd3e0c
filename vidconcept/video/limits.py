"""Opening pictures: only regular files, and their size is known and bounded before anything decodes them."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from vidconcept.errors import InputError
from vidconcept.files import MAX_MEGAPIXELS, read_bytes

PICTURE_BYTES = 1 << 30
# Pillow has one limit for all threads.
_LIMIT = threading.Lock()


def check_pixels(width_px: int, height_px: int, path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> None:
    """Raises InputError for a picture that would need gigabytes, as a few damaged or hostile bytes can claim."""
    megapixels = width_px * height_px / 1e6
    # NaN is no limit either.
    if not megapixels <= max_megapixels:
        raise InputError(
            f"{path} claims {width_px}x{height_px} pixels, {megapixels:.3g} megapixels where {max_megapixels:g} are "
            f"allowed. Next: if that is right and memory allows, `max_megapixels={ceil(megapixels)}`"
        )


@contextmanager
def open_picture(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> Iterator[Image.Image]:
    """A picture whose header alone is read so far. Raises InputError where it is none, too large, or damaged."""
    try:
        with _open(read_bytes(path, PICTURE_BYTES), path, max_megapixels) as image:
            yield image
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not a picture of a known kind. Next: save it as PNG or JPEG") from error
    except Exception as error:
        # Of damaged files the decoders raise whatever their inside came upon.
        raise InputError(f"cannot read the picture {path}: {error}. Next: save it again") from error


def check_picture(data: bytes, path: Path, max_megapixels: float) -> None:
    """The check of `open_picture` for another decoder; formats that are not known here are left to that.

    Raises InputError for a picture that is too large.
    """
    try:
        _open(data, path, max_megapixels).close()
    except InputError:
        raise
    except Exception:
        return


def _open(data: bytes, path: Path, max_megapixels: float) -> Image.Image:
    # Pillow's own limit cannot be lifted for one picture; ours comes right after.
    with _LIMIT:
        usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(io.BytesIO(data))
        finally:
            Image.MAX_IMAGE_PIXELS = usual
    check_pixels(*image.size, path, max_megapixels)
    return image
