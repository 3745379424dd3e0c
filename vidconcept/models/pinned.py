"""A model of the hub at one commit: how it is asked for, and whether what was fetched is what the hub has.

The hub's cache names a file by a digest of its content: SHA-256 of large ones, git's SHA-1 of small ones.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from vidconcept.errors import ModelError, UsageError

_COMMIT = re.compile(r"[0-9a-f]{40}")
_CHUNK_BYTES = 1 << 20


def split_revision(model: str) -> tuple[str, str | None]:
    """`NAME@COMMIT` in two; no commit where there is none, or where it is a folder's name.

    Raises UsageError for a commit that is not written out: a branch, or a beginning, may mean another tomorrow.
    """
    name, at, commit = model.rpartition("@")
    if not at or not name or Path(model).expanduser().is_dir():
        return model, None
    if not _COMMIT.fullmatch(commit):
        raise UsageError(
            f"{commit!r} is not a commit of {name}. Next: give all 40 digits; vidconcept models fetch {name} shows them"
        )
    return name, commit


def revision_of(path: Path) -> str | None:
    """The commit that a folder of the hub's cache holds; None for other folders."""
    return path.name if path.parent.name == "snapshots" and _COMMIT.fullmatch(path.name) else None


def verify_snapshot(path: Path) -> dict[str, str]:
    """Digest of every file below a folder of the hub's cache, by its name there, each read and compared.

    Files that the cache does not name by a digest, as where it cannot make links, are left out.
    Raises ModelError for one whose content is another.
    """
    found = {}
    for file in sorted(path.rglob("*")):
        blob = file.resolve()
        if (
            not file.is_file()
            or blob.parent.name != "blobs"
            or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", blob.name)
        ):
            continue
        digest = hashlib.sha256() if len(blob.name) == 64 else hashlib.sha1(usedforsecurity=False)
        if digest.name == "sha1":
            digest.update(f"blob {blob.stat().st_size}\0".encode())
        with blob.open("rb") as content:
            while chunk := content.read(_CHUNK_BYTES):
                digest.update(chunk)
        if digest.hexdigest() != blob.name:
            raise ModelError(
                f"{file} is damaged: its content is not the one that the hub has. Next: remove {blob}, and fetch again"
            )
        found[file.relative_to(path).as_posix()] = f"{digest.name}:{blob.name}"
    return found
