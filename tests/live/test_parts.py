"""What `watch` is put together from, without a model: backlog, sources, delays, metrics."""

import errno
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import av
import pytest

from vidconcept.errors import InputError, UsageError
from vidconcept.fleet.metrics import write_metrics
from vidconcept.live import backlog as live_backlog
from vidconcept.live import feed as live_feed
from vidconcept.live.backlog import Backlog, Shot
from vidconcept.live.delays import Delays
from vidconcept.live.messages import WatchState
from vidconcept.live.metrics import watch_metrics
from vidconcept.live.recording import reserve_stem
from vidconcept.live.setup import settle_live
from vidconcept.live.sources import (
    PROBING,
    LiveSource,
    choose_opening,
    explain,
    is_hopeless,
    parse_input_options,
    parse_source,
)


def shot(number: int) -> Shot:
    return Shot(None, float(number), 0.0, 0.0)  # type: ignore[arg-type]


class TestBacklog:
    def test_a_slow_taker_gets_whole_runs_with_gaps_between(self):
        backlog, taken = Backlog(4), []
        for number in range(40):
            backlog.put(shot(number))
            if number % 2:
                # Half as fast as the camera.
                taken.append(backlog.take(0))
        backlog.close()
        while (item := backlog.take(0)) != "end":
            taken.append(item)
        runs = [[]]
        for item in taken:
            runs.append([]) if item == "gap" else runs[-1].append(item.time_s)
        assert len(runs) > 2
        assert all(run == list(range(int(run[0]), int(run[0]) + len(run))) for run in runs if run)
        assert all(len(run) >= 4 for run in runs[:-1])
        assert backlog.skipped + backlog.taken == 40
        assert backlog.gaps == len(runs) - 1

    def test_the_speed_of_a_slow_taker_is_known_before_many_takings(self, monkeypatch):
        monkeypatch.setattr(live_backlog, "MEASURED_S", 0.05)
        backlog, rates = Backlog(4), []
        for number in range(2):
            backlog.put(shot(number))
            backlog.take(0)
            rates.append(backlog.rate_fps)
            time.sleep(0.06)
        assert rates[0] is None
        assert 0 < rates[1] < 20

    def test_what_waits_beyond_a_smaller_capacity_is_skipped_from_the_newest_on(self):
        backlog = Backlog(10)
        for number in range(8):
            backlog.put(shot(number))
        for capacity in (5, 3):
            backlog.fit(capacity)
            backlog.put(shot(8))
        taken = [backlog.take(0) for _ in range(4)]
        assert [getattr(item, "time_s", item) for item in taken] == [0, 1, 2, "gap"]
        assert (backlog.waiting, backlog.skipped, backlog.gaps) == (0, 7, 1)
        backlog.put(shot(9))
        assert backlog.waiting == 1

    def test_a_source_that_can_wait_loses_nothing_to_a_smaller_capacity(self):
        backlog = Backlog(10, waits=True)
        for number in range(8):
            backlog.put(shot(number))
        backlog.fit(3)
        assert (backlog.waiting, backlog.skipped) == (8, 0)

    def test_what_waits_is_bounded(self):
        backlog = Backlog(4)
        for number in range(1000):
            backlog.put(shot(number))
        assert backlog.waiting <= 5
        assert backlog.skipped == 996

    def test_a_source_that_can_wait_loses_nothing(self):
        backlog = Backlog(3, waits=True)
        camera = threading.Thread(target=lambda: [backlog.put(shot(n)) for n in range(20)] and backlog.close())
        camera.start()
        taken = []
        while (item := backlog.take(5)) != "end":
            taken.append(item.time_s)
        camera.join()
        assert taken == list(range(20))
        assert backlog.skipped == 0

    def test_silence_and_the_end_are_told_apart(self):
        backlog = Backlog(3)
        assert backlog.take(0.01) == "silence"
        backlog.put(shot(0))
        backlog.clear()
        assert (backlog.take(0.01), backlog.unread, backlog.skipped) == ("end", 1, 0)

    @pytest.mark.parametrize("waits", [False, True])
    def test_a_frame_that_comes_when_nothing_is_wanted_any_more_is_unread(self, waits):
        backlog = Backlog(3, waits=waits)
        backlog.clear()
        backlog.put(shot(0))
        assert (backlog.waiting, backlog.unread) == (0, 1)


def test_frames_of_a_slow_camera_are_one_part(monkeypatch):
    monkeypatch.setattr(live_feed, "QUIET_S", 0.05)
    monkeypatch.setattr(live_feed, "POLL_S", 0.01)
    backlog = Backlog(100)

    def send():
        for number in range(8):
            picture = av.VideoFrame(16, 16, "rgb24")
            backlog.put(Shot(picture, number / 8, 0.0, 0.0))
            time.sleep(0.125)
        backlog.close()

    threading.Thread(target=send).start()
    feed = live_feed.Feed(backlog, lambda: False, lambda: None)
    feed.wait_first()
    assert [len(list(part)) for part in feed.split_parts(lambda length_s: False)] == [8]


def test_a_clock_that_was_set_back_never_gives_a_name_that_is_taken(tmp_path):
    began_s = 1_700_000_000.0
    assert reserve_stem(tmp_path, began_s) == "20231114T221320Z"
    # A whole recording, one whose film is left of a kill, and one under way.
    for name in ("20231114T221320Z.mp4", "20231114T221320Z-2.1a2b.partial.mp4", "20231114T221320Z-3.partial"):
        (tmp_path / name).touch()
    assert reserve_stem(tmp_path, began_s + 0.9) == "20231114T221320Z-4"
    assert reserve_stem(tmp_path, began_s - 3600) == "20231114T211320Z"


