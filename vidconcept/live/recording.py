"""The footage that the model saw, as a film and an ordinary run folder beside it."""

from __future__ import annotations

import shutil
import uuid
from array import array
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vidconcept.errors import output_errors
from vidconcept.files import identify_path
from vidconcept.live.rarity import RunningRarity
from vidconcept.pipelines.deliver import deliver
from vidconcept.pipelines.findings import Findings, ScoredFrame
from vidconcept.pipelines.heat import HeatJournal
from vidconcept.pipelines.live_pass import list_missed
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan, make_plan
from vidconcept.pipelines.rarity import list_recurring
from vidconcept.pipelines.track import finish_run, list_versions
from vidconcept.rarity.memory import Described
from vidconcept.runs import RunFolder, open_run
from vidconcept.tracks.link import Linker
from vidconcept.types import ConceptMaps, Frame, TrackMask
from vidconcept.video.writer import open_writer
from vidconcept.writers.frames.overlay import needs_scores
from vidconcept.writers.journal import TrackJournal


def reserve_stem(out: Path, began_s: float) -> str:
    """A name by the time of the first frame, UTC, taken by making the folder `<name>.partial`.

    A clock that was set back does not overwrite, and no other `watch` on the folder takes the same name.
    """
    stem = datetime.fromtimestamp(began_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    taken = {path.name.split(".")[0] for path in out.iterdir()}
    name, number = stem, 1
    while name in taken or not _make_folder(out / f"{name}.partial"):
        number += 1
        name = f"{stem}-{number}"
    return name


def _make_folder(path: Path) -> bool:
    """Whether it was not there before."""
    try:
        path.mkdir()
    except FileExistsError:
        return False
    return True


class Recording:
    """One segment of a live source on its way to a run folder; see `finish`.

    Until then the film grows as `<stem>.<digits>.partial.mp4`, fragmented, so that a killed watch leaves what it had,
    and the journals lie in `<stem>.partial/`. Raises OutputError; where it cannot begin, nothing stays.
    """

    def __init__(self, out: Path, began_s: float, plan: Plan, rarity: RunningRarity, engine: Mapping[str, Any]) -> None:
        with output_errors(out):
            out.mkdir(parents=True, exist_ok=True)
            stem = reserve_stem(out, began_s)
        self.film, self.run, self._spool = (out / f"{stem}{end}" for end in (".mp4", ".vidconcept", ".partial"))
        try:
            self._open(plan, rarity, engine)
        except BaseException:
            shutil.rmtree(self._spool, ignore_errors=True)
            raise

    def _open(self, plan: Plan, rarity: RunningRarity, engine: Mapping[str, Any]) -> None:
        self._plan, self._rarity, self._engine = plan, rarity, dict(engine)
        self._base = rarity.place
        with output_errors(self._spool):
            (self._spool / "maps").mkdir()
        self._maps = RunFolder(self._spool, {"maps_from": {}})
        self._windows = self.frames = self.size_bytes = 0
        self._cuts: list[int] = []
        self._part_begins: list[int] = []
        self._seen = array("q"), array("d")
        self._journal = TrackJournal(self._spool / "tracks.jsonl")
        self._heat = HeatJournal(self._spool / "heat.bin")
        self._writer = open_writer(self.film, plan.info, codec=plan.settings.codec)
        # Not hidden, as others are: it may be all that is left of what was seen.
        self._writer.partial_path = self.film.with_suffix(f".{uuid.uuid4().hex[:8]}.partial.mp4")
        self._writer.__enter__()

    def write(self, frame: Frame) -> None:
        """A frame on its way to the model. Raises OutputError, also where the film was removed meanwhile."""
        self._writer.write(frame.image, frame.pts)
        with output_errors(self.film):
            self.size_bytes = self._writer.partial_path.stat().st_size
        self.frames += 1
        if frame.after_hole:
            self._part_begins.append(frame.index)

    def keep_maps(self, maps: ConceptMaps, start: int, described: Described) -> None:
        """The maps of a window, and its features with positions counted from the segment's first frame."""
        tokens = described.tokens.copy()
        tokens[:, 0] -= self._base[0]
        self._maps.save_maps(maps, start, replace(described, tokens=tokens))
        self._windows = maps.window_index + 1

    def append(self, scored: ScoredFrame, tracks: list[TrackMask]) -> None:
        """A frame on its way out."""
        self._journal.append(scored.ref, tracks, scored.scores, scored.origin)
        if needs_scores(self._plan.settings.view):
            self._heat.append(scored.scores)
        if scored.reset:
            self._cuts.append(scored.ref.index)
        if not scored.origin.interpolated:
            self._seen[0].append(scored.ref.index)
            self._seen[1].append(scored.ref.time_s)

    def give_up(self) -> str:
        """Close without a run folder; returns what is kept: the film, where it has a picture."""
        # First, as it makes room for the end of the film.
        self._remove_spool()
        self._writer.__exit__(RuntimeError, None, None)
        film = self._writer.partial_path
        if self._writer.frames_written and identify_path(film) is not None:
            return f"its film up to here is kept as {film}"
        with suppress(OSError):
            film.unlink()
        return "nothing of it is kept"

    def _remove_spool(self) -> None:
        """Nothing goes on with maps and journals without the rest of the recording."""
        for journal in (self._journal, self._heat):
            # What is still to be written meets the same trouble.
            with suppress(OSError):
                journal.__exit__(None, None, None)
        shutil.rmtree(self._spool, ignore_errors=True)

    def seal(self, linker: Linker) -> dict[int, int]:
        """There are no more frames: takes what the live pass goes on with out of its hands.

        Returns the ids of the events by the provisional ids of their tracks.
        """
        events, tracker_ids = linker.finish()
        self._findings = Findings(events, tracker_ids, self._cuts, self.frames, self._seen)
        self._memory = self._rarity.memory_since(self._base)
        self._evidence = self._rarity.evidence.facts()
        self._recurring = list_recurring(self._plan, self._rarity.group_removed(), *self._seen, self._base[0])
        return tracker_ids

    def finish(
        self,
        overrides: Mapping[str, Any],
        config: Path | None,
        facts: Mapping[str, Any],
        monitor: Monitor,
    ) -> None:
        """Write film and run folder, as `track` on the film would have made it, with what the live pass found.

        facts: of the live pass, for `run.json`. What is sealed does not change any more: another thread may do this.
        Where it fails, the film stays, under its name or that of the partial film, and what there is of the run folder.
        """
        try:
            self._writer.__exit__(None, None, None)
            findings = self._findings
            plan = make_plan(self.film, overrides, config)
            created = {
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "versions": list_versions(),
                "live": {**facts, "part_begins": self._part_begins},
            }
            run, _ = open_run(self.run, plan.facts() | created, "error", plan.read_paths)
            for problem in list_missed(facts):
                monitor.problem(problem)
            with run, output_errors(run.path), self._journal, self._heat:
                self._hand_over_maps(run)
                deliver(plan, run, self._journal, self._heat, findings, self._recurring, monitor)
                finish_run(plan, run, findings, self._recurring, self._evidence, monitor)
        finally:
            self._remove_spool()

    def _hand_over_maps(self, run: RunFolder) -> None:
        for index in range(self._windows):
            maps, described = self._maps.load_maps(index), self._maps.load_described(index)
            if maps is not None:
                run.save_maps(maps, int(maps.positions[0, 0]), described)
        run.save_memory(self._memory)
        run.save(windows=self._windows, maps_done=True, engine=self._engine)
