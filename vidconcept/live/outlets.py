"""Where events go beside standard output: an address on the web, a broker. None of them can hold the footage up."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from time import monotonic
from typing import Any
from urllib.parse import unquote, urlsplit

from vidconcept.errors import UsageError

# Messages that wait for a receiver that is away; then the oldest are dropped, and counted.
MOST_WAITING = 1000
FIRST_WAIT_S, LAST_WAIT_S = 0.5, 30.0
TIMEOUT_S = 10.0
# How long the end of the command waits for messages that are still to go out.
CLOSING_S = 5.0


class Sender:
    """Sends messages in order, from a thread of its own, and again until they arrive.

    send: raises OSError when it did not work. warn: told when the receiver is lost, and when it is back.
    """

    def __init__(self, name: str, send: Callable[[bytes], None], warn: Callable[[str], None]) -> None:
        self.name = name
        self.sent = self.dropped = 0
        self._send, self._warn = send, warn
        self._waiting: deque[bytes] = deque()
        self._state = Condition()
        self._closes_at: float | None = None
        self._thread = Thread(target=self._run, name=f"vidconcept {name}", daemon=True)
        self._thread.start()

    def put(self, message: dict[str, Any]) -> None:
        """Never waits."""
        with self._state:
            if len(self._waiting) == MOST_WAITING:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(json.dumps(message, ensure_ascii=False).encode())
            self._state.notify()

    def close(self) -> None:
        """Wait a little for what is still to go out; the rest counts as dropped."""
        with self._state:
            self._closes_at = monotonic() + CLOSING_S
            self._state.notify()
        self._thread.join(CLOSING_S + TIMEOUT_S)
        self.dropped += len(self._waiting)
        if self.dropped:
            self._warn(f"{self.name}: {self.dropped} messages did not arrive")

    def _run(self) -> None:
        wait_s, is_lost = FIRST_WAIT_S, False
        while True:
            with self._state:
                self._state.wait_for(lambda: bool(self._waiting) or self._closes_at is not None)
                if not self._waiting or (self._closes_at is not None and monotonic() > self._closes_at):
                    return
                message = self._waiting[0]
            try:
                self._send(message)
            except OSError as error:
                if not is_lost:
                    self._warn(f"{self.name}: {error}; events wait, and are sent again")
                is_lost = True
                with self._state:
                    self._state.wait_for(lambda: self._closes_at is not None, wait_s)
                wait_s = min(2 * wait_s, LAST_WAIT_S)
                continue
            if is_lost:
                self._warn(f"{self.name}: back")
            wait_s, is_lost = FIRST_WAIT_S, False
            self.sent += 1
            with self._state:
                # It may have been dropped meanwhile.
                if self._waiting and self._waiting[0] is message:
                    self._waiting.popleft()


def make_webhook_poster(url: str) -> Callable[[bytes], None]:
    """POSTs each message as JSON. Raises UsageError for what is not a web address."""
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise UsageError(f"`webhook={url}` is not a web address. Next: e.g. http://host:8080/events")

    def send(message: bytes) -> None:
        request = urllib.request.Request(url, message, {"Content-Type": "application/json"}, method="POST")
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            answer.read(1)

    return send


def make_mqtt_publisher(address: str) -> Callable[[bytes], None]:
    """Publishes each message, at least once. address: mqtt://[NAME:PASSWORD@]HOST[:PORT]/TOPIC.

    Raises UsageError for anything else, and where the library is not installed.
    """
    parts = urlsplit(address)
    topic = unquote(parts.path.lstrip("/"))
    if parts.scheme != "mqtt" or not parts.hostname or not topic or "+" in topic or "#" in address:
        raise UsageError(f"`mqtt={address}` is not a broker and topic. Next: e.g. mqtt://localhost:1883/line1/events")
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
    except ImportError:
        raise UsageError("`mqtt` needs a library. Next: pip install 'vidconcept[mqtt]'") from None
    client = Client(CallbackAPIVersion.VERSION2)
    if parts.username:
        client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
    host, port = parts.hostname, parts.port or 1883

    def send(message: bytes) -> None:
        if not client.is_connected():
            client.connect(host, port)
            client.loop_start()
        told = client.publish(topic, message, qos=1)
        if told.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            raise OSError(f"the broker did not take it (code {int(told.rc)})")
        try:
            told.wait_for_publish(TIMEOUT_S)
        except (RuntimeError, ValueError) as error:
            raise OSError(str(error)) from error
        if not told.is_published():
            client.loop_stop()
            client.disconnect()
            raise OSError("the broker did not answer")

    return send
