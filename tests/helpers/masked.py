"""A small data set of masks, of something that no model has a word for."""

import json
from pathlib import Path

import cv2
import numpy as np

from tests.helpers.clips import write_clip


def write_masked(folder: Path, clips: int = 3) -> Path:
    """Clips of a disc that crosses a slope of grey, with masks of the disc, which is called spatter."""
    (folder / "videos").mkdir(parents=True)
    rows = []
    for number in range(clips):
        name = f"clip{number}"
        write_clip(folder / "videos" / f"{name}.mp4", count=5, size_px=(96, 64))
        (folder / "annotations" / name).mkdir(parents=True)
        for frame in range(5):
            mask = np.zeros((64, 96), np.uint8)
            cv2.circle(mask, (round(96 * (0.2 + 0.025 * frame)), round(64 * 0.7)), 10, 255, -1)
            cv2.imwrite(str(folder / "annotations" / name / f"{frame:05d}.png"), mask)
        rows.append({"clip": name, "fps": 25, "concept": "spatter", "truth": "mask"})
    (folder / "clips.json").write_text(json.dumps(rows))
    return folder
