"""What there is to say of a source, and what went wrong while reading it, in forms that `run.json` can list."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

ProblemKind = Literal[
    "undecodable",
    "corrupt-frame",
    "cut-off",
    "missing-pts",
    "non-monotonic-pts",
    "time-jump",
    "size-change",
    "unreadable-image",
    "audio-dropped",
    "over-range",
    "depth-change",
    "slow-access",
    "skipped",
    "lost",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about a source as a whole.

    "warning": it changes what a reader of the results should believe. "remark": worth knowing beside the results.
    "note": only for those who ask what the file is.
    """

    level: Literal["note", "remark", "warning"]
    about: str
    message: str


# A fault that comes back within so many frames belongs to the report that is already open.
MERGE_GAP_FRAMES = 50


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of the input, or a run of faults of one kind.

    message: a plain sentence. first_frame, last_frame: the range of frame indices (among decodable frames) it
    concerns; for undecodable parts, the index that the next decodable frame got. first_time_s, last_time_s: the same
    range in seconds from the first frame, where known. count: how often it happened.
    """

    kind: ProblemKind
    message: str
    first_frame: int | None = None
    last_frame: int | None = None
    first_time_s: float | None = None
    last_time_s: float | None = None
    count: int = 1

    def describe(self) -> str:
        """The fault with its place, as one sentence for a person."""
        if self.first_frame is None:
            return self.message
        place = f"frame {self.first_frame}"
        if self.last_frame != self.first_frame:
            place += f" to {self.last_frame}"
        if self.first_time_s is not None:
            place += f" ({self.first_time_s:.3f} s)"
        times = f", {self.count} times" if self.count > 1 else ""
        return f"{place}{times}: {self.message}"


# Faults of pictures that were read all the same: what to believe of them, not what is missing.
_REMARKS: dict[ProblemKind, str] = {"size-change": "size", "over-range": "range", "depth-change": "depth"}


def remark_on(problem: Problem) -> Finding | None:
    """What is worth knowing of pictures that were read; None for a fault that cost some."""
    about = _REMARKS.get(problem.kind)
    return None if about is None else Finding("warning", about, problem.describe())


class ProblemLog:
    """Merges neighbouring faults of a kind and hands each run of them on once it is over.

    A file with ten thousand repeated timestamps then gives one line, not ten thousand.
    """

    def __init__(self, on_problem: Callable[[Problem], None]) -> None:
        self._on_problem = on_problem
        self._open: dict[ProblemKind, Problem] = {}

    def add(self, kind: ProblemKind, message: str, frame: int | None = None, time_s: float | None = None) -> None:
        """Note one fault at frame index `frame`, `time_s` seconds from the first frame."""
        before = self._open.get(kind)
        if before is None:
            self._open[kind] = Problem(kind, message, frame, frame, time_s, time_s)
        elif frame is None or before.last_frame is None or frame - before.last_frame <= MERGE_GAP_FRAMES:
            self._open[kind] = replace(
                before,
                last_frame=before.last_frame if frame is None else frame,
                last_time_s=before.last_time_s if time_s is None else time_s,
                count=before.count + 1,
            )
        else:
            self._on_problem(before)
            self._open[kind] = Problem(kind, message, frame, frame, time_s, time_s)

    def flush(self) -> None:
        """Hand on what is still open."""
        for problem in self._open.values():
            self._on_problem(problem)
        self._open.clear()
