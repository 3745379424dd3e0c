"""Whether a file ends before its own structure does: recordings and copies that broke off.

Only what the container itself states is taken for proof: sizes, counts and durations that it declares.
Sources: AVI RIFF File Reference (RIFF, AVIX); Adobe FLV specification 10.1, annex E; ISO/IEC 13818-1, 2.5 (packs).
"""

import struct
from pathlib import Path
from typing import BinaryIO

# Packs are a few kilobytes; the last one is looked for in so much of the file's end.
TAIL_BYTES = 1 << 20
MAX_RIFF_PARTS = 4096
_PACK, _END = b"\x00\x00\x01\xba", b"\x00\x00\x01\xb9"
_FLV_TAG_HEAD = 11


def find_broken_end(path: Path, container: str) -> str | None:
    """How the file falls short of what it says of itself, None where it does not or its kind says nothing."""
    look = {"avi": _avi, "flv": _flv, "mpeg": _program_stream}.get(container)
    if look is None:
        return None
    size = path.stat().st_size
    with path.open("rb") as file:
        return look(file, size)


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
