"""One call of `vidconcept batch`: which films, with which workers, and what stays behind for people and programs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vidconcept.errors import InputError, OutputError, UsageError
from vidconcept.fleet.board import Board
from vidconcept.fleet.cameras import read_cameras
from vidconcept.fleet.footage import Film, Searched, films_below, find_films
from vidconcept.fleet.metrics import MetricsFile, batch_metrics
from vidconcept.fleet.metrics import check_metrics as check_counters
from vidconcept.fleet.records import Records
from vidconcept.fleet.shards import Shard
from vidconcept.fleet.summarising import has_events, list_missing, summary_rows
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
    """What the command line gives for every film. listed: the paths of standard input, for the argument `-`. searched:
    folders that were."""

    out: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    config: Path | None = None
    shard: Shard | None = None
    listed: Iterable[str] = ()
    searched: list[Path] = field(default_factory=list)

    def film(self, source: Path) -> Film | None:
        """The film of a source; None where it is in another shard."""
        film = Film(source, self.settings, self.config)
        return film if self._has(film) else None

    def unread_film(self, place: Path, reason: str) -> Film:
        """What stands for a folder or link that cannot be read. In every shard: it may be this machine that cannot."""
        return Film(place, self.settings, self.config, unread=reason)

    def films(self, arguments: Sequence[str]) -> list[Film]:
        """The films of the arguments, each once, and what cannot be read. What lists name is read as they say, whatever
        else finds it, and once for each camera and stream. Raises InputError where nothing is found, or a list is
        damaged, UsageError where it says two things of the same."""
        found: dict[Path, list[Film]] = {}
        unread: dict[Path, Film] = {}

        def search(place: Path, reason: str) -> None:
            self._note(place, reason)
            if reason:
                unread.setdefault(place, self.unread_film(place, reason))

        lists = [argument for argument in arguments if _is_list(argument)]
        for film in (film for path in lists for film in self._of_list(path, search)):
            _add_view(found.setdefault(film.source, []), film)
        for argument in arguments:
            if argument not in lists:
                for source in self._sources(argument, self.settings, search):
                    found.setdefault(source, [Film(source, self.settings, self.config)])
        films = [film for views in found.values() for film in views if film.source not in unread and self._has(film)]
        return [*unread.values(), *films]

    def forget_unread(self, watched: Iterable[Path]) -> None:
        """What could not be read at an earlier call, and was searched now, is no failure any more. watched: folders
        that are searched for this, too."""
        records = Records(self.out)
        for folder in watched:
            for _ in films_below(folder, out=self.out, searched=self._note):
                pass
        for folder in self.searched:
            records.forget_unread(Film(folder))

    def _note(self, place: Path, reason: str) -> None:
        if not reason:
            self.searched.append(place)

    def _has(self, film: Film) -> bool:
        return self.shard is None or self.shard.holds(film)

    def _of_list(self, path: str, searched: Searched) -> Iterator[Film]:
        """What a camera's line says goes before the call's."""
        for camera in read_cameras(Path(path)):
            settings = {**self.settings, **camera.settings}
            for source in self._sources(camera.footage, settings, searched):
                yield Film(source, settings, camera.config or self.config, camera.name)

    def _sources(self, argument: str, settings: Mapping[str, Any], searched: Searched) -> Iterator[Path]:
        pictures = settings.get("fps") is not None
        return find_films([argument], out=self.out, listed=self.listed, pictures=pictures, searched=searched)


def _is_list(argument: str) -> bool:
    return Path(argument).suffix.lower() == ".csv" and not Path(argument).is_dir()


def _add_view(views: list[Film], film: Film) -> None:
    """Add what one more line says of a file, of which the first line keeps the run's name that it has alone.

    Raises UsageError where camera and stream are those of a line with other settings.
    """
    view = _describe_view(film)
    same = next((other for other in views if _describe_view(other) == view), None)
    if same is None:
        views.append(replace(film, view=view) if views else film)
    elif (same.settings, same.config) != (film.settings, film.config):
        raise UsageError(
            f"two lines of a list have different settings for {film.source} ({view}). Next: take one out, or name the "
            "camera of each in the column `camera`"
        )


def _describe_view(film: Film) -> str:
    stream = film.settings.get("stream")
    return (film.camera or "unnamed camera") + ("" if stream is None else f", stream {stream}")


@dataclass
class Reports:
    """Summary, index and counters of a batch, on the disk while it goes on and when it ends.

    whole: False for one shard of several, of which none can speak for all.
    """

    out: Path
    board: Board
    metrics: MetricsFile | None = None
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
            self.metrics.write(batch_metrics(self.board, time.time()))
        ended = self.board.finished + self.board.revised.total()
        if self.endless and now_s - self._summary_s >= SUMMARY_EVERY_S and ended > self._told:
            self._summary_s, self._told = now_s, ended
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
            self.metrics.write(batch_metrics(self.board, time.time()))
        if self.whole:
            self._write()

    def _write(self) -> None:
        failed = {str(film.source) for film, _ in self.board.failed}
        self.written = summarise(self.out, list(summary_rows(self.out, failed)))


def summarise(out: Path, rows: Sequence[SummaryRow]) -> list[Path]:
    """Write `summary.csv`, `summary.parquet` where pyarrow is installed, and `index.html`; returns what was written.

    rows: as of `summary_rows`. Raises InputError where there is no run and no record of one.
    """
    if not rows:
        raise InputError(f"the folder {out} holds no run. Next: give footage, a folder or a pattern, to begin with")
    written = write_summary(out, rows)
    if any(has_events(out, row) for row in rows):
        written.append(write_index(out, list_missing(out, rows), pages=False))
    return written


def check_metrics(metrics: Path, films: Iterable[Film]) -> None:
    """Raises UsageError where the counters would take the place of a film, OutputError where they would take that of
    another file that is not ours."""
    refuse_what_is_read(metrics, (film.source for film in films))
    check_counters(metrics)
