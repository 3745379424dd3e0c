"""The finished video: the partial file's pictures, the source's sound, the index in front, moved into place at once."""

import errno
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from heapq import merge
from itertools import chain
from pathlib import Path

import av
import av.audio.resampler
import av.audio.stream
import av.container
import av.error
import av.packet
import av.video.stream
import numpy as np

from vidconcept.files import new_scratch
from vidconcept.video.joins import GLUED_S, Join, Joiner
from vidconcept.video.packets import scan_packets
from vidconcept.video.problems import Problem
from vidconcept.video.source import open_container, read_packets

# What MP4 holds and browsers play; other sound is encoded again.
COPIED_AUDIO = frozenset({"aac", "mp3", "opus", "flac", "ac3", "eac3", "alac"})
AAC_RATE_HZ = 48_000
AAC_BITS_PER_S = 160_000
# The sound of a recording begins within so much of its pictures.
SAME_START_S = 5
# Less than this between two pieces of sound is rounding.
PAUSE_S = 0.05

REFUSED_BY_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})

# Decoding time in seconds, order of the streams at equal times, and the packet.
Timed = tuple[Fraction, int, av.packet.Packet]


def remux(
    partial: Path,
    final: Path,
    *,
    audio_from: Path | None,
    start_s: Fraction,
    end_s: Fraction,
    frames: int,
    on_problem: Callable[[Problem], None],
) -> None:
    """Copy the pictures of `partial` and the sound of `audio_from` into `final`, then remove `partial`.

    start_s, end_s: the part of the source, in the source's own time, that the pictures show. Sound that cannot be
    read is left out and reported. Raises OSError if the result does not hold `frames` pictures, or for what the file
    system refuses; `final` is then untouched.
    """
    scratch = new_scratch(final)
    try:
        # Exclusively; libav then writes into the file that this made.
        scratch.touch(exist_ok=False)
        try:
            _write(partial, scratch, audio_from, start_s, end_s, on_problem)
        except (av.error.FFmpegError, ValueError) as error:
            # MP4 may refuse a sound track only once it sees it; the pictures must not be lost for it.
            if audio_from is None or getattr(error, "errno", None) in REFUSED_BY_DISK:
                raise
            on_problem(Problem("audio-dropped", f"the sound of {audio_from} cannot be put into MP4 ({error})"))
            _write(partial, scratch, None, start_s, end_s, on_problem)
        read_back = count_pictures(scratch)
        if read_back != frames:
            raise OSError(f"{frames} pictures were encoded, but {read_back} could be read back")
        os.replace(scratch, final)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    partial.unlink()


def _write(
    partial: Path,
    scratch: Path,
    audio_from: Path | None,
    start_s: Fraction,
    end_s: Fraction,
    on_problem: Callable[[Problem], None],
) -> None:
    options = {"movflags": "faststart"}
    with av.open(f"file:{partial}") as pictures, av.open(f"file:{scratch}", "w", format="mp4", options=options) as out:
        video_in = pictures.streams.video[0]
        video_out = out.add_stream_from_template(video_in)
        video_out.time_base = video_in.time_base
        tracks = [_retime_video(pictures, video_out, end_s - start_s)]
        if audio_from is not None:
            try:
                sound = open_container(audio_from)
            except (av.error.FFmpegError, OSError) as error:
                on_problem(Problem("audio-dropped", f"the sound of {audio_from} cannot be read ({error})"))
            else:
                if sound.streams.audio and sound.streams.audio[0].codec_context is None:
                    on_problem(Problem("audio-dropped", f"no decoder here for the sound of {audio_from}"))
                elif sound.streams.audio:
                    tracks.append(_cut_audio(audio_from, sound, out, start_s, end_s, on_problem))
        for _, _, packet in merge(*tracks, key=lambda timed: timed[:2]):
            out.mux(packet)


def _retime_video(
    container: av.container.InputContainer, out: av.video.stream.VideoStream, length_s: Fraction
) -> Iterator[Timed]:
    """The pictures, each lasting until the next and the last until `length_s`; fragments do not tell its duration."""
    held: av.packet.Packet | None = None
    for packet in container.demux(video=0):
        if packet.dts is None:
            continue
        if held is not None:
            yield _set_duration(held, packet.dts)
        held = packet
        packet.stream = out
    if held is not None:
        yield _set_duration(held, round(length_s / held.time_base))


def _set_duration(packet: av.packet.Packet, until: int) -> Timed:
    dts = packet.dts or 0
    packet.duration = until - dts
    return dts * packet.time_base, 0, packet


def _cut_audio(
    source: Path,
    container: av.container.InputContainer,
    out: av.container.OutputContainer,
    start_s: Fraction,
    end_s: Fraction,
    on_problem: Callable[[Problem], None],
) -> Iterator[Timed]:
    """Sound between `start_s` and `end_s`, moved to begin at zero with the pictures.

    The output stream is added at once, before the first packet is asked for: the header comes first.
    """
    stream = container.streams.audio[0]
    packets = Joiner(container, stream, _PictureShifts(source).find).join(read_packets(container, stream))
    if stream.codec_context.name.removesuffix("float") in COPIED_AUDIO:
        timed = _copy_audio(packets, out.add_stream_from_template(stream), start_s, end_s)
    else:
        timed = _encode_audio(packets, _add_aac(out, stream), start_s, end_s)
    return _stop_at_fault(timed, container, on_problem)