def test_recordings_that_begin_in_the_same_instant_have_names_of_their_own(tmp_path):
    together = threading.Barrier(8)

    def reserve(_):
        together.wait()
        return reserve_stem(tmp_path, 1_700_000_000.0)

    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(reserve, range(8)))
    assert len(names) == 8
    assert names == {path.name.removesuffix(".partial") for path in tmp_path.iterdir()}


class TestSources:
    @pytest.mark.parametrize(
        ("text", "kind"),
        [("-", "pipe"), ("rtsp://h/s", "rtsp"), ("http://h/s", "http"), ("srt://h:1", "srt"), ("/dev/null", "device")],
    )
    def test_kinds(self, text, kind):
        assert parse_source(text).kind == kind

    def test_a_recording_is_sent_to_track(self, tmp_path):
        film = tmp_path / "film.mp4"
        film.write_bytes(b"x")
        with pytest.raises(InputError, match=f"Next: vidconcept track {film}"):
            parse_source(str(film))

    @pytest.mark.parametrize(("text", "says"), [("nowhere", "No such file"), ("ftp://u:pw@h/f", "protocol 'ftp'")])
    def test_what_is_no_source_says_what_is_one(self, text, says):
        with pytest.raises(InputError, match=f"{says}.*Next: ") as caught:
            parse_source(text)
        assert "pw" not in str(caught.value)

    @pytest.mark.parametrize("login", ["me:secret", "me:secret@more", "me@home:s e:cret@"])
    def test_a_password_is_not_shown(self, login):
        assert parse_source(f"rtsp://{login}@camera/stream?at=1@2").name == "rtsp://camera/stream?at=1@2"

    @pytest.mark.parametrize("key", ["password", "pwd", "loginpas", "access_token", "API-Key", "sig"])
    def test_the_secrets_of_a_query_are_not_shown(self, key):
        name = parse_source(f"http://camera/video?user=me&{key}=s/e=cret&channel=1").name
        assert name == f"http://camera/video?user=me&{key}=***&channel=1"

    def test_standard_input_that_is_closed_says_what_to_pipe_into_it(self, monkeypatch):
        monkeypatch.setattr("sys.stdin", None)
        with pytest.raises(InputError, match=r"standard input is closed\. Next: pipe MPEG-TS"):
            parse_source("-")

    @pytest.mark.parametrize(
        ("kind", "format_name", "wanted"),
        [
            ("device", "v4l2", {}),
            ("srt", None, PROBING | {"protocol_whitelist": "srt"}),
            ("rtsp", None, PROBING | {"protocol_whitelist": "rtsp,rtp,udp,tcp", "rtsp_transport": "tcp"}),
            ("pipe", None, PROBING),
        ],
    )
    def test_how_each_kind_is_opened(self, kind, format_name, wanted):
        assert choose_opening(LiveSource(kind, "x"), {}) == (format_name, wanted)
        given = {"video_size": "640x480", "analyzeduration": "5"}
        assert choose_opening(LiveSource(kind, "x"), given) == (format_name, wanted | given)

    def test_options_that_a_usb_camera_refuses_are_told_from_what_is_no_camera(self):
        camera = LiveSource("device", "/dev/video0")
        refused, none = (OSError(number, os.strerror(number)) for number in (errno.EINVAL, errno.ENOTTY))
        assert is_hopeless(refused)
        assert is_hopeless(none)
        assert "ffmpeg -f v4l2 -list_formats all -i /dev/video0" in explain(camera, refused)
        assert "no camera that gives pictures" in explain(camera, none)

    def test_options_are_pairs(self):
        assert parse_input_options(["video_size=640x480", "a=b=c"]) == {"video_size": "640x480", "a": "b=c"}
        with pytest.raises(UsageError, match="not KEY=VALUE"):
            parse_input_options(["x"])


def test_looks_are_refused_where_no_window_is_left_out_unless_only_a_preset_sets_them():
    asked = {"concepts": ("scratch",)}
    with pytest.raises(UsageError, match=r"`looks=5` \(arguments\).*every window is read\. Next: "):
        settle_live(asked | {"looks": 5}, None)
    for taken in ({"preset": "fast"}, {"stride": 1}):
        assert settle_live(asked | taken, None).settings.stride == 1


def test_delays_are_summed_up():
    delays = Delays()
    assert (delays.quantile(0.5), delays.share_within(1)) == (None, 1.0)
    for number in range(100):
        delays.add(number / 10)
    assert delays.quantile(0.5) == pytest.approx(4.9, abs=0.03)
    assert delays.share_within(4.95) == pytest.approx(0.5)
    assert delays.longest_s == 9.9


def test_metrics_are_what_prometheus_reads(tmp_path):
    state = WatchState('a"b', *[3] * (len(fields(WatchState)) - 1))
    write_metrics(tmp_path / "m.prom", watch_metrics(state, 1_700_000_000.0))
    lines = (tmp_path / "m.prom").read_text().splitlines()
    assert 'vidconcept_watch_frames_total{source="a\\"b"} 3' in lines
    assert 'vidconcept_watch_last_update_seconds{source="a\\"b"} 1700000000' in lines
    assert "# TYPE vidconcept_watch_delay_95_seconds gauge" in lines
    for line in lines:
        assert line.startswith(("# HELP vidconcept_", "# TYPE vidconcept_", "vidconcept_watch_"))
