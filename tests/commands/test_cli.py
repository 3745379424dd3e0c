"""The command as a user types it: streams, exit codes, resume, interrupt."""

import ctypes
import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.helpers.clips import GOOD, write_clip
from tests.helpers.refusals import put, rewrite
from tests.helpers.review_runs import make_run
from vidconcept import cli
from vidconcept.commands import track as track_command
from vidconcept.errors import ModelError, OutputError, UsageError
from vidconcept.pipelines.plan import MAPS_VERSION
from vidconcept.pipelines.track import Run, choose_out, track
from vidconcept.writers.review.index import write_index
from vidconcept.writers.tables import write_events

COMMAND = [sys.executable, "-m", "vidconcept"]


def vidconcept(*arguments, **options) -> subprocess.CompletedProcess:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=240, **options)


@pytest.fixture
def clip(tmp_path) -> Path:
    return GOOD["five_frames"](tmp_path).path


@pytest.fixture
def options(tiny_model, tmp_path) -> list:
    return ["--concepts", "scratch,dent", "--model", tiny_model, "--threshold", "0.01", "--out", tmp_path / "run"]


class TestStreamsAndExitCodes:
    def test_json_alone_on_stdout_and_everything_else_on_stderr(self, clip, options):
        done = vidconcept("track", clip, *options, "--json", "--fail-on", "any")
        result = json.loads(done.stdout)
        assert done.returncode == 10
        assert result["frames"] == 5
        assert {e["concept"] for e in result["events"]} == {"scratch", "dent"}
        assert "Traceback" not in done.stderr

    def test_errors_are_one_or_two_lines_with_their_code(self, clip, options, tmp_path):
        cases = [
            (2, ["track", clip, "--concepts", "scratch", "--model", "cogvideox2b"], "did you mean 'cogvideox-2b'"),
            (2, ["track", clip, "--concepts", "wombat"], "does not know 'wombat'"),
            (2, ["track", clip], "no concepts given"),
            (2, ["track", clip, *options, "--stride", "often"], "--stride often does not fit"),
            (2, ["track", clip, *options, "--roi", "0,0,9999,10"], "does not lie inside"),
            (2, ["track", clip, *options, "--fail-on", "rust"], "is not one of the concepts"),
            (2, ["track", clip, *options, "--nonsense"], "nonsense"),
            (2, ["track", clip, *options, "--start", "3", "--end", "2"], "is not after"),
            (4, ["track", tmp_path / "nowhere.mp4", "--concepts", "scratch"], "nowhere.mp4"),
            (5, ["track", clip, "--concepts", "scratch", "--model", "cogvideox-5b"], "models fetch cogvideox-5b"),
        ]
        environment = os.environ | {"HF_HOME": str(tmp_path / "empty"), "HF_HUB_OFFLINE": "1"}
        runner = CliRunner(env=environment)
        for code, arguments, words in cases:
            result = runner.invoke(cli.app, [str(a) for a in arguments])
            message = result.output + str(result.exception or "")
            got = getattr(result.exception, "exit_code", result.exit_code)
            assert int(got) == code, (arguments, message)
            assert words in message
        # Once as a process, for the wording on the terminal.
        done = vidconcept(*cases[1][1], env=environment)
        assert done.returncode == 2
        assert done.stdout == ""
        assert len(done.stderr.strip().splitlines()) <= 2

    def test_help_gives_two_commands_to_copy_and_no_command_that_is_not_there(self, clip):
        runner = CliRunner()
        known = set(typer.main.get_command(cli.app).commands)
        for arguments in ([], *([name] for name in known)):
            text = " ".join(runner.invoke(cli.app, [*arguments, "--help"]).output.split())
            assert set(re.findall(r"\bvidconcept ([a-z]+)", text)) <= known
            assert text.count("vidconcept track line_cam.mp4") == (2 if arguments in ([], ["track"]) else 0)
        for command in re.findall("vidconcept (.*)", track_command.EXAMPLES.replace("\\\n", "")):
            copied = command.replace("line_cam.mp4", shlex.quote(str(clip)))
            assert runner.invoke(cli.app, [*shlex.split(copied), "--dry-run"]).exit_code == 0

    def test_doctor_models_and_probe_as_json(self, clip):
        runner = CliRunner()
        assert "Python" in json.loads(runner.invoke(cli.app, ["doctor", "--json"]).output)["machine"]
        names = [m["name"] for m in json.loads(runner.invoke(cli.app, ["models", "--json"]).output)["models"]]
        assert names[0] == "linecam"
        assert {"cogvideox-2b", "cogvideox-5b", "cogvideox1.5-5b"} <= set(names)
        assert json.loads(runner.invoke(cli.app, ["probe", str(clip), "--json"]).output)
        assert "timestamps" in runner.invoke(cli.app, ["probe", str(clip)]).output.lower()

    def test_dry_run_writes_nothing(self, clip, options, tmp_path):
        result = CliRunner().invoke(cli.app, [str(a) for a in ["track", clip, *options, "--dry-run", "--json"]])
        plan = json.loads(result.output)
        assert plan["settings_from"]["threshold"] == "command line"
        assert not (tmp_path / "run").exists()

    def test_dry_run_misses_the_device_that_the_run_would_miss(self, clip, options):
        result = CliRunner().invoke(
            cli.app, [str(a) for a in ["track", clip, *options, "--dry-run", "--device", "cuda:99"]]
        )
        assert isinstance(result.exception, ModelError)
        assert "'cuda:99' is not usable here" in str(result.exception)

    @pytest.mark.parametrize(("out", "said"), [("a_file", "is a file"), ("a_file/run", "is a file"), ("", "not a run")])
    def test_dry_run_is_refused_where_the_run_would_be(self, clip, options, out, said, tmp_path):
        (tmp_path / "a_file").touch()
        result = CliRunner().invoke(
            cli.app, [str(a) for a in ["track", clip, *options[:-1], tmp_path / out, "--dry-run"]]
        )
        assert said in str(result.exception)

    def test_unwritable_folder_and_unreadable_file_without_roots_rights(self, clip, options, tmp_path):
        locked, shut = tmp_path / "locked", tmp_path / "shut"
        locked.mkdir(mode=0o555)
        shut.mkdir(mode=0o000)
        for out, *asked in ([locked / "run"], [locked / "run", "--dry-run"], [shut / "run", "--dry-run"]):
            done = vidconcept("track", clip, *options[:-1], out, *asked, preexec_fn=drop_roots_rights)
            assert done.returncode == 1, done.stderr
            assert "no permission" in done.stderr
        assert not list(locked.iterdir())
        clip.chmod(0o000)
        done = vidconcept("track", clip, *options, preexec_fn=drop_roots_rights)
        assert done.returncode == 4, done.stderr
        assert "permission" in done.stderr.lower()


