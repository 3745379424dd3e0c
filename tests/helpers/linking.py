"""Boxes that move over a grid, linked frame by frame."""

import numpy as np

from vidconcept.pipelines.waiting import FrameRef
from vidconcept.tracks.link import Linker, LinkSettings
from vidconcept.types import Event, Origin, Region, TrackMask

GRID = (100, 160)  # h, w
FRAME_S = 0.04


class Scene:
    """Boxes on a grid of 160 × 100, one step a frame."""

    def __init__(self, concepts: int = 1, frame_s: float = FRAME_S, **settings: float) -> None:
        names = [f"c{i}" for i in range(concepts)]
        region = Region(0, 0, GRID[1], GRID[0])
        self.linker = Linker(
            names, region, (GRID[1], GRID[0]), LinkSettings(**{"min_area_px": 16, "min_duration_s": 0.12} | settings)
        )  # pyright: ignore
        self.frames, self.frame_s = 0, frame_s

    def step(
        self,
        *boxes: tuple[int, int, int, int],
        flow_x: float | None = None,
        concept: int = 0,
        reset: bool = False,
        reaches: bool = True,
    ) -> list[TrackMask]:
        masks = np.zeros((len(self.linker._live), *GRID), bool)
        for x, y, w, h in boxes:
            masks[concept, max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)] = True
        flow = None if flow_x is None else np.full((10, 16, 2), (flow_x, 0.0), np.float32)
        ref = FrameRef(self.frames, self.frames * 512, self.frames * self.frame_s)
        self.frames += 1
        return self.linker.step(
            ref, masks, masks * np.float32(0.8), flow, Origin(0, 0), reaches=masks & reaches, reset=reset
        )

    def events(self) -> list[Event]:
        return self.linker.finish()[0]


def ids(rows: list[TrackMask]) -> list[int]:
    return [row.tracker_id for row in rows]
