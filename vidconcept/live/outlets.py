"""Where events go beside standard output: an address on the web, a broker. None of them can hold the footage up."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from http.client import HTTPException
from queue import Empty, SimpleQueue
from threading import Condition, Thread
from time import monotonic
from typing import IO, Any
from urllib.parse import SplitResult, unquote, urlsplit

from vidconcept.errors import UsageError
from vidconcept.wording import format_count

# Messages that wait for a receiver that is away; then the oldest that is not being sent is dropped, and counted.
MOST_WAITING = 1000
FIRST_WAIT_S, LAST_WAIT_S = 0.5, 30.0
TIMEOUT_S = 10.0
# How long the end of the command waits for messages that are still to go out.
CLOSING_S = 5.0
# What the system and the libraries raise where a message did not go out, also for a host whose name cannot be.
NOT_SENT = (OSError, RuntimeError, ValueError)
# A receiver that answers so judges the message, and would do so each time: malformed, too large, not understood.
REFUSALS = (400, 413, 422)


class RefusedError(Exception):
    """The receiver does not take this message, however often it is sent."""


class Sender:
    """Sends messages in order, from a thread of its own, and again until they arrive.

    send: raises one of `NOT_SENT` when it did not work, RefusedError when it never will. warn: told when the receiver
    is lost, when it is back, and when it refuses a message, which is then dropped.
    """

    def __init__(self, name: str, send: Callable[[bytes], None], warn: Callable[[str], None]) -> None:
        self.name = name
        self.sent = self.dropped = 0
        self._send, self._warn = send, warn
        self._waiting: deque[bytes] = deque()
        self._state = Condition()
        self._is_sending = False
        self._closes_at: float | None = None
        self._thread = Thread(target=self._run, name=f"vidconcept {name}", daemon=True)
        self._thread.start()

    def put(self, message: dict[str, Any]) -> None:
        """Never waits."""
        with self._state:
            if len(self._waiting) == MOST_WAITING:
                # The first one may be arriving.
                del self._waiting[int(self._is_sending)]
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
            self._warn(f"{self.name}: {format_count(self.dropped, 'message')} did not arrive")

    def _run(self) -> None:
        wait_s, is_lost = FIRST_WAIT_S, False
        while True:
            with self._state:
                self._state.wait_for(lambda: bool(self._waiting) or self._closes_at is not None)
                if not self._waiting or (self._closes_at is not None and monotonic() > self._closes_at):
                    return
                message, self._is_sending = self._waiting[0], True
            is_refused = False
            try:
                self._send(message)
            except RefusedError as error:
                is_refused = True
                self._warn(f"{self.name}: {error}; this event is not sent again")
            except NOT_SENT as error:
                if not is_lost:
                    self._warn(f"{self.name}: {error}; events wait, and are sent again")
                is_lost = True
                with self._state:
                    self._is_sending = False
                    if self._closes_at is None:
                        self._state.wait_for(lambda: self._closes_at is not None, wait_s)
                    else:
                        self._state.wait(FIRST_WAIT_S)
                wait_s = min(2 * wait_s, LAST_WAIT_S)
                continue
            if is_lost:
                self._warn(f"{self.name}: back")
            wait_s, is_lost = FIRST_WAIT_S, False
            self.sent += not is_refused
            with self._state:
                self._is_sending = False
                self._waiting.popleft()
                self.dropped += is_refused


def make_webhook_poster(url: str) -> Callable[[bytes], None]:
    """POSTs each message as JSON. url: http(s)://[NAME:PASSWORD@]HOST[:PORT]/PATH, with a password as basic
    authentication.

    Raises UsageError for anything else; the address is not shown, as it may hold a password.
    """
    parts = _split(url, "http", "https")
    if parts is None or not (parts.path + parts.query).isascii() or any(sign <= " " for sign in url):
        raise UsageError("`webhook` is not a web address. Next: e.g. http://host:8080/events, with %20 for a space")
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    headers = {"Content-Type": "application/json"}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    opener = urllib.request.build_opener(_Unmoved)

    def send(message: bytes) -> None:
        request = urllib.request.Request(address, message, headers, method="POST")
        try:
            with opener.open(request, timeout=TIMEOUT_S) as answer:
                answer.read(1)
        except urllib.error.HTTPError as error:
            if error.code in REFUSALS:
                raise RefusedError(error) from error
            raise
        except HTTPException as error:
            raise OSError(f"the answer is not HTTP ({error!r:.80})") from error

    return send


class _Unmoved(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the message would arrive there as a GET without its text."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        raise urllib.error.HTTPError(req.full_url, code, f"{msg}, to {newurl}; give that address", headers, fp)


def make_mqtt_publisher(address: str) -> Callable[[bytes], None]:
    """Publishes each message, at least once. address: mqtt://[NAME:PASSWORD@]HOST[:PORT]/TOPIC.

    Raises UsageError for anything else, and where the library is not installed; the address is not shown, as it may
    hold a password.
    """
    parts = _split(address, "mqtt")
    topic = "" if parts is None else unquote(parts.path.lstrip("/"))
    if parts is None or not topic or set("+#") & set(topic) or "#" in address:
        raise UsageError("`mqtt` is not a broker and topic. Next: e.g. mqtt://localhost:1883/line1/events")
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError:
        raise UsageError("`mqtt` needs a library. Next: pip install 'vidconcept[mqtt]'") from None
    host, port = parts.hostname or "", parts.port or 1883
    name, password = unquote(parts.username or ""), unquote(parts.password or "")

    def send(message: bytes) -> None:
        # A client of its own for each message: one that is kept would send a message again beside the next try.
        client = Client(CallbackAPIVersion.VERSION2)
        if name:
            client.username_pw_set(name, password)
        answers: SimpleQueue[Any] = SimpleQueue()
        client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.put(reason)
        client.connect(host, port)
        client.loop_start()
        try:
            reason = answers.get(timeout=TIMEOUT_S)
            if reason.is_failure:
                raise OSError(f"the broker refuses the connection: {reason}")
            told = client.publish(topic, message, qos=1)
            told.wait_for_publish(TIMEOUT_S)
            if not told.is_published():
                raise TimeoutError("the broker did not confirm it")
        except Empty:
            raise TimeoutError("the broker did not answer") from None
        finally:
            client.disconnect()

    return send


def _split(address: str, *schemes: str) -> SplitResult | None:
    """The parts of an address of one of the schemes, with a host and no impossible port; None where it is none."""
    try:
        parts = urlsplit(address)
        is_whole = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if is_whole else None
