"""The truth of painted pictures at the scale of the codec's cells."""

import numpy as np

from vidconcept.painting.kinds import CONCEPTS, DEFECT_IDS, IGNORE

# A cell of 8×8 px counts as a defect from this covered share on; below it, and above nothing, it teaches nothing.
DEFECT_SHARE = 0.05
CELL_PX = 8


def cell_shares(classes: np.ndarray) -> np.ndarray:
    """Share of each class in each 8×8 px cell: `(..., h, w)` uint8 -> `(..., h/8, w/8, class)` float32.

    Shares fall short of 1 where pixels are `IGNORE`.
    """
    *lead, height, width = classes.shape
    rows, columns, kinds = height // CELL_PX, width // CELL_PX, IGNORE + 1
    cells = classes.reshape(-1, rows, CELL_PX, columns, CELL_PX).swapaxes(2, 3).reshape(-1, CELL_PX**2)
    numbers = np.arange(len(cells), dtype=np.int64)[:, None] * kinds + cells
    counts = np.bincount(numbers.ravel(), minlength=len(cells) * kinds).reshape(len(cells), kinds)
    return (counts[:, : len(CONCEPTS)] / np.float32(CELL_PX**2)).astype(np.float32).reshape(*lead, rows, columns, -1)


def cell_truth(shares: np.ndarray) -> np.ndarray:
    """The class of each cell, `IGNORE` where a defect touches it but little: `(..., class)` -> `(...)` uint8."""
    first = DEFECT_IDS[0]
    defects = shares[..., first:]
    strongest = defects.max(-1)
    truth = np.where(strongest >= DEFECT_SHARE, first + defects.argmax(-1), shares[..., :first].argmax(-1))
    unsure = (strongest < DEFECT_SHARE) & ((strongest > 0) | (shares.sum(-1) < 0.98))
    return np.where(unsure, IGNORE, truth).astype(np.uint8)
