"""Small films of a line: brushed parts that pass by, with the marks that a test wants."""

from pathlib import Path

import cv2
import numpy as np

from tests.helpers.films import write_video

HEIGHT, WIDTH, PART, SPEED = 128, 192, 120, 8


def write_line(path: Path, frames: int = 64, *, scratched: tuple[int, ...] = (), speed: int = SPEED) -> Path:
    """Film a row of brushed parts that moves to the left by `speed` px a frame. scratched: numbers of the parts that
    have the same scratch at the same place.
    """
    rng = np.random.default_rng(7)
    width = WIDTH + frames * speed
    strip = np.full((HEIGHT, width), 60.0)
    for number, left in enumerate(range(10, width, PART)):
        part = 150 + 6 * cv2.blur(rng.normal(0, 4, (HEIGHT - 24, PART - 12)), (31, 1))
        if number in scratched:
            scratch = np.zeros(part.shape, np.float32)
            cv2.line(scratch, (30, 70), (85, 25), 1.0, 2, cv2.LINE_AA)
            part = part + 75 * scratch
        room = strip[12 : HEIGHT - 12, left : left + PART - 12]
        room[:] = part[:, : room.shape[1]]
    strip = strip + rng.normal(0, 1.5, strip.shape)
    pictures = [strip[:, speed * t : speed * t + WIDTH] for t in range(frames)]
    film = np.repeat(np.clip(np.stack(pictures), 0, 255).astype(np.uint8)[..., None], 3, axis=3)
    write_video(path, film)
    return path
