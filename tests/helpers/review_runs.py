"""Small runs for the tests of writers: footage with known defects, linked and written by the product."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from vidconcept.pipelines.waiting import FrameRef
from vidconcept.tracks.link import Linker, LinkSettings
from vidconcept.types import Event, Origin, Region, VideoInfo
from vidconcept.video.writer import open_writer
from vidconcept.writers import tables
from vidconcept.writers.frames.overlay import Annotator
from vidconcept.writers.frames.thumbs import ThumbWriter
from vidconcept.writers.journal import TrackJournal
from vidconcept.writers.review.page import write_review
from vidconcept.writers.youtube_vis import write_youtube_vis

# Names that break tools: markup, a script beyond Latin, a formula.
CONCEPTS = ("Kratzer/傷", "<img src=x onerror=alert(1)>", "=1+1")
SIZE = (320, 180)
RUN_ID = "0f2c5d1e9a7b4c3d8e6f1a2b3c4d5e6f"
TIME_BASE = Fraction(1, 12800)


@dataclass(frozen=True)
class Defect:
    """An ellipse of the part; `x` is where its centre stands on frame 0."""

    concept: int
    x: float
    y: float
    width: int
    height: int


# Two of one concept, one that overlaps the first, and one that only enters late.
DEFECTS = (
    Defect(0, 90, 50, 40, 14),
    Defect(1, 100, 54, 22, 22),
    Defect(0, 420, 120, 34, 18),
    Defect(2, 520, 60, 26, 30),
)
SPEED_PX = 5


def frame_refs(frames: int) -> list[FrameRef]:
    """Variable frame rate: every seventh frame is shown twice as long."""
    pts = np.cumsum([0, *(1024 if i % 7 == 0 else 512 for i in range(1, frames))])
    return [FrameRef(i, int(p), float(p * TIME_BASE)) for i, p in enumerate(pts)]


def draw(frame: int, concepts: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Picture `(h, w, 3)` uint8 and scores `(concept, h, w)` of one frame."""
    width, height = size
    rng = np.random.default_rng(1)
    picture = np.clip(rng.normal(128, 10, (height, width)), 0, 255).astype(np.uint8)
    scores = np.full((concepts, height, width), 0.05, np.float32)
    for number, defect in enumerate(DEFECTS):
        if defect.concept >= concepts:
            continue
        centre = (round(defect.x - SPEED_PX * frame), round(defect.y))
        axes = (defect.width // 2, defect.height // 2)
        cv2.ellipse(picture, centre, axes, 0, 0, 360, 40 + 30 * number, cv2.FILLED)
        score = float(0.8 + 0.02 * number + 0.1 * np.sin(frame / 9 + number))
        cv2.ellipse(scores[defect.concept], centre, axes, 0, 0, 360, score, cv2.FILLED)
    return np.repeat(picture[..., None], 3, axis=2), scores


def make_run(
    folder: Path,
    frames: int = 70,
    concepts: Sequence[str] = CONCEPTS,
    size: tuple[int, int] = SIZE,
    video: bool = True,
    run_id: str = RUN_ID,
) -> list[Event]:
    """A whole run folder; frames 20 to 23 are occluded. video=False leaves the pictures and the page out."""
    folder.mkdir(parents=True, exist_ok=True)
    refs = frame_refs(frames)
    linker = Linker(concepts, Region(0, 0, *size), size, LinkSettings(min_area_px=16, min_duration_s=0.12))
    flow = np.zeros((8, 8, 2), np.float32)
    flow[..., 0] = -SPEED_PX
    with TrackJournal(folder / "tracks.partial.jsonl") as journal:
        for ref in refs:
            _, scores = draw(ref.index, len(concepts), size)
            if 20 <= ref.index < 24:
                scores[:] = 0.05
            origin = Origin((ref.index + 3) // 4, ref.index // 32)
            rows = linker.step(ref, scores > 0.5, scores, flow if ref.index else None, origin)
            journal.append(ref, rows, scores, origin)
        events, ids = linker.finish()
        tables.write_frames_and_tracks(folder, "line cam.mp4", concepts, journal.frames(), ids)
    (folder / "tracks.partial.jsonl").unlink()
    tables.write_events(folder / "events.csv", events)
    write_youtube_vis(
        folder / "masks.json",
        "line cam.mp4",
        concepts,
        size,
        tables.read_frames(folder / "frames.csv"),
        tables.read_tracks(folder / "tracks.csv"),
    )
    manifest = {
        "run_id": run_id,
        "video": {
            "name": "line cam.mp4",
            "path": "line cam.mp4",
            "width_px": size[0],
            "height_px": size[1],
            "declared_fps": 25.0,
        },
        "concepts": list(concepts),
        "gaps": [],
        "done": True,
    }
    (folder / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    if video:
        _write_video(folder, refs, concepts, size, events)
        write_review(folder)
    return events


def _write_video(
    folder: Path, refs: Sequence[FrameRef], concepts: Sequence[str], size: tuple[int, int], events: Sequence[Event]
) -> None:
    info = VideoInfo(Path("line cam.mp4"), *size, "h264", "yuv420p", TIME_BASE, 25.0, len(refs), None)
    tracks = dict(tables.read_tracks_by_frame(folder / "tracks.csv"))
    annotator, thumbs = Annotator(concepts, size), ThumbWriter(folder, events)
    with open_writer(folder / "annotated.mp4", info) as video:
        for ref, picture in zip(refs, pictures(len(refs), len(concepts), size), strict=True):
            own = tracks.get(ref.index, [])
            thumbs.frame(ref.index, picture, own)
            video.write(annotator.draw(picture, annotator.place(own, ref.time_s, ref.index)), ref.pts)


def pictures(frames: int, concepts: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """The footage."""
    for frame in range(frames):
        yield draw(frame, concepts, size)[0]
