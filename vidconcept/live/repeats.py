"""Pictures of a live list of segments (HLS) that were read before: every connection begins some segments back."""

from __future__ import annotations

from collections import deque
from zlib import crc32

import av
import av.packet

# Packets that are remembered: more than a minute at 60 a second, and connections begin three segments back.
REMEMBERED = 4096


class Repeats:
    """Which pictures come again: those of packets with the stamp and the bytes of one of an earlier connection.

    A stamp alone would not do: an encoder that starts again counts from the same beginning.
    """

    def __init__(self) -> None:
        self._read: deque[tuple[int | None, int]] = deque(maxlen=REMEMBERED)
        # Of earlier connections, not yet met in this one: each comes again once.
        self._known: set[tuple[int | None, int]] = set()
        self._repeated: set[int | None] = set()

    def reconnect(self) -> None:
        """What was read so far may come again."""
        self._known, self._repeated = set(self._read), set()

    def look_at(self, packet: av.packet.Packet) -> None:
        """The next packet, before its pictures."""
        key = packet.pts, crc32(packet)
        self._read.append(key)
        if key in self._known:
            self._known.remove(key)
            self._repeated.add(packet.pts)

    def take_out(self, picture: av.VideoFrame) -> bool:
        """Whether a picture is of a packet that came again."""
        is_repeated = picture.pts in self._repeated
        self._repeated.discard(picture.pts)
        return is_repeated
