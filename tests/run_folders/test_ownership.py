"""A run folder is a run's own, and everything else in it, or anywhere, is not."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.small_runs import small_run, tree
from vidconcept.errors import Interrupted, OutputError, UsageError, VidconceptError
from vidconcept.manifest import read_manifest
from vidconcept.ownership import RESULTS, RunLock, list_missing
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.track import Run
from vidconcept.runs import RunFolder
from vidconcept.writers import tables
from vidconcept.writers.review.verdicts import apply_verdicts
from vidconcept.writers.tables import read_events, write_events

WORDS = ("error", "resume", "overwrite", "skip")


def fill(folder: Path, *names: str) -> dict[str, str]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"the user's {name}")
    return tree(folder)


class TestForeignFolders:
    @pytest.mark.parametrize("existing", WORDS)
    @pytest.mark.parametrize(
        "files",
        [
            {"run.json": "{}", "maps/city.pdf": "", "thumbs/holiday/pic.jpg": "", "events.csv": "party,cake"},
            {"run.json": '{"run_id": "7", "name": "a jogging app"}'},
            {"run.json": "[]"},
            {"run.json": '{"half'},
            {"events.csv": "party,cake"},
            {".work/thesis.odt": "years of it"},
            {"notes.txt": ""},
        ],
    )
    def test_nothing_in_them_is_touched(self, work, tiny_model, files, existing):
        for name, text in files.items():
            path = work / "theirs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        before = tree(work)
        with pytest.raises(OutputError, match=r"Nothing is written there\. Next: choose another folder"):
            small_run(work / "a.mp4", tiny_model, work / "theirs", existing=existing)
        assert tree(work) == before

    def test_an_empty_folder_is_taken(self, work, tiny_model):
        (work / "empty" / ".work").mkdir(parents=True)
        (work / "empty" / ".work" / "lock").write_text("left by a killed run")
        assert small_run(work / "a.mp4", tiny_model, work / "empty").manifest["done"]


class TestOwnFolders:
    def test_overwriting_removes_what_a_run_made_and_nothing_else(self, work, tiny_model):
        theirs = ("notes.txt", "maps/city.pdf", "thumbs/holiday/pic.jpg", "thumbs/me.jpg", "exports/a.csv", ".work/x")
        fill(work / "run", *theirs)
        before = tree(work / "run")
        small_run(work / "a.mp4", tiny_model, work / "run", existing="overwrite", threshold=0.99, timestep=20)
        after = tree(work / "run")
        assert {name: after.get(name) for name in theirs} == {name: before[name] for name in theirs}
        assert not [name for name in after if name.startswith("thumbs/0")]

    def test_what_reviewers_wrote_into_the_events_stays_while_these_are_the_same(self, work, tiny_model):
        table, warnings = work / "run" / "events.csv", []
        head, *lines = table.read_text().splitlines()
        assert len(lines) == 2
        table.write_text("\n".join([f"{head},comment,shift", f'{lines[0]}accept,"1,5 mm",', f"{lines[1]},,"]))
        before = table.read_text().splitlines()
        monitor = Monitor(warn=warnings.append)
        small_run(work / "a.mp4", tiny_model, work / "run", existing="resume", monitor=monitor)
        assert table.read_text().splitlines() == before
        assert not [text for text in warnings if "the events changed" in text]
        small_run(work / "a.mp4", tiny_model, work / "run", existing="resume", monitor=monitor, threshold=0.99)
        assert "the events changed; 1 verdict and the column comment discarded" in warnings
        assert "comment" not in table.read_text()

    @pytest.mark.parametrize("name", ["thumbs", "maps", ".work"])
    def test_links_to_elsewhere_are_not_followed(self, work, tiny_model, name):
        fill(work / "elsewhere", "00001.jpg", "window_000000.safetensors", "tracks.jsonl")
        shutil.rmtree(work / "run" / name, ignore_errors=True)
        (work / "run" / name).symlink_to(work / "elsewhere")
        before = tree(work)
        with pytest.raises(OutputError, match="is a link"):
            small_run(work / "a.mp4", tiny_model, work / "run", existing="overwrite")
        assert tree(work) == before

    def test_links_in_place_of_files_are_replaced_not_written_through(self, work, tiny_model):
        before = fill(work / "elsewhere", "diary.txt")
        for name in ("annotated.mp4", "events.csv", "annotated.partial.mp4", ".frames.csv.partial"):
            (work / "run" / name).unlink(missing_ok=True)
            (work / "run" / name).symlink_to(work / "elsewhere" / "diary.txt")
        small_run(work / "a.mp4", tiny_model, work / "run", existing="overwrite")
        assert tree(work / "elsewhere") == before
        assert not (work / "run" / "annotated.mp4").is_symlink()

    def test_a_run_of_before_without_some_keys_is_still_one(self, work):
        manifest = read_manifest(work / "run")
        kept = {key: manifest[key] for key in ("run_id", "video", "concepts", "done")}
        (work / "run" / "run.json").write_text(json.dumps(kept))
        assert Run.open(work / "run").events

    def test_nothing_is_left_in_scratch(self, work):
        assert not (work / "run" / ".work").exists()


class TestScratch:
    def test_an_interrupted_run_leaves_none_and_goes_on(self, work, tiny_model):
        before = tree(work / "run" / "thumbs") | {"frames.csv": (work / "run" / "frames.csv").read_bytes()}
        at = []
        monitor = Monitor(progress=lambda stage, *_: at.append(stage), stop=lambda: at[-1:] == ["writing the video"])
        with pytest.raises(Interrupted):
            small_run(work / "a.mp4", tiny_model, work / "run", existing="resume", monitor=monitor)
        assert not (work / "run" / ".work").exists()
        small_run(work / "a.mp4", tiny_model, work / "run", existing="resume")
        assert tree(work / "run" / "thumbs") | {"frames.csv": (work / "run" / "frames.csv").read_bytes()} == before


def test_maps_of_before_serve_what_means_the_same(work, tiny_model):
    folder = RunFolder(work / "run", read_manifest(work / "run"))
    (maps,) = folder.read_maps()
    folder.save(maps_from=folder.manifest["maps_from"] | {"looks": 2, "max_megapixels": 128.0})
    folder.save_maps(maps, 0)
    kept = folder.map_path(0).read_bytes(), folder.memory_path.read_bytes()
    small_run(work / "a.mp4", tiny_model, work / "run", existing="resume", threshold=0.02)
    assert (folder.map_path(0).read_bytes(), folder.memory_path.read_bytes()) == kept


class TestFinished:
    """A finished run that is decided again stays what it is until its results are written anew."""

    def test_after_a_refusal(self, work, tiny_model):
        before = tree(work / "run")
        with pytest.raises(UsageError, match="keep_recurring = 99"):
            small_run(work / "a.mp4", tiny_model, work / "run", existing="resume", keep_recurring=(99,))
        assert tree(work / "run") == before

    @pytest.mark.parametrize(("stage", "stays"), [("finding tracks", True), ("writing the video", False)])
    def test_after_an_interrupt(self, work, tiny_model, stage, stays):
        before, at = tree(work / "run"), []
        monitor = Monitor(progress=lambda now, *_: at.append(now), stop=lambda: at[-1:] == [stage])
        with pytest.raises(Interrupted):
            small_run(work / "a.mp4", tiny_model, work / "run", existing="resume", threshold=0.4, monitor=monitor)
        assert (tree(work / "run") == before) == stays
        assert json.loads((work / "run" / "run.json").read_text())["done"] == stays


@pytest.mark.parametrize(
    ("last", "renamed"),
    [("begin_results", False), ("write_frames_and_tracks", False), ("write_events", True), ("write_recurring", True)],
)
def test_verdicts_never_reach_other_events_whenever_the_run_is_ended(work, tiny_model, monkeypatch, last, renamed):
    run, said = work / "run", []
    before = read_manifest(run)["run_id"]
    table = run / "events.csv"
    write_events(table, [replace(event, verdict="accept") for event in read_events(table)])
    judged = table.read_bytes()

    def end_after(owner, name):
        step = getattr(owner, name)

        def stop(*given, **named):
            step(*given, **named)
            raise KeyboardInterrupt

        monkeypatch.setattr(owner, name, stop)

    end_after(RunFolder if last == "begin_results" else tables, last)
    with pytest.raises(KeyboardInterrupt):
        small_run(work / "a.mp4", tiny_model, run, existing="resume", threshold=0.99, monitor=Monitor(warn=said.append))
    assert (read_manifest(run)["run_id"] != before) == renamed
    # Verdicts are called discarded once they are.
    assert (table.read_bytes() != judged) == renamed
    assert any("discarded" in text for text in said) == (last == "write_recurring")
    monkeypatch.undo()
    small_run(work / "a.mp4", tiny_model, run, existing="resume")
    assert (table.read_bytes() == judged) == (not renamed)
    assert (read_manifest(run)["run_id"] == before) == (not renamed)


class TestSkip:
    @pytest.mark.parametrize("name", ["frames.csv", "annotated.mp4", "thumbs/00001.jpg"])
    def test_a_finished_run_that_lacks_a_result_is_not_passed_over(self, work, tiny_model, caplog, name):
        run = work / "run"
        before = {path: digest for path, digest in tree(run).items() if path != "run.json"}
        finished = Run.open(run).manifest["finished"]
        (run / name).unlink()
        small_run(work / "a.mp4", tiny_model, run, existing="skip")
        assert {path: digest for path, digest in tree(run).items() if path != "run.json"} == before
        (said,) = caplog.messages
        assert f"{run} is done, but lacks {'1 of ' if 'thumbs' in name else name}" in said
        assert Run.open(run).manifest["done"]
        assert Run.open(run).manifest["finished"] >= finished

    @pytest.mark.parametrize("name", RESULTS)
    def test_each_result_counts(self, work, name):
        assert list_missing(work / "run") == []
        (work / "run" / name).unlink()
        assert list_missing(work / "run") == [name]

    def test_one_that_is_empty_counts_as_lost(self, work, tiny_model, caplog):
        (work / "run" / "frames.csv").write_bytes(b"")
        small_run(work / "a.mp4", tiny_model, work / "run", existing="skip")
        assert "lacks frames.csv" in caplog.text
        assert list(Run.open(work / "run").frames())

    def test_whole_ones_are_passed_over_also_without_their_maps(self, work, tiny_model, caplog):
        shutil.rmtree(work / "run" / "maps")
        before = tree(work)
        small_run(work / "a.mp4", tiny_model, work / "run", existing="skip")
        assert tree(work) == before
        assert not caplog.messages

    def test_a_film_that_is_not_drawn_as_asked_is_told(self, work, tiny_model):
        before, said = tree(work), []
        monitor = Monitor(note=said.append)
        small_run(work / "a.mp4", tiny_model, work / "run", existing="skip", view="grid", monitor=monitor)
        assert tree(work) == before
        assert said == [
            "film: annotated.mp4 stays as it was: view was overlay, is grid. `existing=resume` draws it again"
        ]


class TestLock:
    def test_the_second_one_is_told_who_holds_it(self, work, tiny_model, tmp_path):
        lock = RunLock(work / "run")
        before = tree(work)
        try:
            for existing in ("resume", "overwrite"):
                with pytest.raises(OutputError, match=rf"is in use by process {os.getpid()} on .*, since 20"):
                    small_run(work / "a.mp4", tiny_model, work / "run", existing=existing)
            with pytest.raises(OutputError, match="is in use by"):
                apply_verdicts(work / "run", tmp_path / "verdicts.csv")
            # A finished run needs no lock to be looked at.
            small_run(work / "a.mp4", tiny_model, work / "run", existing="skip")
        finally:
            assert tree(work) == before
            lock.release()
        small_run(work / "a.mp4", tiny_model, work / "run", existing="resume")

    def test_one_left_by_a_killed_process_is_free(self, work):
        script = "import os, sys; from pathlib import Path; from vidconcept.ownership import RunLock; "
        script += "lock = RunLock(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
        subprocess.run([sys.executable, "-c", script, str(work / "run")], check=False, timeout=120)
        assert (work / "run" / ".work" / "lock").exists()
        RunLock(work / "run").release()
        assert not (work / "run" / ".work").exists()

    def test_it_is_free_after_a_run_that_failed(self, work, tiny_model):
        with pytest.raises(VidconceptError):
            small_run(work / "a.mp4", tiny_model, work / "run", existing="resume", timestep=20)
        RunLock(work / "run").release()
