"""Generated footage as files: H.264 videos, pictures of identities, boxes."""

from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace

from vidconcept.video.colour import Bt709Encoding, choose_yuv_matrix


def write_video(path: Path, frames: np.ndarray, *, fps: int = 25, crf: int = 20) -> None:
    """Encode `(t, h, w, 3)` uint8 RGB as H.264 in MP4, playable in a browser. Even sizes only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": "slow", "threads": "1"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        # Small pictures that name no matrix are BT.601 to every reader, large ones BT.709.
        to_frame = partial(av.VideoFrame.from_ndarray, format="rgb24")
        if choose_yuv_matrix(0, stream.width, stream.height) == Colorspace.ITU709:
            to_frame = Bt709Encoding(stream.codec_context)
        for image in frames:
            container.mux(stream.encode(to_frame(image)))
        container.mux(stream.encode())


def write_annotations(folder: Path, instances: np.ndarray) -> None:
    """One 16-bit PNG a frame of `(t, h, w)` identities, 0 where there is nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, numbers in enumerate(instances):
        cv2.imwrite(str(folder / f"{index:05d}.png"), numbers.astype(np.uint16))


def find_boxes(masks: np.ndarray) -> dict[str, list[int]]:
    """Frame number -> x_min, y_min, x_max, y_max of `(t, h, w)` bool, max exclusive, where there is anything."""
    out = {}
    for index in np.flatnonzero(masks.any((1, 2))):
        rows, columns = np.flatnonzero(masks[index].any(1)), np.flatnonzero(masks[index].any(0))
        out[str(index)] = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
    return out
