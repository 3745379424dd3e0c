"""What a path stands for (video file, folder of images, printf pattern), and opening it with errors to act on."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.container
import av.error
import av.stream
import av.video.stream

from vidconcept.errors import InputError, UsageError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".m4v", ".mpg", ".flv"})
# PyAV before 19 refuses files whose tags are not UTF-8 unless asked to replace what it cannot read; 19 always does.
TOLERANT_TAGS = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
_PATTERN = re.compile(r"%0?(\d*)d")

# These demuxers take text for a picture, or open other files that the text names.
_REFUSED_FORMATS = frozenset({"tty", "bin", "xbin", "adf", "idf", "hls", "concat", "dash", "lavfi"})


def image_paths(source: Path) -> list[Path] | None:
    """Images of a folder or printf pattern in natural order; None if `source` is a single file.

    Raises InputError for a folder or pattern without images.
    """
    if "%" in source.name and not source.exists():
        match = _PATTERN.search(source.name)
        if match is None:
            raise InputError(
                f"{source} does not exist, and is no printf pattern either: a pattern has one number field, "
                f"like img_%04d.png"
            )
        digits = rf"\d{{{match[1]},}}" if match[1] else r"\d+"
        shape = re.compile(
            re.escape(source.name[: match.start()]) + f"({digits})" + re.escape(source.name[match.end() :])
        )
        names = {int(hit[1]): name for name in _list(source.parent) if (hit := shape.fullmatch(name))}
        if not names:
            raise InputError(f"no file matches the pattern {source}: check the folder and the number of digits")
        return [source.parent / names[number] for number in sorted(names)]
    if not source.is_dir():
        return None
    names = _list(source)
    images = sorted((n for n in names if Path(n).suffix.lower() in IMAGE_SUFFIXES and n[0] != "."), key=_natural)
    if not images:
        videos = [n for n in names if Path(n).suffix.lower() in VIDEO_SUFFIXES]
        hint = f"pass a video itself, e.g. {source / videos[0]}" if videos else "point to a folder of PNG or JPEG files"
        raise InputError(f"no images in the folder {source}: {hint}")
    return [source / name for name in images]


def require_fps(source: Path, fps: float | None) -> float:
    """The frame rate of an image sequence. Raises UsageError if it was not given or makes no sense."""
    if fps is None:
        raise UsageError(f"{source} is a sequence of images, which has no frame rate: give it, e.g. --fps 25")
    if not 0 < fps < 100_000:
        raise UsageError(f"--fps {fps:g} is not a frame rate: give a number above 0, e.g. --fps 25")
    return fps


@contextmanager
def open_video(source: Path) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
    """Open a video file and pick its video stream (cover pictures do not count).

    Raises InputError, with the next step, for everything that cannot be read.
    """
    _check_file(source)
    try:
        # "file:" keeps a colon in a name from being read as a protocol; the whitelist keeps playlists off the network.
        container = av.open(f"file:{source}", options={"protocol_whitelist": "file"}, **TOLERANT_TAGS)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(_cannot_open(source, error)) from error
    with container:
        if container.format.name in _REFUSED_FORMATS:
            raise InputError(_not_a_video(source))
        streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not streams:
            if container.streams.audio:
                raise InputError(f"{source} has sound but no video stream: pass a file with pictures")
            raise InputError(f"{source} has no video stream (read as {container.format.long_name}): pass a video file")
        if streams[0].codec_context is None:
            raise InputError(f"{source}: no decoder here for its video stream; convert it to H.264 first")
        yield container, streams[0]


def nothing_decodes(source: Path, paths: list[Path] | None = None) -> InputError:
    """The error for a video without one picture that decodes, or for the images `paths` of which none can be read."""
    if paths is not None:
        return InputError(f"{source}: none of its {len(paths)} images can be read: they are damaged or not images")
    return InputError(f"{source}: not one picture could be decoded; the file is damaged: copy or record it again")


def _list(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError as error:
        raise InputError(f"the folder {folder} does not exist: check the path") from error
    except PermissionError as error:
        raise InputError(f"no permission to read the folder {folder}: ask its owner, or chmod +rx it") from error
    except NotADirectoryError as error:
        raise InputError(f"{folder} is not a folder: check the path") from error


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which img_2 comes before img_10."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


def _check_file(source: Path) -> None:
    try:
        with source.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{source} is empty (zero bytes): copy or record it again")
    except FileNotFoundError as error:
        raise InputError(f"{source} does not exist: check the path") from error
    except PermissionError as error:
        raise InputError(f"no permission to read {source}: ask its owner, or chmod +r it") from error
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}") from error


def _cannot_open(source: Path, error: Exception) -> str:
    with source.open("rb") as file:
        head = file.read(4096)
    if b"ftyp" in head[:64]:
        return (
            f"{source} is an MP4/MOV file without its index (moov), as left by a recording or copy that broke off: "
            f"copy it again, or repair it with a tool such as untrunc"
        )
    if isinstance(error, av.error.InvalidDataError | ValueError):
        return _not_a_video(source)
    return f"cannot open {source}: {error}"


def _not_a_video(source: Path) -> str:
    with source.open("rb") as file:
        head = file.read(512)
    kind = "text" if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head) else "no video format known here"
    return f"{source} is not a video (its content is {kind}): check the path, or convert it to MP4"
