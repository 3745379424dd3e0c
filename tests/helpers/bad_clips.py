"""What a user may hand in by mistake: each name of `BAD` maps to a maker that writes it into a folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from tests.helpers.clips import image_folder, packet_places, tone, write_clip


@dataclass(frozen=True, slots=True)
class BadInput:
    """Something that cannot be read, and what the command must return for it.

    words: what its message has to say, in lower case.
    """

    path: Path
    exit_code: int
    words: str
    fps: float | None = None


def _audio_only(path: Path) -> BadInput:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        container.mux(tone(stream, 1.0))
    return BadInput(path, 4, "no video")


def _written(path: Path, content: bytes, words: str) -> BadInput:
    path.write_bytes(content)
    return BadInput(path, 4, words)


def _without_index(path: Path) -> BadInput:
    write_clip(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    return BadInput(path, 4, "index")


def _no_picture_left(path: Path) -> BadInput:
    write_clip(path)
    data = bytearray(path.read_bytes())
    for first, size in packet_places(path):
        data[first : first + size] = b"\xff" * size
    path.write_bytes(data)
    return BadInput(path, 4, "damaged")


def _folder_with(folder: Path, name: str, words: str) -> BadInput:
    folder.mkdir()
    (folder / name).write_text("hello")
    return BadInput(folder, 4, words, fps=25)


def _no_fps(folder: Path) -> BadInput:
    image_folder(folder)
    return BadInput(folder, 2, "fps")


BAD: dict[str, Callable[[Path], BadInput]] = {
    "audio_only": lambda d: _audio_only(d / "sound.m4a"),
    "zero_bytes": lambda d: _written(d / "empty.mp4", b"", "empty"),
    "text_as_mp4": lambda d: _written(d / "text.mp4", b"This is not a film.\n" * 40, "text"),
    "noise_as_mp4": lambda d: _written(
        d / "noise.mp4", np.random.default_rng(0).integers(0, 256, 20_000, np.uint8).tobytes(), "not a video"
    ),
    "cut_off_without_index": lambda d: _without_index(d / "no_index.mp4"),
    "no_picture_left": lambda d: _no_picture_left(d / "ruined.mp4"),
    "folder_without_images": lambda d: _folder_with(d / "folder", "readme.txt", "no images"),
    "broken_images": lambda d: _folder_with(d / "broken", "a.png", "can be read"),
    "missing_path": lambda d: BadInput(d / "nowhere.mp4", 4, "does not exist"),
    "missing_pattern": lambda d: BadInput(d / "img_%04d.png", 4, "no file matches", fps=25),
    "images_without_fps": lambda d: _no_fps(d / "images"),
}
