"""What of a run is exported: its mask tracks, filtered by verdict, concept and time."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from numbers import Real
from pathlib import Path

import numpy as np

from vidconcept.errors import InputError, UsageError
from vidconcept.files import shorten_name
from vidconcept.manifest import RunInfo, read_run
from vidconcept.tracks import rle
from vidconcept.types import FrameRow, TrackMask
from vidconcept.writers.cells import escape_text, write_rows
from vidconcept.writers.rows import VERDICTS
from vidconcept.writers.tables import read_events, read_frames, read_tracks
from vidconcept.written import open_own

# What `--verdict` calls events without one.
OPEN = "open"


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows of a run that are exported; reading them streams. verdicts: by tracker id, of the selected tracks."""

    run_dir: Path
    run: RunInfo
    verdicts: Mapping[int, str]
    start_s: float
    end_s: float

    @property
    def stem(self) -> str:
        """The video's name without its suffix, shortened where it is very long: what sequences are called."""
        return shorten_name(self.run.stem)

    def tracks(self) -> Iterator[TrackMask]:
        """Mask tracks in the order of frames."""
        for row in read_tracks(self.run_dir / "tracks.csv", self.run):
            if row.tracker_id in self.verdicts and self.start_s <= row.time_s <= self.end_s:
                yield row

    def frames(self) -> Iterator[FrameRow]:
        """One row a frame, in order, those without a track too."""
        latest = None
        for row in read_frames(self.run_dir / "frames.csv", self.run):
            if row.frame_index != latest and self.start_s <= row.time_s <= self.end_s:
                latest = row.frame_index
                yield row

    def group_by_frame(self) -> Iterator[tuple[FrameRow, list[TrackMask]]]:
        """Every frame with its tracks."""
        tracks = self.tracks()
        held = next(tracks, None)
        for frame in self.frames():
            own = []
            while held is not None and held.frame_index <= frame.frame_index:
                own.append(held)
                held = next(tracks, None)
            yield frame, own

    def last_of_run(self) -> tuple[int, float]:
        """Index and `time_s` of the run's last frame, whatever part is selected; -1 and 0 where there is none."""
        latest = -1, 0.0
        for row in read_frames(self.run_dir / "frames.csv", self.run):
            latest = row.frame_index, row.time_s
        return latest

    def last_frame_index(self) -> int:
        """Index of the last frame, -1 where there is none."""
        latest = -1
        for frame in self.frames():
            latest = frame.frame_index
        return latest

    def crop(self, row: TrackMask) -> np.ndarray:
        """`(h, w)` uint8 0/1 mask of the row's box."""
        return rle.decode_box(row.rle, self.run.frame_size, row.box_px)


def select(
    run_dir: Path,
    verdict: Sequence[str] | None,
    concepts: Sequence[str] | None,
    start_s: float | None,
    end_s: float | None,
) -> Selection:
    """None selects all.

    Raises InputError on a run that is not finished, UsageError on a word that is no verdict or no concept of the run,
    an empty span, or seconds that are no finite number.
    """
    run = read_run(run_dir)
    if not run.done:
        raise InputError(
            f"{run_dir} is not finished: its tables are those of an earlier decision, or parts. "
            "Next: track again with `existing=resume`"
        )
    for word in verdict or ():
        if word not in (*VERDICTS, OPEN):
            raise UsageError(f"no verdict {word!r}. Next: one of {', '.join((*VERDICTS, OPEN))}")
    for name in concepts or ():
        if name not in run.concepts:
            raise UsageError(f"{run_dir} has no concept {name!r}. Next: one of {', '.join(run.concepts)}")
    for key, value_s in (("start_s", start_s), ("end_s", end_s)):
        if value_s is not None and not (isinstance(value_s, Real) and isfinite(value_s)):
            raise UsageError(f"`{key}={value_s!r}` is not a finite number. Next: seconds of the film")
    first_s = float("-inf") if start_s is None else start_s
    last_s = float("inf") if end_s is None else end_s
    if first_s > last_s:
        raise UsageError(f"the span from {start_s} s to {end_s} s is empty. Next: a later end")
    chosen = {
        event.tracker_id: event.verdict
        for event in read_events(run_dir / "events.csv", run)
        if (not verdict or (event.verdict or OPEN) in verdict) and (not concepts or event.concept in concepts)
    }
    whole = Selection(run_dir, run, chosen, first_s, last_s)
    if start_s is None and end_s is None:
        return whole
    # A track may have a gap in the span, or end between two frames of it.
    shown = {row.tracker_id for row in whole.tracks()}
    return replace(whole, verdicts={number: word for number, word in chosen.items() if number in shown})


def describe_verdicts(run_dir: Path) -> str:
    """The run's events by verdict: "1 accept, 4 open"."""
    counts = Counter(event.verdict or OPEN for event in read_events(run_dir / "events.csv"))
    return ", ".join(f"{count} {word}" for word, count in counts.items()) or "no events"


def describe_times(run_dir: Path) -> str:
    """When the run's frames are: "frames from 0.000 s to 9.960 s"."""
    times_s = [row.time_s for row in read_frames(run_dir / "frames.csv")]
    return f"frames from {times_s[0]:.3f} s to {times_s[-1]:.3f} s" if times_s else "no frames"


def write_inspected(selection: Selection, folder: Path, *, first_number: int) -> None:
    """`inspected.csv`, for formats that cannot tell it themselves: which frames are in the export, and which of them
    the model saw. first_number: what the format calls frame index 0."""
    with open_own(folder / "inspected.csv", newline="") as file:
        write_rows(file, [["frame", "time_s", "inspected", "source_frame"]])
        for row in selection.frames():
            cells = [row.frame_index + first_number, f"{row.time_s:.6f}", int(not row.origin.interpolated)]
            write_rows(file, [[*cells, escape_text(row.source_frame)]])


def paint_owners(selection: Selection, rows: Sequence[TrackMask]) -> np.ndarray:
    """`(height, width)` int32 of one frame: position in `rows` + 1, 0 elsewhere.

    For formats where a pixel has one owner: where masks overlap, the one with the higher confidence has it.
    """
    width_px, height_px = selection.run.frame_size
    owner = np.zeros((height_px, width_px), np.int32)
    for at in sorted(range(len(rows)), key=lambda at: (rows[at].confidence, -rows[at].tracker_id)):
        x_min, y_min, x_max, y_max = rows[at].box_px
        owner[y_min:y_max, x_min:x_max][selection.crop(rows[at]) > 0] = at + 1
    return owner
