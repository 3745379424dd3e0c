"""What a pipeline tells its caller while it works, and how the caller tells it to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from vidconcept.errors import Interrupted
from vidconcept.video.problems import Finding, Problem, remark_on
from vidconcept.wording import format_count

# Called with the stage, how much of it is done, and how much there is (None: not known).
Progress = Callable[[str, int, int | None], None]
# What a stage counts where it is not frames.
_UNITS = {"denoising": "step", "learning": "step", "learning the surface": "step"}
# Stages whose name says it.
_SAID = ("photos", "clips read", "clips measured", "clips swept", "clips tried", "conditions tried", "windows read")


def count_progress(stage: str, done: int, total: int | None) -> str:
    """How far a stage is: `240/250 frames`, where its name says what it counts `3/5`; empty before the first."""
    if not done:
        return ""
    last = total or done
    count = str(last) if stage in _SAID else format_count(last, _UNITS.get(stage.partition(",")[0], "frame"))
    return f"{done}/{count}" if total else count


@dataclass
class Monitor:
    """Collects timings, problems, remarks and fallbacks of a run for `run.json`, and passes progress on.

    stop: asked between windows and frames; when it says true the pipeline journals and raises `Interrupted`.
    warn: told once of each problem and fallback. note: told once of each remark that is no warning; None: `warn` is.
    """

    progress: Progress = lambda stage, done, total: None
    stop: Callable[[], bool] = lambda: False
    warn: Callable[[str], None] = lambda message: None
    note: Callable[[str], None] | None = None
    gaps: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[Finding] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)
    timings_s: dict[str, float] = field(default_factory=dict)

    def check(self, stage: str, done: int, total: int | None) -> None:
        self.progress(stage, done, total)
        if self.stop():
            raise Interrupted

    def remark(self, remark: Finding) -> None:
        """What to believe of the footage; kept and told once."""
        if remark not in self.remarks:
            self.remarks.append(remark)
            tell = self.note if self.note is not None and remark.level == "remark" else self.warn
            tell(f"{remark.about}: {remark.message}")

    def problem(self, problem: Problem) -> None:
        """The reader reports the same problem in every pass; it is kept and told once."""
        remark, entry = remark_on(problem), asdict(problem)
        if remark is not None:
            self.remark(remark)
        elif entry not in self.gaps:
            self.gaps.append(entry)
            if any(remark.message == problem.message for remark in self.remarks):
                return
            at = "" if problem.first_time_s is None else f" at {problem.first_time_s:.3f} s"
            first = f", first{at}" if at else ""
            self.warn(
                f"{problem.message} ({problem.count} times{first})" if problem.count > 1 else problem.message + at
            )

    def note_fallback(self, message: str) -> None:
        if message not in self.fallbacks:
            self.fallbacks.append(message)
            self.warn(message)

    @contextmanager
    def time_stage(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.timings_s[stage] = round(self.timings_s.get(stage, 0.0) + time.perf_counter() - start, 3)
