"""What the linker found so far, on disk: rows carry provisional ids until the last frame has been seen.

One JSON line a frame. A killed run leaves a file that ends in a half-written line, never a wrong table.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from vidconcept.errors import output_errors
from vidconcept.tracks.link import FrameRef
from vidconcept.types import Origin, TrackMask


class NamedFrame(FrameRef, Protocol):
    """A frame that knows which image file it comes from, "" for a video."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """One frame of the journal. score_max, score_mean: one number a concept, over the whole region."""

    frame_index: int
    pts: int
    time_s: float
    origin: Origin
    source_frame: str
    score_max: tuple[float, ...]
    score_mean: tuple[float, ...]
    tracks: tuple[TrackMask, ...]


class TrackJournal:
    """Journal of one run, a context manager; leaving it closes the file and keeps it.

    Starts empty: an older file at `path` is replaced. Raises OutputError where the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with output_errors(path):
            self._file = open(path, "w", encoding="ascii")  # noqa: SIM115 (closed by the context manager)

    def __enter__(self) -> "TrackJournal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(
        self,
        frame: NamedFrame,
        tracks: Sequence[TrackMask],
        scores: np.ndarray,
        origin: Origin,
    ) -> None:
        """Adds one frame; frames come in order. scores: `(concept, h, w)` in [0, 1]. Raises OutputError (disk full)."""
        flat = scores.reshape(len(scores), -1)
        line = [
            [frame.index, frame.pts, frame.time_s, *astuple(origin), frame.name],
            flat.max(axis=1).tolist(),
            flat.mean(axis=1).tolist(),
            [_format_track(track) for track in tracks],
        ]
        with output_errors(self._path):
            self._file.write(json.dumps(line) + "\n")

    def frames(self) -> Iterator[FrameRecord]:
        """The frames so far, in order."""
        if not self._file.closed:
            self._file.flush()
        with open(self._path, encoding="ascii") as lines:
            for line in lines:
                yield _parse_record(json.loads(line))


def _format_track(t: TrackMask) -> list:
    head = [t.concept, t.class_id, t.tracker_id, t.confidence, t.box_px, t.area_px]
    return [*head, t.score_mean, t.score_max, t.rle.decode("ascii"), t.edges]


def _parse_record(line: list) -> FrameRecord:
    (frame_index, pts, time_s, *origin_values, name), score_max, score_mean, tracks = line
    origin = Origin(*origin_values)
    return FrameRecord(
        frame_index,
        pts,
        time_s,
        origin,
        name,
        tuple(score_max),
        tuple(score_mean),
        tuple(
            TrackMask(
                frame_index=frame_index,
                pts=pts,
                time_s=time_s,
                concept=concept,
                class_id=class_id,
                tracker_id=tracker_id,
                confidence=confidence,
                box_px=tuple(box_px),
                area_px=area_px,
                score_mean=mean,
                score_max=peak,
                origin=origin,
                rle=rle.encode("ascii"),
                edges=edges,
            )
            for concept, class_id, tracker_id, confidence, box_px, area_px, mean, peak, rle, edges in tracks
        ),
    )
