"""Who works on which film: files that two runners can never both hold, on a disk that many machines share.

A lease is a file that its holder made exclusively and rewrites every few seconds. Whether a holder is alive is read
from that the file changes while one looks, by the looker's own monotonic clock; no two clocks are compared, so none
has to be right. On one machine a holder whose process is gone is known at once. The lock of the run folder stays as
the second fence.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType

from vidconcept.errors import output_errors

BEAT_S = 5.0
# Several beats, for a disk or a machine that is busy; the run's own lock guards those that take longer.
STALE_S = 60.0
# A beat is written in place: always as long as the one before, so that no reader sees a part of an older one.
_SIZE = 512


@dataclass(frozen=True, slots=True)
class Holder:
    """What a lease says.

    token: of this one taking. host: the machine's name. place: machine, boot and space of process numbers.
    """

    token: str
    host: str
    place: str
    pid: int
    born: str
    beat: int = 0
    stage: str = ""
    done: int = 0
    total: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Lease:
    """A film that is ours until the context ends. Beats in a thread of its own."""

    def __init__(self, path: Path, handle: int, holder: Holder, beat_s: float) -> None:
        self.path = path
        self._handle, self._holder, self._beat_s = handle, holder, beat_s
        self._progress: tuple[str, int, int] = ("", 0, 0)
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._write()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def note(self, stage: str, done: int, total: int | None) -> None:
        """How far the work is: others read it in the file."""
        self._progress = (stage[:40], done, total or 0)

    def is_held(self) -> bool:
        """False where somebody took the lease away, because we looked dead."""
        for wait_s in (0.0, 0.2, 0.5):
            # Somebody who took it by mistake puts it back at once.
            time.sleep(wait_s)
            with suppress(OSError):
                mine, there = os.fstat(self._handle), self.path.stat()
                if (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino):
                    return True
        return False

    def release(self) -> None:
        """Free the film; where it was taken from us the file stays its new holder's."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join()
        held = self.is_held()
        if os.name == "nt":
            # There a file that is open cannot be removed.
            os.close(self._handle)
        if held:
            with suppress(OSError):
                self.path.unlink()
        if os.name != "nt":
            os.close(self._handle)

    def _beat(self) -> None:
        while not self._ended.wait(self._beat_s):
            stage, done, total = self._progress
            facts = asdict(self._holder) | {"beat": self._holder.beat + 1, "stage": stage, "done": done, "total": total}
            self._holder = Holder(**facts)
            # A disk that is full or away: the next beat may pass, and the run says itself what it cannot write.
            with suppress(OSError):
                self._write()

    def _write(self) -> None:
        with self._lock:
            # In place: where the file was taken from us, this goes into one that nobody sees any more.
            os.lseek(self._handle, 0, os.SEEK_SET)
            os.write(self._handle, json.dumps(asdict(self._holder)).encode().ljust(_SIZE)[:_SIZE])
            os.fsync(self._handle)


def take_lease(path: Path, beat_s: float = BEAT_S) -> Lease | Holder | None:
    """The lease at `path`; else who holds it, None for one that has just changed hands.

    One whose process is known to be dead is taken over. Raises OutputError where the folder cannot be written.
    """
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(3):
            try:
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o644)
            except FileExistsError:
                holder = read_holder(path)
                if holder is None or not is_dead(holder):
                    return holder
                remove_lease(path, holder)
            else:
                me = Holder(uuid.uuid4().hex, socket.gethostname()[:100], _place(), os.getpid(), _born(os.getpid()))
                try:
                    return Lease(path, handle, me, beat_s)
                except BaseException:
                    # Others would wait for its first beat.
                    os.close(handle)
                    with suppress(OSError):
                        path.unlink()
                    raise
    return None


def read_holder(path: Path) -> Holder | None:
    """None where there is none, or it is just being written."""
    try:
        facts = json.loads(path.read_bytes())
        return Holder(**facts)
    except (OSError, ValueError, TypeError):
        return None


def remove_lease(path: Path, holder: Holder) -> bool:
    """Take the lease of a holder that is gone out of the way; of several that try one succeeds."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        os.rename(path, aside)
    except OSError:
        return False
    found = read_holder(aside)
    ours = found is not None and found.token == holder.token
    if not ours:
        # Meanwhile it had become somebody else's: back with it.
        with suppress(OSError):
            os.link(aside, path)
    with suppress(OSError):
        aside.unlink()
    return ours


def is_dead(holder: Holder) -> bool:
    """Whether the holder ran on this machine and its process is gone; False where that cannot be known."""
    if holder.place != _place() or not holder.born:
        return False
    return _born(holder.pid) != holder.born


@dataclass
class Watcher:
    """Tells leases that have stopped beating from others, by looking at them again and again."""

    stale_s: float = STALE_S
    clock: Callable[[], float] = time.monotonic
    _seen: dict[Path, tuple[bytes, float]] = field(default_factory=dict, repr=False)

    def is_free(self, path: Path) -> bool:
        """Whether nobody holds the lease any more; one that stopped beating is removed."""
        try:
            content = path.read_bytes()
        except OSError:
            self._seen.pop(path, None)
            return not path.exists()
        holder = read_holder(path)
        if holder is not None and is_dead(holder):
            return remove_lease(path, holder)
        before, since = self._seen.get(path, (None, 0.0))
        if content != before:
            self._seen[path] = (content, self.clock())
            return False
        if self.clock() - since < self.stale_s:
            return False
        self._seen.pop(path)
        if holder is None:
            # Its maker died before the first beat.
            with suppress(OSError):
                path.unlink()
            return True
        return remove_lease(path, holder)


@cache
def _place() -> str:
    """Where process numbers mean the same: this machine since it started, and this container."""
    parts = [socket.gethostname()[:100]]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _born(pid: int) -> str:
    """When a process began, in the kernel's ticks; empty where there is none, or the system does not tell."""
    try:
        # The name of the program, in brackets, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    # A zombie works no more.
    return "" if fields[0] in "ZX" else fields[19]
