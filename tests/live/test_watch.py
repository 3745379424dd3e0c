"""`watch` on real streams over FIFOs and standard input, with a model of random weights."""

import gc
import json
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from itertools import pairwise
from types import SimpleNamespace

import pytest

import vidconcept
from tests.helpers.lines import write_line
from tests.helpers.small_runs import SMALL
from tests.helpers.streams import as_transport_stream, transport_stream
from tests.helpers.watching import EASY, until, watching
from vidconcept.live import camera
from vidconcept.live.recording import Recording
from vidconcept.video.writer import VideoWriter
from vidconcept.writers.review.index import write_index


def test_a_fifo_is_watched_through_garbage_a_clock_that_jumps_and_another_size(fifo, tiny_model, tmp_path):
    garbage = bytes(range(256)) * 40
    first = transport_stream(22) + garbage + transport_stream(22, first=22, start_s=3600)
    with watching(fifo, tiny_model, out=tmp_path / "out", skips=False, every_s=0.01) as own:
        fifo.write_bytes(first)
        until(lambda: own.state is not None and own.state.failures >= 1)
        fifo.write_bytes(transport_stream(12, size_px=(96, 64)))
        until(lambda: own.state is not None and own.state.failures >= 2 and own.state.waiting == 0)
        state = own.stop()
    assert state.connections >= 2
    assert state.clock_jumps >= 1
    assert state.skipped == 0
    large, small = own.runs
    assert (large.manifest["video"]["width_px"], small.manifest["video"]["width_px"]) == (192, 96)
    assert large.manifest["frames"] + small.manifest["frames"] == state.read
    assert small.manifest["frames"] == 12
    times = [row.time_s for row in large.frames()]
    assert times == sorted(times)
    assert times[-1] < 60
    assert {gap["kind"] for gap in large.manifest["gaps"]} >= {"time-jump"}
    assert write_index(tmp_path / "out").is_file()


def test_a_run_folder_of_a_watch_is_what_track_makes_of_its_film(fifo, tiny_model, tmp_path):
    with watching(fifo, tiny_model, out=tmp_path / "out", skips=False, once=True) as own:
        fifo.write_bytes(transport_stream(20))
        own.wait()
    (run,) = own.runs
    film = run.manifest["video"]["path"]
    again = vidconcept.track(
        film, ("scratch", "dent"), model=str(tiny_model), out=run.path, existing="resume", **SMALL, **EASY
    )
    assert [bare(e) for e in again.events] == [bare(e) for e in run.events]
    assert list(again.tracks())
    told = [line for line in own.told if line["type"] == "event"]
    assert {line["event"] for line in told if line["state"] == "began"} == {
        line["event"] for line in told if line["state"] == "ended"
    }
    (line,) = (line for line in own.told if line["type"] == "run")
    assert sorted(line["event_ids"].values()) == [event.event_id for event in run.events]
    assert all(line["run"] == str(run.path) and line["delay_s"] >= 0 for line in told)
    assert not list((tmp_path / "out").glob("*.partial*"))


def bare(event):
    return (event.concept, event.start_frame, event.end_frame, event.peak_frame, event.box_px)


def test_a_camera_that_comes_back_with_a_size_that_roi_does_not_fit_is_passed_over_until_it_fits(
    fifo, tiny_model, tmp_path
):
    with watching(
        fifo, tiny_model, settings={"roi": (0, 0, 192, 128)}, out=tmp_path / "out", skips=False, every_s=0.01
    ) as own:
        for lost, size_px in enumerate([(192, 128), (96, 64), (192, 128)]):
            fifo.write_bytes(transport_stream(12, size_px=size_px))
            until(lambda n=lost: len([text for text in own.warnings if "trying again" in text]) > n)
        until(lambda: own.error or (own.state is not None and own.state.read == 24))
        state = own.stop()
    assert [run.manifest["frames"] for run in own.runs] == [12, 12]
    assert (state.read, state.unread, state.skipped) == (24, 12, 0)
    (warning,) = [text for text in own.warnings if "passed over" in text]
    assert "does not lie inside the frame of 96x64 pixels. Next: " in warning


