"""Groups of pictures of an H.264 film in MP4: each begins with a picture that needs none before it."""

from collections.abc import Generator
from itertools import repeat
from pathlib import Path

import av
import numpy as np

_START_CODE = b"\0\0\0\1"
_LENGTH_BYTES = len(_START_CODE)


def read_parameter_sets(film: Path) -> bytes:
    """SPS and PPS as an encoder gives them, behind start codes; empty where they are told in another way.

    The record is that of ISO/IEC 14496-15, 5.3.3.1.2.
    """
    with av.open(f"file:{film}") as container:
        record = container.streams.video[0].codec_context.extradata or b""
    if len(record) < 7 or record[4] & 3 != _LENGTH_BYTES - 1:
        return b""
    sets, place = b"", 5
    for mask in (0x1F, 0xFF):
        count, place = record[place] & mask, place + 1
        for _ in range(count):
            end = place + 2 + int.from_bytes(record[place : place + 2])
            sets, place = sets + _START_CODE + record[place + 2 : end], end
    return sets


def find_groups(film: Path) -> np.ndarray:
    """`(groups,)`: the numbers of the pictures with which a group begins, by the index of the film."""
    with av.open(f"file:{film}") as container:
        return np.flatnonzero([entry.is_keyframe for entry in container.streams.video[0].index_entries])


def find_same_groups(same: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """`(n,)` bool: the pictures whose whole group is the same. same: `(n,)` bool. groups: as of `find_groups`."""
    lengths = np.diff(groups, append=len(same))
    return np.repeat(np.logical_and.reduceat(same, groups), lengths)


def read_copies(film: Path, same: np.ndarray) -> Generator[av.Packet | None, None, None]:
    """For each picture of a film its packet where it is to be copied, else None; behind the last one None for ever.

    same: `(n,)` bool. Packets are as an encoder gives them, with start codes in place of lengths.
    """
    if same.any():
        with av.open(f"file:{film}") as container:
            packets = (packet for packet in container.demux(video=0) if packet.size)
            for packet, is_same in zip(packets, same, strict=True):
                yield _put_start_codes(packet) if is_same else None
    yield from repeat(None)


def _put_start_codes(packet: av.Packet) -> av.Packet:
    data, place = bytearray(packet), 0
    while place < len(data):
        length = int.from_bytes(data[place : place + _LENGTH_BYTES])
        data[place : place + _LENGTH_BYTES] = _START_CODE
        place += _LENGTH_BYTES + length
    packet.update(bytes(data))
    return packet
