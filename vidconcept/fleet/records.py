"""What a batch remembers of each film between calls, a small JSON file a film, in the hidden folder of the runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from vidconcept.errors import InputError
from vidconcept.files import open_replacing, read_json, validate
from vidconcept.fleet.footage import Film
from vidconcept.video.identity import identify

# The hidden folder beside the runs.
OWN = ".batch"
State = Literal["begun", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Record:
    """Where a film stands.

    marks: of the source's files as they were (size, times, place), so that a film that did not change is not read
    again. asked: of settings, weights and version. begun: starts in a row that ended without a word and without
    progress. windows: of maps that were there at the last start. reason: why it failed. replaced: the finished run that
    is there shows what the film was before another took its place. unread: it is a folder or link that could not be
    searched.
    """

    source: str
    run: str
    state: State = "begun"
    marks: str = ""
    asked: str = ""
    begun: int = 0
    windows: int = 0
    reason: str = ""
    camera: str = ""
    replaced: bool = False
    unread: bool = False

    def begin(self, windows: int) -> Record:
        """One more start; windows: how many have their maps now."""
        begun = self.begun + 1 if self.state == "begun" and windows <= self.windows else 1
        return replace(self, state="begun", begun=begun, windows=windows, reason="")

    def end(self, state: State, reason: str = "", marks: str = "", asked: str = "") -> Record:
        replaced = self.replaced and state == "failed"
        return replace(
            self, state=state, reason=reason, marks=marks, asked=asked, begun=0, windows=0, replaced=replaced
        )


@dataclass(frozen=True, slots=True)
class Records:
    """The records of the films in a folder of runs."""

    out: Path

    def path(self, film: Film) -> Path:
        return self.out / OWN / "films" / f"{film.key}.json"

    def lease_path(self, film: Film) -> Path:
        return self.out / OWN / "leases" / film.task

    def parts_folder(self, film: Film) -> Path:
        """Where the parts of a long film are kept until its run takes them in."""
        return self.out / OWN / "parts" / film.key

    def read(self, film: Film) -> Record:
        """A new one where there is none, or it is damaged: it only saves work."""
        try:
            return validate(_RECORD, read_json(self.path(film)), self.path(film))
        except InputError:
            return Record(str(film.source), film.run_name, camera=film.camera)

    def write(self, film: Film, record: Record) -> None:
        with open_replacing(self.path(film)) as file:
            file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")

    def forget_unread(self, film: Film) -> None:
        """The folder or link can be searched now; other records stay."""
        if self.read(film).unread:
            self.path(film).unlink(missing_ok=True)

    def all(self) -> Iterator[Record]:
        """Every film that any call has taken, in no order of meaning."""
        for path in sorted((self.out / OWN / "films").glob("*.json")):
            try:
                yield validate(_RECORD, read_json(path), path)
            except InputError:
                continue


_RECORD = TypeAdapter(Record)


def marks_of(source: Path) -> str:
    """Sixteen digits that change when a file of the source is written to or replaced. Raises InputError."""
    identity = identify(source)
    changed = [path.stat().st_ctime_ns for path in identity.files]
    # Not the device: a disk that many machines mount has a number of its own on each.
    marks = [mark[1:] for mark in identity.marks]
    return hashlib.sha256(json.dumps([marks, changed]).encode()).hexdigest()[:16]


def digest_of(facts: Any) -> str:
    """Sixteen digits that stand for facts that JSON can hold."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]
