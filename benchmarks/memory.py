"""Peak memory of `vidconcept track` on a short and a long 1080p file: it must not grow with the length.

    python benchmarks/memory.py [--minutes 20] [--fps 25] [--stride auto] [--json]

Writes both files itself (moving texture with a scratch on it), tracks them with the embedded model in a process each,
and prints the largest resident set of each process and their ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np

SHORT_S = 20
SIZE_PX = (1920, 1080)


def write_video(path: Path, seconds: float, fps: int) -> None:
    """1080p H.264: a strip of brushed texture with a bright line, moving past."""
    rng = np.random.default_rng(0)
    strip = np.repeat(rng.normal(120, 12, (SIZE_PX[1], 1, 3)), SIZE_PX[0] * 2, axis=1)
    strip += rng.normal(0, 4, strip.shape)
    for x in range(900, 1100):
        strip[x - 500 : x - 494, x] = 235
    strip = strip.clip(0, 255).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "28"})
        stream.width, stream.height, stream.pix_fmt = *SIZE_PX, "yuv420p"
        for index in range(round(seconds * fps)):
            x = (index * 11) % SIZE_PX[0]
            image = np.ascontiguousarray(strip[:, x : x + SIZE_PX[0]])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode())


def peak_mb(video: Path, out: Path, stride: str) -> float:
    """Largest resident set of one `track`, in MB."""
    command = [sys.executable, "-m", "vidconcept", "track", video, "--concepts", "scratch", "--out", out]
    process = subprocess.Popen([*map(str, command), "--stride", stride], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"track failed on {video.name} with status {status}")
    return usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--stride", default="auto", help="as of `track`; a number reads fewer frames")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        peaks = {}
        for name, seconds in (("short", SHORT_S), ("long", options.minutes * 60)):
            video = Path(folder) / f"{name}.mp4"
            write_video(video, seconds, options.fps)
            peaks[name] = peak_mb(video, Path(folder) / name, options.stride)
    result = {"short_mb": peaks["short"], "long_mb": peaks["long"], "ratio": peaks["long"] / peaks["short"]}
    result |= {"short_s": SHORT_S, "long_s": options.minutes * 60, "fps": options.fps, "stride": options.stride}
    if options.json:
        print(json.dumps(result))
    else:
        print(f"{SHORT_S} s: {peaks['short']:.0f} MB, {options.minutes:g} min: {peaks['long']:.0f} MB")
        print(f"ratio {result['ratio']:.3f}")


if __name__ == "__main__":
    main()
