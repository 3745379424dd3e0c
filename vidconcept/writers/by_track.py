"""Mask tracks in the order of their ids, from rows in the order of frames, without holding them in memory."""

import errno
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from vidconcept.errors import OutputError
from vidconcept.files import new_scratch
from vidconcept.types import Origin, TrackMask

_SCHEMA = "create table row (tracker_id integer, concept text, class_id integer, number integer, line text)"


@dataclass(frozen=True, slots=True)
class TrackStore:
    """Rows by track, on disk."""

    _db: sqlite3.Connection

    def ids(self) -> list[tuple[int, str, int]]:
        """(tracker_id, concept, class_id) of each track, by id."""
        return self._db.execute("select distinct tracker_id, concept, class_id from row order by tracker_id").fetchall()

    def rows(self, tracker_id: int) -> Iterator[TrackMask]:
        """The track's rows in the order of frames."""
        for (line,) in self._db.execute("select line from row where tracker_id = ? order by number", (tracker_id,)):
            fields = json.loads(line)
            fields["box_px"], fields["rle"] = tuple(fields["box_px"]), fields["rle"].encode("ascii")
            yield TrackMask(**fields | {"origin": Origin(**fields["origin"])})


def _with_number(error: OSError | sqlite3.Error) -> OSError | sqlite3.Error:
    """SQLite keeps the number of a full disk to itself, by which callers know that nothing else can be written."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return OSError(errno.ENOSPC, "the disk is full")
    return error


@contextmanager
def sort_by_track(rows: Iterable[TrackMask], path: Path) -> Iterator[TrackStore]:
    """Sorts the rows into a scratch file where `path` is about to be written, which is gone when the block ends.

    Raises OutputError where the scratch file cannot be written.
    """
    scratch = new_scratch(path)
    try:
        scratch.touch(exist_ok=False)
        db = sqlite3.connect(scratch)
        try:
            db.execute("pragma journal_mode = off")
            db.execute("pragma synchronous = off")
            db.execute(_SCHEMA)
            db.executemany(
                "insert into row values (?,?,?,?,?)",
                ((t.tracker_id, t.concept, t.class_id, number, _format_line(t)) for number, t in enumerate(rows)),
            )
            db.execute("create index by_id on row (tracker_id, number)")
            yield TrackStore(db)
        finally:
            db.close()
    except (OSError, sqlite3.Error) as error:
        cause = _with_number(error)
        said = cause.strerror if isinstance(cause, OSError) else cause
        raise OutputError(f"cannot write scratch files in {scratch.parent}: {said}. Next: free some space") from cause
    finally:
        with suppress(OSError):
            scratch.unlink()


def _format_line(track: TrackMask) -> str:
    return json.dumps(asdict(track) | {"rle": track.rle.decode("ascii")})
