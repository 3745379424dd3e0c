"""Run as a process: frames by decord, to stdout. Arguments: the file, then the frame indices.

Writes the number of frames that decord counts as int32, then for every index height and width as int32 and the RGB
bytes. It has a process of its own because decord hangs on some files, which only killing ends.
"""

import sys

import decord
import numpy as np


def main(path: str, *indices: str) -> None:
    """Write the frames and flush after each, so that the reader's deadline is for one frame."""
    out = sys.stdout.buffer
    reader = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
    out.write(np.int32(len(reader)).tobytes())
    for index in indices:
        image = reader[int(index)].asnumpy()
        out.write(np.array(image.shape[:2], np.int32).tobytes() + image.tobytes())
        out.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
