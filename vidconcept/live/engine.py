"""The main job in one pass over footage that cannot be read twice: frames -> windows -> maps -> scores -> tracks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from vidconcept.live.rarity import RunningRarity
from vidconcept.models.adapter import Model
from vidconcept.pipelines.findings import ScoredFrame, Tracker, score_recording
from vidconcept.pipelines.maps import compute_checked_maps, crop_to_model
from vidconcept.pipelines.plan import Plan
from vidconcept.pipelines.waiting import SmallFrame, shrink_frame
from vidconcept.rarity.memory import Described
from vidconcept.temporal.parameters import SmoothSettings
from vidconcept.temporal.windows import cut_windows
from vidconcept.types import ConceptMaps, Frame, TrackMask

# Called with the maps of a window as the model gave them, and what is kept of its features.
KeepMaps = Callable[[ConceptMaps, int, Described], None]


@dataclass
class Engine:
    """What turns frames into tracks, with what it remembers of the footage so far.

    keep_maps: takes what a run folder keeps; with it the memory only forgets when told to.
    """

    plan: Plan
    model: Model
    rarity: RunningRarity | None
    keep_maps: KeepMaps | None = None

    def track(
        self, parts: Iterable[Iterable[Frame]], tracker: Tracker
    ) -> Iterator[tuple[ScoredFrame, list[TrackMask]]]:
        """Every frame with its tracks under provisional ids, `lag_frames` after it was given, or when its part ends.

        parts: the frames between one hole in time and the next; nothing is known across. Memory is bounded by a few
        windows. Raises ModelError where the scores of a window are no numbers.
        """
        for scored in self._scores(parts):
            yield scored, tracker.add(scored)

    def _scores(self, parts: Iterable[Iterable[Frame]]) -> Iterator[ScoredFrame]:
        latents = windows = 0
        for number, frames in enumerate(parts):
            part = _Part(self, frames, windows)
            last = latents - 1
            for scored in score_recording(self.plan, part.maps(), part.waiting(), is_first=number == 0):
                last = latents + scored.origin.latent_index
                yield replace(scored, origin=replace(scored.origin, latent_index=last))
            latents, windows = last + 1, part.windows

    def read(self, window) -> ConceptMaps:
        """The maps of one window as the decision takes them."""
        maps = compute_checked_maps(self.plan, self.model, window)
        # With the digits that a run folder keeps, so that both come to the same masks.
        maps = replace(maps, scores=maps.scores.astype(np.float16).astype(np.float32))
        if self.rarity is None:
            return maps
        gated, described = self.rarity.take(maps, window)
        if self.keep_maps is not None:
            self.keep_maps(maps, window.start, described)
        else:
            self.rarity.forget()
        return gated


class _Part:
    """The frames of one part, seen twice: by the model, and a window later by all that follows its maps."""

    def __init__(self, engine: Engine, frames: Iterable[Frame], windows: int) -> None:
        self._engine = engine
        self._frames = frames
        self._waiting: deque[SmallFrame] = deque()
        self.windows = windows

    def maps(self) -> Iterator[ConceptMaps]:
        """The maps of each window."""
        settings = self._engine.plan.settings
        pictures = cut_windows(
            self._pictures(),
            length=settings.window_frames,
            overlap=settings.overlap_frames,
            step=self._engine.plan.layout.step,
        )
        for window in pictures:
            index, self.windows = self.windows, self.windows + 1
            yield replace(self._engine.read(replace(window, index=index)), features=None)

    def waiting(self) -> Iterator[SmallFrame]:
        """The same frames once more, at the working size; never asked for one that the model has not seen."""
        while self._waiting:
            yield self._waiting.popleft()

    def _pictures(self) -> Iterator[np.ndarray]:
        plan = self._engine.plan
        for number, frame in enumerate(self._frames):
            self._waiting.append(shrink_frame(plan, frame))
            if number % plan.settings.frame_stride == 0:
                yield crop_to_model(plan, frame)


def count_lag_frames(plan: Plan) -> int:
    """Frames that must come after a frame before its tracks are known: two windows, and the reach of the smoothing."""
    settings = plan.settings
    advance = max(settings.window_frames - settings.overlap_frames, 1)
    ahead = 0 if settings.smooth == "none" else SmoothSettings().ahead_steps * plan.layout.step
    return (settings.window_frames + advance + ahead) * settings.frame_stride