class _PictureShifts:
    """What the times of recordings that were glued together are moved by, as the reader moves their pictures."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._left: list[Join] | None = None

    def find(self, own_s: Fraction, back_s: float) -> Fraction | None:
        """Of the recording with sound from `own_s` on, by its own clock; each after the one that was asked for before.

        Where no pictures of another recording begin near that time: None if the clock of the sound is slightly behind,
        else _NoSuchRecording is raised.
        """
        if self._left is None:
            self._left = list(scan_packets(self._source).joins)
        nearest = min(self._left, key=lambda join: abs(join.own_s - own_s), default=None)
        if nearest is None or abs(nearest.own_s - own_s) > SAME_START_S:
            if back_s > GLUED_S:
                raise _NoSuchRecording
            return None
        del self._left[: self._left.index(nearest) + 1]
        return nearest.shift_s


class _NoSuchRecording(Exception):
    """The clock of the sound starts anew where that of the pictures does not."""


def _stop_at_fault(
    packets: Iterator[Timed], container: av.container.InputContainer, on_problem: Callable[[Problem], None]
) -> Iterator[Timed]:
    """Sound up to the first fault: a damaged track must not cost the pictures."""
    with container:
        try:
            yield from packets
        except _NoSuchRecording:
            text = "the sound ends where its clock goes back: no pictures begin there, so its place is not known"
            on_problem(Problem("audio-dropped", text))
        except av.error.FFmpegError as error:
            on_problem(Problem("audio-dropped", f"the sound breaks off: its track cannot be read on ({error})"))


def _copy_audio(
    packets: Iterator[av.packet.Packet],
    target: av.audio.stream.AudioStream,
    start_s: Fraction,
    end_s: Fraction,
) -> Iterator[Timed]:
    last_dts = -1
    for packet in packets:
        if packet.pts is None or packet.is_corrupt or packet.is_discard:
            continue
        time_s = packet.pts * packet.time_base
        if time_s >= end_s:
            break
        if time_s < start_s:
            continue
        shift = round(start_s / packet.time_base)
        packet.pts -= shift
        packet.dts = packet.pts
        # Damaged files repeat timestamps, which MP4 refuses.
        if packet.dts <= last_dts:
            continue
        last_dts = packet.dts
        packet.stream = target
        yield time_s - start_s, 1, packet


def _add_aac(out: av.container.OutputContainer, stream: av.audio.stream.AudioStream) -> av.audio.stream.AudioStream:
    target = out.add_stream("aac", rate=AAC_RATE_HZ, layout="mono" if stream.channels == 1 else "stereo")
    assert isinstance(target, av.audio.stream.AudioStream)
    target.bit_rate = AAC_BITS_PER_S
    return target


def _encode_audio(
    packets: Iterator[av.packet.Packet],
    target: av.audio.stream.AudioStream,
    start_s: Fraction,
    end_s: Fraction,
) -> Iterator[Timed]:
    resampler = av.audio.resampler.AudioResampler(format="fltp", layout=target.layout, rate=AAC_RATE_HZ)
    first_s: Fraction | None = None
    samples = 0
    for decoded in chain.from_iterable(packet.decode() for packet in packets):
        time_s = Fraction(decoded.pts or 0) * (decoded.time_base or Fraction(1, AAC_RATE_HZ))
        if time_s >= end_s:
            break
        if time_s < start_s:
            continue
        first_s = time_s - start_s if first_s is None else first_s
        # A pause in the sound is silence: what follows stays with its pictures.
        pause = round((time_s - start_s - first_s) * AAC_RATE_HZ) - samples
        # Sound beyond the pictures of a recording must not push that of the next one away from its own.
        if pause < -PAUSE_S * AAC_RATE_HZ:
            continue
        silence = _make_silence(target, pause) if pause > PAUSE_S * AAC_RATE_HZ else iter(())
        for frame in chain(silence, resampler.resample(decoded)):
            frame.pts, frame.time_base = round(first_s * AAC_RATE_HZ) + samples, Fraction(1, AAC_RATE_HZ)
            samples += frame.samples
            yield from map(_time_packet, target.encode(frame))
    yield from map(_time_packet, target.encode(None))


def _make_silence(target: av.audio.stream.AudioStream, samples: int) -> Iterator[av.AudioFrame]:
    """So many silent samples, a second at a time."""
    channels = target.layout.nb_channels
    while samples > 0:
        count = min(samples, AAC_RATE_HZ)
        frame = av.AudioFrame.from_ndarray(np.zeros((channels, count), np.float32), "fltp", target.layout.name)
        frame.sample_rate = AAC_RATE_HZ
        samples -= count
        yield frame


def _time_packet(packet: av.packet.Packet) -> Timed:
    return (packet.dts or 0) * packet.time_base, 1, packet


def count_pictures(path: Path) -> int:
    """How many pictures a film of this module holds, by its packets. Raises OSError where it cannot be opened."""
    with av.open(f"file:{path}") as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)
