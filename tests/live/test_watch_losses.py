"""What `watch` does where recordings, counters or lines cannot be written, or the camera is away: events go on."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import av
import pytest
from typer.testing import CliRunner

import vidconcept
from tests.helpers.small_runs import SMALL
from tests.helpers.streams import transport_stream
from tests.helpers.watching import EASY, until, watching
from vidconcept import runs
from vidconcept.cli import app
from vidconcept.errors import ExitCode, OutputError, output_errors
from vidconcept.video.writer import VideoWriter


def test_a_recording_that_cannot_be_written_does_not_stop_the_events(fifo, tiny_model, tmp_path):
    blocked = tmp_path / "out"
    blocked.write_text("a file")
    with watching(fifo, tiny_model, out=blocked, skips=False, once=True) as own:
        fifo.write_bytes(transport_stream(20))
        own.wait()
    assert [line["state"] for line in own.told if line["type"] == "event"]
    assert [text for text in own.warnings if "events continue" in text]
    assert not own.runs


def test_a_recording_that_is_lost_on_a_full_disk_is_counted_and_leaves_its_film(
    fifo, tiny_model, tmp_path, monkeypatch
):
    out, open_replacing_bytes = tmp_path / "out", runs.open_replacing_bytes
    stored = []

    @contextmanager
    def fill_up(path):
        """The disk has room for the maps of one window."""
        stored.append(path)
        with output_errors(path):
            if len(stored) > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with open_replacing_bytes(path) as file:
            yield file

    monkeypatch.setattr(runs, "open_replacing_bytes", fill_up)
    with watching(fifo, tiny_model, out=out, skips=False, once=True) as own:
        fifo.write_bytes(transport_stream(30))
        state = own.wait()
    assert (state.runs, state.runs_failed) == (0, 1)
    assert not own.runs
    (film,) = out.iterdir()
    assert re.fullmatch(r"\d{8}T\d{6}Z\.[0-9a-f]{8}\.partial\.mp4", film.name)
    with av.open(str(film)) as container:
        assert sum(1 for _ in container.decode(video=0)) > 0
    (warning,) = [text for text in own.warnings if "events continue" in text]
    assert f"the disk is full. Next: free some space, then run again; its film up to here is kept as {film}" in warning
    ended = [line for line in own.told if line["type"] == "event" and line["state"] == "ended"]
    assert {line["run"] for line in ended} == {None}


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OutputError("the disk is full"), "the disk is full"),
        (ValueError("nobody knows"), "ValueError: nobody knows. Next: the log shows where, at level DEBUG"),
    ],
)
def test_a_recording_that_is_not_finished_is_counted_and_leaves_its_film_and_no_journals(
    fifo, tiny_model, tmp_path, monkeypatch, caplog, error, says
):
    def fail(*_):
        raise error

    caplog.set_level("DEBUG", "vidconcept")
    monkeypatch.setattr("vidconcept.live.recording.deliver", fail)
    with watching(fifo, tiny_model, out=tmp_path / "out", skips=False, once=True) as own:
        fifo.write_bytes(transport_stream(20))
        state = own.wait()
    assert (state.runs, state.runs_failed) == (0, 1)
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".mp4", ".vidconcept"]
    assert [text for text in own.warnings if text.endswith(f"was not finished, its film stays beside it: {says}")]
    assert "Traceback" in caplog.text


def test_what_was_missed_in_a_recording_that_was_given_up_is_not_told_with_the_next(
    fifo, tiny_model, tmp_path, monkeypatch
):
    write, is_full = VideoWriter.write, [True]

    def fill_up(*given):
        with output_errors(tmp_path):
            if is_full[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(*given)

    monkeypatch.setattr(VideoWriter, "write", fill_up)
    with watching(fifo, tiny_model, out=tmp_path / "out", skips=False, every_s=0.01) as own:
        fifo.write_bytes(transport_stream(12) + transport_stream(12, first=12, start_s=3600))
        until(lambda: own.state is not None and own.state.clock_jumps == 1 and own.state.read == 24)
        is_full[0] = False
        fifo.write_bytes(transport_stream(12, size_px=(96, 64)))
        until(lambda: own.state is not None and own.state.read == 36)
        own.stop()
    (run,) = own.runs
    assert run.manifest["frames"] == 12
    assert run.manifest["live"]["clock_jumps"] == 0


def test_a_folder_of_recordings_that_is_removed_does_not_stop_the_events(fifo, tiny_model, tmp_path):
    out, stream = tmp_path / "out", transport_stream(60)
    with watching(fifo, tiny_model, out=out, skips=False, once=True) as own, fifo.open("wb", buffering=0) as camera:
        camera.write(stream[: len(stream) // 2])
        until(lambda: list(out.glob("*.partial.mp4")))
        # What is written there meanwhile may come and go under the removal.
        until(lambda: shutil.rmtree(out, ignore_errors=True) or not out.exists())
        camera.write(stream[len(stream) // 2 :])
        camera.close()
        state = own.wait()
    assert (state.frames, state.runs, state.runs_failed) == (60, 0, 1)
    (warning,) = [text for text in own.warnings if "events continue" in text]
    assert "its folder does not exist. Next: create it" in warning
    assert "nothing of it is kept" in warning
    assert [line["run"] for line in own.told if line["type"] == "event"][-1] is None


def test_the_state_is_told_while_the_camera_is_away(tiny_model):
    with watching("http://127.0.0.1:9/live.ts", tiny_model, every_s=0.1) as own:
        until(lambda: own.state is not None and own.state.failures >= 2, 30)
        assert own.stop().frames == 0


def test_the_film_of_a_recording_under_way_is_no_hidden_file(fifo, tiny_model, tmp_path):
    """A killed watch leaves it as it is then."""
    with watching(fifo, tiny_model, out=tmp_path / "out", skips=False) as own:
        fifo.write_bytes(transport_stream(20))
        until(lambda: list((tmp_path / "out").glob("[0-9]*Z.????????.partial.mp4")))
        own.stop()
    assert len(own.runs) == 1


def test_the_command_says_and_returns_that_a_recording_was_not_written(fifo, tiny_model, tmp_path):
    blocked = tmp_path / "out"
    blocked.write_text("a file")
    sets = [f"--set={key}={value}" for key, value in {**SMALL, **EASY, "model": tiny_model}.items()]
    line = ["watch", str(fifo), "--once", "--concepts", "scratch,dent", *sets, "--no-skip", "--out", str(blocked)]
    line += ["--metrics", str(tmp_path / "m.prom")]
    writer = threading.Thread(target=fifo.write_bytes, args=(transport_stream(20),))
    writer.start()
    result = CliRunner().invoke(app, line, catch_exceptions=False)
    writer.join()
    assert result.exit_code == ExitCode.FAILURE
    assert result.stderr.splitlines()[-1].endswith(", 1 recording not finished")
    assert re.search(r"^vidconcept_watch_runs_failed_total\{.*\} 1$", (tmp_path / "m.prom").read_text(), re.MULTILINE)


def test_counters_that_cannot_be_written_end_nothing(fifo, tiny_model, tmp_path):
    sets = [f"--set={key}={value}" for key, value in {**SMALL, **EASY, "model": tiny_model}.items()]
    line = ["watch", str(fifo), "--once", "--concepts", "scratch,dent", *sets, "--no-skip"]
    line += ["--out", str(tmp_path / "out"), "--metrics", str(tmp_path / "counters" / "m.prom")]

    def send():
        with fifo.open("wb") as camera:
            # The watch has begun, as it reads.
            (tmp_path / "counters").write_text("a file")
            camera.write(transport_stream(20))

    writer = threading.Thread(target=send)
    writer.start()
    result = CliRunner().invoke(app, line, catch_exceptions=False)
    writer.join()
    assert result.exit_code == ExitCode.DONE
    assert result.stderr.count(str(tmp_path / "counters" / "m.prom")) == 1
    assert json.loads(result.stdout.splitlines()[-1])["type"] == "run"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_lines_that_cannot_be_printed_end_it_with_a_whole_recording(fifo, tiny_model, tmp_path):
    sets = [f"--set={key}={value}" for key, value in {**SMALL, **EASY, "model": tiny_model}.items()]
    line = [sys.executable, "-m", "vidconcept", "watch", str(fifo), "--concepts", "scratch,dent", *sets, "--no-skip"]
    with open("/dev/full", "w") as full:
        process = subprocess.Popen(
            [*line, "--out", str(tmp_path / "out")], stdout=full, stderr=subprocess.PIPE, text=True
        )
    fifo.write_bytes(transport_stream(20))
    _, said = process.communicate(timeout=120)
    assert process.returncode == ExitCode.FAILURE
    assert said.splitlines()[-1].startswith("error: cannot write what is printed: No space left")
    assert not list((tmp_path / "out").glob("*.partial*"))
    (run,) = (tmp_path / "out").glob("*.vidconcept")
    assert vidconcept.Run.open(run).manifest["done"]
