"""`watch` against a real RTSP server and a real MQTT broker, both on loopback; skipped where they are not installed."""

import json
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import vidconcept
from tests.helpers.clips import paint
from tests.helpers.films import write_video
from tests.helpers.watching import until, watching
from vidconcept.live.outlets import Sender, make_mqtt_publisher

SYSTEM_PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).parents[1] / "helpers" / "rtsp_server.py"


def has_rtsp_server() -> bool:
    """Whether the system's Python has GStreamer's server."""
    if not Path(SYSTEM_PYTHON).exists():
        return False
    return subprocess.run([SYSTEM_PYTHON, str(SERVER)], capture_output=True, check=False).returncode == 0


@contextmanager
def rtsp_camera(film: Path):
    process = subprocess.Popen([SYSTEM_PYTHON, str(SERVER), str(film)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, f"rtsp://127.0.0.1:{int(process.stdout.readline())}/line"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
@pytest.mark.slice
@pytest.mark.skipif(not has_rtsp_server(), reason="GStreamer's RTSP server is not installed for the system's Python")
def test_an_rtsp_camera_is_watched_and_connected_to_again_when_its_stream_ends(tiny_model, tmp_path):
    film = tmp_path / "line.mp4"
    write_video(film, np.stack([paint(number) for number in range(60)]))
    with (
        rtsp_camera(film) as (process, address),
        watching(address, tiny_model, out=tmp_path / "out", every_s=0.05) as own,
    ):
        until(lambda: own.state is not None and own.state.connections >= 2 and own.state.frames >= 80)
        process.kill()
        until(lambda: len([text for text in own.warnings if "trying again" in text]) >= 2)
        state = own.stop()
    assert state.frames >= 80
    assert sum(run.manifest["frames"] for run in own.runs) == state.read
    assert own.runs[0].manifest["video"]["width_px"] == 192
    assert all(run.manifest["done"] for run in own.runs)
    assert [line for line in own.told if line["type"] == "event"]


@pytest.mark.slow
@pytest.mark.skipif(not has_rtsp_server(), reason="GStreamer's RTSP server is not installed for the system's Python")
def test_an_rtsp_address_that_does_not_exist_is_an_error_at_once(tiny_model, tmp_path):
    film = tmp_path / "line.mp4"
    write_video(film, np.stack([paint(number) for number in range(5)]))
    with (
        rtsp_camera(film) as (_, address),
        watching(address + "/nowhere", tiny_model) as own,
        pytest.raises(vidconcept.InputError, match="Next: check the address"),
    ):
        own.wait(60)


@contextmanager
def broker(folder: Path, port: int, *, lets_in: bool = True):
    """Mosquitto on loopback. lets_in: everybody, or nobody."""
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous {str(lets_in).lower()}\npersistence false\n")
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    assert program is not None
    process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        until(lambda: accepts(port), 10)
        yield process
    finally:
        process.kill()
        process.wait()


def find_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


needs_broker = pytest.mark.skipif(
    shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin") is None, reason="mosquitto is not installed"
)


@contextmanager
def subscribed(port: int):
    """The numbers of the events that reach the broker, as they come."""
    client_library = pytest.importorskip("paho.mqtt.client")
    received, answers = [], []
    client = client_library.Client(client_library.CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: received.append(json.loads(message.payload)["event"])
    client.on_subscribe = lambda *_: answers.append(True)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe("line1/events", qos=1)
    until(lambda: bool(answers), 10)
    try:
        yield received
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.slow
@needs_broker
def test_events_reach_a_broker_also_after_it_was_away(tmp_path):
    pytest.importorskip("paho.mqtt.client")
    port, warnings = find_port(), []
    sender = Sender("mqtt", make_mqtt_publisher(f"mqtt://127.0.0.1:{port}/line1/events"), warnings.append)
    sender.put({"event": 1})
    until(lambda: bool(warnings), 10)
    with broker(tmp_path, port), subscribed(port) as received:
        sender.put({"event": 2})
        until(lambda: received == [1, 2], 20)
    time.sleep(0.5)
    sender.put({"event": 3})
    with broker(tmp_path, port), subscribed(port) as received:
        sender.put({"event": 4})
        until(lambda: 4 in received, 60)
        sender.close()
    # The third may have reached the broker before anybody listened there again.
    assert (sender.sent, sender.dropped) == (4, 0)


@needs_broker
def test_a_broker_that_lets_nobody_in_is_told_of_and_gets_each_event_once_when_it_does(tmp_path):
    pytest.importorskip("paho.mqtt.client")
    port, warnings = find_port(), []
    publish = make_mqtt_publisher(f"mqtt://me:wrong@127.0.0.1:{port}/line1/events")
    sender = Sender("mqtt", publish, warnings.append)
    with broker(tmp_path, port, lets_in=False):
        sender.put({"event": 1})
        until(lambda: bool(warnings), 10)
        # Time for another try.
        time.sleep(2)
    assert warnings == ["mqtt: the broker refuses the connection: Not authorized; events wait, and are sent again"]
    with broker(tmp_path, port), subscribed(port) as received:
        sender.put({"event": 2})
        until(lambda: 2 in received, 30)
        sender.close()
        time.sleep(1)
    assert received == [1, 2]
