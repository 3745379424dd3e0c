"""A recording of `watch` is decided again as any run is, and keeps what only the live pass knows."""

import time

import pytest

import vidconcept
from tests.helpers.small_runs import SMALL
from tests.helpers.streams import transport_stream
from tests.helpers.watching import EASY, Watching, until, watching
from vidconcept.live.feed import QUIET_S
from vidconcept.pipelines.explain import _restore_plan

FIRST, HELD_UP = transport_stream(24), transport_stream(20, first=24, start_s=0.96)
# A hole before the live pass knows how long a step usually is, which the film then shows.
EARLY_HOLE = transport_stream(3) + transport_stream(21, first=3, start_s=1.12)
ANOTHER_CLOCK = transport_stream(20) + bytes(range(256)) * 40 + transport_stream(20, first=20, start_s=3600)


def is_quiet(own: Watching) -> bool:
    """Whether the model's side has taken frames, and takes none for longer than a part waits for one."""
    before = own.state
    time.sleep(1.5 * QUIET_S)
    return before is not None and own.state is not None and 0 < own.state.read == before.read


def record(fifo, model, out, *pieces: bytes) -> vidconcept.Run:
    """The recording of a camera that sends each piece when those before are read and nothing has come since."""
    with watching(fifo, model, out=out, skips=False, once=True, every_s=0.01) as own:
        with fifo.open("wb", buffering=0) as camera:
            camera.write(pieces[0])
            for piece in pieces[1:]:
                until(lambda: is_quiet(own))
                camera.write(piece)
        own.wait()
    (run,) = own.runs
    return run


def decide_again(run: vidconcept.Run, model, **changes) -> vidconcept.Run:
    settings = {"model": str(model), **SMALL, **EASY} | changes
    film = run.manifest["video"]["path"]
    return vidconcept.track(film, ("scratch", "dent"), out=run.path, existing="resume", **settings)


@pytest.mark.parametrize(
    ("pieces", "parts"), [((EARLY_HOLE,), 1), ((FIRST, HELD_UP), 2)], ids=["early hole", "held up"]
)
def test_its_parts_are_those_of_the_live_pass(fifo, tiny_model, tmp_path, pieces, parts):
    run = record(fifo, tiny_model, tmp_path / "out", *pieces)
    begins = run.manifest["live"]["part_begins"]
    assert len(begins) == parts - 1
    tracks, rows = (run.path / "tracks.csv").read_bytes(), [(row.frame_index, row.origin) for row in run.frames()]
    again = decide_again(run, tiny_model)
    assert (run.path / "tracks.csv").read_bytes() == tracks
    assert again.manifest["cuts"] == run.manifest["cuts"]
    # Also where the film has to be read again.
    (run.path / "maps" / f"window_{run.manifest['windows'] - 1:06d}.safetensors").unlink()
    again = decide_again(run, tiny_model)
    assert [(row.frame_index, row.origin) for row in again.frames()] == rows
    assert again.manifest["live"]["part_begins"] == begins
    assert _restore_plan(again).reading.part_begins == frozenset(begins)


def test_it_keeps_what_the_live_pass_missed(fifo, tiny_model, tmp_path):
    run = record(fifo, tiny_model, tmp_path / "out", ANOTHER_CLOCK)
    live, gaps = run.manifest["live"], run.manifest["gaps"]
    assert live["clock_jumps"]
    assert live["event_ids"]
    again = decide_again(run, tiny_model)
    assert (again.manifest["live"], again.manifest["gaps"]) == (live, gaps)
    # Other events are not those that were reported.
    other = decide_again(run, tiny_model, threshold=0.99, floor=0.9)
    del live["event_ids"]
    assert (other.manifest["live"], other.manifest["gaps"]) == (live, gaps)
