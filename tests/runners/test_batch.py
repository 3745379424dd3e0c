"""The command `batch` over a small archive: each film once, a bad one costs itself, and a second call goes on."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.helpers.archives import batch, batch_arguments, runs_in, tables_of, write_archive
from tests.helpers.small_runs import small_run
from vidconcept.cli import app
from vidconcept.errors import ExitCode, InputError, ModelError, UsageError
from vidconcept.fleet.summarising import summary_rows
from vidconcept.runners.call import Asked


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_model):
    """An archive of two films and one that is none, and what the first batch over it left and said."""
    root = tmp_path_factory.mktemp("batch")
    archive = write_archive(root / "archive")
    (archive / "cam1" / "bad.mp4").write_text("not a video")
    done = batch(archive, "--jobs", 1, "--metrics", root / "batch.prom", model=tiny_model, out=root / "runs")
    return root, done


def summary(out: Path) -> list[dict[str, str]]:
    with open(out / "summary.csv", newline="") as file:
        return list(csv.DictReader(file))


def call(*arguments, model, out, code=0) -> dict:
    """The same in this process; its workers are processes all the same."""
    line = batch_arguments(*arguments, "--json", model=model, out=out)
    result = CliRunner().invoke(app, line, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


class TestFirstCall:
    def test_a_bad_film_costs_itself_alone(self, made):
        root, done = made
        assert done.returncode == ExitCode.SOME_FAILED, done.stderr
        assert "3 films: 2 done, 0 done before, 1 failed" in done.stdout
        failed = [line for line in done.stdout.splitlines() if line.startswith("failed: ")]
        assert len(failed) == 1
        assert f"{root / 'archive' / 'cam1' / 'bad.mp4'} is not a video" in failed[0]

    def test_each_run_is_that_of_track(self, made, tiny_model, tmp_path):
        root, _ = made
        alone = small_run(root / "archive" / "cam1" / "0000.mp4", tiny_model, tmp_path / "alone")
        first, second = runs_in(root / "runs")
        assert (first.parent.name, first.name[:5], second.name[:5]) == ("cam1", "0000-", "0001-")
        assert json.loads((first / "run.json").read_text())["settings_from"]["concepts"] == "command line"
        assert tables_of(first) == tables_of(alone.path)

    def test_the_model_is_loaded_once_a_worker(self, made):
        root, _ = made
        loads = [json.loads((run / "run.json").read_text())["timings_s"].get("load") for run in runs_in(root / "runs")]
        assert sum(load is not None for load in loads) == 1

    def test_one_row_a_film(self, made):
        root, _ = made
        rows = {row["video"]: row for row in summary(root / "runs")}
        assert [rows[name]["state"] for name in ("0000.mp4", "0001.mp4", "bad.mp4")] == ["done", "done", "failed"]
        good = rows["0000.mp4"]
        assert good["events_by_concept"] == "scratch=1,dent=1"
        assert (root / "runs" / good["run"] / "events.csv").is_file()
        assert "is not a video" in rows["bad.mp4"]["reason"]

    def test_an_index_leads_to_each_run(self, made):
        root, done = made
        page = (root / "runs" / "index.html").read_text()
        assert f"open {root / 'runs' / 'index.html'}" in done.stdout
        for run in runs_in(root / "runs"):
            assert f"{run.relative_to(root / 'runs')}/review.html" in page
            assert (run / "review.html").is_file()
        assert "1 film not inspected" in page
        assert re.search(r"<li>[^<]*bad\.mp4: [^<]*is not a video", page)
        again = CliRunner().invoke(app, ["review", str(root / "runs"), "--no-open"], catch_exceptions=False)
        assert "2 runs, 1 film not inspected" in again.stdout
        assert (root / "runs" / "index.html").read_text() == page

    def test_counters_for_prometheus(self, made):
        root, _ = made
        lines = (root / "batch.prom").read_text().splitlines()
        assert 'vidconcept_batch_films_total{state="done"} 2' in lines
        assert 'vidconcept_batch_films_total{state="failed"} 1' in lines
        assert 'vidconcept_batch_events_total{concept="dent"} 2' in lines
        for line in lines:
            assert line.startswith("#") or len(line.rpartition(" ")[0]) > 0
            assert line.startswith("#") or float(line.rpartition(" ")[2]) >= 0


class TestInvalidName:
    """A film whose name is not UTF-8 costs itself alone."""

    @pytest.fixture
    def bad(self, made, tmp_path):
        bad = tmp_path / os.fsdecode(b"b\xff.mp4")
        for path in (tmp_path / "a.mp4", bad):
            shutil.copy(made[0] / "archive" / "cam1" / "0000.mp4", path)
        return bad

    def test_in_a_folder(self, bad, tiny_model, tmp_path):
        out = tmp_path / "runs"
        result = call(tmp_path, "--jobs", 1, model=tiny_model, out=out, code=ExitCode.SOME_FAILED)
        assert (result["done"], len(result["failed"])) == (1, 1)
        (reason,) = [row["reason"] for row in summary(out) if row["state"] == "failed"]
        assert reason == f"the name {os.fsencode(bad)!r} is not UTF-8. Next: rename it"
        bad.unlink()
        assert call(tmp_path, model=tiny_model, out=out)["failed"] == []
        assert [row["state"] for row in summary(out)] == ["done"]

    # In most languages Python refuses such bytes on standard input.
    @pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
    def test_on_standard_input(self, bad, tiny_model, tmp_path, errors):
        listed = b"\n".join(map(os.fsencode, (bad, tmp_path / "a.mp4")))
        env = {"PYTHONIOENCODING": f"utf-8:{errors}"}
        done = batch("-", "--dry-run", model=tiny_model, out=tmp_path / "runs", input=listed, text=False, env=env)
        assert done.returncode == ExitCode.SOME_FAILED, done.stderr
        assert b"1 film\n" in done.stdout
        assert b"is not UTF-8. Next: rename it" in done.stderr


class TestSecondCall:
    def test_finished_runs_are_passed_over(self, made, tiny_model):
        root, _ = made
        result = call(root / "archive" / "cam1" / "000*.mp4", model=tiny_model, out=root / "runs")
        assert (result["done"], result["skipped"], result["failed"]) == (0, 2, [])

    def test_one_that_lacks_a_result_is_made_again(self, made, tiny_model, tmp_path):
        root, _ = made
        shutil.copytree(root / "runs", tmp_path / "runs")
        run = runs_in(tmp_path / "runs")[0]
        before = tables_of(run)
        (run / "recurring.csv").unlink()
        good = root / "archive" / "cam1" / "000*.mp4"
        result = call(good, "--jobs", 1, model=tiny_model, out=tmp_path / "runs")
        assert (result["done"], result["skipped"]) == (1, 1)
        assert (run / "recurring.csv").is_file()
        assert tables_of(run) == before

    @pytest.mark.slow
    def test_finished_runs_are_known_by_what_they_are(self, made, tiny_model):
        """Neither by their name nor by their time alone: a film that was copied over itself is looked at again."""
        root, _ = made
        before = [tables_of(run) for run in runs_in(root / "runs")]
        good = root / "archive" / "cam1" / "000*.mp4"
        shutil.copy(root / "archive" / "cam1" / "0000.mp4", root / "copy.mp4")
        shutil.move(root / "copy.mp4", root / "archive" / "cam1" / "0000.mp4")
        result = call(good, "--jobs", 1, model=tiny_model, out=root / "runs")
        assert (result["done"], result["skipped"]) == (0, 2)
        assert before == [tables_of(run) for run in runs_in(root / "runs")]

    def test_changed_settings_are_said(self, made, tiny_model, tmp_path):
        """Of a decision: made anew on the maps that are there. Of the maps: left as they are, unless told to."""
        root, _ = made
        shutil.copytree(root / "runs", tmp_path / "runs")
        cameras = root / "cameras.csv"
        cameras.write_text(
            "camera,video,threshold,height\nnorth,archive/cam1/0000.mp4,0.02,\n,archive/cam1/0001.mp4,,48\n"
        )
        line = batch_arguments(cameras, "--jobs", 1, model=tiny_model, out=tmp_path / "runs")
        result = CliRunner().invoke(app, line, catch_exceptions=False)
        assert result.exit_code == ExitCode.SOME_FAILED, result.output
        assert "decided again, threshold was 0.01, is 0.02" in result.stderr
        assert "height was 32, is 48. Next: --existing overwrite" in result.stdout
        rows = {row["video"]: row for row in summary(tmp_path / "runs")}
        assert (rows["0000.mp4"]["state"], rows["0000.mp4"]["camera"]) == ("done", "north")
        assert "height was 32" in rows["0001.mp4"]["reason"]

    @pytest.mark.slow
    def test_overwriting_makes_anew_what_differs(self, made, tiny_model, tmp_path):
        root, _ = made
        shutil.copytree(root / "runs", tmp_path / "runs")
        good = root / "archive" / "cam1" / "000*.mp4"
        other = (good, "--existing", "overwrite", "--set", "timestep=400", "--jobs", 1)
        assert call(*other, model=tiny_model, out=tmp_path / "runs")["done"] == 2
        assert call(*other, model=tiny_model, out=tmp_path / "runs")["skipped"] == 2
        drawn = call(
            good, "--set", "timestep=400", "--set", "view=grid", "--jobs", 1, model=tiny_model, out=tmp_path / "runs"
        )
        assert drawn["done"] == 2

    def test_summary_and_index_alone(self, made):
        root, _ = made
        before = (root / "runs" / "summary.csv").read_bytes()
        (root / "runs" / "summary.csv").unlink()
        result = CliRunner().invoke(app, ["batch", "--out", str(root / "runs")], catch_exceptions=False)
        assert result.exit_code == 0
        assert len((root / "runs" / "summary.csv").read_bytes().splitlines()) == len(before.splitlines())

    def test_a_disk_that_is_away_is_not_inspected_until_it_is_there(self, made, tiny_model, tmp_path):
        root, _ = made
        shutil.copytree(root / "runs", tmp_path / "runs")
        north = tmp_path / "archive" / "north"
        north.parent.mkdir()
        north.symlink_to(tmp_path / "disk")
        given = (root / "archive" / "cam1" / "000*.mp4", tmp_path / "archive")
        result = call(*given, model=tiny_model, out=tmp_path / "runs", code=ExitCode.SOME_FAILED)
        assert (result["films"], result["skipped"]) == (3, 2)
        (failed,) = result["failed"]
        assert f"{north} is a link that cannot be followed: No such file or directory. Next: " in failed["reason"]
        reasons = {row["source"]: row["reason"] for row in summary(tmp_path / "runs") if row["state"] == "failed"}
        assert reasons[str(north)] == failed["reason"]
        assert f"<li>{north}: {failed['reason']}" in (tmp_path / "runs" / "index.html").read_text()
        listed = batch_arguments(*given, "--dry-run", model=tiny_model, out=tmp_path / "runs")
        dry = CliRunner().invoke(app, listed, catch_exceptions=False)
        assert dry.exit_code == ExitCode.SOME_FAILED
        assert failed["reason"] in dry.stderr
        # It is mounted; there is no film on it yet.
        (tmp_path / "disk").mkdir()
        with pytest.raises(InputError, match="no film found"):
            call(*given, model=tiny_model, out=tmp_path / "runs")
        assert str(north) in {row.source for row in summary_rows(tmp_path / "runs")}
        Asked(tmp_path / "runs").forget_unread([tmp_path / "archive"])
        assert str(north) not in {row.source for row in summary_rows(tmp_path / "runs")}
        shutil.copy(root / "archive" / "cam1" / "0000.mp4", tmp_path / "disk" / "a.mp4")
        result = call(*given, "--jobs", 1, model=tiny_model, out=tmp_path / "runs")
        assert (result["done"], result["skipped"], result["failed"]) == (1, 2, [])

    def test_a_shard_leaves_the_summary_to_others(self, made, tiny_model, tmp_path):
        root, _ = made
        shutil.copytree(root / "runs", tmp_path / "runs")
        (tmp_path / "runs" / "summary.csv").unlink()
        good = root / "archive" / "cam1" / "000*.mp4"
        shards = [call(good, "--shard", f"{i}/2", model=tiny_model, out=tmp_path / "runs") for i in range(2)]
        assert sum(shard["skipped"] for shard in shards) == 2
        assert not (tmp_path / "runs" / "summary.csv").exists()


class TestRefused:
    """Before any film is opened, and nothing is written."""

    def refused(self, error, *arguments):
        with pytest.raises(error) as caught:
            CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
        return str(caught.value)

    def test_a_word_that_the_model_does_not_know(self, made, tmp_path):
        root, _ = made
        said = self.refused(UsageError, "batch", root / "archive", "--concepts", "scratsch", "--out", tmp_path / "x")
        assert "did you mean 'scratch'" in said
        assert not (tmp_path / "x").exists()

    def test_of_many_cameras_the_one_is_named(self, made, tmp_path):
        (tmp_path / "cameras.csv").write_text(f"camera,video,concepts\nnorth,{made[0] / 'archive'},scratsch\n")
        said = self.refused(UsageError, "batch", tmp_path / "cameras.csv", "--out", tmp_path / "x")
        assert said.startswith("camera north: ")

    def test_of_a_camera_without_its_memory_of_good_parts_the_setting_is_named(self, made, tmp_path):
        (tmp_path / "line.toml").write_text('rarity = "line.rarity.safetensors"\n')
        (tmp_path / "cameras.csv").write_text(
            f"camera,video,concepts,config\nnorth,{made[0] / 'archive'},dent,line.toml\n"
        )
        said = self.refused(InputError, "batch", tmp_path / "cameras.csv", "--out", tmp_path / "x")
        assert said.startswith(
            f"camera north: rarity = {tmp_path / 'line.rarity.safetensors'}: no memory of good parts"
        )

    def test_a_model_that_is_not_here(self, made, tmp_path):
        arguments = ("--concepts", "dent", "--set", "model=no/such", "--out", tmp_path / "x")
        self.refused(ModelError, "batch", made[0] / "archive", *arguments)
        assert not (tmp_path / "x").exists()

    def test_a_run_as_the_folder_of_runs(self, made):
        root, _ = made
        run = runs_in(root / "runs")[0]
        assert "is a run, not a folder of runs" in self.refused(UsageError, "batch", root / "archive", "--out", run)

    def test_counters_in_place_of_a_film(self, made, tmp_path):
        film = made[0] / "archive" / "cam1" / "0000.mp4"
        self.refused(UsageError, "batch", film, "--concepts", "dent", "--metrics", film, "--out", tmp_path / "x")

    @pytest.mark.parametrize("stdin", ["<&-", "</dev/null"])
    def test_no_list_on_standard_input(self, tmp_path, stdin):
        line = [sys.executable, "-m", "vidconcept", "batch", "-", "--concepts", "dent", "--out", str(tmp_path / "x")]
        done = subprocess.run(
            ["bash", "-c", f"{shlex.join(line)} {stdin}"], capture_output=True, text=True, check=False
        )
        assert done.returncode == ExitCode.UNREADABLE_INPUT
        assert done.stderr.startswith("error: no film in the list on standard input. Next: ")

    def test_nothing_to_do(self, tmp_path):
        assert "holds no run" in self.refused(InputError, "batch", "--out", tmp_path)

    def test_track_knows_where_several_videos_belong(self):
        assert "vidconcept batch" in self.refused(UsageError, "track", "a.mp4", "b.mp4", "--concepts", "dent")


class TestOtherTools:
    """The examples of the how-to page, as they stand there."""

    PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "batch.md"

    def example(self, language: str) -> str:
        (code,) = re.findall(rf"```{language}\n(.*?)```", self.PAGE.read_text(), re.DOTALL)
        return code

    def test_duckdb(self, made, monkeypatch):
        duckdb = pytest.importorskip("duckdb")
        pytest.importorskip("pyarrow")
        monkeypatch.chdir(made[0])
        cameras, concepts = (duckdb.sql(query).fetchall() for query in self.example("sql").split(";")[:2])
        assert [(events, round(hours * 3600, 2)) for _, events, hours in cameras] == [(4, 0.72)]
        assert sorted(concepts) == [("dent", 2), ("scratch", 2)]

    def test_pandas(self, made, monkeypatch):
        pandas = pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
        monkeypatch.chdir(made[0])
        names = {"pandas": pandas}
        exec(self.example("python"), names)
        assert names["table"].groupby("state")["video"].count().to_dict() == {"done": 2, "failed": 1}
        assert sorted(names["events"]["concept"]) == ["dent", "dent", "scratch", "scratch"]
        assert names["events"]["run"].nunique() == 2

    def test_pandas_where_no_film_has_a_finding(self, made, tmp_path, monkeypatch):
        pandas = pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
        shutil.copytree(made[0] / "runs", tmp_path / "runs")
        for run in runs_in(tmp_path / "runs"):
            header = (run / "events.csv").read_text().splitlines(keepends=True)[0]
            (run / "events.csv").write_text(header)
        table = pandas.read_parquet(tmp_path / "runs" / "summary.parquet").assign(events=0)
        table.to_parquet(tmp_path / "runs" / "summary.parquet")
        monkeypatch.chdir(tmp_path)
        names = {"pandas": pandas}
        exec(self.example("python"), names)
        assert names["events"].empty
