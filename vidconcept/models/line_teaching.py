"""How a line head is taught: good frames, with defects painted on copies of them -> cells -> members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidconcept.models.line_head import LineHead, Member, arrange_inputs, teach
from vidconcept.models.linecam_codec import PatchCodec
from vidconcept.painting.cells import CELL_PX, cell_shares, cell_truth
from vidconcept.painting.good_frames import find_parts, paint_defects
from vidconcept.painting.kinds import DEFECT_IDS, IGNORE

# How often a frame is painted, and the cells of good surface that are kept of each picture; cells of defects all are.
PAINTED, GOOD_CELLS = 2, 400
SEED = 0
# Told what is done, how much of it, and how much there is.
Check = Callable[[str, int, int], object]


@dataclass
class Cells:
    """What was seen in pictures of one part of the footage: inputs, logits, and numbers of kinds."""

    inputs: list[Tensor] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)
    kinds: list[Tensor] = field(default_factory=list)


def learn_line_head(model: Any, frames: Sequence[tuple[int, np.ndarray]], parts: int, check: Check) -> LineHead | None:
    """A head of one member for each part, which has seen all parts but this one.

    frames: number of the part and a good frame `(h, w, 3)` uint8 as the model sees it. None for another model than the
    embedded one, and where nothing could be painted.
    """
    codec = getattr(model, "codec", None)
    if not isinstance(codec, PatchCodec):
        return None
    rng, cells = np.random.default_rng(SEED), [Cells() for _ in range(parts)]
    for number, (part, frame) in enumerate(frames):
        check("painting defects on good frames", number, len(frames))
        collect_cells(rng, codec, model.pixel_dtype, frame, cells[part])
    members = [teach_without(cells, number, check) for number in range(parts)]
    known = [member for member in members if member is not None]
    return LineHead(known) if len(known) == parts else None


def collect_cells(rng: np.random.Generator, codec: PatchCodec, dtype: torch.dtype, frame: np.ndarray, cells: Cells):
    """Add what the codec sees in a good frame, as it is and with defects painted on."""
    height, width = (side // CELL_PX * CELL_PX for side in frame.shape[:2])
    frame = frame[:height, :width]
    inputs, logits = look(codec, dtype, frame)
    layout = find_parts(logits.softmax(-1).numpy(), height, width)
    nothing = np.zeros((height // CELL_PX, width // CELL_PX), np.uint8)
    add_cells(rng, cells, inputs, logits, nothing)
    for _ in range(PAINTED):
        picture, classes = paint_defects(rng, frame, layout)
        add_cells(rng, cells, *look(codec, dtype, picture), cell_truth(cell_shares(classes)))


@torch.no_grad()
def look(codec: PatchCodec, dtype: torch.dtype, picture: np.ndarray) -> tuple[Tensor, Tensor]:
    """Inputs `(row, col, input)` and logits `(row, col, kinds)` of a picture `(h, w, 3)` uint8."""
    video = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float().div(127.5).sub(1)
    logits, fused, described = codec.look_at_cells(video.to(next(codec.parameters()).device, dtype))
    inputs = arrange_inputs(logits, torch.cat([fused, described], 1))
    return inputs[0].cpu(), logits[0].movedim(0, -1).cpu()


def add_cells(rng: np.random.Generator, cells: Cells, inputs: Tensor, logits: Tensor, kinds: np.ndarray) -> None:
    """Keep all cells of defects, and some of good surface."""
    flat = kinds.ravel()
    good = rng.permutation(np.flatnonzero(flat < DEFECT_IDS[0]))[:GOOD_CELLS]
    keep = np.concatenate([np.flatnonzero((flat >= DEFECT_IDS[0]) & (flat != IGNORE)), good])
    cells.inputs.append(inputs.flatten(0, 1)[keep].half())
    cells.logits.append(logits.flatten(0, 1)[keep].half())
    cells.kinds.append(torch.from_numpy(flat[keep]))


def teach_without(parts: Sequence[Cells], left_out: int, check: Check) -> Member | None:
    """A member that has seen all parts but one."""
    seen = [part for number, part in enumerate(parts) if number != left_out]
    inputs, logits, kinds = (
        torch.cat([one for part in seen for one in getattr(part, of)]) for of in ("inputs", "logits", "kinds")
    )

    def check_step(step: int, steps: int) -> None:
        check("learning the surface", left_out * steps + step, len(parts) * steps)

    return teach(inputs.float(), logits.float(), kinds, SEED + left_out, check_step)
