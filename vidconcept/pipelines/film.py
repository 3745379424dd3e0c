"""The annotated film: what is drawn as on the film of an earlier decision is copied from it, the rest encoded."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import repeat
from typing import Any

import av
import numpy as np

from vidconcept.errors import InputError
from vidconcept.pipelines.findings import Findings
from vidconcept.pipelines.heat import HeatJournal
from vidconcept.pipelines.maps import read_source
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan, choose_film_size
from vidconcept.pipelines.prefetch import overlap
from vidconcept.runs import RunFolder
from vidconcept.types import Recurring, TrackMask
from vidconcept.video.encoder import get_encoder
from vidconcept.video.groups import find_groups, find_same_groups, read_copies, read_parameter_sets
from vidconcept.video.picture import Picture
from vidconcept.video.planes import Planes
from vidconcept.video.problems import Finding
from vidconcept.video.writer import VideoWriter, open_writer
from vidconcept.writers import tables
from vidconcept.writers.frames.overlay import Annotator, Drawing, needs_scores
from vidconcept.writers.frames.shrink import Shrinker
from vidconcept.writers.frames.thumbs import ThumbWriter
from vidconcept.writers.journal import TrackJournal


def annotate(
    plan: Plan,
    run: RunFolder,
    journal: TrackJournal,
    heat: HeatJournal,
    findings: Findings,
    recurring: Sequence[Recurring],
    monitor: Monitor,
) -> list[tuple[int, float]]:
    """`annotated.mp4` with the source's timestamps and sound, and one thumbnail an event and recurring group.

    Returns what had to be left out of holes in time; see `VideoWriter.write`.
    """
    placer = _Placer(plan, run)
    annotator, shown = placer.annotator, placer.shown
    thumbs = ThumbWriter(run.path, findings.events, recurring)
    scores: Iterator[np.ndarray | None] = heat.frames() if annotator.needs_scores else repeat(None)
    in_places = annotator.draws_in_places and shown.frame_size == shown.film_size
    drawn = array("Q")

    def draw_frames(same: np.ndarray) -> Iterator[tuple[np.ndarray | av.VideoFrame | av.Packet, int]]:
        flags = iter(same)

        def look(picture: Picture) -> tuple[Picture, Planes | np.ndarray | None]:
            # Thumbnails show the source, so a copied picture may still be asked for.
            if next(flags, False) and not thumbs.wants(picture.index):
                return picture, None
            planes = picture.copy_planes() if in_places else None
            return picture, picture.rgb() if planes is None else planes

        with closing(read_copies(run.film_path, same)) as copies:
            pictures = zip(read_source(plan, monitor, look), scores, copies, strict=False)
            for (picture, pixels), score, packet in pictures:
                own, drawing = placer.place(picture.index, picture.time_s)
                drawn.append(drawing.compute_digest())
                if thumbs.wants(picture.index):
                    thumbs.frame(picture.index, pixels if isinstance(pixels, np.ndarray) else picture.rgb(), own)
                if packet is not None:
                    yield packet, picture.pts
                elif isinstance(pixels, Planes):
                    annotator.draw_on(pixels, drawing)
                    yield pixels.to_frame(), picture.pts
                elif pixels is not None:
                    yield annotator.draw(shown.image(pixels), drawing, score), picture.pts

    made = _list_what_made(plan, run)
    with open_writer(
        run.film_path,
        plan.info,
        codec=plan.settings.codec,
        audio_from=plan.source if plan.info.has_audio else None,
        size=annotator.size,
        on_problem=monitor.problem,
        encoder_preset=plan.settings.encoder_preset,
    ) as video:
        same = _find_same(plan, run, journal, made, video) if _can_copy(plan) else np.zeros(0, bool)
        count = 0
        with overlap(draw_frames(same), plan.settings.threads) as drawings:
            for count, (drawing, pts) in enumerate(drawings, start=1):
                video.write(drawing, pts)
                monitor.check("writing the video", count, findings.frames)
        plan.identity.check()
        if count != findings.frames:
            raise InputError(
                f"{plan.source} gave {findings.frames} frames, and {count} when it was read again. "
                "Next: run again, with `existing=overwrite`"
            )
    if _can_copy(plan):
        run.save_drawn(np.array(drawn), made)
    for picture, skipped_s in video.skips:
        text = (
            f"a hole is {skipped_s:.3f} s shorter in annotated.mp4, before its picture {picture}: MP4 cannot hold it; "
            "the tables have the true times"
        )
        monitor.remark(Finding("remark", "film", text))
    return video.skips


def _can_copy(plan: Plan) -> bool:
    """Whether pictures of a later film can be copies of this one's: scores are not compared, nor groups of VP9 cut."""
    return plan.settings.codec == "h264" and not needs_scores(plan.settings.view)


def _list_what_made(plan: Plan, run: RunFolder) -> dict[str, Any]:
    """What pictures of a film depend on beside what is drawn on them."""
    settings, video = plan.settings, run.manifest["video"]
    return {
        "video": {key: value for key, value in video.items() if key not in ("path", "name", "stem")},
        "view": settings.view,
        "size_px": choose_film_size(settings, plan.info),
        "encoder": get_encoder(settings.codec, settings.encoder_preset),
        "versions": run.manifest["versions"],
        "libraries": av.library_versions,
    }


def _find_same(
    plan: Plan, run: RunFolder, journal: TrackJournal, made: dict[str, Any], video: VideoWriter
) -> np.ndarray:
    """`(n,)` bool: the pictures, in whole groups, that the film in the folder has as `video` is to show them.

    Empty where there is no such film.
    """
    before = run.load_drawn(made)
    if before is None or read_parameter_sets(run.film_path) != video.read_parameter_sets():
        return np.zeros(0, bool)
    placer = _Placer(plan, run)
    drawings = (placer.place(frame.frame_index, frame.time_s)[1] for frame in journal.frames())
    now = np.fromiter((drawing.compute_digest() for drawing in drawings), np.uint64)
    if before.shape != now.shape:
        return np.zeros(0, bool)
    return find_same_groups(before == now, find_groups(run.film_path))


class _Placer:
    """What is drawn on one frame after the other, by `tracks.csv`; it holds the tracks of one frame."""

    def __init__(self, plan: Plan, run: RunFolder) -> None:
        settings, info = plan.settings, plan.info
        self.shown = Shrinker((info.width_px, info.height_px), choose_film_size(settings, info))
        region = self.shown.region(plan.region)
        self.annotator = Annotator(settings.concepts, self.shown.film_size, settings.view, region)
        self._groups = tables.read_tracks_by_frame(run.path / "tracks.csv")
        self._current = next(self._groups, None)

    def place(self, index: int, time_s: float) -> tuple[list[TrackMask], Drawing]:
        """The tracks of a frame, and what is drawn of them on the film. Indices must rise."""
        while self._current is not None and self._current[0] < index:
            self._current = next(self._groups, None)
        own = self._current[1] if self._current is not None and self._current[0] == index else []
        return own, self.annotator.place([self.shown.track(track) for track in own], time_s, index)
