"""What good footage scores at each place of the picture, and how much of that is taken off again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

# Rows and columns of places in the picture, a few tokens each.
PLACES = (6, 8)
# Latent steps of good footage after which a place's own statistics count as much as none at all.
PLACE_PRIOR_STEPS = 60
# Lifts below this change nothing that can be seen in a score.
SMALLEST_LIFT = 0.02
# A place is raised by what it shows in at least two of so many stretches of footage: what passes once, however high it
# scores, passed there by chance.
STRETCHES = 8
# Runs of good footage, each of which is judged by the lifts that the others taught.
FOLDS = 4


def place_lifts(peaks: np.ndarray, harmless: float = 0.0, quantile: float = 0.99) -> np.ndarray:
    """By how much each place of good footage scores above what is of no account: `(step, row, col)` -> `(row, col)`.

    peaks: highest score in each place at each latent step. harmless: what lies below it, or below the usual place, is
    no finding anyway, so it lifts nothing: a lift costs true findings at that place as much. Shrunk towards none where
    there is little footage.
    """
    stretches = np.array_split(peaks, min(STRETCHES, len(peaks)))
    high = np.sort([np.quantile(part, quantile, axis=0) for part in stretches], axis=0)[-2:][0]
    usual = max(float(np.median(high)), harmless)
    excess = np.maximum(high - usual, 0.0) * (len(peaks) / (len(peaks) + PLACE_PRIOR_STEPS))
    # In double precision, so that a file shows three decimals.
    return np.where(excess < SMALLEST_LIFT, 0.0, excess).astype(np.float64).round(3)


@dataclass
class Background:
    """Statistics of good footage while it passes by: place peaks of each concept at each latent step of each video.

    harmless: of each concept the score below which nothing is a finding, 0 for those not named. videos: of each
    the peaks by latent step, of those that the model saw.
    """

    concepts: tuple[str, ...]
    harmless: Mapping[str, float] = field(default_factory=dict)
    videos: list[dict[int, np.ndarray]] = field(default_factory=list, repr=False)

    def begin_video(self) -> None:
        """Another video."""
        self.videos.append({})

    def add(self, latent: int, scores: np.ndarray) -> None:
        """Maps of a latent step of the video, `(concept, row, col)`."""
        rows = np.array_split(np.arange(scores.shape[1]), min(PLACES[0], scores.shape[1]))
        cols = np.array_split(np.arange(scores.shape[2]), min(PLACES[1], scores.shape[2]))
        self.videos[-1][latent] = np.array([[scores[:, r][:, :, c].max((1, 2)) for c in cols] for r in rows])

    def compute_lifts(self) -> dict[str, list[list[float]]]:
        """Lifts of the concepts that have any."""
        return self._compute_lifts([step for video in self.videos for step in video.values()])

    def compute_left_out(self) -> list[dict[int, dict[str, list[list[float]]]]]:
        """For each video, by latent step, the lifts that this stretch of footage did not teach.

        Lifts that were learnt on a stretch suit it better than any other: false alarms that are counted under them are
        too few. So the steps of all videos are cut into `FOLDS` runs, and each takes the lifts of the others.
        """
        steps = [step for video in self.videos for step in video.values()]
        folds = [number * FOLDS // len(steps) for number in range(len(steps))]
        tables = [
            self._compute_lifts([s for s, own in zip(steps, folds, strict=True) if own != k]) for k in range(FOLDS)
        ]
        each = iter(folds)
        return [{latent: tables[next(each)] for latent in video} for video in self.videos]

    def _compute_lifts(self, steps: Sequence[np.ndarray]) -> dict[str, list[list[float]]]:
        if not steps:
            return {}
        peaks = np.stack(steps)  # (step, row, col, concept)
        tables = {
            name: place_lifts(peaks[..., i], self.harmless.get(name, 0.0)) for i, name in enumerate(self.concepts)
        }
        return {name: table.tolist() for name, table in tables.items() if table.any()}
