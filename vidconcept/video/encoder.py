"""The encoder of a film, in stretches: between two of them pictures can be copied from another film."""

from fractions import Fraction
from typing import Literal

import av
import av.container
import av.video.stream
import numpy as np
from av.video.codeccontext import VideoCodecContext

from vidconcept.video.colour import Bt709Encoding

WriterCodec = Literal["h264", "libvpx-vp9"]

ENCODER_PRESET = "veryfast"
# Without B-frames decoding order is presentation order, so every frame keeps an exact duration of its own.
_ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"preset": ENCODER_PRESET, "crf": "20", "bf": "0"}),
    "libvpx-vp9": (
        "libvpx-vp9",
        {"deadline": "realtime", "cpu-used": "7", "row-mt": "1", "crf": "30", "b": "0", "lag-in-frames": "0"},
    ),
}
KEYFRAME_EVERY = 50


def get_encoder(codec: WriterCodec, preset: str = ENCODER_PRESET) -> tuple[str, dict[str, str]]:
    """Name and options of the encoder that writes a film. preset: of x264."""
    name, options = _ENCODERS[codec]
    return name, options | ({"preset": preset} if "preset" in options else {})


class Encoder:
    """Adds a stream to `container` and encodes its pictures. Each stretch begins with one that needs none before it.

    size_px: width and height of the pictures; odd ones are padded by one pixel. rate: in pictures a second, the encoder
    plans by it.
    """

    def __init__(
        self,
        container: av.container.OutputContainer,
        encoder: tuple[str, dict[str, str]],
        *,
        size_px: tuple[int, int],
        rate: Fraction,
        time_base: Fraction,
        pixel_aspect: Fraction,
    ) -> None:
        self._name, self._options = encoder
        self._size_px = size_px
        self._rate = rate
        self._time_base = time_base
        self._pixel_aspect = pixel_aspect
        stream = container.add_stream(self._name, rate=rate, options=self._options)
        assert isinstance(stream, av.video.stream.VideoStream)
        stream.time_base = time_base
        self.stream = stream
        self._set_up(stream.codec_context)

    def _set_up(self, context: VideoCodecContext) -> None:
        width, height = self._size_px
        context.width, context.height = width + width % 2, height + height % 2
        context.pix_fmt = "yuv420p"
        context.time_base = self._time_base
        context.gop_size = KEYFRAME_EVERY
        context.sample_aspect_ratio = self._pixel_aspect
        self._to_bt709 = Bt709Encoding(context)
        context.thread_count = 0
        self._context, self._has_begun = context, False

    def read_parameter_sets(self) -> bytes:
        """What a decoder has to know of H.264 beforehand, SPS and PPS, as they stand in a stream."""
        self._context.open(strict=False)
        return self._context.extradata or b""

    def to_frame(self, image: np.ndarray) -> av.VideoFrame:
        """A frame to encode of an RGB picture `(h, w, 3)` uint8."""
        height, width = image.shape[:2]
        if height % 2 or width % 2:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        return self._to_bt709(image)

    def encode(self, frame: av.VideoFrame) -> list[av.Packet]:
        """Packets of this picture or earlier ones: the encoder looks some pictures ahead."""
        self._has_begun = True
        return self._send(frame)

    def end_stretch(self) -> list[av.Packet]:
        """Packets of all pictures that are still in the encoder; none where no stretch has begun."""
        if not self._has_begun:
            return []
        packets = self._send(None)
        # An encoder takes no picture after its end.
        context = av.CodecContext.create(self._name, "w")
        assert isinstance(context, VideoCodecContext)
        context.options, context.framerate = dict(self._options), self._rate
        context.flags = self.stream.codec_context.flags
        self._set_up(context)
        return packets

    def _send(self, frame: av.VideoFrame | None) -> list[av.Packet]:
        packets = self._context.encode(frame)
        for packet in packets:
            packet.stream = self.stream
        return packets
