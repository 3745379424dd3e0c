"""What rarity alone took back, kept in groups of likes: a tool mark on every part is usual, and still a defect."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from vidconcept.rarity.surface import Travel

# A piece goes on in the next latent steps when its box lies within this share of the picture of where the motion takes
# that of the one before. Its strongest token is no guide: on a long mark it jumps from end to end.
REACH = 0.06
# A step may be missing in between.
GAP_STEPS = 2
# A piece seen in fewer latent steps is noise that the temporal stage would have taken out.
FEWEST_STEPS = 2
# Pieces belong together when they are no farther apart than this, in units of what is usual.
LIKENESS = 1.5


@dataclass(frozen=True, slots=True)
class Piece:
    """A connected piece of a latent step that would be a finding by its score and is none by its rarity.

    position: of the frame that is described. box: first row and column, last row and column of tokens; extent: its
    left, top, right and bottom edge as shares of the picture. vector: `(scale, dim)` of its strongest token.
    """

    latent: int
    position: int
    concept: int
    score: float
    box: tuple[int, int, int, int]
    extent: tuple[float, float, float, float]
    vector: np.ndarray = field(repr=False)


@dataclass
class Occurrence:
    """One piece of surface through the latent steps that show it."""

    pieces: list[Piece]

    @property
    def peak(self) -> Piece:
        return max(self.pieces, key=lambda piece: piece.score)


@dataclass(frozen=True)
class Group:
    """Occurrences that look alike, most frequent group first. group_id: from 1."""

    group_id: int
    concept: int
    occurrences: list[Occurrence] = field(repr=False)

    @property
    def peak(self) -> Piece:
        return max((own.peak for own in self.occurrences), key=lambda piece: piece.score)

    @property
    def span(self) -> tuple[int, int]:
        """First and last position at which it is seen."""
        positions = [piece.position for own in self.occurrences for piece in own.pieces]
        return min(positions), max(positions)


def find_removed_pieces(
    scores: np.ndarray, share: np.ndarray, threshold: np.ndarray | float
) -> list[tuple[tuple[int, int], np.ndarray]]:
    """Pieces of one concept that reach the threshold before and nowhere after: strongest token, and box of each.

    scores, share: `(row, col)`; threshold: one, or that of each token. A box is first row, first column, last row, last
    column.
    """
    reaches = (scores >= threshold).astype(np.uint8)
    if not reaches.any():
        return []
    count, labels, stats, _ = cv2.connectedComponentsWithStats(reaches, connectivity=8)
    found = []
    for number in range(1, count):
        own = labels == number
        if (own & (scores * share >= threshold)).any():
            continue
        row, col = np.unravel_index(int(np.where(own, scores, -1.0).argmax()), scores.shape)
        x, y, width, height = stats[number][:4]
        found.append(((int(row), int(col)), np.array([y, x, y + height - 1, x + width - 1])))
    return found


def follow_pieces(pieces: Iterable[Piece], travel: Travel, steps: Mapping[int, int] | None = None) -> list[Occurrence]:
    """Join the pieces of one run to occurrences along the motion, none across a scene cut or a hole in time.

    Pieces come in the order of their latent steps. steps: number of each of these among those that the model saw, where
    it did not see all.
    """
    offsets, scenes = travel.offsets, np.cumsum(travel.cuts)
    done: list[Occurrence] = []
    open_: list[Occurrence] = []
    for piece in pieces:
        here = piece.latent if steps is None else steps[piece.latent]
        at = (own.pieces[-1].latent if steps is None else steps[own.pieces[-1].latent] for own in open_)
        still = [own for own, last in zip(open_, at, strict=True) if here - last <= GAP_STEPS]
        done += [own for own in open_ if own not in still]
        open_ = still
        near = [
            (away, own)
            for own in open_
            if scenes[own.pieces[-1].position] == scenes[piece.position]
            and (away := _measure_distance(own.pieces[-1], piece, offsets))[0] <= REACH
        ]
        if near:
            min(near, key=lambda pair: pair[0])[1].pieces.append(piece)
        else:
            open_.append(Occurrence([piece]))
    return [own for own in [*done, *open_] if len({piece.latent for piece in own.pieces}) >= FEWEST_STEPS]


def _measure_distance(before: Piece, now: Piece, offsets: np.ndarray) -> tuple[float, float]:
    """How far a piece lies from where the motion takes another one: between their boxes, and between their middles.

    Both are shares of the picture, the larger of x and y.
    """
    if before.concept != now.concept or before.latent == now.latent:
        return float("inf"), float("inf")
    moved = np.reshape(before.extent, (2, 2)) + offsets[now.position] - offsets[before.position]
    here = np.reshape(now.extent, (2, 2))
    gap = np.maximum(here[0] - moved[1], moved[0] - here[1]).max()
    return max(float(gap), 0.0), float(np.abs(here.mean(0) - moved.mean(0)).max())


def group_by_likeness(occurrences: Sequence[Occurrence], distance) -> list[Group]:
    """Groups by likeness, the largest first; each occurrence joins the first group whose strongest piece it resembles.

    distance: of two vectors `(scale, dim)` in units of what is usual.
    """
    groups: list[list[Occurrence]] = []
    for own in sorted(occurrences, key=lambda o: -o.peak.score):
        for group in groups:
            leader = group[0].peak
            if leader.concept == own.peak.concept and distance(leader.vector, own.peak.vector) <= LIKENESS:
                group.append(own)
                break
        else:
            groups.append([own])
    groups.sort(key=lambda group: (-len(group), group[0].peak.position))
    return [Group(number, group[0].peak.concept, group) for number, group in enumerate(groups, start=1)]
