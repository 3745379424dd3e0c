"""Given pictures as a video file."""

from functools import partial
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace

from vidconcept.video.colour import Bt709Encoding, choose_yuv_matrix


def write_video(path: Path, frames: np.ndarray, *, fps: int = 25, crf: int = 20) -> None:
    """Encode `(t, h, w, 3)` uint8 RGB of even size as H.264 in MP4."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "threads": "1"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        # Small pictures that name no matrix are BT.601 to every reader, large ones BT.709.
        to_frame = partial(av.VideoFrame.from_ndarray, format="rgb24")
        if choose_yuv_matrix(0, stream.width, stream.height) == Colorspace.ITU709:
            to_frame = Bt709Encoding(stream.codec_context)
        for image in frames:
            container.mux(stream.encode(to_frame(image)))
        container.mux(stream.encode())
