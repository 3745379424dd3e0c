"""A few frames out of a long video: by decord where that is exact, else by PyAV.

decord is fast at single frames, but on some files it is silently wrong, hangs, or grows without bound. So it sees only
files whose packets are in order, runs in a process with a deadline, and must give the same pictures as PyAV at some of
the asked indices before any of its pictures is used.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from threading import Timer
from typing import IO

import av
import av.container
import av.error
import av.video.stream
import numpy as np

from vidconcept.video.colour import RgbConverter
from vidconcept.video.orientation import orientation
from vidconcept.video.packets import PacketScan, scan_packets
from vidconcept.video.probe import probe
from vidconcept.video.problems import Problem
from vidconcept.video.reader import read_frames
from vidconcept.video.reading import AS_IT_IS, Reading
from vidconcept.video.source import open_sequence, open_video

# Containers with an index of key frames. Elsewhere a seek lands anywhere, and decord hangs on transport streams.
SEEKABLE = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
DECORD_LACKS = frozenset({"libdav1d", "libaom-av1", "av1"})
# For one picture, the import of decord and the opening of the file included.
DEADLINE_S = 20.0
# Mean difference in grey levels that two colour conversions of one picture may have.
SAME_PICTURE_LEVELS = 3.0
# Neighbours in a scene that stands still differ by noise alone, and then cannot be told apart, nor need to be.
NOISE_LEVELS = 0.05
# From one picture in so many on, decoding everything in between costs less than jumping.
DENSE_STEP = 8
SEEK_EARLY_S = (1, 4, 16)
CHILD = (sys.executable, "-m", "vidconcept.video.decord_child")


def grab_frames(
    source: str | Path,
    frame_indices: Sequence[int],
    *,
    pts: Mapping[int, int] | None = None,
    fps: float | None = None,
    reading: Reading = AS_IT_IS,
    deadline_s: float = DEADLINE_S,
    on_problem: Callable[[Problem], None],
) -> Iterator[tuple[int, np.ndarray]]:
    """Pairs of frame index and picture `(h, w, 3)` uint8 RGB, by rising index, each index once.

    The indices are those of `read_frames`. pts: the timestamps that it gave them; only with them can it be proven,
    without decoding everything, that the n-th packet is the n-th picture, so without them everything is decoded.
    A way that turns out slower than planned is reported to `on_problem`.

    Raises InputError for what cannot be read, IndexError for an index that the source does not have.
    """
    source = Path(source)
    wanted = sorted(set(frame_indices))
    if not wanted:
        return
    if open_sequence(source, reading.max_megapixels) is not None:
        yield from _grab_by_reading(source, wanted, fps, reading)
        return
    is_dense = wanted[-1] + 1 <= DENSE_STEP * len(wanted)
    info = probe(source, fps, reading)
    # Filters want every picture, and only a pass from the start knows the levels of deep ones.
    is_plain = not (reading.deinterlace or reading.tone_map or info.levels)
    if is_dense or pts is None or info.container not in SEEKABLE or not is_plain:
        yield from _grab_by_reading(source, wanted, fps, reading)
        return
    scan = scan_packets(source, reading)
    if not scan.is_sound() or scan.has_open_gops() or not _are_in_place(wanted, pts, scan):
        yield from _grab_by_reading(source, wanted, fps, reading)
        return
    done = -1
    # decord takes a stream of its own choice.
    if find_spec("decord") is not None and info.codec not in DECORD_LACKS and not _has_several_streams(source, reading):
        for index, image in _grab_by_decord(source, wanted, scan, reading, deadline_s, on_problem):
            done = index
            yield index, image
    yield from _grab_by_seeking(source, [index for index in wanted if index > done], scan, reading)


def _has_several_streams(source: Path, reading: Reading) -> bool:
    with open_video(source, None, reading.max_megapixels) as (container, _):
        return len(container.streams.video) > 1


def _are_in_place(wanted: list[int], pts: Mapping[int, int], scan: PacketScan) -> bool:
    """Whether no picture was lost before any wanted one: each has the timestamp of its rank."""
    stamps = np.sort(scan.pts)
    return all(index < len(stamps) and pts.get(index) == stamps[index] for index in wanted)


def _grab_by_decord(
    source: Path,
    wanted: list[int],
    scan: PacketScan,
    reading: Reading,
    deadline_s: float,
    on_problem: Callable[[Problem], None],
) -> Iterator[tuple[int, np.ndarray]]:
    """Pictures by decord up to the first fault, none at all if it fails the comparison with PyAV."""
    checks = sorted({wanted[0], wanted[len(wanted) // 2], wanted[-1]})
    child = subprocess.Popen(
        [*CHILD, str(source), *map(str, checks + wanted)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert child.stdout is not None
        count = np.frombuffer(_read(child, child.stdout, 4, deadline_s), np.int32)[0]
        if count != len(scan.pts):
            raise _DecordFault(f"decord counts {count} frames, not {len(scan.pts)}")
        around = dict(_grab_by_seeking(source, _add_neighbours(checks, int(count)), scan, reading))
        for index in checks:
            image = _read_image(child, child.stdout, deadline_s)
            if not _is_picture(index, image, around):
                raise _DecordFault(f"decord gives another picture for frame {index}")
        for index in wanted:
            yield index, _read_image(child, child.stdout, deadline_s)
    except _DecordFault as fault:
        on_problem(Problem("slow-access", f"single frames are read without decord: {fault}"))
    finally:
        child.kill()
        child.wait()
        child.stdout.close()  # pyright: ignore[reportOptionalMemberAccess]


class _DecordFault(Exception):
    """decord cannot be used for this file."""


def _read(child: subprocess.Popen[bytes], pipe: IO[bytes], size: int, deadline_s: float) -> bytes:
    """Exactly `size` bytes; the child is killed if they take longer than `deadline_s`."""
    timer = Timer(deadline_s, child.kill)
    timer.start()
    try:
        data = pipe.read(size)
    finally:
        timer.cancel()
    if len(data) < size:
        raise _DecordFault(f"decord ended early or took longer than {deadline_s:g} s for a frame")
    return data


def _read_image(child: subprocess.Popen[bytes], pipe: IO[bytes], deadline_s: float) -> np.ndarray:
    height, width = np.frombuffer(_read(child, pipe, 8, deadline_s), np.int32).tolist()
    return np.frombuffer(_read(child, pipe, height * width * 3, deadline_s), np.uint8).reshape(height, width, 3)


def _add_neighbours(indices: list[int], count: int) -> list[int]:
    return sorted({i for index in indices for i in (index - 1, index, index + 1) if 0 <= i < count})


def _is_picture(index: int, image: np.ndarray, around: dict[int, np.ndarray]) -> bool:
    """Whether `image` is the picture of `index`, and nearer to it than to the ones before and after."""
    if image.shape != around[index].shape:
        return False
    levels = {
        i: float(np.abs(image.astype(np.int16) - around[i]).mean())
        for i in (index - 1, index, index + 1)
        if i in around
    }
    return levels[index] <= SAME_PICTURE_LEVELS and levels[index] <= min(levels.values()) + NOISE_LEVELS


def _grab_by_seeking(
    source: Path, wanted: list[int], scan: PacketScan, reading: Reading
) -> Iterator[tuple[int, np.ndarray]]:
    """By PyAV. Exact because the n-th smallest timestamp is the n-th picture, and no GOP needs the one before."""
    stamps = np.sort(scan.pts)
    convert = None
    with open_video(source, reading.stream, reading.max_megapixels) as (container, stream):
        for index in wanted:
            frame = _seek(container, stream, int(stamps[index]), int(stamps[0]))
            if frame is None:
                left = [i for i in wanted if i >= index]
                yield from _grab_by_reading(source, left, None, reading)
                return
            convert = convert or RgbConverter(orientation(frame))
            yield index, convert(frame)[0]


def _seek(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, pts: int, first_pts: int
) -> av.VideoFrame | None:
    """The picture of timestamp `pts`, or None if no seek proves to land before it on a key frame."""
    second = round(1 / (stream.time_base or Fraction(1, 90_000)))
    for early_s in SEEK_EARLY_S:
        container.seek(max(first_pts, pts - early_s * second), stream=stream, backward=True)
        try:
            landed = None
            for frame in container.decode(stream):
                landed = frame if landed is None else landed
                is_before = landed.pts is not None and (landed.pts < pts or pts == first_pts)
                if not (landed.key_frame and is_before) or frame.pts is None or frame.pts > pts:
                    break
                if frame.pts == pts:
                    return frame
        except av.error.FFmpegError:
            return None
    return None


def _grab_by_reading(
    source: Path, wanted: list[int], fps: float | None, reading: Reading
) -> Iterator[tuple[int, np.ndarray]]:
    left = set(wanted)
    for frame in read_frames(source, fps=fps, reading=reading, on_problem=lambda problem: None):
        if frame.index in left:
            left.remove(frame.index)
            yield frame.index, frame.image
        if not left:
            return
    raise IndexError(f"{source} has no frame of index {min(left)}")
