"""`watch` on cameras over HTTP, TCP and UDP, with a model of random weights."""

import io
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest
from PIL import Image

import vidconcept
from tests.helpers.clips import paint, write_clip
from tests.helpers.streams import at_speed, http_camera, serving, serving_whole_files, transport_stream
from tests.helpers.watching import until, watching
from vidconcept.errors import InputError
from vidconcept.live import sources
from vidconcept.live.backlog import Backlog, Shot
from vidconcept.live.camera import Camera
from vidconcept.live.sources import parse_source


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


def test_no_picture_is_lost_where_a_connection_breaks_off(tmp_path):
    """The decoder holds some until it knows that none comes between them."""
    film = write_clip(tmp_path / "film.ts", count=30, options={"bf": "2"}).path
    with http_camera(lambda request, send: send(film.read_bytes())) as address:
        assert len(take_all(address)) == 30


def test_pictures_without_times_are_taken_when_they_arrive():
    """MJPEG, which FFmpeg calls 25 pictures a second."""

    def answer(request, send):
        for number in range(30):
            picture = io.BytesIO()
            Image.fromarray(paint(number)).save(picture, "jpeg")
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {picture.tell()}\r\n\r\n"
            send(head.encode() + picture.getvalue() + b"\r\n")
            time.sleep(0.1)

    with http_camera(answer) as address:
        shots = take_all(address)
    passed_s = shots[-1].arrived_s - shots[0].arrived_s
    assert passed_s > 1.3 * len(shots) / 25
    assert shots[-1].time_s == pytest.approx(passed_s, abs=0.05)


def test_a_camera_of_few_pictures_a_second_is_not_lost_while_its_stream_is_looked_into(monkeypatch):
    monkeypatch.setattr(sources, "SILENCE_S", 2.2)

    def answer(request, send):
        for piece in at_speed(transport_stream(10, fps=2), 5.0, pieces=10):
            send(piece)

    with http_camera(answer) as address:
        assert len(take_all(address)) == 10


def test_video_that_moves_to_another_pid_is_read_on():
    def answer(request, send):
        for piece in at_speed(transport_stream(40), 1.6):
            send(piece)
        send(transport_stream(40, first=40, start_s=1.6, pid=0x200))

    with http_camera(answer) as address:
        assert len(take_all(address)) >= 75


def test_a_camera_that_goes_on_with_sound_alone_is_lost(monkeypatch):
    monkeypatch.setattr(sources, "SILENCE_S", 1.0)
    warnings: list[str] = []

    def answer(request, send):
        for piece in at_speed(transport_stream(10, sound_s=4), 4.0, pieces=40):
            send(piece)

    with http_camera(answer) as address:
        camera = Camera(parse_source(address), Backlog(100), warn=warnings.append)
        camera.start()
        until(lambda: bool(warnings), 20)
        camera.stop()
    assert warnings == [f"{address}: no picture came for 1 s; trying again in 0.5 s"]


def take_all(address: str) -> list[Shot]:
    """The frames of one connection."""
    camera = Camera(parse_source(address, once=True), Backlog(100))
    camera.begin()
    camera.start()
    shots = []
    while (item := camera.backlog.take(30)) != "end":
        assert isinstance(item, Shot)
        shots.append(item)
    return shots


@pytest.mark.parametrize("name", ["film.ts", "ended.m3u8"])
def test_a_finished_film_that_a_web_server_gives_is_refused_unless_its_end_is_the_end(site, name):
    with serving_whole_files(site) as address:
        camera = Camera(parse_source(f"{address}/{name}"), Backlog(100))
        camera.start()
        with pytest.raises(InputError, match=f"{name} is a finished recording, not a live source. Next: download it"):
            camera.meet()
        assert len(take_all(f"{address}/{name}")) == 25


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("https://127.0.0.1:1/x", r"Connection refused\. Next: check the address"),
        ("file:///etc/hostname", "leads to another protocol. Next: check the port, or give the address"),
    ],
)
def test_an_address_may_lead_to_https_but_to_no_file(target, says):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", target)
            self.end_headers()

        def log_message(self, *_):
            pass

    with serving(Handler) as address:
        camera = Camera(parse_source(f"{address}/live.ts", once=True), Backlog(100))
        camera.start()
        with pytest.raises(InputError, match=says):
            camera.meet()


def test_a_live_film_that_says_how_long_its_beginning_is_is_read(tmp_path):
    live = {"movflags": "frag_keyframe+empty_moov"}
    film = write_clip(tmp_path / "film.mp4", count=30, options={"g": "10"}, container_options=live).path
    with http_camera(lambda request, send: send(film.read_bytes())) as address:
        camera = Camera(parse_source(address), Backlog(100))
        camera.begin()
        camera.start()
        until(lambda: camera.error or camera.counts.frames >= 30, 20)
        camera.stop()
    assert camera.error is None


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


def test_a_watch_of_a_camera_that_never_answers_is_stopped_at_once(tiny_model):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        with watching(address, tiny_model) as own, server.accept()[0]:
            asked_at = time.monotonic()
            own.stop()
            assert time.monotonic() - asked_at < 2
    assert "load" not in own.monitor.timings_s


@pytest.mark.parametrize("once", [False, True])
def test_what_a_camera_sends_before_it_is_wanted_is_thrown_away(once):
    sent, done = [], threading.Event()

    def answer(request, send):
        while not done.is_set():
            send(transport_stream(25, start_s=len(sent)))
            sent.append(request)
            time.sleep(0.02)

    warnings: list[str] = []
    with http_camera(answer) as address:
        camera = Camera(parse_source(address, once=once), Backlog(10), warn=warnings.append)
        camera.start()
        camera.meet()
        until(lambda: len(sent) > 8)
        assert (camera.counts.frames, camera.backlog.waiting) == (0, 0)
        camera.begin()
        first = camera.backlog.take(30)
        camera.stop()
        done.set()
    assert isinstance(first, Shot)
    assert first.time_s == 0
    assert first.picture.time > 4
    assert not warnings
