"""One call of `vidconcept batch`: which films, with which workers, and what stays behind for people and programs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidconcept.errors import InputError, OutputError, UsageError
from vidconcept.fleet.board import Board
from vidconcept.fleet.cameras import Camera, read_cameras
from vidconcept.fleet.footage import Film, find_films
from vidconcept.fleet.metrics import batch_metrics, write_metrics
from vidconcept.fleet.metrics import check_metrics as check_counters
from vidconcept.fleet.shards import Shard
from vidconcept.fleet.summarising import list_missing, summary_rows
from vidconcept.manifest import MANIFEST
from vidconcept.ownership import refuse_what_is_read
from vidconcept.writers.review.index import check_index, write_index
from vidconcept.writers.summary import SummaryRow, check_summary, write_summary

METRICS_EVERY_S = 10.0
# A batch that watches has no end: its summary is made anew while it goes on.
SUMMARY_EVERY_S = 60.0


def check_out(out: Path) -> None:
    """Raises UsageError or OutputError for a folder that cannot be one of runs."""
    if (out / MANIFEST).is_file():
        raise UsageError(f"{out} is a run, not a folder of runs. Next: choose another folder with `out`")
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file, not a folder. Next: choose another folder with `out`")
    check_summary(out)
    check_index(out)


@dataclass(frozen=True)
class Asked:
    """What the command line gives for every film. listed: the paths of standard input, for the argument `-`."""

    out: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    config: Path | None = None
    shard: Shard | None = None
    listed: Iterable[str] = ()

    def film(self, source: Path, camera: Camera | None = None) -> Film | None:
        """The film of a source; None where it is in another shard. What a camera's line says goes before the call's."""
        if camera is None:
            film = Film(source, self.settings, self.config)
        else:
            film = Film(source, {**self.settings, **camera.settings}, camera.config or self.config, camera.name)
        return film if self.shard is None or self.shard.holds(film) else None

    def films(self, arguments: Sequence[str]) -> list[Film]:
        """The films of the arguments, each once. Raises InputError where nothing is found, or a list is damaged."""
        found: dict[str, Film] = {}
        for argument in arguments:
            for film in self._of_argument(argument):
                if film is not None:
                    found.setdefault(film.key, film)
        return list(found.values())

    def _of_argument(self, argument: str) -> Iterator[Film | None]:
        if Path(argument).suffix.lower() != ".csv":
            for source in self._sources(argument, self.settings):
                yield self.film(source)
            return
        for camera in read_cameras(Path(argument)):
            for source in self._sources(camera.footage, {**self.settings, **camera.settings}):
                yield self.film(source, camera)

    def _sources(self, argument: str, settings: Mapping[str, Any]) -> Iterator[Path]:
        pictures = settings.get("fps") is not None
        return find_films([argument], out=self.out, listed=self.listed, pictures=pictures)


@dataclass
class Reports:
    """Summary, index and counters of a batch, on the disk while it goes on and when it ends.

    whole: False for one shard of several, of which none can speak for all.
    """

    out: Path
    board: Board
    metrics: Path | None = None
    whole: bool = True
    endless: bool = False
    written: list[Path] = field(default_factory=list)
    _metrics_s: float = 0.0
    _summary_s: float = field(default_factory=time.monotonic)
    _told: int = 0

    def tick(self) -> None:
        now_s = time.monotonic()
        if self.metrics is not None and now_s - self._metrics_s >= METRICS_EVERY_S:
            self._metrics_s = now_s
            write_metrics(self.metrics, batch_metrics(self.board, time.time()))
        if self.endless and now_s - self._summary_s >= SUMMARY_EVERY_S and self.board.finished > self._told:
            self._summary_s, self._told = now_s, self.board.finished
            self._write()

    @contextmanager
    def at_the_end(self) -> Iterator[None]:
        """Write them however the block ends; what ended it goes before a trouble in writing."""
        try:
            yield
        except BaseException:
            with suppress(OutputError, InputError):
                self._close()
            raise
        self._close()

    def _close(self) -> None:
        if self.metrics is not None:
            write_metrics(self.metrics, batch_metrics(self.board, time.time()))
        if self.whole:
            self._write()

    def _write(self) -> None:
        self.written = summarise(self.out)


def summarise(out: Path, rows: Sequence[SummaryRow] | None = None) -> list[Path]:
    """Write `summary.csv`, `summary.parquet` where pyarrow is installed, and `index.html`; returns what was written.

    rows: as of `summary_rows`, where they have been read. Raises InputError where there is no run and no record of one.
    """
    rows = list(summary_rows(out)) if rows is None else rows
    if not rows:
        raise InputError(f"no run in {out}. Next: give footage, a folder or a pattern, to begin with")
    written = write_summary(out, rows)
    if any(row.events is not None for row in rows):
        written.append(write_index(out, list_missing(out, rows), pages=False))
    return written


def check_metrics(metrics: Path, films: Iterable[Film]) -> None:
    """Raises UsageError where the counters would take the place of a film, OutputError where they would take that of
    another file that is not ours."""
    refuse_what_is_read(metrics, (film.source for film in films))
    check_counters(metrics)