def test_without_recordings_events_have_the_time_of_a_clock_that_was_set_meanwhile(fifo, tiny_model, monkeypatch):
    set_by_s, now = [0.0], time.time
    monkeypatch.setattr(time, "time", lambda: now() + set_by_s[0])
    with watching(fifo, tiny_model, skips=False) as own:
        fifo.write_bytes(transport_stream(20))
        until(lambda: own.told)
        set_by_s[0] = 3600.0
        fifo.write_bytes(transport_stream(20))
        until(lambda: len(own.told) > 2)
        own.stop()
    began, latest = (datetime.fromisoformat(own.told[at]["start_time"]).timestamp() for at in (0, -1))
    assert abs(began - now()) < 60
    assert abs(latest - 3600 - now()) < 60


def test_an_event_of_a_film_that_is_read_more_slowly_than_it_plays_keeps_its_time(fifo, tiny_model, monkeypatch):
    now, passed_s, seen_s = time.time(), [0.0], []

    def wait_a_second() -> float:
        passed_s[0] += 1.0
        return passed_s[0]

    def see_now() -> float:
        seen_s.append(now + passed_s[0])
        return seen_s[-1]

    # Each frame arrives a second after the one before.
    monkeypatch.setattr(camera, "time", SimpleNamespace(monotonic=wait_a_second, time=see_now))
    with watching(fifo, tiny_model, skips=False, once=True) as own:
        fifo.write_bytes(transport_stream(40))
        own.wait()
    began, ended = (line for line in own.told if line["event"] == 1)
    assert began["start_time"] == ended["start_time"]
    assert datetime.fromisoformat(began["start_time"]).timestamp() == pytest.approx(
        seen_s[0] + began["start_s"], abs=0.01
    )


def test_no_frame_is_told_as_taken_after_it_arrived(fifo, tiny_model, tmp_path):
    with watching(fifo, tiny_model, out=tmp_path / "out", skips=False, once=True) as own:
        before_s = time.time()
        fifo.write_bytes(transport_stream(40, fps=5))
        own.wait()
    (run,) = own.runs
    began_s = datetime.fromisoformat(run.manifest["live"]["began"]).timestamp()
    # Eight seconds of pictures had waited, and are read in less.
    assert began_s < before_s - 2
    latest = [line for line in own.told if line["type"] == "event"][-1]
    assert datetime.fromisoformat(latest["start_time"]).timestamp() == pytest.approx(
        began_s + latest["start_s"], abs=0.01
    )


def test_what_waits_at_the_stop_is_not_told_as_skipped(fifo, tiny_model, tmp_path):
    with watching(fifo, tiny_model, out=tmp_path / "out", skips=False) as own:
        writer = threading.Thread(target=fifo.write_bytes, args=(transport_stream(300),))
        writer.start()
        until(lambda: own.told)
        state = own.stop()
    writer.join(30)
    assert state.unread > 0
    assert state.skipped == 0
    (run,) = own.runs
    assert run.manifest["live"]["skipped"] == 0
    assert not [gap for gap in run.manifest["gaps"] if gap["kind"] == "skipped"]


@pytest.mark.slow
def test_what_rarity_takes_back_is_listed_with_the_recording(fifo, tmp_path):
    film = write_line(tmp_path / "every.mp4", frames=110, scratched=tuple(range(20)))
    settings = {"rarity": "auto", "threshold": 0.7, "min_duration_s": 0.12, "height": 128, "width": 192}
    settings |= {"window_frames": 9, "overlap_frames": 1, "smooth": "flow"}
    with watching(fifo, "linecam", settings=settings, out=tmp_path / "out", skips=False, once=True) as own:
        fifo.write_bytes(as_transport_stream(film))
        own.wait(240)
    (run,) = own.runs
    assert run.manifest["rarity"]["tokens_judged"] > 0
    assert run.recurring
    last_s = max(row.time_s for row in run.frames())
    for group in run.recurring:
        assert group.concept in ("scratch", "dent")
        assert 0 <= group.start_s <= group.end_s <= last_s
        assert group.box_px[2] <= 192
    again = vidconcept.track(
        run.manifest["video"]["path"], ("scratch", "dent"), out=run.path, existing="resume", edges="coarse",
        device="cpu", stride=1, **{key: value for key, value in settings.items() if key != "min_duration_s"},
    )  # fmt: skip
    # Decided again with the memory of the recording: the same maps, and evidence from its whole length.
    assert again.manifest["rarity"]["tokens_judged"] >= run.manifest["rarity"]["tokens_judged"]


