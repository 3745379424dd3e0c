"""`watch` on real streams over FIFOs, standard input and HTTP, with a model of random weights."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from itertools import pairwise

import pytest

import vidconcept
from tests.helpers.lines import write_line
from tests.helpers.small_runs import SMALL
from tests.helpers.streams import as_transport_stream, at_speed, http_camera, transport_stream
from tests.helpers.watching import EASY, until, watching
from vidconcept.live import sources
from vidconcept.live.backlog import Backlog, Shot
from vidconcept.live.camera import Camera
from vidconcept.live.sources import parse_source
from vidconcept.writers.review.index import write_index


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "camera.fifo"
    os.mkfifo(path)
    return path


def test_a_fifo_is_watched_through_garbage_a_clock_that_jumps_and_another_size(fifo, tiny_model, tmp_path):
    garbage = bytes(range(256)) * 40
    first = transport_stream(22) + garbage + transport_stream(22, first=22, start_s=3600)
    with watching(fifo, tiny_model, out=tmp_path / "out", skips=False, every_s=0.01) as own:
        fifo.write_bytes(first)
        until(lambda: own.state is not None and own.state.failures >= 1)
        fifo.write_bytes(transport_stream(12, size_px=(96, 64)))
        until(lambda: own.state is not None and own.state.frames >= 50 and own.state.failures >= 2)
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


@pytest.mark.slow
def test_a_camera_over_http_that_drops_stalls_and_talks_nonsense_is_connected_to_again(
    tiny_model, tmp_path, monkeypatch
):
    monkeypatch.setattr(sources, "SILENCE_S", 1.0)
    done = threading.Event()

    def answer(request, send):
        if request == 0:
            data = transport_stream(20)
            # It breaks off in the middle of a picture.
            send(data[: len(data) * 2 // 3])
        elif request == 1:
            send(b"<html>not now</html>")
        elif request == 2:
            send(transport_stream(15))
            # Connected, and silent.
            done.wait(20)
        else:
            for piece in at_speed(transport_stream(25), 1.0):
                send(piece)

    with http_camera(answer) as address, watching(address, tiny_model, out=tmp_path / "out", every_s=0.01) as own:
        until(lambda: own.state is not None and own.state.connections >= 4)
        state = own.stop()
        done.set()
    assert state.failures >= 3
    assert state.frames >= 30
    assert [text for text in own.warnings if "trying again" in text]
    assert sum(run.manifest["frames"] for run in own.runs) == state.read
    assert all(run.manifest["done"] for run in own.runs)


def test_a_camera_over_tcp_is_watched_to_its_end(tiny_model):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def send() -> None:
            with server.accept()[0] as connection:
                connection.sendall(transport_stream(20))

        thread = threading.Thread(target=send)
        thread.start()
        with watching(f"tcp://127.0.0.1:{server.getsockname()[1]}", tiny_model, once=True, skips=False) as own:
            state = own.wait()
        thread.join(20)
    assert (state.frames, state.read, state.failures) == (20, 20, 0)
    assert [line["state"] for line in own.told if line["type"] == "event"]


def test_a_camera_over_udp_is_watched_while_it_sends(tiny_model):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data, done = transport_stream(200), threading.Event()

    def send() -> None:
        """Seven packets of the stream a datagram, as cameras do, over and over."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not done.is_set():
                for start in range(0, len(data), 7 * 188):
                    sender.sendto(data[start : start + 7 * 188], ("127.0.0.1", port))
                    time.sleep(0.002)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with watching(f"udp://127.0.0.1:{port}", tiny_model, every_s=0.01) as own:
            until(lambda: own.state is not None and own.state.read >= 10)
            state = own.stop()
    finally:
        done.set()
        thread.join(20)
    assert state.connections == 1
    assert state.failures == 0


def test_a_recording_that_cannot_be_written_does_not_stop_the_events(fifo, tiny_model, tmp_path):
    blocked = tmp_path / "out"
    blocked.write_text("a file")
    with watching(fifo, tiny_model, out=blocked, skips=False, once=True) as own:
        fifo.write_bytes(transport_stream(20))
        own.wait()
    assert [line["state"] for line in own.told if line["type"] == "event"]
    assert [text for text in own.warnings if "events continue" in text]
    assert not own.runs


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


def test_a_camera_that_is_not_there_is_waited_for_or_with_once_an_error(tiny_model):
    with watching("http://127.0.0.1:1/x", tiny_model, duration_s=1.2) as own:
        state = own.wait(60)
    assert state.frames == 0
    waits = [text.split("trying again in ")[1] for text in own.warnings if "trying again" in text]
    assert state.failures == len(waits)
    assert waits[:2] == ["0.5 s", "1 s"][: len(waits)] != []
    with (
        watching("http://127.0.0.1:1/x", tiny_model, once=True) as own,
        pytest.raises(vidconcept.InputError, match=r"refused\. Next: check the address"),
    ):
        own.wait(60)
    assert "load" not in own.monitor.timings_s


def test_what_a_camera_sends_before_it_is_wanted_is_thrown_away(tiny_model):
    sent, done = [], threading.Event()

    def answer(request, send):
        while not done.is_set():
            send(transport_stream(25, start_s=len(sent)))
            sent.append(request)
            time.sleep(0.02)

    warnings: list[str] = []
    with http_camera(answer) as address:
        camera = Camera(parse_source(address), Backlog(10), warn=warnings.append)
        camera.start()
        camera.meet()
        until(lambda: len(sent) > 4)
        assert (camera.counts.frames, camera.backlog.waiting) == (0, 0)
        camera.begin()
        first = camera.backlog.take(30)
        camera.stop()
        done.set()
    assert isinstance(first, Shot)
    assert first.time_s == 0
    assert not warnings


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
