"""The clip factory: footage in every format a user may bring, with the frame number painted in as a bar code.

A test that reads the bar code of what it was given proves that *this* result belongs to *that* frame. `GOOD` holds
what must be read, `bad_clips.BAD` what must be refused; both map a name to a maker that writes into a folder.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

# The AV1 encoder otherwise prints its settings; it reads this once, at its first use.
os.environ.setdefault("SVT_LOG", "1")

SIZE_PX = (192, 128)
FRAMES = 24
BITS = 10
# Two known cells, the number, its count of ones, two known cells.
CELLS = 2 + BITS + 2 + 2
DARK, BRIGHT = 30, 225
# The band that holds the code, as fractions of the height; read well inside it.
BAND_FRAC = 0.4
READ_FRAC = (0.08, 0.32)

# Stamps of the variable-rate clips in units of 1/1000 s: pauses, bursts, and one long hole.
VFR_MS = tuple(int(t) for t in np.cumsum([0] + [40, 40, 17, 16, 17, 100, 33, 34, 33, 500, 8, 9, 40, 120, 40] * 2))[
    :FRAMES
]


@dataclass(frozen=True, slots=True)
class ClipTruth:
    """What was painted into a clip.

    times_s: of every painted frame, relative to the first. tolerance_s: the container's own rounding of them.
    fps: what must be given as `--fps`. size_px: width and height as displayed. intact: numbers of the frames that
    must come back; in a damaged clip others may come back too, or be missing, or unreadable.
    """

    path: Path
    times_s: tuple[float, ...]
    size_px: tuple[int, int] = SIZE_PX
    tolerance_s: float = 1e-6
    fps: float | None = None
    rotation_deg: int = 0
    has_audio: bool = False
    damaged: bool = False
    intact: tuple[int, ...] = field(default=())

    @property
    def frame_count(self) -> int:
        """Frames that were painted; all of them can be decoded unless the clip is damaged."""
        return len(self.times_s)


def paint(number: int, size_px: tuple[int, int] = SIZE_PX) -> np.ndarray:
    """A picture `(h, w, 3)` uint8 RGB: `number` as a bar code, above a disc that moves over a slope of grey."""
    width, height = size_px
    image = np.empty((height, width, 3), np.uint8)
    image[:] = np.linspace(70, 150, width, dtype=np.uint8)[None, :, None]
    band_px = round(height * BAND_FRAC)
    cells = np.array(_cells(number))[np.arange(width) * CELLS // width]
    image[:band_px] = np.where(cells, BRIGHT, DARK)[None, :, None]
    centre = (round(width * (0.2 + 0.025 * (number % FRAMES))), round(height * 0.7))
    cv2.circle(image, centre, height // 10, (220, 40, 40), -1)
    return image


def read_barcode(image: np.ndarray) -> int:
    """The frame number painted into `image` `(h, w, 3)`, at any size and after compression.

    Raises ValueError if the code cannot be read with certainty.
    """
    height, width = image.shape[:2]
    rows = slice(round(height * READ_FRAC[0]), round(height * READ_FRAC[1]))
    level = image[rows].mean(axis=(0, 2))
    edges = np.arange(CELLS + 1) * width / CELLS
    inner = [(round(a + (b - a) * 0.3), round(a + (b - a) * 0.7)) for a, b in pairwise(edges)]
    values = np.array([level[first:last].mean() for first, last in inner])
    bright, dark = values[[0, -1]].mean(), values[[1, -2]].mean()
    cells = (values > (bright + dark) / 2).astype(int).tolist()
    number = int("".join(map(str, cells[2 : 2 + BITS])), 2)
    if bright - dark < 60 or cells != _cells(number):
        raise ValueError(f"no bar code in this picture: cell levels {values.round().tolist()}")
    return number


def _cells(number: int) -> list[int]:
    bits = [int(bit) for bit in f"{number:0{BITS}b}"]
    return [1, 0, *bits, *(int(bit) for bit in f"{sum(bits) % 4:02b}"), 0, 1]


def write_clip(
    path: Path,
    *,
    count: int = FRAMES,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    rate: Fraction = Fraction(25),
    stamps_ms: Sequence[int] | None = None,
    size_px: tuple[int, int] = SIZE_PX,
    turn_ccw_deg: int = 0,
    audio: str | None = None,
    tolerance_s: float = 1e-6,
) -> ClipTruth:
    """Write `count` painted frames, at a constant `rate` or at `stamps_ms`.

    turn_ccw_deg: what the display matrix says; the stored pictures are turned the other way, so that they show
    upright. audio: a codec name for a tone of the clip's length.
    """
    time_base = Fraction(1, 1000) if stamps_ms else 1 / rate
    stamps = list(stamps_ms[:count]) if stamps_ms else list(range(count))
    turns = turn_ccw_deg // 90
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stored = np.rot90(paint(0, size_px), -turns)
        stream.height, stream.width, stream.pix_fmt = *stored.shape[:2], pix_fmt
        stream.time_base = stream.codec_context.time_base = time_base
        if turns:
            stream.set_display_rotation(turn_ccw_deg)
        sound = container.add_stream(audio, rate=48_000, layout="mono") if audio else None
        if sound is not None:
            container.mux(tone(sound, float(stamps[-1] * time_base)))
        for number, stamp in enumerate(stamps):
            image = np.ascontiguousarray(np.rot90(paint(number, size_px), -turns))
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt, dst_colorspace="itu601")
            frame.pts, frame.time_base = stamp, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    times_s = tuple(float(stamp * time_base) for stamp in stamps)
    return ClipTruth(
        path,
        times_s,
        size_px,
        tolerance_s,
        rotation_deg=-turn_ccw_deg % 360,
        has_audio=audio is not None,
        intact=tuple(range(count)),
    )


def tone(stream: "av.AudioStream", length_s: float) -> list[av.Packet]:
    """A 440 Hz tone, coded for `stream`."""
    samples = np.sin(np.arange(round(48_000 * (length_s + 0.04))) * 2 * np.pi * 440 / 48_000) * 8_000
    packets = []
    fifo = av.AudioFifo()
    frame = av.AudioFrame.from_ndarray(samples.astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
    fifo.write(frame)
    for piece in fifo.read_many(stream.codec_context.frame_size or 1024, partial=True):
        packets += stream.encode(piece)
    return packets + stream.encode(None)


def rewrite_pts(path: Path, changes: dict[int, int]) -> Path:
    """The same packets of a Matroska file, with some timestamps (ms) replaced by others."""
    out_path = path.with_stem("rewritten")
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(path)) as source, av.open(str(out_path), "w", options=options) as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            packet.pts = changes.get(number, packet.pts)
            # Not stored, but the muxer wants one that rises and is not above the other.
            packet.dts = number - 10_000
            packet.stream = stream
            out.mux(packet)
    return out_path


def glue(folder: Path, *starts_s: float, count: int = 20, **options: Any) -> Path:
    """Recordings of `count` pictures, 25 a second, one after the other in a transport stream; each begins at its own
    time. options: of `write_clip`; without any, with B-frames."""
    path = folder / "glued.ts"
    parts = []
    for start_s in starts_s:
        stamps_ms = [round(start_s * 1000) + 40 * number for number in range(count)]
        given = {"options": {"bf": "2"}} | options
        parts.append(write_clip(folder / "part.ts", count=count, stamps_ms=stamps_ms, **given).path.read_bytes())
    path.write_bytes(b"".join(parts))
    return path


# Lets a clip be damaged at a known place: pictures depend only on those before them, back to a key frame every 8.
_PLAIN_GOPS = {"bf": "0", "g": "8", "sc_threshold": "0", "refs": "1", "crf": "18", "slices": "1"}
GOP = 8


def _cut_off(path: Path) -> ClipTruth:
    """The first 60 % of the bytes of an MP4 that has its index in front, or of a Matroska file."""
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    truth = write_clip(path, options=_PLAIN_GOPS, container_options=options)
    cut = path.stat().st_size * 6 // 10
    intact = [n for n, (first, size) in enumerate(packet_places(path)) if first + size <= cut]
    path.write_bytes(path.read_bytes()[:cut])
    return _as_damaged(truth, intact)


def _cut_off_ts(path: Path) -> ClipTruth:
    """The first 60 % of a transport stream; the last picture before the cut may be lost with its end mark."""
    truth = write_clip(path, options=_PLAIN_GOPS)
    cut = path.stat().st_size * 6 // 10
    starts = [first for first, _ in packet_places(path)]
    path.write_bytes(path.read_bytes()[:cut])
    return _as_damaged(truth, [n for n in range(len(starts) - 2) if starts[n + 2] <= cut])


def _flipped_bytes(path: Path) -> ClipTruth:
    """One picture with flipped bits in its data, one with a nonsense length: the rest of their two GOPs is in doubt."""
    truth = write_clip(path, options=_PLAIN_GOPS)
    places = packet_places(path)
    data = bytearray(path.read_bytes())
    broken, headless = GOP // 2, 2 * GOP + 3
    first, size = places[broken]
    for at in range(first + size // 3, first + size, 7):
        data[at] ^= 0x55
    first, _ = places[headless]
    data[first : first + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    doubtful = {*range(broken, GOP), *range(headless, 3 * GOP)}
    return _as_damaged(truth, [n for n in range(truth.frame_count) if n not in doubtful])


def _as_damaged(truth: ClipTruth, intact: Sequence[int]) -> ClipTruth:
    return ClipTruth(truth.path, truth.times_s, truth.size_px, truth.tolerance_s, damaged=True, intact=tuple(intact))


def packet_places(path: Path) -> list[tuple[int, int]]:
    """Position and size in bytes of every video packet, in file order."""
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


def image_folder(folder: Path) -> ClipTruth:
    """Names that sort wrongly as text, among files that are no images."""
    folder.mkdir()
    for number in range(FRAMES):
        cv2.imwrite(str(folder / f"part{number}.png"), paint(number)[:, :, ::-1])
    (folder / "notes.txt").write_text("not a picture")
    return _sequence(folder)


def _image_pattern(pattern: Path) -> ClipTruth:
    for number in range(FRAMES):
        cv2.imwrite(str(pattern.parent / (pattern.name % (number + 1))), paint(number)[:, :, ::-1])
    return _sequence(pattern)


def _sequence(source: Path) -> ClipTruth:
    return ClipTruth(source, tuple(n / 20 for n in range(FRAMES)), fps=20.0, intact=tuple(range(FRAMES)))


def _write_av1(path: Path) -> ClipTruth:
    """With SVT-AV1, which leaves the thread of a superuser with the highest real-time priority, and so all processes
    that are begun later: two that wait in a loop would stop the machine."""
    before = (os.sched_getscheduler(0), os.sched_getparam(0)) if hasattr(os, "sched_getscheduler") else None
    truth = write_clip(path, codec="libsvtav1", options=_AV1)
    if before:
        os.sched_setscheduler(0, *before)
    return truth


_OPEN_GOP = {"x264-params": "open-gop=1:keyint=8:min-keyint=4:bframes=3:b-adapt=0:scenecut=0"}
_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
_X265_QUIET = {"x265-params": "log-level=error"}
_AV1 = {"preset": "12", "svtav1-params": "lp=1"}
NTSC = Fraction(30_000, 1001)

GOOD: dict[str, Callable[[Path], ClipTruth]] = {
    "h264": lambda d: write_clip(d / "plain.mp4"),
    "h264_open_gop": lambda d: write_clip(d / "open_gop.mp4", options=_OPEN_GOP),
    "mpeg_ts": lambda d: write_clip(d / "stream.ts", options=_OPEN_GOP, tolerance_s=1e-5),
    "fragmented_mp4": lambda d: write_clip(d / "fragmented.mp4", container_options=_FRAGMENTS, options={"g": "8"}),
    "vfr_mp4": lambda d: write_clip(d / "vfr.mp4", stamps_ms=VFR_MS),
    "vfr_mkv": lambda d: write_clip(d / "vfr.mkv", stamps_ms=VFR_MS),
    "ntsc": lambda d: write_clip(d / "ntsc.mp4", rate=NTSC),
    "ntsc_mkv": lambda d: write_clip(d / "ntsc.mkv", rate=NTSC, tolerance_s=0.00101),
    "h264_10bit": lambda d: write_clip(d / "ten.mp4", pix_fmt="yuv420p10le"),
    "hevc_10bit": lambda d: write_clip(
        d / "ten_hevc.mp4", codec="libx265", pix_fmt="yuv420p10le", options={"preset": "ultrafast", **_X265_QUIET}
    ),
    "vp9": lambda d: write_clip(d / "vp9.webm", codec="libvpx-vp9", options={"cpu-used": "8", "deadline": "realtime"}),
    "av1": lambda d: _write_av1(d / "av1.mp4"),
    "ffv1": lambda d: write_clip(d / "ffv1.mkv", codec="ffv1"),
    "h264_avi": lambda d: write_clip(d / "old.avi", options={"bf": "2"}),
    "mjpeg_avi": lambda d: write_clip(d / "mjpeg.avi", codec="mjpeg", pix_fmt="yuvj420p"),
    "rotated_90": lambda d: write_clip(d / "turn_90.mp4", turn_ccw_deg=-90),
    "rotated_180": lambda d: write_clip(d / "turn_180.mp4", turn_ccw_deg=180),
    "rotated_270": lambda d: write_clip(d / "turn_270.mp4", turn_ccw_deg=90),
    "odd_size": lambda d: write_clip(d / "odd.mp4", size_px=(191, 127), pix_fmt="yuv444p"),
    "odd_size_420": lambda d: write_clip(d / "odd.mkv", size_px=(191, 127), codec="ffv1"),
    "one_frame": lambda d: write_clip(d / "one.mp4", count=1),
    "two_frames": lambda d: write_clip(d / "two.mp4", count=2),
    "five_frames": lambda d: write_clip(d / "five.mp4", count=5),
    "image_folder": lambda d: image_folder(d / "images"),
    "image_pattern": lambda d: _image_pattern(d / "img_%04d.png"),
    "with_audio": lambda d: write_clip(d / "sound.mp4", audio="aac"),
    "with_pcm_audio": lambda d: write_clip(d / "sound.mkv", audio="pcm_s16le"),
    "cut_off": lambda d: _cut_off(d / "cut.mp4"),
    "cut_off_mkv": lambda d: _cut_off(d / "cut.mkv"),
    "cut_off_ts": lambda d: _cut_off_ts(d / "cut.ts"),
    "flipped_bytes": lambda d: _flipped_bytes(d / "flipped.mp4"),
}