@pytest.mark.slow
def test_recordings_roll_over(fifo, tiny_model, tmp_path):
    with watching(fifo, tiny_model, out=tmp_path / "out", skips=False, once=True, roll_s=0.5) as own:
        fifo.write_bytes(transport_stream(45))
        state = own.wait()
    frames = [run.manifest["frames"] for run in own.runs]
    assert len(frames) >= 2
    assert sum(frames) == state.read == state.frames
    ids = [line["event"] for line in own.told if line["type"] == "event" and line["state"] == "began"]
    assert ids == list(range(1, len(ids) + 1))


def test_no_recording_that_is_finished_stays_in_memory(fifo, tiny_model, tmp_path):
    gc.collect()
    gc.disable()
    try:
        with watching(fifo, tiny_model, out=tmp_path / "out", skips=False, once=True, roll_s=0.5) as own:
            fifo.write_bytes(transport_stream(30))
            own.wait()
        left = [thing for thing in gc.get_objects() if isinstance(thing, Recording | VideoWriter)]
    finally:
        gc.enable()
    assert len(own.runs) >= 2
    assert not left


def test_frames_that_come_at_once_at_the_start_wait_as_long_as_the_delay_allows(fifo, tiny_model):
    with watching(fifo, tiny_model, once=True, max_delay_s=60.0) as own:
        fifo.write_bytes(transport_stream(50))
        state = own.wait()
    assert (state.read, state.skipped) == (50, 0)


def test_a_model_that_is_too_slow_sees_whole_runs_and_the_rest_is_counted(fifo, tiny_model, tmp_path):
    with watching(fifo, tiny_model, out=tmp_path / "out", once=True, max_delay_s=0.1) as own:
        fifo.write_bytes(transport_stream(300))
        state = own.wait()
    assert state.skipped > 0
    assert state.read + state.skipped == state.frames
    (run,) = own.runs
    assert run.manifest["live"]["skipped"] == state.skipped
    assert {gap["kind"] for gap in run.manifest["gaps"]} >= {"skipped"}
    times = [row.time_s for row in run.frames() if row.concept == "scratch"]
    steps = [b - a for a, b in pairwise(times)]
    assert sum(step > 0.05 for step in steps) <= state.gaps


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("srt://127.0.0.1:9", "pipe it"),
        ("/dev/null", "no camera"),
        ("nowhere.ts", "No such file"),
        ("ftp://b", "ftp"),
    ],
)
def test_a_source_that_cannot_work_is_an_error_before_the_model_is_loaded(tiny_model, source, says):
    with watching(source, tiny_model) as own, pytest.raises(vidconcept.InputError, match=says):
        own.wait(30)
    assert "load" not in own.monitor.timings_s


def test_so_is_text_on_standard_input(tiny_model, tmp_path, monkeypatch):
    (tmp_path / "notes.txt").write_text("not a video\n" * 100)
    with open(tmp_path / "notes.txt") as text:
        monkeypatch.setattr("sys.stdin", text)
        with (
            watching("-", tiny_model) as own,
            pytest.raises(vidconcept.InputError, match=r"^standard input: Invalid data.*Next: send MPEG-TS"),
        ):
            own.wait(30)
    assert "load" not in own.monitor.timings_s


@pytest.mark.slow
@pytest.mark.slice
def test_the_command_tells_events_on_stdout_and_sigterm_leaves_whole_folders(tiny_model, tmp_path):
    out, metrics = tmp_path / "out", tmp_path / "m.prom"
    sets = [f"--set={key}={value}" for key, value in {**SMALL, **EASY, "model": tiny_model}.items()]
    command = [sys.executable, "-m", "vidconcept", "watch", "-", "--concepts", "scratch,dent", *sets, "--no-skip"]
    command += ["--out", str(out), "--metrics", str(metrics)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=False
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(transport_stream(60))
        process.stdin.flush()
        first = json.loads(process.stdout.readline())
        assert (first["type"], first["state"]) == ("event", "began")
        process.send_signal(signal.SIGTERM)
        rest, said = process.communicate(timeout=120)
    assert process.returncode == 0, said.decode()
    lines = [json.loads(line) for line in rest.splitlines()]
    (run,) = (line for line in lines if line["type"] == "run")
    assert vidconcept.Run.open(run["run"]).manifest["frames"] == run["frames"] > 0
    assert not list(out.glob("*.partial*"))
    assert "vidconcept_watch_frames_total" in metrics.read_text()
    assert b"press Ctrl-C again" in said