def drop_roots_rights():
    """For a child about to start: root obeys permission bits when these capabilities are out of its bounding set."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (1, 2, 3):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


class TestReadOnlyRuns:
    @pytest.fixture
    def run(self, tmp_path) -> Path:
        make_run(tmp_path / "runs" / "run", frames=10, video=False)
        write_index(tmp_path / "runs")
        return tmp_path / "runs" / "run"

    @staticmethod
    def review(path: Path, *arguments) -> subprocess.CompletedProcess:
        return vidconcept("review", path, "--json", *arguments, preexec_fn=drop_roots_rights)

    def test_their_pages_are_shown(self, run):
        run.chmod(0o555)
        run.parent.chmod(0o555)
        for given, page in ((run, run / "review.html"), (run.parent, run.parent / "index.html")):
            done = self.review(given)
            assert json.loads(done.stdout)["page"] == str(page), done.stderr
            assert done.stderr.startswith(f"warning: cannot write {page}: no permission to write there; shown as")
            assert len(done.stderr.splitlines()) == 1

    def test_an_index_over_them_is_written(self, run):
        run.chmod(0o555)
        (run.parent / "index.html").unlink()
        done = self.review(run.parent)
        assert json.loads(done.stdout)["page"] == str(run.parent / "index.html"), done.stderr
        assert (run.parent / "index.html").is_file()

    @pytest.mark.parametrize("lacking", ["page", "end", "verdicts"])
    def test_what_would_have_to_be_written_is_refused(self, run, lacking):
        arguments = ["--apply", run / "events.csv"] if lacking == "verdicts" else []
        if lacking == "page":
            (run / "review.html").unlink()
        if lacking == "end":
            rewrite(run / "run.json", put("done", to=False))
        run.chmod(0o555)
        done = self.review(run, *arguments)
        assert done.returncode == 1
        assert f"Next: copy {run} to a folder that can be written" in done.stderr


class TestDisk:
    def test_a_full_disk_leaves_nothing_half_written(self, tmp_path, tiny_model):
        """A limit on the size of files stands for the full disk: it works without rights to mount."""
        clip = GOOD["h264"](tmp_path).path
        out = tmp_path / "run"

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        arguments = [
            "track",
            clip,
            "--concepts",
            "scratch,dent",
            "--model",
            tiny_model,
            "--threshold",
            0.01,
            "--out",
            out,
        ]
        done = vidconcept(*arguments, preexec_fn=limit)
        assert done.returncode == 1, done.stderr
        assert "error: cannot write" in done.stderr
        assert len([line for line in done.stderr.splitlines() if line.startswith("error")]) == 1
        assert not (out / "annotated.mp4").exists()
        manifest = json.loads((out / "run.json").read_text()) if (out / "run.json").exists() else {"done": False}
        assert not manifest["done"]
        resumed = vidconcept(*arguments, "--existing", "resume", "--json")
        assert resumed.returncode == 0, resumed.stderr
        assert json.loads(resumed.stdout)["frames"] == 24


def test_debug_shows_where_and_keeps_the_exit_code(tmp_path):
    done = vidconcept("review", tmp_path, "--debug")
    assert done.returncode == 4
    assert "Traceback" in done.stderr


def test_every_video_has_a_run_folder_of_its_own(tmp_path, monkeypatch):
    names = ["100%_a.mp4", "100%_b.mp4"]
    for name in names:
        (tmp_path / name).touch()
    assert [choose_out(tmp_path / name).name for name in names] == ["100%_a.vidconcept", "100%_b.vidconcept"]
    (tmp_path / "frames").mkdir()
    monkeypatch.chdir(tmp_path / "frames")
    assert choose_out(".") == choose_out(tmp_path / "frames") == tmp_path.resolve() / "frames.vidconcept"
    assert choose_out("%04d.png").name == "frames.vidconcept"
    assert choose_out("img_%04d.png").name == "img.vidconcept"


class TestExisting:
    @pytest.fixture
    def run(self, clip, tiny_model, tmp_path) -> Run:
        return track(clip, ["scratch", "dent"], model=str(tiny_model), threshold=0.01, out=tmp_path / "run")

    def again(self, run: Run, clip, tiny_model, existing, **changes):
        settings = {"concepts": ["scratch", "dent"], "threshold": 0.01} | changes
        return track(clip, model=str(tiny_model), out=run.path, existing=existing, **settings)

    def test_error_is_the_default_and_names_the_choices(self, run, clip, tiny_model):
        with pytest.raises(OutputError, match=r"resume.*overwrite.*skip"):
            self.again(run, clip, tiny_model, "error")

    def test_new_threshold_needs_no_model(self, run, clip, tiny_model, monkeypatch):
        monkeypatch.setattr("vidconcept.models.cogvideox.load", None)
        assert run.events
        decided = self.again(run, clip, tiny_model, "resume", threshold=0.99)
        assert decided.events == []
        assert decided.manifest["run_id"] != run.manifest["run_id"]
        assert decided.manifest["settings"]["threshold"] == 0.99
        assert [r.score_max for r in decided.frames()] == [r.score_max for r in run.frames()]

    def test_resume_refuses_other_maps_and_says_what_differs(self, run, clip, tiny_model):
        with pytest.raises(UsageError, match="timestep was 500, is 20"):
            self.again(run, clip, tiny_model, "resume", timestep=20)

    def test_resume_says_which_concepts_and_that_it_is_another_film(self, run, clip, tiny_model, tmp_path):
        with pytest.raises(UsageError, match="words: rust added"):
            self.again(run, clip, tiny_model, "resume", concepts=[*run.manifest["concepts"], "rust"])
        first, second = run.manifest["concepts"][:2]
        with pytest.raises(UsageError, match=f"concepts were {first}, {second}, are {second}, {first}"):
            self.again(run, clip, tiny_model, "resume", concepts=[second, first])
        other = write_clip(tmp_path / "other.mp4", count=7).path
        with pytest.raises(UsageError, match="its video is another one"):
            self.again(run, other, tiny_model, "resume")

    def test_resume_refuses_the_maps_of_code_that_read_them_otherwise(self, run, clip, tiny_model, monkeypatch):
        monkeypatch.setattr("vidconcept.pipelines.plan.MAPS_VERSION", MAPS_VERSION + 1)
        with pytest.raises(UsageError, match=f"maps_version was {MAPS_VERSION}, is {MAPS_VERSION + 1}"):
            self.again(run, clip, tiny_model, "resume")

    def test_skip_keeps_a_finished_run(self, run, clip, tiny_model):
        before = (run.path / "run.json").read_bytes()
        self.again(run, clip, tiny_model, "skip", view="heatmap")
        assert (run.path / "run.json").read_bytes() == before

    def test_skip_gives_no_old_answer_to_a_new_question(self, run, clip, tiny_model):
        for change, message in (
            ({"threshold": 0.99}, "threshold was 0.01, is 0.99"),
            ({"concepts": ["rust"]}, "concepts"),
        ):
            with pytest.raises(UsageError, match=f"cannot be skipped.*{message}"):
                self.again(run, clip, tiny_model, "skip", **change)

    def test_the_same_events_keep_their_verdicts(self, run, clip, tiny_model):
        table = run.path / "events.csv"
        write_events(table, [replace(event, verdict="reject") for event in run.events])
        again = self.again(run, clip, tiny_model, "resume", view="heatmap")
        assert {event.verdict for event in again.events} == {"reject"}
        assert again.manifest["run_id"] == run.manifest["run_id"]

    def test_a_call_that_fails_before_the_first_map_leaves_nothing_in_the_way(self, clip, tiny_model, tmp_path):
        with pytest.raises(UsageError, match="500"):
            track(clip, ["dent"], model=str(tiny_model), start_s=500, out=tmp_path / "new")
        assert track(clip, ["dent"], model=str(tiny_model), threshold=0.01, out=tmp_path / "new").events

    def test_overwrite_removes_what_a_run_wrote_and_nothing_else(self, run, clip, tiny_model):
        (run.path / "notes.txt").write_text("mine")
        self.again(run, clip, tiny_model, "overwrite", concepts=["scratch"])
        assert (run.path / "notes.txt").read_text() == "mine"
        assert {r.concept for r in run.frames()} == {"scratch"}

    def test_a_folder_of_something_else_is_left_alone(self, clip, tiny_model, tmp_path):
        other = tmp_path / "photos"
        other.mkdir()
        (other / "a.jpg").write_text("x")
        with pytest.raises(OutputError, match="not a run"):
            track(clip, ["scratch"], model=str(tiny_model), out=other)

    def test_a_damaged_map_is_computed_anew(self, run, clip, tiny_model):
        (run.path / "maps" / "window_000000.safetensors").write_bytes(b"broken")
        again = self.again(run, clip, tiny_model, "resume")
        assert again.events == run.events


def test_interrupt_journals_and_resume_goes_on(tmp_path, tiny_model):
    clip = GOOD["h264"](tmp_path).path
    arguments = ["track", clip, "--concepts", "scratch,dent", "--model", tiny_model, "--threshold", 0.01]
    arguments += ["--window-frames", 5, "--overlap-frames", 1, "--out", tmp_path / "run"]
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "run" / "maps").glob("window_*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    resume_words = shlex.split(said.split("Continue with: ")[1])
    assert resume_words == ["vidconcept", *map(str, arguments), "--existing", "resume"]
    # The windows that were read stay; the memory of the footage grows with those to come.
    kept = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "run" / "maps").glob("window_*")}
    assert kept
    before = json.loads((tmp_path / "run" / "run.json").read_text())["timings_s"]
    resumed = vidconcept(*arguments, "--existing", "resume", "--json")
    result = json.loads(resumed.stdout)
    assert result["frames"] == 24
    assert result["timings_s"]["model"] >= before["model"]
    assert {name: (tmp_path / "run" / "maps" / name).stat().st_mtime_ns for name in kept} == kept
    straight = track(
        clip,
        ["scratch", "dent"],
        model=str(tiny_model),
        threshold=0.01,
        window_frames=5,
        overlap_frames=1,
        out=tmp_path / "straight",
    )
    assert (straight.path / "tracks.csv").read_bytes() == (tmp_path / "run" / "tracks.csv").read_bytes()


def test_a_finished_run_has_its_files(clip, tiny_model, tmp_path):
    run = track(clip, ["scratch"], model=str(tiny_model), threshold=0.01, out=tmp_path / "run")
    tables = ("tracks.csv", "frames.csv", "events.csv", "masks.json")
    for name in (*tables, "annotated.mp4", "review.html", "run.json", "thumbs", "maps"):
        assert (run.path / name).exists()
    assert not (run.path / ".work").exists()
