"""What `run.json` says of the live pass that a recording of `watch` comes from, for whoever reads its film again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vidconcept.pipelines.plan import Plan
from vidconcept.video.problems import Problem
from vidconcept.wording import format_count

# Counts that a recording tells of its own time, what was missed before its first frame included.
COUNTED = ("skipped", "gaps", "failures", "undecodable", "corrupt", "clock_jumps")


def split_as_live(plan: Plan, live: Mapping[str, Any]) -> Plan:
    """The plan to read a film in the parts that the live pass read.

    Those cannot be told from the film: a silence ended one, and what a hole is was judged by the frames up to it.
    live: of `run.json`; where it does not say where parts begin, the plan is as before.
    """
    begins = live.get("part_begins")
    if begins is None:
        return plan
    return replace(plan, reading=replace(plan.reading, part_begins=frozenset(begins)))


def list_missed(live: Mapping[str, Any]) -> list[Problem]:
    """What the live pass missed, as `run.json` lists it under `gaps`. live: of `run.json`."""
    counts = dict.fromkeys(COUNTED, 0) | dict(live)
    found = []
    if counts["skipped"]:
        frames, gaps = format_count(counts["skipped"], "frame"), format_count(counts["gaps"], "gap")
        text = f"{frames} skipped in {gaps}: the model is slower than the camera"
        found.append(Problem("skipped", text, count=max(counts["gaps"], 1)))
    if counts["failures"]:
        found.append(Problem("lost", "the source was lost and connected again", count=counts["failures"]))
    if counts["undecodable"]:
        found.append(Problem("undecodable", "packets could not be decoded; skipped", count=counts["undecodable"]))
    if counts["corrupt"]:
        found.append(Problem("corrupt-frame", "the decoder calls pictures damaged; used", count=counts["corrupt"]))
    if counts["clock_jumps"]:
        text = "the source's clock jumped or left this machine's, whose clock is used there"
        found.append(Problem("time-jump", text, count=counts["clock_jumps"]))
    return found
