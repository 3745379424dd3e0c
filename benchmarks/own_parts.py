"""What parts of our own cost beside the library that could do the same; one JSON object on stdout.

    python benchmarks/own_parts.py

Masks: a crop of 40×60 pixels in a 1080p frame, to COCO run lengths and back, with pycocotools on the frame-sized array
and with `vidconcept.tracks.rle` on the crop. Plots: a heat map of 7×4 numbers as SVG, with matplotlib and with
`vidconcept.writers.reports.svg`. Milliseconds and seconds of processor time, the best of five.
"""

import io
import json
import time
from collections.abc import Callable

import numpy as np
from pycocotools import mask as coco_mask

from vidconcept.tracks import rle
from vidconcept.writers.reports import svg

WIDTH, HEIGHT = 1920, 1080
X, Y = 900, 500


def time_ms(work: Callable[[], object], calls: int = 30) -> float:
    times = []
    for _ in range(5):
        start = time.process_time()
        for _ in range(calls):
            work()
        times.append((time.process_time() - start) / calls)
    return round(1e3 * min(times), 3)


def masks() -> dict[str, float]:
    crop = np.zeros((60, 40), bool)
    crop[5:55, 5:35] = True
    ours = rle.encode(crop, X, Y, (WIDTH, HEIGHT))

    def encode_frame() -> str | bytes:
        frame = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
        frame[Y : Y + 60, X : X + 40] = crop
        return coco_mask.encode(frame)["counts"]

    def decode_frame() -> np.ndarray:
        return coco_mask.decode({"size": [HEIGHT, WIDTH], "counts": ours})[Y : Y + 60, X : X + 40].copy()

    def decode_crop() -> np.ndarray:
        return rle.decode_box(ours, (WIDTH, HEIGHT), (X, Y, X + 40, Y + 60))

    assert encode_frame() == ours
    assert (decode_frame() == decode_crop()).all()
    return {
        "encode_frame_ms": time_ms(encode_frame),
        "encode_crop_ms": time_ms(lambda: rle.encode(crop, X, Y, (WIDTH, HEIGHT))),
        "decode_frame_ms": time_ms(decode_frame),
        "decode_crop_ms": time_ms(decode_crop),
    }


def plots() -> dict[str, float]:
    start = time.process_time()
    from matplotlib.figure import Figure

    import_s = time.process_time() - start
    values = np.random.default_rng(0).random((7, 4))
    rows, columns = [f"layer {layer}" for layer in range(7)], ["20", "250", "500", "750"]

    def plot_by_library() -> str:
        figure = Figure()
        axes = figure.subplots()
        axes.imshow(values)
        axes.set_xticks(range(4), columns)
        axes.set_yticks(range(7), rows)
        for (row, column), value in np.ndenumerate(values):
            axes.text(column, row, f"{value:.3f}", ha="center")
        file = io.StringIO()
        figure.savefig(file, format="svg")
        return file.getvalue()

    return {
        "matplotlib_import_s": round(import_s, 2),
        "matplotlib_ms": time_ms(plot_by_library, 1),
        "matplotlib_bytes": len(plot_by_library()),
        "own_ms": time_ms(lambda: svg.draw_heat_map("mean AP", rows, columns, values)),
        "own_bytes": len(svg.draw_heat_map("mean AP", rows, columns, values)),
    }


if __name__ == "__main__":
    print(json.dumps({"masks": masks(), "plots": plots()}, indent=1))
