"""Rarity from the film to the tables, with the embedded model and with a random one of the family."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import vidconcept
from tests.helpers.lines import write_line
from tests.helpers.small_runs import small_clip, small_run
from vidconcept.errors import InputError, UsageError
from vidconcept.pipelines.calibrate import calibrate_good
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import make_plan
from vidconcept.pipelines.rarity import find_removed
from vidconcept.pipelines.workspace import Workspace
from vidconcept.rarity.good_parts import write_good_parts
from vidconcept.rarity.memory import Described
from vidconcept.runs import RunFolder
from vidconcept.settings import TrackSettings
from vidconcept.types import ConceptMaps
from vidconcept.writers.review.page import write_review

# A small picture: the model takes a quarter of the time. Edges are of no interest here.
SMALL = {"height": 128, "width": 192, "edges": "coarse"}
ALL = tuple(range(9))


@pytest.fixture(scope="module")
def line_with_one_scratch(tmp_path_factory) -> vidconcept.Run:
    folder = tmp_path_factory.mktemp("one")
    return vidconcept.track(write_line(folder / "one.mp4", scratched=(2,)), ["scratch"], out=folder / "run", **SMALL)


@pytest.fixture(scope="module")
def line_with_a_scratch_on_every_part(tmp_path_factory) -> vidconcept.Run:
    folder = tmp_path_factory.mktemp("every")
    return vidconcept.track(write_line(folder / "every.mp4", scratched=ALL), ["scratch"], out=folder / "run", **SMALL)


def decide_anew(run: vidconcept.Run, **settings) -> vidconcept.Run:
    video = run.manifest["video"]["path"]
    return vidconcept.track(video, ["scratch"], out=run.path, existing="resume", **SMALL, **settings)


def marked_px(run: vidconcept.Run) -> int:
    """Pixels of all masks on all frames."""
    return sum(track.area_px for track in run.tracks())


def test_what_is_held_back_does_not_keep_the_features_of_its_window():
    scores = np.zeros((1, 1, 8, 8), np.float32)
    scores[0, 0, 3, 4] = 0.9
    described = Described(np.array([[0, 0, 3, 4], [0, 0, 6, 6]]), np.ones((2, 3, 5), np.float16))
    maps = ConceptMaps(0, np.array([[0, 0]]), 1, 1, scores)
    settings = TrackSettings(concepts=("scratch",), threshold=0.5)
    (piece,) = find_removed(settings, maps, [0], np.full((1, 8, 8), 0.1, np.float32), described)
    assert piece.vector.shape == (3, 5)
    assert not np.shares_memory(piece.vector, described.vectors)


@pytest.mark.slow
class TestLine:
    def test_a_single_scratch_is_found_as_without_rarity(self, line_with_one_scratch):
        run = line_with_one_scratch
        assert run.manifest["rarity"]["tokens_judged"] > 0
        assert run.manifest["rarity"]["views_median"] >= 2
        assert len(run.events) == len(decide_anew(run, rarity="off").events) == 1
        with pytest.raises(UsageError, match="keep_recurring = 1: the run has no groups"):
            decide_anew(run, keep_recurring=(1,))

    def test_the_same_scratch_on_every_part_is_kept_as_recurring_and_can_be_taken_back(
        self, line_with_a_scratch_on_every_part
    ):
        run = line_with_a_scratch_on_every_part
        groups = run.recurring
        assert groups
        assert {group.concept for group in groups} == {"scratch"}
        assert all((run.path / f"thumbs/recurring_{group.group_id:05d}.jpg").is_file() for group in groups)
        page = write_review(run.path).read_text()
        assert 'id="recurring"' in page
        assert "recurring group" in page
        gated = marked_px(run)
        kept = decide_anew(run, keep_recurring=tuple(group.group_id for group in groups))
        assert all(group.kept for group in kept.recurring)
        assert marked_px(kept) > gated
        with pytest.raises(UsageError, match="keep_recurring = 77"):
            decide_anew(run, keep_recurring=(77,))
        without = decide_anew(run, rarity="off")
        assert without.recurring == []
        assert marked_px(without) > gated, "what every part has is held back"


def settings_of(model: Path) -> dict:
    return {"model": str(model), "height": 64, "width": 96, "window_frames": 9, "overlap_frames": 1,
            "device": "cpu", "threshold": 0.1}  # fmt: skip


@pytest.fixture(scope="module")
def random_run(tmp_path_factory, tiny_model) -> vidconcept.Run:
    folder = tmp_path_factory.mktemp("any")
    film = write_line(folder / "film.mp4", 60, scratched=(1,))
    return vidconcept.track(film, ["scratch"], out=folder / "run", **settings_of(tiny_model))


class TestAnyModel:
    """What a random model finds means nothing; that its tokens can be compared does."""

    def test_its_attention_outputs_serve_as_features(self, random_run):
        rarity = random_run.manifest["rarity"]
        assert rarity["says"] == ""
        assert rarity["tokens_judged"] > 0

    def test_a_still_camera_leaves_it_out_and_says_so(self, tmp_path, tiny_model):
        film = write_line(tmp_path / "still.mp4", 20, speed=0)
        run = vidconcept.track(film, ["scratch"], out=tmp_path / "run", **settings_of(tiny_model))
        assert "changed nothing" in run.manifest["rarity"]["says"]
        assert run.recurring == []
        assert "changed nothing" in (run.path / "review.html").read_text()

    def test_its_maps_hold_the_same_whatever_the_threshold(self, tmp_path, tiny_model):
        clip = small_clip(tmp_path / "a.mp4")
        # Many words share the evidence, so their scores pass a tenth of the low threshold and not of the high one.
        words = tuple(f"metal {one}{other}" for one in "ae" for other in "acdehlm")
        runs = [
            small_run(clip, tiny_model, tmp_path / f"{threshold}", background=words, threshold=threshold)
            for threshold in (0.01, 0.9)
        ]
        low, high = (RunFolder(run.path, run.manifest).load_described(0) for run in runs)
        assert len(low.tokens)
        np.testing.assert_array_equal(low.tokens, high.tokens)

    def test_an_interrupted_pass_goes_on_to_the_same_memory(self, random_run, tmp_path, tiny_model):
        video = random_run.manifest["video"]["path"]
        seen = 0

        def stop() -> bool:
            nonlocal seen
            seen += 1
            return seen == 3

        with pytest.raises(vidconcept.errors.Interrupted):
            vidconcept.track(video, ["scratch"], out=tmp_path / "run", monitor=Monitor(stop=stop),
                             **settings_of(tiny_model))  # fmt: skip
        vidconcept.track(video, ["scratch"], out=tmp_path / "run", existing="resume", **settings_of(tiny_model))
        whole, resumed = (
            load_file(path / "maps" / "memory.safetensors") for path in (random_run.path, tmp_path / "run")
        )
        assert whole.keys() == resumed.keys()
        assert all(np.array_equal(values, resumed[name]) for name, values in whole.items())

    def test_a_saved_calibration_brings_its_good_parts_bound_to_the_weights(self, random_run, tmp_path, tiny_model):
        film = write_line(tmp_path / "good.mp4", 60)
        settings = {"concepts": ("scratch",), **settings_of(tiny_model)}
        learnt = calibrate_good([film], settings, 1.0, Workspace(tmp_path / "maps"))
        assert learnt.good_parts is not None
        config, memory = tmp_path / "line.toml", tmp_path / "line.toml.rarity.safetensors"
        learnt.save(config)
        video = random_run.manifest["video"]["path"]
        decided = vidconcept.track(video, out=tmp_path / "run", config=config)
        assert decided.manifest["rarity"]["mode"] == str(memory)
        assert decided.manifest["settings"]["thresholds"] == learnt.choice.thresholds
        assert decided.manifest["rarity"]["tokens_without_evidence"] == 0
        write_good_parts(memory, learnt.good_parts.memory, learnt.good_parts.usual, "others")
        with pytest.raises(UsageError, match="learnt with other weights"):
            make_plan(video, settings, config)
        memory.write_bytes(b"nothing")
        with pytest.raises(InputError, match="memory of good parts"):
            make_plan(video, settings, config)
