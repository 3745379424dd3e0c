"""The source of a run: no result takes its place, and a change while it is read is noticed."""

import json
import os
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.helpers.small_runs import small_clip, small_run, tree
from vidconcept.errors import InputError, OutputError, UsageError
from vidconcept.pipelines.deliver import check_counts
from vidconcept.pipelines.monitor import Monitor


class TestSourceInTheRun:
    @pytest.mark.parametrize("existing", ["overwrite", "resume"])
    @pytest.mark.parametrize(
        "source", ["run/annotated.mp4", "run/thumbs", "run/thumbs/%05d.jpg", "link.mp4", "twin.mp4"]
    )
    def test_it_is_refused_before_anything_is_written(self, work, tiny_model, source, existing):
        (work / "link.mp4").symlink_to(work / "run" / "annotated.mp4")
        os.link(work / "run" / "annotated.mp4", work / "twin.mp4")
        rate = {"fps": 25} if "thumbs" in source else {}
        before = tree(work)
        with pytest.raises(UsageError, match="this run writes"):
            small_run(work / source, tiny_model, work / "run", existing=existing, **rate)
        assert tree(work) == before

    @pytest.mark.parametrize("name", ["annotated.partial.mp4", "annotated.remux.mp4", ".annotated.mp4.partial"])
    def test_names_of_scratch_files_are_no_danger(self, work, tiny_model, name):
        source = work / "run" / name
        shutil.copy(work / "a.mp4", source)
        before = source.read_bytes()
        small_run(source, tiny_model, work / "run", existing="overwrite")
        assert source.read_bytes() == before


class TestSourceThatChanges:
    @staticmethod
    def track_while(change, work: Path, model: Path, stage: str) -> str:
        """What is said of a source that is changed once, when `stage` begins."""
        done = []

        def progress(now: str, _done: int, _total: int | None) -> None:
            if now == stage and not done:
                done.append(now)
                change(work / "a.mp4")

        with pytest.raises(InputError) as error:
            small_run(work / "a.mp4", model, work / "new", monitor=Monitor(progress=progress))
        assert done
        assert not json.loads((work / "new" / "run.json").read_text())["done"]
        return str(error.value)

    @pytest.mark.parametrize("stage", ["reading maps", "finding tracks", "writing the video"])
    def test_a_growing_file_is_said_to_be_one(self, work, tiny_model, stage):
        def grow(path: Path) -> None:
            with path.open("ab") as file:
                file.write(bytes(188))

        assert "still being recorded" in self.track_while(grow, work, tiny_model, stage)

    def test_a_replaced_file(self, work, tiny_model):
        def replace(path: Path) -> None:
            os.replace(small_clip(path.with_name("b.mp4"), count=7), path)

        assert "was replaced by another file" in self.track_while(replace, work, tiny_model, "finding tracks")

    def test_an_image_more(self, work, tiny_model):
        folder = work / "a.mp4"
        folder.unlink()
        folder.mkdir()
        for number in range(5):
            shutil.copy(next((work / "run" / "thumbs").iterdir()), folder / f"{number}.jpg")

        def add(path: Path) -> None:
            shutil.copy(path / "0.jpg", path / "5.jpg")

        with pytest.raises(InputError, match=r"had 5 images and now has 6"):
            small_run(
                folder, tiny_model, work / "new", fps=25, monitor=Monitor(progress=lambda now, *_: add(folder))
            )  # fmt: skip

    @pytest.mark.parametrize(("name", "left"), [("frames.csv", 4), ("annotated.mp4", 4)])
    def test_results_that_were_changed_before_the_run_was_done(self, work, name, left):
        check_counts(work / "run", 5)
        if name == "frames.csv":
            rows = (work / "run" / name).read_text().splitlines(keepends=True)
            (work / "run" / name).write_text("".join(rows[:-2]))
        else:
            small_clip(work / "run" / name, count=left)
        with pytest.raises(OutputError, match=rf"{name} holds {left} frames where 5 were written"):
            check_counts(work / "run", 5)

    def test_a_table_that_loses_rows_while_the_film_is_written(self, work, tiny_model):
        table = work / "new" / "frames.csv"

        def progress(stage: str, *_) -> None:
            if stage == "writing the video":
                table.write_text("".join(table.read_text().splitlines(keepends=True)[:3]))

        with pytest.raises(OutputError, match="holds 1 frames where 5 were written"):
            small_run(work / "a.mp4", tiny_model, work / "new", monitor=Monitor(progress=progress))
        assert not json.loads((work / "new" / "run.json").read_text())["done"]

    def test_maps_of_other_frames_than_the_source_gives(self, work, tiny_model):
        (path,) = (work / "run" / "maps").glob("window_*")
        with safe_open(path, framework="numpy") as stored:
            facts = stored.metadata() | {"real_frames": "4"}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
        save_file(tensors, path, metadata=facts)
        before = tree(work / "run")
        with pytest.raises(InputError, match=r"made from 4 frames of .*, which gives 5 now"):
            small_run(work / "a.mp4", tiny_model, work / "run", existing="resume")
        assert tree(work / "run") == before


class TestNames:
    """What no table, manifest or page could hold is refused, wherever it comes from."""

    @pytest.mark.parametrize("name", ["source", "link", "folder"])
    def test_that_are_no_text(self, work, tiny_model, name):
        odd = work / os.fsdecode(b"odd\xff")
        shutil.copy(work / "a.mp4", odd.with_suffix(".mp4"))
        (work / "link.mp4").symlink_to(odd.with_suffix(".mp4"))
        source = {"source": odd.with_suffix(".mp4"), "link": work / "link.mp4"}.get(name, work / "a.mp4")
        with pytest.raises(InputError, match=r"is not UTF-8\. Next: rename it"):
            small_run(source, tiny_model, odd if name == "folder" else work / "new")
        assert not odd.exists()
        assert not (work / "new").exists()
