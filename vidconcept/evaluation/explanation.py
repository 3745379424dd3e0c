"""Why an event was reported: scores of its words at its peak, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vidconcept.types import Event


@dataclass(frozen=True)
class Explanation:
    """words: as in the softmax, the event's first. layers: those that decide are marked in `chosen`.

    maps: `(layer, word, row, col)` each layer alone; combined: `(word, row, col)` as `track` reads them. at: scores of
    the words where the event peaks, for each layer and combined. image: the peak frame's region; mask: of the event.
    threshold: that the event had to reach; lift: what a calibration subtracts first at the peak's place. after: what
    the run did with the maps before it compared them with the threshold.
    """

    event: Event
    words: tuple[str, ...]
    chosen: tuple[int, ...]
    maps: np.ndarray = field(repr=False)
    combined: np.ndarray = field(repr=False)
    peak_cell: tuple[int, int]
    image: np.ndarray = field(repr=False)
    mask: np.ndarray = field(repr=False)
    threshold: float
    lift: float = 0.0
    after: tuple[str, ...] = ()
    # What is to be known of rarity in the run, if anything.
    rarity: str = ""

    def scores(self) -> dict[str, float]:
        """Combined score of each word at the event's peak, the strongest first."""
        row, col = self.peak_cell
        pairs = zip(self.words, self.combined[:, row, col].tolist(), strict=True)
        return dict(sorted(pairs, key=lambda pair: -pair[1]))

    def score_layers(self) -> list[dict[str, float]]:
        row, col = self.peak_cell
        return [dict(zip(self.words, layer[:, row, col].tolist(), strict=True)) for layer in self.maps]

    def describe(self) -> str:
        """Why it was reported, in plain words."""
        scores = self.scores()
        own = scores[self.words[0]]
        rival = next(name for name in scores if name != self.words[0])
        single = [layer[self.words[0]] for layer in self.score_layers()]
        best = int(np.argmax(single))
        won = "wins over" if own >= scores[rival] else "loses to"
        start = f"After {' and '.join(self.after)} its" if self.after else "Its"
        return (
            f"At its peak {self.words[0]!r} scores {own:.2f} and {won} {rival!r} ({scores[rival]:.2f}); layer {best} "
            f"shows it most clearly ({single[best]:.2f}). {start} score is {self.event.peak_score:.2f}, "
            + (f"less {self.lift:.2f} at this place of the picture, " if self.lift else "")
            + f"against a threshold of {self.threshold:.2f}."
            + (f" Note: {self.rarity}." if self.rarity else "")
        )
