"""Events: a track from birth to death, summed up while its rows pass by."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidconcept.holes import hole_length_s
from vidconcept.types import Event, TrackMask

# A track is an event if it reaches the threshold for so many seconds, or for this share of its duration if that is
# less: what does so for a moment only is mostly a mark that the model is not sure of. See linecam/NOTEBOOK.md.
HOLD_S, HOLD_SHARE = 0.3, 0.25


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of a track so far: first, peak and latest row, and its largest area.

    The peak is the highest of the rows that reach the threshold, of all rows while none does. reached_s: how long the
    frames of those rows were shown; usual_frames: those of them of which nobody knows it.
    """

    first: TrackMask
    peak: TrackMask
    last: TrackMask
    max_area_px: int
    reached_s: float = 0.0
    usual_frames: int = 0

    @classmethod
    def begin(cls, row: TrackMask, reached: bool, shown_s: float | None) -> "Summary":
        """The summary of a track that was just born; see `extend`."""
        return cls(row, row, row, row.area_px)._count(reached, shown_s)

    def extend(self, row: TrackMask, reached: bool, shown_s: float | None) -> "Summary":
        """The summary after one more row; of equal peaks the first one stays.

        reached: the row reaches the threshold. shown_s: how long its frame was shown, None where nobody knows.
        """
        higher = (reached, row.score_max) > (self.has_reached, self.peak.score_max)
        peak = row if higher else self.peak
        longer = replace(self, peak=peak, last=row, max_area_px=max(self.max_area_px, row.area_px))
        return longer._count(reached, shown_s)

    @property
    def has_reached(self) -> bool:
        """Whether any row reaches the threshold."""
        return self.reached_s > 0 or self.usual_frames > 0

    def _count(self, reached: bool, shown_s: float | None) -> "Summary":
        if not reached:
            return self
        if shown_s is None:
            return replace(self, usual_frames=self.usual_frames + 1)
        return replace(self, reached_s=self.reached_s + shown_s)


def frame_duration_s(times_s: Sequence[float]) -> float:
    """How long a frame is shown: the median interval, 0 for a single frame. A gap or a repaired stamp is no frame's."""
    return float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0


def measure_elapsed_s(times_s: Sequence[float]) -> np.ndarray:
    """Footage before each frame, `(n,)`: a hole in the recording, as `probe` tells it, counts as one frame."""
    frame_s, steps = frame_duration_s(times_s), np.diff(times_s)
    return np.append(0.0, np.cumsum(np.where(steps > hole_length_s(frame_s), frame_s, steps)))


def measure_footage_s(times_s: Sequence[float]) -> float:
    """How long frames are shown altogether, holes left out as in `measure_elapsed_s`."""
    return float(measure_elapsed_s(times_s)[-1] + frame_duration_s(times_s))


def shortest_span_s(min_duration_s: float, frame_s: float) -> float:
    """Seconds from the first to the last frame of what just lasts long enough. frame_s: how long one frame is shown."""
    return min_duration_s - frame_s - tolerance_s(frame_s)


def tolerance_s(frame_s: float) -> float:
    """What equal times may differ by: timestamps are rounded to the stream's time base, often to 1 ms."""
    return max(frame_s / 10, 0.001)


def holds_threshold(reached_s: np.ndarray, span_s: np.ndarray, frame_s: float) -> np.ndarray:
    """Whether tracks reach the threshold for long enough: `HOLD_S`, of short ones `HOLD_SHARE` of their duration; bool.

    reached_s: how long the frames are shown on which they do, `(n,)`. span_s: seconds from their first frame to the
    last, `(n,)`. frame_s: how long one frame is usually shown.
    """
    least_s = np.minimum(HOLD_S, HOLD_SHARE * (span_s + frame_s))
    return reached_s >= least_s - tolerance_s(frame_s)


def is_event(summary: Summary, min_duration_s: float, frame_s: float, *, goes_on: bool = False) -> bool:
    """Whether the track is an event: it lasted, and it reached the threshold for long enough.

    goes_on: whether it is one already, however long it may still be seen without reaching the threshold again.
    """
    span_s = summary.last.time_s - summary.first.time_s
    lasted = summary.has_reached and span_s >= shortest_span_s(min_duration_s, frame_s)
    longest_s = np.inf if goes_on else span_s
    reached_s = summary.reached_s + summary.usual_frames * frame_s
    return lasted and bool(holds_threshold(np.array(reached_s), np.array(longest_s), frame_s))


def select_events(
    summaries: Iterable[Summary], min_duration_s: float, frame_s: float
) -> tuple[list[Event], dict[int, int]]:
    """Events of the tracks that hold the threshold and last at least `min_duration_s`, ordered by start, then concept.

    frame_s: how long one frame is shown: a track that is seen on n frames lasts n of them. Returns the events and the
    final `tracker_id` (from 1, in that order) of each provisional id that is kept.
    """
    kept = [summary for summary in summaries if is_event(summary, min_duration_s, frame_s)]
    kept.sort(key=lambda s: (s.first.frame_index, s.first.class_id, s.first.tracker_id))
    ids = {s.first.tracker_id: number for number, s in enumerate(kept, start=1)}
    events = [make_event(summary, number) for number, summary in enumerate(kept, start=1)]
    return events, ids


def make_event(summary: Summary, number: int) -> Event:
    """The row of one track; `number` is its id."""
    return Event(
        event_id=number,
        tracker_id=number,
        concept=summary.first.concept,
        start_frame=summary.first.frame_index,
        end_frame=summary.last.frame_index,
        start_s=summary.first.time_s,
        end_s=summary.last.time_s,
        peak_frame=summary.peak.frame_index,
        peak_score=summary.peak.score_max,
        max_area_px=summary.max_area_px,
        box_px=summary.peak.box_px,
    )
