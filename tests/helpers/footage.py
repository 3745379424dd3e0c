"""Footage of the kinds that cameras and converters leave: deep, of several streams, HDR."""

from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from PIL import Image

from tests.helpers.clips import FRAMES, paint, write_clip


def deep(number: int, bits: int) -> np.ndarray:
    """A painted grey picture `(h, w)` uint16 of so many bits."""
    return (paint(number)[:, :, 0].astype(np.uint16) << (bits - 8)) + 1


def deep_folder(folder: Path, suffix: str, bits: int, count: int = 3) -> Path:
    folder.mkdir()
    for number in range(count):
        Image.fromarray(deep(number, bits)).save(folder / f"{number}{suffix}")
    return folder


def deep_film(path: Path, bits: int, count: int = 12) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 192, 128, "gray16le"
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(deep(number, bits), format="gray16le")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def two_streams(path: Path, default: int | None, cover: bool = False) -> Path:
    """A preview of 96x64 whose pictures are numbered from 100, then the film of 192x128."""
    with av.open(str(path), "w") as out:
        streams = [out.add_stream("libx264", rate=25, options={"bf": "0"}) for _ in range(2)]
        for index, (stream, size) in enumerate(zip(streams, [(96, 64), (192, 128)], strict=True)):
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            if default is not None:
                stream.disposition = Disposition.default if index == default else Disposition(0)
        if cover:
            streams[0].disposition = Disposition.attached_pic | Disposition.default
        for number in range(4):
            for index, stream in enumerate(streams):
                image = paint(number + (0 if index else 100), (stream.width, stream.height))
                frame = av.VideoFrame.from_ndarray(image).reformat(format="yuv420p", dst_colorspace="itu601")
                frame.pts = number
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))
    return path


def raw_stream(path: Path, count: int = FRAMES) -> Path:
    """The packets of a clip with B-frames, without their container."""
    clip = write_clip(path.with_suffix(".mp4"), count=count, options={"bf": "2"}).path
    with av.open(str(clip)) as source, av.open(str(path), "w", format="h264") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    return path


def hdr_film(path: Path, count: int = 5) -> Path:
    """Painted pictures whose white is shown at 100 candela per square metre, coded as PQ (SMPTE ST 2084) in BT.2020."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"bf": "0", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = 9, 16, 9
        for number in range(count):
            light = ((paint(number) / 255) ** 2.2 / 100) ** 0.1593017578125
            coded = ((0.8359375 + 18.8515625 * light) / (1 + 18.6875 * light)) ** 78.84375
            deep_rgb = av.VideoFrame.from_ndarray((coded * 65535).astype(np.uint16), format="rgb48le")
            frame = deep_rgb.reformat(format="yuv420p10le", dst_colorspace=9)
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path
