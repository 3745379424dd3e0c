"""What a camera sends: MPEG-TS made in memory, and servers on loopback that misbehave when told to."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np

from tests.helpers.clips import paint

SIZE_PX = (192, 128)


def transport_stream(
    count: int = 30,
    *,
    first: int = 0,
    size_px: tuple[int, int] = SIZE_PX,
    fps: int = 25,
    start_s: float = 0.0,
    pid: int = 0x100,
    sound_s: float = 0.0,
) -> bytes:
    """`count` painted pictures from number `first` on as H.264 in MPEG-TS, stamped from `start_s` on, with so much
    silent sound. pid: of the video."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mpegts", options={"mpegts_start_pid": str(pid)}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "bf": "0", "g": "10"})
        stream.width, stream.height, stream.pix_fmt = *size_px, "yuv420p"
        sound = container.add_stream("mp2", rate=48_000, layout="mono") if sound_s else None
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(paint(first + number, size_px), format="rgb24")
            frame.pts, frame.time_base = round(start_s * fps) + number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for number in range(round(sound_s * 25) if sound else 0):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.int16), "s16", "mono")
            samples.sample_rate, samples.pts = 48_000, 1920 * number
            container.mux(sound.encode(samples))
    return buffer.getvalue()


def as_transport_stream(film: Path) -> bytes:
    """The packets of an MP4 as MPEG-TS."""
    buffer = io.BytesIO()
    with av.open(str(film)) as source, av.open(buffer, "w", format="mpegts") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    return buffer.getvalue()


def at_speed(data: bytes, seconds: float, pieces: int = 20) -> Iterator[bytes]:
    """The bytes in so many pieces over so much time, as a camera sends them."""
    step = -(-len(data) // pieces)
    for start in range(0, len(data), step):
        yield data[start : start + step]
        time.sleep(seconds / pieces)


# Takes the number of the request, from 0, and a function that sends bytes; returning ends the answer.
Answer = Callable[[int, Callable[[bytes], None]], None]


@contextmanager
def http_camera(answer: Answer) -> Iterator[str]:
    """A camera over HTTP at the address given; `answer` says what it does at each request."""
    requests = iter(range(1_000_000))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()

            def send(data: bytes) -> None:
                self.wfile.write(data)
                self.wfile.flush()

            try:
                answer(next(requests), send)
            except OSError:
                return

        def log_message(self, *_):
            pass

    with serving(Handler) as address:
        yield f"{address}/live.ts"


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """An HTTP server on loopback while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def serving_whole_files(folder: Path) -> Iterator[str]:
    """The files of a folder, as `python -m http.server` sends them: never a part of one."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *given) -> None:
            super().__init__(*given, directory=str(folder))

        def log_message(self, *_):
            pass

    with serving(Handler) as address:
        yield address
