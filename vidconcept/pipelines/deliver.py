"""Last pass: tables, masks, annotated video, thumbnails and the review page, from the final tracks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np

from vidconcept.errors import InputError
from vidconcept.pipelines.findings import Findings
from vidconcept.pipelines.heat import HeatJournal
from vidconcept.pipelines.maps import source_frames
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan, film_size_of
from vidconcept.runs import RunFolder, new_run_id
from vidconcept.types import Event, Recurring, TrackMask
from vidconcept.video.writer import open_writer
from vidconcept.writers import tables
from vidconcept.writers.frames.overlay import Annotator
from vidconcept.writers.frames.shrink import Shrinker
from vidconcept.writers.frames.thumbs import ThumbWriter
from vidconcept.writers.journal import TrackJournal
from vidconcept.writers.review.data import events_digest
from vidconcept.writers.youtube_vis import write_youtube_vis


def deliver(
    plan: Plan,
    run: RunFolder,
    journal: TrackJournal,
    heat: HeatJournal,
    findings: Findings,
    recurring: Sequence[Recurring],
    monitor: Monitor,
) -> None:
    """Write every file that a reviewer opens. Each appears under its name only when it is whole."""
    path, concepts = run.path, plan.settings.concepts
    findings = replace(findings, events=_judged(run, findings.events, monitor))
    frame_size = (plan.info.width_px, plan.info.height_px)
    tables.write_frames_and_tracks(path, plan.video_name, concepts, journal.frames(), findings.tracker_ids)
    tables.write_events(path / "events.csv", findings.events)
    tables.write_recurring(path / "recurring.csv", recurring)
    frames, tracks = tables.read_frames(path / "frames.csv"), tables.read_tracks(path / "tracks.csv")
    write_youtube_vis(path / "masks.json", plan.video_name, concepts, frame_size, frames, tracks)
    annotate(plan, path, heat, findings, recurring, monitor)


def _judged(run: RunFolder, events: list[Event], monitor: Monitor) -> list[Event]:
    """The events with the verdicts of an earlier decision on the same maps, where it came to the same events.

    Other events are another run to those who keep verdicts.
    """
    table = run.path / "events.csv"
    before = tables.read_events(table) if table.is_file() else []
    if events_digest(before) == events_digest(events):
        verdicts = {event.event_id: event.verdict for event in before}
        return [replace(event, verdict=verdicts[event.event_id]) for event in events]
    run.save(run_id=new_run_id())
    if lost := sum(bool(event.verdict) for event in before):
        monitor.warn(f"the events came out otherwise: {lost} verdicts on the earlier ones are dropped")
    return events


def annotate(
    plan: Plan, path: Path, heat: HeatJournal, findings: Findings, recurring: Sequence[Recurring], monitor: Monitor
) -> None:
    """`annotated.mp4` with the source's timestamps and sound, and one thumbnail an event and recurring group."""
    shown = Shrinker((plan.info.width_px, plan.info.height_px), film_size_of(plan.settings, plan.info))
    annotator = Annotator(plan.settings.concepts, shown.film_size, plan.settings.view, shown.region(plan.region))
    thumbs = ThumbWriter(path, findings.events, recurring)
    scores: Iterator[np.ndarray | None] = heat.frames() if annotator.needs_scores else repeat(None)
    tracks = _tracks_of(path / "tracks.csv")
    audio = plan.source if plan.info.has_audio else None
    with open_writer(
        path / "annotated.mp4",
        plan.info,
        codec=plan.settings.codec,
        audio_from=audio,
        size=annotator.size,
        on_problem=monitor.problem,
    ) as video:
        count = 0
        for count, (frame, score) in enumerate(zip(source_frames(plan, monitor), scores, strict=False), start=1):
            own = tracks(frame.index)
            thumbs.frame(frame.index, frame.image, own)
            picture, own = shown.image(frame.image), [shown.track(track) for track in own]
            video.write(annotator.draw(picture, own, frame.time_s, frame.index, score), frame.pts)
            monitor.check("writing the video", count, findings.frames)
        plan.identity.check()
        if count != findings.frames:
            raise InputError(
                f"{plan.source} gave {findings.frames} frames, and {count} when it was read again. "
                "Next: run again, with --existing overwrite"
            )


def _tracks_of(path: Path) -> Callable[[int], list[TrackMask]]:
    """Looks up the tracks of a frame; asked with rising indices, it holds one frame."""
    groups = tables.tracks_by_frame(path)
    held = next(groups, None)

    def look_up(index: int) -> list[TrackMask]:
        nonlocal held
        while held is not None and held[0] < index:
            held = next(groups, None)
        return held[1] if held is not None and held[0] == index else []

    return look_up
