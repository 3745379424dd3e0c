"""Connected components of a mask, the fragments of one defect merged."""

from dataclasses import dataclass, field

import cv2
import numpy as np


@dataclass(frozen=True, slots=True)
class Component:
    """The pixels of one defect on one frame, on the working grid.

    points: `(n, 2)` int32, x first. box: x_min, y_min, x_max, y_max, max exclusive.
    """

    points: np.ndarray = field(repr=False)
    box: tuple[int, int, int, int]

    @property
    def area(self) -> int:
        """Pixels of the working grid."""
        return len(self.points)

    @property
    def centre(self) -> np.ndarray:
        """`(2,)` mean of the points, x first."""
        return self.points.mean(axis=0)

    def crop(self) -> np.ndarray:
        """`(h, w)` bool mask of the component's box."""
        x_min, y_min, x_max, y_max = self.box
        mask = np.zeros((y_max - y_min, x_max - x_min), bool)
        mask[self.points[:, 1] - y_min, self.points[:, 0] - x_min] = True
        return mask


def from_points(points: np.ndarray) -> Component:
    """A component of `(n, 2)` points, n at least 1."""
    (x_min, y_min), (x_max, y_max) = points.min(axis=0), points.max(axis=0) + 1
    return Component(points, (int(x_min), int(y_min), int(x_max), int(y_max)))


def cut_part(component: Component, shown: np.ndarray) -> Component:
    """The pixels of a component where `shown`, `(h, w)` bool, is true; all of them where it is true of none."""
    points = component.points[shown[component.points[:, 1], component.points[:, 0]]]
    return from_points(points) if 0 < len(points) < component.area else component


def components(mask: np.ndarray, merge_px: float) -> list[Component]:
    """Components of a `(h, w)` bool mask, ordered by area, the largest first.

    Fragments whose gap is at most `merge_px` (pixels of the grid) are one component.
    """
    if not mask.any():
        return []
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = rows[0], cols[0]
    inside = mask[top : rows[-1] + 1, left : cols[-1] + 1]
    # Grown by half the gap, fragments that are near enough touch. The distance is one for a direct neighbour.
    distance = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    grown = (distance <= max(1.0, (merge_px + 1) / 2)).astype(np.uint8) if merge_px > 0 else inside.astype(np.uint8)
    _, labels = cv2.connectedComponents(grown, connectivity=8)
    ys, xs = np.nonzero(inside)
    label = labels[ys, xs]
    order = np.argsort(label, kind="stable")
    points = np.stack([xs + left, ys + top], axis=1).astype(np.int32)[order]
    found = [from_points(part) for part in np.split(points, np.flatnonzero(np.diff(label[order])) + 1)]
    return sorted(found, key=lambda c: (-c.area, c.box))


def box_gap_px(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Distance between two boxes, 0 where they touch or overlap."""
    dx = max(0, a[0] - b[2], b[0] - a[2])
    dy = max(0, a[1] - b[3], b[1] - a[3])
    return float(np.hypot(dx, dy))
