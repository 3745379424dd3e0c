"""What the review page shows, from the tables alone: timestamps, score series in buckets, events."""

import base64
import hashlib
from array import array
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from vidconcept.holes import hole_length_s
from vidconcept.manifest import RunInfo
from vidconcept.tracks.events import frame_duration_s
from vidconcept.types import Event, FrameRow, Recurring
from vidconcept.wording import format_count
from vidconcept.writers.frames.palette import choose_hex
from vidconcept.writers.frames.thumbs import name_thumb
from vidconcept.writers.tables import read_events, read_frames, read_recurring

# A strip is about a thousand pixels wide; more points cost loading time and show nothing.
_BUCKETS = 2000
# Times in the film are stored in 32 bits: ten microseconds reach for twelve hours, longer films get a coarser tick.
_TICK_S = 1e-5


def collect_review_data(run_dir: Path, run: RunInfo) -> dict[str, Any]:
    """The JSON that the page carries. Raises InputError where a table is missing or damaged."""
    events = read_events(run_dir / "events.csv", run)
    groups = read_recurring(run_dir / "recurring.csv", run)
    times_s, indices, scores = _group_by_frame(read_frames(run_dir / "frames.csv", run), run.concepts)
    first_s, end_s = (float(times_s[0]), float(times_s[-1])) if len(times_s) else (0.0, 0.0)
    # The last frame is shown too.
    length_s = end_s - first_s + frame_duration_s(times_s.tolist())
    film_s = times_s - first_s
    for position, skipped_s in run.film_skips:
        film_s[position:] -= skipped_s
    film_s = np.maximum(film_s, 0)
    tick_s = max(_TICK_S, float(film_s.max(initial=0.0)) / (2**32 - 2))
    ticks = np.rint(film_s / tick_s).astype("<u4")
    return {
        "run_id": run.run_id,
        "events_digest": compute_events_digest(events),
        "video": run.video,
        "summary": _summarise(run, events, groups, len(times_s), length_s),
        "notice": _write_notice(run),
        "remarks": list(run.remarks),
        "codec": run.codec,
        "concepts": [
            {"name": name, "colour": choose_hex(class_id), "levels": _list_levels(run, name)}
            for class_id, name in enumerate(run.concepts)
        ],
        "times": {
            "first_s": first_s,
            "tick_s": tick_s,
            "base64": base64.b64encode(ticks.tobytes()).decode("ascii"),
            "skips": [list(skip) for skip in run.film_skips],
        },
        "frames": _find_runs(indices),
        "end_s": end_s,
        "series": _make_series(times_s, scores),
        "events": [_make_event(run_dir, run, event) for event in events],
    }


def _list_levels(run: RunInfo, concept: str) -> list[float]:
    """The score that an event reaches, and the one down to which it is followed where that is lower."""
    threshold = run.thresholds.get(concept)
    if threshold is None:
        return []
    return [threshold] if run.hysteresis >= 1 else [threshold, threshold * run.hysteresis]


def compute_events_digest(events: Sequence[Event]) -> str:
    """Names a set of events: another threshold makes others, and verdicts must not slip over to them."""
    lines = "\n".join(f"{e.event_id} {e.concept} {e.start_frame} {e.end_frame}" for e in events)
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def _group_by_frame(rows: Iterable[FrameRow], concepts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Timestamps `(frame,)` in seconds, frame indices `(frame,)`, and largest scores `(concept, frame)`."""
    class_id = {name: number for number, name in enumerate(concepts)}
    times_s, indices = array("d"), array("q")
    scores = [array("f") for _ in concepts]
    for row in rows:
        if not indices or indices[-1] != row.frame_index:
            times_s.append(row.time_s)
            indices.append(row.frame_index)
        scores[class_id[row.concept]].append(row.score_max)
    return np.asarray(times_s), np.asarray(indices), np.asarray(scores, np.float32)


def _make_series(times_s: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """Per bucket of frames the largest score of each concept, so that no peak is lost; None in a hole in time."""
    frames = len(times_s)
    if not frames:
        return {"time_s": [0.0], "scores": [[0.0] for _ in scores]}
    frame_s = frame_duration_s(times_s.tolist())
    before_holes = np.flatnonzero(np.diff(times_s) > hole_length_s(frame_s))
    starts = np.unique(np.append(np.arange(_BUCKETS) * frames // _BUCKETS, before_holes + 1))
    best = np.maximum.reduceat(scores, starts, axis=1).astype(np.float64)
    at_s = times_s[starts]
    if starts[-1] < frames - 1:
        # The strip ends where the video does, not where the last bucket begins.
        at_s, best = np.append(at_s, times_s[-1]), np.concatenate([best, best[:, -1:]], axis=1)
    after = np.searchsorted(starts, before_holes + 1)
    at_s = np.insert(at_s, after, times_s[before_holes] + frame_s)
    best = np.insert(best, after, np.nan, axis=1)
    return {
        "time_s": [round(float(time_s), 4) for time_s in at_s],
        "scores": [[None if np.isnan(score) else round(float(score), 3) for score in line] for line in best],
    }


def _find_runs(indices: np.ndarray) -> list[list[int]]:
    """Frame indices as runs of equal steps: [first, step, count]."""
    if len(indices) < 2:
        return [[int(index), 1, 1] for index in indices]
    steps = np.diff(indices)
    breaks = [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist(), len(steps)]
    runs = [[int(indices[a]), int(steps[a]), b - a] for a, b in pairwise(breaks)]
    runs[-1][2] += 1  # the last run also holds its end
    return runs


def _make_event(run_dir: Path, run: RunInfo, event: Event) -> dict[str, Any]:
    thumb = name_thumb(event.event_id)
    return {
        "id": event.event_id,
        "tracker_id": event.tracker_id,
        "concept": run.concepts.index(event.concept),
        "start_frame": event.start_frame,
        "start_s": event.start_s,
        "end_s": event.end_s,
        "peak_score": event.peak_score,
        "max_area_px": event.max_area_px,
        "verdict": event.verdict,
        "thumb": thumb if (run_dir / thumb).is_file() else "",
    }


def _summarise(
    run: RunInfo, events: Sequence[Event], groups: Sequence[Recurring], frames: int, duration_s: float
) -> str:
    minutes, seconds = divmod(round(duration_s), 60)
    length = f"{minutes}:{seconds:02d} min" if minutes else f"{duration_s:.{0 if duration_s >= 10 else 1}f} s"
    # Groups that are kept are among the events.
    held_back = sum(not group.kept for group in groups)
    parts = [format_count(len(events), "event"), *([format_count(held_back, "recurring group")] if held_back else [])]
    parts += [format_count(frames, "frame"), length, "×".join(map(str, run.frame_size))]
    return " · ".join(parts)


def _write_notice(run: RunInfo) -> str:
    if not run.done:
        return "This run was not finished: the page shows what there was."
    if run.gaps:
        places = "one place" if run.gaps == 1 else f"{run.gaps} places"
        return f"The video is not whole: {places} could not be decoded or had to be repaired; run.json lists them."
    return f"{run.rarity[:1].upper()}{run.rarity[1:]}." if run.rarity else ""
