"""What `calibrate` learns of a line's good surface: a small net that corrects what the embedded model's codec sees.

Defects are painted on good frames of the line itself, and the net learns to tell them from this surface, in the manner
of DRAEM (Zavrtanik et al. 2021, https://arxiv.org/abs/2108.07610), on features that stay as they are. It has several
members, each taught by all of the footage but one part, so that good parts can be judged by a member that has not seen
them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidconcept.errors import InputError
from vidconcept.models.line_head_file import read_line_head
from vidconcept.painting.kinds import DEFECT_IDS, DEFECTS, IGNORE

# Share of the net's correction that is added: what it learns of painted defects is surer than real ones allow.
TRUST = 0.5
WIDTH = 96
# Log-shares below this say nothing more.
FAINTEST = -8.0
STEPS, RATE, DECAY, SMOOTHING = 600, 2e-3, 0.05, 0.05
# Cells of one step, and how many of them show a defect. A kind is taught if at least this many cells show it.
CELLS, DEFECT_CELLS, FEWEST_CELLS = 4096, 1024, 50
_FIRST = DEFECT_IDS[0]


class Member(nn.Module):
    """Inputs `(cell, input)` -> what to add to the logits of good surface and of each defect, `(cell, 1 + defect)`."""

    mean: Tensor
    deviation: Tensor
    taught: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("deviation", torch.ones(inputs))
        # 1 for what was taught, 0 for a kind of which no example was there: that one stays as it is.
        self.register_buffer("taught", torch.ones(1 + len(DEFECTS)))
        self.inner, self.outer = nn.Linear(inputs, WIDTH), nn.Linear(WIDTH, 1 + len(DEFECTS))
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(F.silu(self.inner((x - self.mean) / self.deviation))) * self.taught


class LineHead(nn.Module):
    """Logits of the codec's cells, corrected by the mean of the members."""

    def __init__(self, members: list[Member]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @classmethod
    def read(cls, path: Path) -> LineHead:
        """A head from its file. Raises InputError."""
        tensors = {name: torch.from_numpy(values) for name, values in read_line_head(path).items()}
        try:
            inputs = len(tensors["members.0.mean"])
            head = cls([Member(inputs) for _ in {name.split(".")[1] for name in tensors}])
            head.load_state_dict(tensors)
        except (KeyError, IndexError, TypeError, RuntimeError) as error:
            raise InputError(
                f"line_head = {path} is not what this version reads. Next: vidconcept calibrate again"
            ) from error
        return head.requires_grad_(False).eval()

    @property
    def inputs(self) -> int:
        """Numbers that a cell is told by."""
        return self.members[0].inner.in_features  # pyright: ignore

    def select(self, number: int) -> LineHead:
        """A head of one of the members alone."""
        return LineHead([self.members[number]])  # pyright: ignore[reportArgumentType]

    def tensors(self) -> dict[str, np.ndarray]:
        """For the file."""
        return {name: np.ascontiguousarray(values.cpu().numpy()) for name, values in self.state_dict().items()}

    def forward(self, logits: Tensor, seen: Tensor) -> Tensor:
        """logits `(n, kinds, h, w)` float32, seen: features of the same cells `(n, feature, h, w)` -> new logits."""
        x = arrange_inputs(logits, seen)
        mean = torch.stack([member(x) for member in self.members]).mean(0)
        return logits + TRUST * spread_correction(mean, logits.shape[1]).movedim(-1, 1)


def arrange_inputs(logits: Tensor, seen: Tensor) -> Tensor:
    """`(n, kinds, h, w)` and `(n, feature, h, w)` -> `(n, h, w, input)` float32."""
    shares = torch.log_softmax(logits.float(), 1).clamp_min(FAINTEST)
    return torch.cat([seen.float(), shares], 1).movedim(1, -1)


def spread_correction(correction: Tensor, kinds: int) -> Tensor:
    """`(..., 1 + defect)` -> `(..., kinds)`: the first for every kind of good surface."""
    return torch.cat(
        [correction[..., :1].expand(*correction.shape[:-1], kinds - len(DEFECTS)), correction[..., 1:]], -1
    )


def sum_surfaces(logits: Tensor) -> Tensor:
    """`(cell, kinds)` -> `(cell, 1 + defect)`: logits of any good surface, and of each defect."""
    return torch.cat([logits[:, :_FIRST].logsumexp(1, keepdim=True), logits[:, _FIRST:]], 1)


def teach(
    inputs: Tensor, logits: Tensor, truth: Tensor, seed: int, check: Callable[[int, int], None] = lambda *_: None
) -> Member | None:
    """A member that tells painted defects from good surface; None where too few cells show any.

    inputs `(cell, input)`, logits `(cell, kinds)`, truth `(cell,)` numbers of kinds or `IGNORE`. check: told of each
    step and of their number.
    """
    generator = torch.Generator().manual_seed(seed)
    wanted = torch.where(truth >= _FIRST, truth.long() - _FIRST + 1, 0)
    counts = torch.bincount(wanted[truth != IGNORE], minlength=1 + len(DEFECTS))
    taught = counts >= FEWEST_CELLS
    known = (truth != IGNORE) & taught[wanted.clamp_max(len(DEFECTS))]
    shown, good = ((known & mask).nonzero()[:, 0] for mask in (wanted > 0, wanted == 0))
    if not len(shown) or not len(good):
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        member = Member(inputs.shape[1])
    member.mean.copy_(inputs.mean(0))
    member.deviation.copy_(inputs.std(0) + 1e-3)
    member.taught.copy_(taught)
    optimizer = torch.optim.AdamW(member.parameters(), RATE, weight_decay=DECAY)
    for step in range(STEPS):
        check(step, STEPS)
        parts = ((shown, DEFECT_CELLS), (good, CELLS - DEFECT_CELLS))
        cells = torch.cat([of[torch.randint(len(of), (count,), generator=generator)] for of, count in parts])
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 50) * (1 - step / STEPS)
        corrected = logits[cells] + spread_correction(member(inputs[cells]), logits.shape[1])
        loss = F.cross_entropy(sum_surfaces(corrected), wanted[cells], label_smoothing=SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return member.requires_grad_(False).eval()
