"""Where events go beside standard output, and receivers that are away, odd, or do not want them."""

import json
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler

import pytest

from tests.helpers.streams import serving
from tests.helpers.watching import until
from vidconcept.errors import UsageError
from vidconcept.live import outlets
from vidconcept.live.outlets import MOST_WAITING, Sender, make_mqtt_publisher, make_webhook_poster


class Receiver(BaseHTTPRequestHandler):
    """Keeps the requests that came, and answers with the next of `answers`, 204 when there are no more."""

    came: list[tuple[str, str | None, int]]
    answers: list[int | bytes]

    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["event"]
        self.came.append((self.path, self.headers["Authorization"], event))
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, bytes):
            self.wfile.write(answer)
            return
        self.send_response(answer)
        self.send_header("Location", "/login")
        self.end_headers()

    def log_message(self, *_):
        pass


def send_all(*answers, count=2, address=lambda url: f"{url}/events"):
    """Sends events 0, 1, ... to a receiver that first gives these answers; returns sender, receiver and warnings."""
    receiver = type("Receiver", (Receiver,), {"came": [], "answers": list(answers)})
    warnings = []
    with serving(receiver) as url:
        sender = Sender("webhook", make_webhook_poster(address(url)), warnings.append)
        for number in range(count):
            sender.put({"event": number})
        until(lambda: sender.sent + sender.dropped == count, 20)
        sender.close()
    return sender, receiver, warnings


def test_events_arrive_in_order_although_the_receiver_was_away():
    sender, receiver, warnings = send_all(500, 503, count=5)
    assert [event for *_, event in receiver.came] == [0, 0, 0, 1, 2, 3, 4]
    assert (sender.sent, sender.dropped) == (5, 0)
    assert warnings == [
        "webhook: HTTP Error 500: Internal Server Error; events wait, and are sent again",
        "webhook: back",
    ]


def test_an_answer_that_is_not_http_does_not_end_sending():
    sender, receiver, warnings = send_all(b"garbage\r\n\r\n")
    assert [event for *_, event in receiver.came] == [0, 0, 1]
    assert (sender.sent, sender.dropped) == (2, 0)
    assert "the answer is not HTTP" in warnings[0]


def test_a_host_that_cannot_have_its_name_does_not_end_sending():
    warnings = []
    sender = Sender("webhook", make_webhook_poster("http://a..b/events"), warnings.append)
    sender.put({"event": 0})
    until(lambda: bool(warnings), 10)
    assert "events wait" in warnings[0]
    assert sender._thread.is_alive()


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_an_event_that_is_redirected_is_told_of_and_sent_again(code):
    sender, receiver, warnings = send_all(code, count=1)
    assert [(path, event) for path, _, event in receiver.came] == [("/events", 0)] * 2
    assert sender.sent == 1
    assert f"HTTP Error {code}" in warnings[0]
    assert "/login; give that address" in warnings[0]


@pytest.mark.parametrize("code", [400, 413, 422])
def test_an_event_that_is_refused_does_not_hold_up_the_next(code):
    sender, receiver, warnings = send_all(code)
    assert [event for *_, event in receiver.came] == [0, 1]
    assert (sender.sent, sender.dropped) == (1, 1)
    assert f"HTTP Error {code}" in warnings[0]
    assert warnings[0].endswith("this event is not sent again")


def test_name_and_password_of_the_address_are_basic_authentication():
    _, receiver, warnings = send_all(
        401, count=1, address=lambda url: f"{url.replace('://', '://me:ge%40heim@')}/events"
    )
    assert receiver.came == [("/events", f"Basic {b64encode(b'me:ge@heim').decode()}", 0)] * 2
    assert "heim" not in warnings[0]


def test_what_waits_for_a_receiver_that_stays_away_is_bounded():
    def refuse(message):
        raise OSError("refused")

    sender = Sender("webhook", refuse, lambda text: None)
    for number in range(MOST_WAITING + 10):
        sender.put({"event": number})
    assert sender.dropped == 10
    assert len(sender._waiting) == MOST_WAITING


def test_the_message_that_is_being_sent_is_not_dropped():
    arrived, is_sending, may_arrive = [], threading.Event(), threading.Event()

    def send(message):
        is_sending.set()
        may_arrive.wait(20)
        arrived.append(json.loads(message)["event"])

    sender = Sender("webhook", send, lambda text: None)
    sender.put({"event": 0})
    assert is_sending.wait(20)
    for number in range(1, MOST_WAITING + 10):
        sender.put({"event": number})
    may_arrive.set()
    sender.close()
    assert arrived == [0, *range(11, MOST_WAITING + 10)]
    assert (sender.sent, sender.dropped) == (MOST_WAITING, 10)


@pytest.mark.parametrize(
    "address",
    ["localhost/x", "mqtt://localhost", "mqtt://localhost/a/#", "mqtt://h/a%23", "http://h/x", "mqtt://h:99999/t",
     "mqtt://me:geheim@[::1/t"],
)  # fmt: skip
def test_a_broker_needs_an_address_and_a_topic(address):
    with pytest.raises(UsageError, match=r"Next: e\.g\. mqtt://") as caught:
        make_mqtt_publisher(address)
    assert "geheim" not in str(caught.value)


def test_at_the_end_a_receiver_that_is_away_is_not_asked_without_a_pause(monkeypatch):
    monkeypatch.setattr(outlets, "CLOSING_S", 1.0)
    tries, warnings = [], []

    def refuse(message):
        tries.append(message)
        raise OSError("refused")

    sender = Sender("webhook", refuse, warnings.append)
    sender.put({"event": 0})
    sender.close()
    assert sender.dropped == 1
    assert warnings[-1] == "webhook: 1 message did not arrive"
    assert 2 <= len(tries) <= 5


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "http://[::1/x",
        "http://h:99999/",
        "http://h/a b",
        "http://h/linie ä",
        "http://me:geheim@/",
    ],
)
def test_a_webhook_is_a_whole_address_on_the_web(address):
    with pytest.raises(UsageError, match=r"Next: e\.g\. http://") as caught:
        make_webhook_poster(address)
    assert "geheim" not in str(caught.value)
