"""Whether a file ends before its own structure does: recordings and copies that broke off.

Only what the container itself states is taken for proof: sizes, counts and durations that it declares.
Sources: AVI RIFF File Reference (RIFF, AVIX); Adobe FLV specification 10.1, annex E; ISO/IEC 13818-1, 2.5 (packs).
"""

import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import av.packet

# Packs are a few kilobytes; the last one is looked for in so much of the file's end.
TAIL_BYTES = 1 << 20
MAX_RIFF_PARTS = 4096
_PACK, _END = b"\x00\x00\x01\xba", b"\x00\x00\x01\xb9"
_FLV_TAG_HEAD = 11
_SLICE = re.compile(rb"\x00\x00\x01[\x01-\xaf]")
SHORT_LAST = "its last picture is not whole: it was cut off"


# Plain, with a timecode in front (M2TS), and with error correction.
TS_PACKET_BYTES = (188, 192, 204)


def describe_missing(promised: int, held: int) -> str:
    """What to say where a file's index lists more pictures than it holds."""
    return f"the index promises {promised} pictures, the file holds {held}: it was cut off"


def find_broken_end(path: Path, container: str) -> str | None:
    """How the file falls short of what it says of itself, None where it does not or its kind says nothing."""
    looks = {"avi": _avi, "flv": _flv, "mpeg": _program_stream, "mpegts": _transport_stream}
    look = looks.get(container)
    if look is None:
        return None
    size = path.stat().st_size
    with path.open("rb") as file:
        return look(file, size)


def is_last_picture_short(codec: str, packets: Sequence[av.packet.Packet]) -> bool:
    """Whether the last of two packets has fewer rows of slices than the one before: MPEG-1 and MPEG-2 number them.

    A cut between two packets of the container is nearly always one within a picture. ISO/IEC 13818-2, 6.2.4.
    """
    if codec not in ("mpeg1video", "mpeg2video") or len(packets) < 2:
        return False
    before, last = (max((row[3] for row in _SLICE.findall(bytes(packet))), default=0) for packet in packets)
    return last < before


def has_open_end(path: Path, container: str) -> bool:
    """Whether nothing in a sound file says that it ends where it ends: a program stream without its end code, which
    many writers leave out. One that was cut off between two packets looks the same."""
    if container != "mpeg":
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_END)))
        return file.read() != _END


def _avi(file: BinaryIO, size: int) -> str | None:
    at = 0
    for part in range(MAX_RIFF_PARTS):
        file.seek(at)
        head = file.read(12)
        if len(head) < 12 or head[:4] != b"RIFF":
            return None
        length = struct.unpack("<I", head[4:8])[0]
        if part == 0 and length == 0:
            return "its header was never completed: the recording was not ended properly"
        end = at + 8 + length
        if end > size:
            return f"it declares {end} bytes and has {size}: it was cut off"
        at = end + length % 2
        if at >= size:
            return None
    return None


def _flv(file: BinaryIO, size: int) -> str | None:
    """The last four bytes repeat the length of the last tag, which has it in its own head too."""
    if size < _FLV_TAG_HEAD + 4:
        return None
    file.seek(size - 4)
    length = struct.unpack(">I", file.read(4))[0]
    start = size - 4 - length
    if length >= _FLV_TAG_HEAD and start > 0:
        file.seek(start)
        head = file.read(4)
        if head[0] & 0x1F in (8, 9, 18) and int.from_bytes(head[1:4], "big") + _FLV_TAG_HEAD == length:
            return None
    return "it ends in the middle of a tag: it was cut off"


def _transport_stream(_file: BinaryIO, size: int) -> str | None:
    whole = any(size % length == 0 for length in TS_PACKET_BYTES)
    return None if whole else "it ends in the middle of a packet: it was cut off"


def _program_stream(file: BinaryIO, size: int) -> str | None:
    first = max(0, size - TAIL_BYTES)
    file.seek(first)
    tail = file.read()
    at = tail.rfind(_PACK)
    if at < 0 or tail.endswith(_END):
        return None
    at += 14 + (tail[at + 13] & 7) if at + 14 <= len(tail) and tail[at + 4] >> 6 == 1 else 12
    while at + 6 <= len(tail) and tail[at : at + 3] == b"\x00\x00\x01":
        at += 6 + int.from_bytes(tail[at + 4 : at + 6], "big")
    return "it ends in the middle of a packet: it was cut off" if at > len(tail) or at + 6 > len(tail) > at else None
