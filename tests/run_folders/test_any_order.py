"""Whatever is done to a run folder, in any order, and wherever it is killed: no file of the user's is ever touched."""

import json
import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import cv2
import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.helpers.small_runs import small_clip, small_run
from vidconcept.errors import Interrupted, VidconceptError
from vidconcept.ownership import check_ours
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.track import Run
from vidconcept.writers.exchange.export import FORMATS, export
from vidconcept.writers.review.index import review
from vidconcept.writers.review.verdicts import apply_verdicts

WORDS = st.sampled_from(("error", "resume", "overwrite", "skip"))
THRESHOLDS = st.sampled_from((0.01, 0.4, 0.99))
STAGES = st.sampled_from(("loading the model", "reading maps", "finding tracks", "writing the video"))
# Names of the user's, some of them near to those of a run.
NAMES = st.sampled_from(
    [
        *("notes.txt", "maps/city.pdf", "maps/window.safetensors", "thumbs/me.jpg", "thumbs/holiday/00001.jpg"),
        *("exports/old.csv", ".work/notes", "annotated.partial.mp4", ".frames.csv.partial", "annotated.mp4.bak"),
    ]
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a copy of this process")
def test_no_file_of_the_user_is_ever_touched(tiny_model, tmp_path):
    # A copy of a process has none of its threads.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    clip = small_clip(tmp_path / "a.mp4")
    made = tmp_path / "made"
    small_run(clip, tiny_model, made / "run")

    class RunFolders(RuleBasedStateMachine):
        @initialize(from_the_start=st.booleans(), keeps_manifest=st.booleans())
        def begin(self, from_the_start: bool, keeps_manifest: bool) -> None:
            self.folder = tmp_path / "work"
            shutil.rmtree(self.folder, ignore_errors=True)
            if from_the_start:
                self.folder.mkdir()
            else:
                shutil.copytree(made, self.folder)
            self.clip = Path(shutil.copy2(clip, self.folder / "a.mp4"))
            self.run = self.folder / "run"
            self.keeps_manifest = keeps_manifest
            self.theirs: dict[Path, bytes] = {self.clip: clip.read_bytes()}

        def track(self, existing: str, threshold: float, monitor: Monitor | None = None) -> None:
            options = {"monitor": monitor} if monitor else {}
            small_run(self.clip, tiny_model, self.run, existing=existing, threshold=threshold, **options)

        @rule(existing=WORDS, threshold=THRESHOLDS)
        def finish(self, existing: str, threshold: float) -> None:
            try:
                self.track(existing, threshold)
            except VidconceptError:
                return
            manifest = Run.open(self.run).manifest
            # A run that was skipped was made with the same threshold.
            assert manifest["done"]
            assert manifest["settings"]["threshold"] == threshold
            assert len({row.frame_index for row in Run.open(self.run).frames()}) == manifest["frames"] == 5

        @rule(existing=WORDS, threshold=THRESHOLDS, stage=STAGES)
        def interrupt(self, existing: str, threshold: float, stage: str) -> None:
            reached, manifest = [], self.run / "run.json"
            before = manifest.read_text() if manifest.exists() else ""
            monitor = Monitor(progress=lambda now, *_: reached.append(now), stop=lambda: stage in reached)
            try:
                self.track(existing, threshold, monitor)
            except Interrupted:
                now = manifest.read_text()
                # A finished run of which nothing was written anew stays one.
                assert not json.loads(now)["done"] or (now == before and "writing the video" not in reached)
            except VidconceptError:
                pass

        @rule(existing=WORDS, threshold=THRESHOLDS, stage=STAGES)
        def kill(self, existing: str, threshold: float, stage: str) -> None:
            child = os.fork()
            if child == 0:
                try:
                    die = Monitor(progress=lambda now, *_: os.kill(os.getpid(), 9) if now == stage else None)
                    self.track(existing, threshold, die)
                finally:
                    os._exit(0)
            end = time.monotonic() + 60
            while os.waitpid(child, os.WNOHANG) == (0, 0):
                if time.monotonic() > end:
                    os.kill(child, signal.SIGKILL)
                time.sleep(0.05)

        @rule(to=st.sampled_from(sorted(FORMATS)))
        def export(self, to: str) -> None:
            with suppress(VidconceptError):
                export(self.run, to)

        @rule(word=st.sampled_from(("accept", "reject", "perhaps")))
        def apply(self, word: str) -> None:
            verdicts = self.folder / "verdicts.csv"
            try:
                run = Run.open(self.run)
                rows = ["run_id,event_id,concept,start_frame,verdict"]
                rows += [
                    f"{run.manifest['run_id']},{e.event_id},{e.concept},{e.start_frame},{word}" for e in run.events
                ]
                verdicts.write_text("\n".join(rows) + "\n")
                apply_verdicts(self.run, verdicts)
                review(self.run)
            except VidconceptError:
                pass

        # In a folder that is no run yet, one file of theirs has everything else refused.
        @precondition(lambda self: (self.run / "run.json").exists() or not self.keeps_manifest)
        @rule(name=NAMES)
        def put(self, name: str) -> None:
            path = self.run / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"the user's {name}")
            self.theirs[path] = path.read_bytes()

        @precondition(lambda self: not self.keeps_manifest)
        @rule()
        def take_the_manifest_away(self) -> None:
            (self.run / "run.json").unlink(missing_ok=True)

        @invariant()
        def nothing_of_theirs_is_touched(self) -> None:
            for path, content in getattr(self, "theirs", {}).items():
                assert path.read_bytes() == content, path

        @invariant()
        def a_run_that_is_done_is_whole(self) -> None:
            manifest = getattr(self, "run", Path("nowhere")) / "run.json"
            if manifest.exists() and json.loads(manifest.read_text())["done"]:
                assert check_ours(self.run)
                assert (self.run / "annotated.mp4").is_file()
                assert len(Run.open(self.run).events) == sum(Run.open(self.run).manifest["events"].values())

    options = settings(
        max_examples=16,
        stateful_step_count=12,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        phases=(Phase.generate,),
    )
    run_state_machine_as_test(RunFolders, settings=options)
