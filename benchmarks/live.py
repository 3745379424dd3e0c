"""`vidconcept watch` on a generated line, for as long as asked: memory, skipped frames, and how late events are told.

    python benchmarks/live.py [--minutes 30] [--fps 10] [--out FOLDER] [--set KEY=VALUE] [--json]

Sends brushed parts that pass by, some scratched, as MPEG-TS to the command's standard input at the speed of a camera,
and samples the resident set of the process. Recordings go to FOLDER, rolled over every two minutes, and are removed
again where no folder is named. Prints the memory of the first and the last quarter and of each tenth of the time, the
delays of the events (from the arrival of the frame that made an event sure to its line), and whether every recording is
whole.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

SIZE_PX = (448, 256)
# Every so many parts there is a scratch.
SCRATCHED_EVERY = 5
PART_PX, SPEED_PX = 300, 12
ROLL_MINUTES = 2


def draw_strip(parts: int) -> np.ndarray:
    """A row of parts, `(h, w, 3)` uint8; its end fits its beginning."""
    rng = np.random.default_rng(0)
    height, width = SIZE_PX[1], parts * PART_PX
    strip = np.full((height, width), 60.0)
    for number in range(parts):
        part = 150 + 6 * cv2.blur(rng.normal(0, 4, (height - 48, PART_PX - 30)), (31, 1))
        if number % SCRATCHED_EVERY == 2:
            mark = np.zeros(part.shape, np.float32)
            begin = (int(rng.integers(40, 90)), int(rng.integers(40, 160)))
            cv2.line(mark, begin, (begin[0] + 120, begin[1] - 30), 1.0, 2, cv2.LINE_AA)
            part = part + 80 * mark
        strip[24 : height - 24, number * PART_PX : number * PART_PX + PART_PX - 30] = part
    strip += rng.normal(0, 1.5, strip.shape)
    return np.repeat(strip.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def send_line(out, minutes: float, fps: int) -> int:
    """Write the line as a camera would, until the time is over or nobody reads; returns the number of frames."""
    strip = draw_strip(4 * SCRATCHED_EVERY)
    strip = np.concatenate([strip, strip[:, : SIZE_PX[0]]], axis=1)
    began_s, number = time.monotonic(), 0
    try:
        with av.open(out, "w", format="mpegts") as container:
            stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "tune": "zerolatency"})
            stream.width, stream.height, stream.pix_fmt = *SIZE_PX, "yuv420p"
            while (number / fps) < 60 * minutes:
                time.sleep(max(0.0, began_s + number / fps - time.monotonic()))
                left = number * SPEED_PX % (strip.shape[1] - SIZE_PX[0])
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(strip[:, left : left + SIZE_PX[0]]))
                frame.pts, frame.time_base = number, Fraction(1, fps)
                container.mux(stream.encode(frame))
                number += 1
    except (BrokenPipeError, OSError):
        print("the command ended early", file=sys.stderr)
    return number


def sample_memory(process: subprocess.Popen, samples: list[float], every_s: float) -> None:
    """Resident set of a process in MB, until it ends."""
    while process.poll() is None:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                samples.append(int(line.split()[1]) / 1024)
        time.sleep(every_s)


def watch_line(out: Path, minutes: float, fps: int, pairs: list[str]) -> dict:
    """Run the command on the line; what it came to."""
    command = [sys.executable, "-m", "vidconcept", "watch", "-", "--concepts", "scratch", "--out", str(out)]
    command += ["--roll-minutes", str(ROLL_MINUTES), *(f"--set={pair}" for pair in pairs)]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said)
        assert process.stdin is not None
        assert process.stdout is not None
        lines: list[dict] = []
        samples: list[float] = []
        stdout = process.stdout
        reader = threading.Thread(target=lambda: lines.extend(json.loads(line) for line in stdout))
        sampler = threading.Thread(target=sample_memory, args=(process, samples, 5.0))
        reader.start()
        sampler.start()
        frames = send_line(process.stdin, minutes, fps)
        process.send_signal(signal.SIGTERM)
        status = process.wait()
        reader.join()
        sampler.join()
        said.seek(0)
        last = said.read().decode().splitlines()[-1:]
    delays = sorted(line["delay_s"] for line in lines if line["type"] == "event" and line["state"] == "began")
    runs = [line for line in lines if line["type"] == "run"]
    quarter = max(len(samples) // 4, 1)
    # The first quarter begins when the model is there.
    return {
        "minutes": minutes,
        "fps": fps,
        "settings": pairs,
        "status": status,
        "frames_sent": frames,
        "frames_recorded": sum(run["frames"] for run in runs),
        "frames_skipped": sum(run["skipped"] for run in runs),
        "runs": len(runs),
        "runs_whole": sum((Path(run["run"]) / "review.html").is_file() for run in runs),
        "events": len(delays),
        "delay_half_s": delays[len(delays) // 2] if delays else None,
        "delay_longest_s": delays[-1] if delays else None,
        "memory_first_quarter_mb": round(float(np.median(samples[quarter // 2 : quarter])), 1),
        "memory_last_quarter_mb": round(float(np.median(samples[-quarter:])), 1),
        "memory_largest_mb": round(max(samples), 1),
        "memory_by_tenth_mb": [round(float(np.median(part)), 1) for part in np.array_split(samples, 10) if len(part)],
        "last_words": last,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--fps", type=int, default=10)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder) / "recordings"
        result = watch_line(out, options.minutes, options.fps, options.set)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        for name, value in result.items():
            print(f"{name:<26}{value}")


if __name__ == "__main__":
    main()
