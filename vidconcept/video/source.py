"""What a path stands for (video file, folder of images, printf pattern), and opening it with errors to act on."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import av.audio.stream
import av.container
import av.error
import av.packet
import av.video.stream

from vidconcept.errors import InputError, UsageError
from vidconcept.files import MAX_MEGAPIXELS, check_name, check_path, open_regular, refuse_special
from vidconcept.video.limits import check_pixels
from vidconcept.video.sequence import ImageSequence, describe_copies, lay_out, remove_copies
from vidconcept.video.streams import pick_stream

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".gif", ".apng"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".m4v", ".mpg", ".flv"})
# PyAV before 19 refuses files whose tags are not UTF-8 unless asked to replace what it cannot read; 19 always does.
TOLERANT_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
# A picture a day, and more than any camera takes; beyond, times have no unit that they could be counted in.
LOWEST_FPS, HIGHEST_FPS = 1e-5, 100_000
_PATTERN = re.compile(r"%0?(\d*)d")

# These demuxers take text for a picture, or open other files that the text names.
_REFUSED_FORMATS = frozenset({"tty", "bin", "xbin", "adf", "idf", "hls", "concat", "dash", "lavfi"})


def list_images(source: Path, *, with_copies: bool = False) -> list[Path] | None:
    """Images of a folder or printf pattern in natural order; None if `source` is a single file.

    Files of a folder that are copies of others, by name and to the byte, are left out unless asked for. Raises
    InputError for a folder or pattern without images, and for what is no local file at all.
    """
    found = _find_images(source)
    return None if found is None else found.everything if with_copies else found.paths


def list_photos(folder: Path) -> list[Path]:
    """Every image of a folder in natural order; whether each can be read is not looked at.

    Raises InputError for a folder that cannot be read, or has no image.
    """
    names = sorted(
        (n for n in _list(folder) if Path(n).suffix.lower() in IMAGE_SUFFIXES and n[0] != "."), key=_natural_key
    )
    if not names:
        raise InputError(f"the folder {folder} holds no images. Next: give a folder of PNG or JPEG files")
    return [folder / name for name in names]


def open_sequence(source: Path, max_megapixels: float = MAX_MEGAPIXELS) -> ImageSequence | None:
    """The images that `source` stands for, page by page, at their places in time; None for a video file.

    Raises InputError for what cannot be read, or is no sequence.
    """
    found = _find_images(source)
    if found is None:
        if source.suffix.lower() not in IMAGE_SUFFIXES:
            return None
        _check_file(source)
        return lay_out([source], is_file=True, max_megapixels=max_megapixels)
    sequence = lay_out(found.paths, is_file=False, numbers=found.numbers, max_megapixels=max_megapixels)
    return replace(sequence, findings=(*describe_copies(found.copies), *sequence.findings))


@dataclass(frozen=True, slots=True)
class _Images:
    """everything: all images. numbers: those of a pattern's field. copies: each with its original, not in `paths`."""

    everything: list[Path]
    paths: list[Path]
    numbers: list[int] | None = None
    copies: list[tuple[Path, Path]] = field(default_factory=list)


def _find_images(source: Path) -> _Images | None:
    refuse_no_file(source)
    if "%" in source.name and not source.exists():
        match = _PATTERN.search(source.name)
        if match is None:
            raise InputError(
                f"{source} does not exist, and is no printf pattern either. "
                "Next: check the path; a pattern has one number field, like img_%04d.png"
            )
        digits = rf"[0-9]{{{match[1]},}}" if match[1] else r"[0-9]+"
        shape = re.compile(
            re.escape(source.name[: match.start()]) + f"({digits})" + re.escape(source.name[match.end() :])
        )
        found: dict[int, str] = {}
        for name in _list(source.parent):
            if (hit := shape.fullmatch(name)) and (other := found.setdefault(int(hit[1]), name)) != name:
                raise InputError(
                    f"{source}: {other} and {name} have the same number. Next: a pattern that fits one of them, like "
                    "img_%04d.png for names of four digits, or move one away"
                )
        if not found:
            raise InputError(f"no file matches the pattern {source}. Next: check the folder and the number of digits")
        numbers = sorted(found)
        paths = [_check_image(source.parent / found[number]) for number in numbers]
        return _Images(paths, paths, numbers)
    if not source.is_dir():
        return None
    names = _list(source)
    images = sorted((n for n in names if Path(n).suffix.lower() in IMAGE_SUFFIXES and n[0] != "."), key=_natural_key)
    videos = sorted((n for n in names if Path(n).suffix.lower() in VIDEO_SUFFIXES and n[0] != "."), key=_natural_key)
    if not images:
        hint = f"pass a video itself, e.g. {source / videos[0]}" if videos else "give a folder of PNG or JPEG files"
        raise InputError(f"the folder {source} holds no images. Next: {hint}")
    if len(videos) >= len(images):
        raise InputError(
            f"{source} is a folder of {len(videos)} videos with {len(images)} images among them. Next: pass a video "
            f"itself, e.g. {source / videos[0]}, or put the images into a folder of their own"
        )
    everything = [_check_image(source / name) for name in images]
    paths, copies = remove_copies(everything)
    return _Images(everything, paths, copies=copies)


