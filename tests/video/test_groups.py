"""A film in which groups of pictures are copied from another one is as whole as a film that was encoded."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import av.logging
import numpy as np
import pytest

from tests.helpers.clips import VFR_MS, paint, read_barcode, write_clip
from tests.helpers.reading import read
from tests.helpers.writing import info_of, list_times, measure_psnr, note_encoded, open_writer
from vidconcept.types import VideoInfo
from vidconcept.video.encoder import KEYFRAME_EVERY
from vidconcept.video.groups import find_groups, find_same_groups, read_copies, read_parameter_sets
from vidconcept.video.probe import probe
from vidconcept.video.writer import find_longest_step_s

SIZE = (192, 128)
COUNT = 3 * KEYFRAME_EVERY + 20


@pytest.fixture
def encoded(monkeypatch) -> list[av.VideoFrame]:
    return note_encoded(monkeypatch)


def write(film: Path, images, stamps, info: VideoInfo, copies=None, **options) -> Path:
    """Packets of `copies` take the place of the images."""
    with open_writer(film, info, **options) as video:
        for image, pts in zip(images, stamps, strict=True):
            packet = next(copies, None) if copies is not None else None
            video.write(image if packet is None else packet, pts)
    return film


def list_packets(film: Path) -> list[bytes]:
    with av.open(str(film)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def describe(film: Path) -> tuple:
    """All that two films of the same pictures have in common."""
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        sound = [(p.pts, bytes(p)) for p in container.demux(audio=0)] if container.streams.audio else []
        facts = (stream.codec_context.extradata, stream.time_base, stream.duration, stream.average_rate, sound)
    return facts, list_times(film)


def mark(image: np.ndarray) -> np.ndarray:
    image = image.copy()
    image[-40:, -60:] = 200, 40, 40
    return image


def test_groups_are_the_same_only_as_a_whole():
    same = np.array([True] * 3 + [True, False, True] + [True] * 2)
    assert find_same_groups(same, np.array([0, 3, 6])).tolist() == [True] * 3 + [False] * 3 + [True] * 2
    assert find_same_groups(same, np.array([0])).tolist() == [False] * 8


@pytest.mark.parametrize("size", [SIZE, (191, 127)])
@pytest.mark.parametrize("preset", ["ultrafast", "veryfast", "medium"])
def test_only_groups_that_changed_are_encoded_and_the_rest_is_the_same_to_the_bit(size, preset, tmp_path, encoded):
    info = info_of(size)
    before = [paint(number, size) for number in range(COUNT)]
    now = [mark(image) if 60 <= number < 70 else image for number, image in enumerate(before)]
    options = {"encoder_preset": preset, "info": info, "stamps": range(COUNT)}
    first = write(tmp_path / "first.mp4", before, **options)
    whole = write(tmp_path / "whole.mp4", now, **options)
    same = find_same_groups(np.array([not 60 <= number < 70 for number in range(COUNT)]), find_groups(first))
    encoded.clear()
    copied = write(tmp_path / "copied.mp4", now, copies=read_copies(first, same), **options)
    assert 0 < len(encoded) == COUNT - same.sum() < COUNT
    assert describe(copied) == describe(whole)
    assert read_parameter_sets(first) == read_parameter_sets(copied) != b""
    packets = zip(list_packets(copied), list_packets(first), same, strict=True)
    assert all(own == other for own, other, is_same in packets if is_same)
    for own, old, new, is_same in zip(read(copied), read(first), read(whole), same, strict=True):
        assert not is_same or (own.image == old.image).all()
        assert measure_psnr(own.image, new.image) > 40


def test_a_film_of_copies_alone_is_the_other_film(tmp_path, encoded):
    options = {"images": [paint(number) for number in range(COUNT)], "stamps": range(COUNT), "info": info_of()}
    first = write(tmp_path / "first.mp4", **options)
    encoded.clear()
    copied = write(tmp_path / "copied.mp4", copies=read_copies(first, np.ones(COUNT, bool)), **options)
    assert not encoded
    assert copied.read_bytes() == first.read_bytes()


def alternate(film: Path, count: int) -> np.ndarray:
    """Every other group is to be copied, the first one and the third."""
    groups = find_groups(film)
    assert len(groups) > 3
    return np.repeat(np.arange(len(groups)) % 2 == 0, np.diff(groups, append=count))


@pytest.mark.parametrize("first_copied", [True, False])
def test_it_decodes_without_a_warning_from_each_group_on(first_copied, tmp_path):
    options = {"images": [paint(number) for number in range(COUNT)], "stamps": range(COUNT), "info": info_of()}
    first = write(tmp_path / "first.mp4", **options)
    same = alternate(first, COUNT) == first_copied
    film = write(tmp_path / "film.mp4", copies=read_copies(first, same), **options)
    before = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as said, av.open(str(film)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            for start in find_groups(film):
                container.seek(int(start / 25 / stream.time_base), stream=stream)
                shown = [read_barcode(frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]
                assert shown == list(range(start, COUNT))
    finally:
        av.logging.set_level(before)
    assert not [text for level, _, text in said if level <= av.logging.WARNING], said
    assert find_groups(film).tolist() == find_groups(first).tolist()


@pytest.mark.parametrize("kind", ["vfr", "sound", "turned", "fine clock"])
def test_times_and_sound_are_those_of_a_film_that_was_encoded(kind, tmp_path):
    made = {
        "vfr": {"stamps_ms": [VFR_MS[n % len(VFR_MS)] + n // len(VFR_MS) * 10_000 for n in range(COUNT)]},
        "sound": {"audio": "aac"},
        "turned": {"turn_ccw_deg": 90},
        "fine clock": {},
    }
    source = write_clip(tmp_path / "source.mp4", count=COUNT, **made[kind]).path
    info, frames = probe(source), read(source)
    stamps = [frame.pts for frame in frames]
    if kind == "fine clock":
        info, stamps = replace(info, time_base=Fraction(1, 10**9)), [pts * 40_000_123 for pts in range(COUNT)]
    options = {"info": info, "stamps": stamps, "audio_from": source if info.has_audio else None}
    first = write(tmp_path / "first.mp4", [frame.image for frame in frames], **options)
    copies = read_copies(first, alternate(first, COUNT))
    copied = write(tmp_path / "copied.mp4", [frame.image for frame in frames], copies=copies, **options)
    assert describe(copied) == describe(first)
    assert [read_barcode(frame.image) for frame in read(copied)] == list(range(COUNT))


def test_a_hole_beside_a_copied_group_is_shortened_as_elsewhere(tmp_path):
    longest = int(find_longest_step_s(Fraction(1, 25)) * 25)
    stamps = np.cumsum([longest + 1 if number in (50, 120) else 1 for number in range(COUNT)]).tolist()
    options = {"images": [paint(number) for number in range(COUNT)], "stamps": stamps, "info": info_of()}
    first = write(tmp_path / "first.mp4", **options)
    copied = write(tmp_path / "copied.mp4", copies=read_copies(first, alternate(first, COUNT)), **options)
    assert describe(copied) == describe(first)


def test_parameter_sets_tell_encoders_apart(tmp_path):
    film = write(tmp_path / "film.mp4", [paint(0)], [0], info_of())
    for preset, is_same in (("veryfast", True), ("ultrafast", False)):
        with open_writer(tmp_path / "other.mp4", info_of(), encoder_preset=preset) as video:
            assert (video.read_parameter_sets() == read_parameter_sets(film)) == is_same
            video.write(paint(0), 0)
