"""Which file a source is, and whether it is still the same one when a pass over it ends."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from vidconcept.errors import InputError
from vidconcept.files import open_regular
from vidconcept.video.source import list_images

AGAIN = "Next: run again, with `existing=overwrite`"


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """files: of the source, a video itself or the images of a sequence. marks: device, inode, size, time of change."""

    source: Path
    files: tuple[Path, ...] = field(repr=False)
    marks: tuple[tuple[int, int, int, int], ...] = field(repr=False)

    def check(self) -> None:
        """Raises InputError, with what happened, where the source is not what it was."""
        now = identify(self.source)
        if now == self:
            return
        if now.files != self.files:
            raise InputError(
                f"{self.source} had {len(self.files)} images and now has {len(now.files)}, or others: it changed while "
                "it was read. Next: run again when all images are there"
            )
        path, before, after = next(
            (path, old, new) for path, old, new in zip(self.files, self.marks, now.marks, strict=True) if old != new
        )
        if before[:2] != after[:2]:
            raise InputError(
                f"{path} was replaced by another file while it was read. Next: run again, with `existing=overwrite`"
            )
        if after[2] > before[2]:
            raise InputError(
                f"{path} grew from {before[2]} to {after[2]} bytes while it was read: it is still being recorded or "
                f"copied. {AGAIN}, when it is whole"
            )
        raise InputError(
            f"{path} was written to while it was read. Next: run again, with `existing=overwrite`, when it is whole"
        )


def identify(source: Path) -> SourceIdentity:
    """Raises InputError for a source that is gone, or a folder or pattern without images."""
    images = list_images(source)
    files = (source,) if images is None else tuple(images)
    marks = []
    for path in files:
        try:
            status = os.stat(path)
        except FileNotFoundError as error:
            raise InputError(f"{path} does not exist. Next: check the path") from error
        except OSError as error:
            raise InputError(
                f"cannot read {path}: {error.strerror}. Next: check the path and its permissions"
            ) from error
        marks.append((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
    return SourceIdentity(source, files, tuple(marks))


def hash_source(source: Path) -> str:
    """SHA-256 of a file; of a folder or a pattern, of its images' names and what they hold.

    Raises InputError for a folder or pattern without images, and for what is no regular file.
    """
    digest = hashlib.sha256()
    images = list_images(source)
    for path in [source] if images is None else images:
        with open_regular(path) as stream:
            if images is not None:
                digest.update(os.fsencode(path.name) + f"\0{os.fstat(stream.fileno()).st_size}\0".encode())
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