def refuse_no_file(source: Path) -> None:
    """Raises InputError for an address, standard input or a device: what is tracked is read several times over."""
    check_path(source)
    text = str(source)
    # A path has one slash where the address had two.
    address = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/(?=[^/])", text)
    if address and not source.exists():
        whole = f"{address[0]}/{text[address.end() :]}" if address[1].lower() != "file" else text
        if address[1].lower() == "file":
            raise InputError(f"{whole} is an address. Next: pass the path alone, {text[address.end() - 1 :]}")
        raise InputError(
            f"{whole} is an address, and only local files are read. Next: vidconcept watch {whole} where it is live; "
            "else fetch it first, then pass the file"
        )
    if text == "-":
        raise InputError(
            "standard input cannot be read twice, and a run does that. Next: vidconcept watch - where it is live; else "
            "save it as a file, then pass that"
        )
    if source.is_fifo():
        raise InputError(
            f"{source} is a pipe, not a file. Next: vidconcept watch {source} where it is live; else save its content "
            "as a file first"
        )
    if source.is_char_device() or source.is_block_device():
        raise InputError(
            f"{source} is a device, and only files are read. Next: vidconcept watch {source} where it is a camera; "
            "else record it to a file, then pass that"
        )


def require_fps(source: Path, fps: float | None) -> float:
    """The frame rate of an image sequence. Raises UsageError if it was not given or makes no sense."""
    if fps is None:
        raise UsageError(f"{source} is a sequence of images, which has no frame rate. Next: give it, e.g. `fps=25`")
    if not LOWEST_FPS <= fps < HIGHEST_FPS:
        raise UsageError(
            f"`fps={fps:g}` is not a frame rate. "
            f"Next: give a number from {LOWEST_FPS:g} to {HIGHEST_FPS:g}, e.g. `fps=25`"
        )
    return fps


@contextmanager
def open_video(
    source: Path, stream: int | None = None, max_megapixels: float = MAX_MEGAPIXELS
) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
    """Open a video file and its stream `stream`, by default the one that a player would show (see `pick_stream`).

    Raises InputError, with the next step, for everything that cannot be read, UsageError for a stream that is none.
    """
    _check_file(source)
    try:
        container = open_container(source)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(_explain_open_error(source, error)) from error
    with container:
        if container.format.name in _REFUSED_FORMATS:
            raise InputError(_explain_no_video(source))
        chosen = pick_stream(source, container, stream)
        if chosen.codec_context is None:
            raise InputError(f"{source}: no decoder here for its video stream. Next: convert it to H.264")
        check_pixels(chosen.codec_context.width, chosen.codec_context.height, source, max_megapixels)
        yield container, chosen


def open_container(source: Path) -> av.container.InputContainer:
    """Open a file by itself, with the times as they are stored. Raises what the library does."""
    # "file:" keeps a colon in a name from being read as a protocol; the whitelist keeps playlists off the network. The
    # library takes every jump back for a clock that counted round; `Joiner` tells the two apart.
    options = {"protocol_whitelist": "file", "correct_ts_overflow": "0"}
    return av.open(f"file:{source}", options=options, **TOLERANT_TAGS)


def read_packets(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream | av.audio.stream.AudioStream
) -> Iterator[av.packet.Packet]:
    """The packets of a stream, the flushing one last. Raises what the library does."""
    while True:
        try:
            yield from container.demux(stream)
            return
        except IndexError:
            # A packet of a stream that begins amid the file: PyAV knows only those from the start.
            continue


def explain_no_picture(source: Path, paths: list[Path] | None = None, reason: InputError | None = None) -> InputError:
    """The error for a video without one picture that decodes, or for the images `paths` of which none can be read."""
    if reason is not None and paths == [source]:
        return reason
    if paths is not None:
        why = f" ({reason})" if reason else ""
        return InputError(
            f"{source}: none of its {len(paths)} images can be read{why}. Next: check that they are whole and images"
        )
    return InputError(f"{source}: not one picture could be decoded; the file is damaged. Next: copy or record it again")


def _check_image(path: Path) -> Path:
    check_name(path)
    refuse_special(path)
    return path


def _list(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError as error:
        raise InputError(f"the folder {folder} does not exist. Next: check the path") from error
    except PermissionError as error:
        raise InputError(f"no permission to read the folder {folder}. Next: ask its owner, or chmod +rx it") from error
    except NotADirectoryError as error:
        raise InputError(f"{folder} is not a folder. Next: check the path") from error


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which img_2 comes before img_10."""
    # Digits of other scripts and raised ones are letters here.
    parts = re.split(r"([0-9]+)", name.lower())
    return [(0, int(part), "") if part[0] in "0123456789" else (1, 0, part) for part in parts if part]


def _check_file(source: Path) -> None:
    with open_regular(source) as file:
        try:
            first = file.read(1)
        except OSError as error:
            raise InputError(
                f"cannot read {source}: {error.strerror}. Next: check the path and its permissions"
            ) from error
        if not first:
            raise InputError(f"{source} is empty (zero bytes). Next: copy or record it again")


def _explain_open_error(source: Path, error: Exception) -> str:
    with source.open("rb") as file:
        head = file.read(4096)
    if b"ftyp" in head[:64]:
        return (
            f"{source} is an MP4/MOV file without its index (moov), as left by a recording or copy that broke off. "
            "Next: copy it again, or repair it with a tool such as untrunc"
        )
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return f"{source} is an AVI file that breaks off before its first picture. Next: copy or record it again"
    # The file itself may be read: a list of other files is what may not be opened.
    if isinstance(error, av.error.InvalidDataError | ValueError | PermissionError):
        return _explain_no_video(source)
    return f"cannot open {source}: {error}. Next: check the file, or convert it to MP4"


def _explain_no_video(source: Path) -> str:
    with source.open("rb") as file:
        head = file.read(512)
    kind = "text" if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head) else "no video format known here"
    return f"{source} is not a video (its content is {kind}). Next: check the path, or convert it to MP4"
