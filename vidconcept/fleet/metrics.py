"""Counters of a batch as a text file of Prometheus, for the textfile collector of its node exporter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vidconcept.errors import OutputError
from vidconcept.files import open_replacing
from vidconcept.fleet.board import Board
from vidconcept.written import check_begins

# The names of all our counters begin so.
OURS = "vidconcept_"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric with its samples. kind: counter or gauge. samples: labels -> value."""

    name: str
    kind: str
    help: str
    samples: Iterable[tuple[Mapping[str, str], float]]


def check_metrics(path: Path) -> None:
    """Raises OutputError where the counters would take the place of a file that holds none of ours."""
    check_begins(path, f"# HELP {OURS}")


def write_metrics(path: Path, metrics: Iterable[Metric]) -> None:
    """Prometheus' text format 0.0.4, whole or not at all. Raises OutputError."""
    with open_replacing(path) as file:
        for metric in metrics:
            file.write(f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}\n")
            for labels, value in metric.samples:
                file.write(f"{metric.name}{_labels(labels)} {value:.15g}\n")


@dataclass
class MetricsFile:
    """Counters that are written again and again. warn: told once where they cannot be, until they are again."""

    path: Path
    warn: Callable[[str], None]
    _has_failed: bool = False

    def write(self, metrics: Iterable[Metric]) -> None:
        """As `write_metrics`; what keeps them from being written does not end the work that they count."""
        try:
            write_metrics(self.path, metrics)
        except OutputError as error:
            if not self._has_failed:
                reason = str(error).partition(". Next")[0]
                self.warn(f"no counters: {reason}. Next: mend that while the work goes on, it is tried again")
            self._has_failed = True
        else:
            self._has_failed = False


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def batch_metrics(board: Board, now_s: float) -> list[Metric]:
    """now_s: seconds since 1970, by which an alarm knows a batch that stands still."""
    of = "vidconcept_batch_"
    counts = {"done": board.done, "skipped": board.skipped, "failed": len(board.failed)}
    # A counter only rises: a film that was taken again counts as often as it came to an end.
    states = [({"state": state}, count + board.revised[state]) for state, count in counts.items()]
    events = [({"concept": concept}, count) for concept, count in sorted(board.events.items())]
    return [
        Metric(f"{of}films_total", "counter", "films finished by this call, once each time", states),
        Metric(f"{of}films_found", "gauge", "films found so far", [({}, board.films)]),
        Metric(f"{of}films_running", "gauge", "films at work", [({}, len(board.running))]),
        Metric(f"{of}films_elsewhere", "gauge", "films in the hands of another runner", [({}, board.elsewhere)]),
        Metric(f"{of}events_total", "counter", "findings", events),
        Metric(f"{of}film_seconds_total", "counter", "length of the films done", [({}, board.film_s)]),
        Metric(f"{of}frames_total", "counter", "frames of the films done", [({}, board.frames)]),
        Metric(f"{of}busy_seconds_total", "counter", "time that workers took for them", [({}, board.busy_s)]),
        Metric(f"{of}worker_deaths_total", "counter", "workers that died at a film", [({}, board.deaths)]),
        Metric(f"{of}retries_total", "counter", "films tried again", [({}, board.retries)]),
        Metric(f"{of}last_update_seconds", "gauge", "when this file was written, since 1970", [({}, now_s)]),
    ]  # fmt: skip
