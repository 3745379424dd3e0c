"""Decided anew, a run encodes the groups of pictures in which something is drawn otherwise, and copies the others."""

import shutil
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tests.helpers.films import write_video
from tests.helpers.footage import deep_film
from tests.helpers.reading import read
from tests.helpers.small_runs import SMALL, small_run, tree
from tests.helpers.writing import list_times, measure_psnr, note_encoded
from vidconcept.errors import Interrupted
from vidconcept.manifest import read_manifest
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.track import Run
from vidconcept.runs import RunFolder
from vidconcept.video.groups import find_groups, find_same_groups

COUNT = 160
SETTINGS = SMALL | {"height": 64, "width": 96, "window_frames": 49, "rarity": "off", "edges": "coarse"}
# Of the event that a higher threshold leaves out, and of the one that stays.
WEAK, STRONG = (110, 130), (10, 145)
LOW, HIGH = 0.5, 0.75


@pytest.fixture(scope="module")
def made(tiny_model, tmp_path_factory) -> Path:
    """A folder with `a.mp4` and its run in `run/`: a scratch that moves, and a dent that is less sure."""
    folder = tmp_path_factory.mktemp("made")
    # Slowly brighter: nothing is a cut.
    still = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 190, (128, 192, 3), np.uint8), (0, 0), 4)
    write_video(folder / "a.mp4", np.stack([still + np.uint8(number // 4) for number in range(COUNT)]))
    run = small_run(folder / "a.mp4", tiny_model, folder / "run", **SETTINGS)
    open_folder = RunFolder(run.path, read_manifest(run.path))
    for maps in list(open_folder.read_maps()):
        scores = np.full_like(maps.scores, 0.05)
        for step, (first, last) in enumerate(maps.positions):
            if first >= STRONG[0] and last <= STRONG[1]:
                scores[0, step, 1, 1 + first // 40] = 0.85 + 0.1 * (first % 3 == 0)
            if first >= WEAK[0] and last <= WEAK[1]:
                scores[1, step, 3, 5] = 0.65
        open_folder.save_maps(replace(maps, scores=scores), int(maps.positions[0, 0]))
    decide(folder, tiny_model, LOW)
    return folder


@pytest.fixture
def work(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "work")


@pytest.fixture
def encoded(monkeypatch) -> list[av.VideoFrame]:
    return note_encoded(monkeypatch)


def decide(folder: Path, model: Path, threshold: float, **changes) -> Run:
    return small_run(
        folder / "a.mp4", model, folder / "run", existing="resume", **SETTINGS | {"threshold": threshold} | changes
    )


def decide_without_copies(folder: Path, model: Path, threshold: float, **changes) -> Path:
    """The film that a folder without another one would have."""
    fresh = shutil.copytree(folder, folder.parent / f"{folder.name} without")
    (fresh / "run" / "annotated.mp4").unlink()
    decide(fresh, model, threshold, **changes)
    return fresh / "run" / "annotated.mp4"


@pytest.mark.parametrize("changes", [{}, {"view": "side-by-side"}, {"encoder_preset": "superfast"}, {"threads": 1}])
def test_an_event_that_is_no_more_costs_its_own_groups(work, tiny_model, encoded, changes):
    film = work / "run" / "annotated.mp4"
    assert len(decide(work, tiny_model, LOW, **changes).events) == 2
    before, drawn_before = read(film), load_file(work / "run" / "maps" / "drawn.safetensors")["drawn"]
    groups = find_groups(film)
    whole = decide_without_copies(work, tiny_model, HIGH, **changes)
    encoded.clear()
    assert len(decide(work, tiny_model, HIGH, **changes).events) == 1
    drawn = load_file(work / "run" / "maps" / "drawn.safetensors")["drawn"]
    same = find_same_groups(drawn == drawn_before, groups)
    # The label of what stays is where it would be: it was placed on the copied pictures too.
    assert same[: WEAK[0] // 50 * 50].all()
    assert not same[WEAK[0] : WEAK[1]].any()
    assert len(encoded) == COUNT - same.sum() < COUNT / 2 + 10
    assert list_times(film) == list_times(whole)
    for new, old, wanted, is_same in zip(read(film), before, read(whole), same, strict=True):
        assert not is_same or (new.image == old.image).all()
        assert measure_psnr(new.image, wanted.image) > 40


@pytest.mark.parametrize("moved", [False, True])
def test_where_nothing_changed_nothing_is_encoded(work, tiny_model, encoded, moved):
    folder = work.rename(work.parent / "elsewhere") if moved else work
    before = tree(folder / "run" / "thumbs") | {"film": (folder / "run" / "annotated.mp4").read_bytes()}
    (folder / "run" / "thumbs" / "00001.jpg").unlink()
    decide(folder, tiny_model, LOW)
    assert not encoded
    assert tree(folder / "run" / "thumbs") | {"film": (folder / "run" / "annotated.mp4").read_bytes()} == before


def change_film(run: Path) -> None:
    data = bytearray((run / "annotated.mp4").read_bytes())
    data[len(data) // 2] ^= 1
    (run / "annotated.mp4").write_bytes(data)


def cut_record(run: Path) -> None:
    path = run / "maps" / "drawn.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def shorten_record(run: Path) -> None:
    path = run / "maps" / "drawn.safetensors"
    with safe_open(path, framework="numpy") as stored:
        facts = stored.metadata()
    save_file({"drawn": load_file(path)["drawn"][:-1]}, path, metadata=facts)


@pytest.mark.parametrize(
    ("spoil", "changes"),
    [
        (lambda run: (run / "annotated.mp4").unlink(), {}),
        (lambda run: (run / "maps" / "drawn.safetensors").unlink(), {}),
        (change_film, {}),
        (cut_record, {}),
        (shorten_record, {}),
        (lambda run: None, {"view": "side-by-side"}),
        (lambda run: None, {"encoder_preset": "superfast"}),
    ],
)
def test_without_such_a_film_all_is_encoded(work, tiny_model, encoded, spoil, changes):
    spoil(work / "run")
    decide(work, tiny_model, HIGH, **changes)
    assert len(encoded) == COUNT
    whole = decide_without_copies(work, tiny_model, HIGH, **changes)
    assert (work / "run" / "annotated.mp4").read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("changes", [{"view": "heatmap"}, {"codec": "libvpx-vp9"}])
def test_pictures_of_scores_and_of_vp9_are_never_copied(work, tiny_model, encoded, changes):
    decide(work, tiny_model, LOW, **changes)
    encoded.clear()
    decide(work, tiny_model, LOW, **changes)
    assert len(encoded) == COUNT


def test_after_other_versions_all_is_encoded(work, tiny_model, encoded, monkeypatch):
    monkeypatch.setattr("vidconcept.pipelines.track.list_versions", lambda: {"av": "0"})
    decide(work, tiny_model, LOW)
    assert len(encoded) == COUNT


def test_an_interrupt_while_pictures_are_copied_leaves_the_film_that_was_there(work, tiny_model, encoded):
    film, at = work / "run" / "annotated.mp4", []
    before = film.read_bytes()
    monitor = Monitor(progress=lambda stage, *_: at.append(stage), stop=lambda: at.count("writing the video") > 20)
    with pytest.raises(Interrupted):
        decide(work, tiny_model, HIGH, monitor=monitor)
    assert film.read_bytes() == before
    assert not (work / "run" / ".work").exists()
    decide(work, tiny_model, HIGH)
    assert 0 < len(encoded) < COUNT


def test_what_is_said_of_deep_pictures_is_said_of_copied_ones_too(tiny_model, tmp_path, encoded):
    settings = SETTINGS | {"bits": 10, "threshold": 0.99}
    film = deep_film(tmp_path / "deep.mkv", 12)
    first = small_run(film, tiny_model, tmp_path / "run", **settings)
    assert any("1023 is white" in remark["message"] for remark in first.manifest["remarks"])
    encoded.clear()
    again = small_run(film, tiny_model, tmp_path / "run", existing="resume", **settings)
    assert not encoded
    assert again.manifest["remarks"] == first.manifest["remarks"]
