"""Folders of a user's own: which weights run, how they are told apart, and what they cannot read."""

import json
import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.clips import write_clip
from tests.helpers.model_folders import write_folder
from vidconcept.errors import ModelError, UsageError
from vidconcept.geometry import fit_size
from vidconcept.models import layout
from vidconcept.models.adapter import read_layout
from vidconcept.models.folder import find_folder, find_preset
from vidconcept.pipelines.plan import make_plan

PRESET = Path(str(resources.files("vidconcept.configs"))) / "linecam.toml"


class TestOwnPreset:
    def test_a_copied_preset_runs_the_weights_beside_it(self, tiny_model, tmp_path):
        mine = shutil.copytree(tiny_model, tmp_path / "mine")
        shutil.copy(PRESET, mine / "vidconcept.toml")
        preset = find_preset(str(mine))
        assert preset.settings["timestep"] == 20
        assert find_folder(preset).path == mine

    def test_one_that_is_none_is_an_error_of_the_model(self, tiny_model, tmp_path):
        mine = shutil.copytree(tiny_model, tmp_path / "mine")
        for text in ("[settings]\n", "[model\n", '[model]\nname = "mine"\nweights = "x"\n'):
            (mine / "vidconcept.toml").write_text(text)
            with pytest.raises(ModelError, match="is not a preset"):
                find_preset(str(mine))


def test_large_files_of_equal_size_are_told_apart(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "LARGE_BYTES", 4096)
    monkeypatch.setattr(layout, "SAMPLE_BYTES", 512)
    found = set()
    for number in range(2):
        mine = shutil.copytree(tiny_model, tmp_path / str(number))
        path = next((mine / "transformer").glob("*.safetensors"))
        content = np.frombuffer(path.read_bytes(), np.uint8).copy()
        # Retrained: every weight moves, the header stays.
        content[len(content) // 2 :] ^= number
        path.write_bytes(content.tobytes())
        found.add(read_layout(mine).fingerprint)
    assert len(found) == 2


class TestLongPictures:
    def test_no_side_is_longer_than_the_table_of_positions(self, tmp_path):
        """CogVideoX 1.5 as published: 300 latents a side, 16 px a token; footage of a line-scan camera."""
        for size in ((4096, 512), (512, 4096)):
            height, width = fit_size(*size, area_px=768 * 1360, multiple=16, largest_px=(2400, 2400))
            assert max(height, width) == 2400
            assert min(height, width) == 304
        assert fit_size(1920, 1080, area_px=768 * 1360, multiple=16, largest_px=(2400, 2400)) == (768, 1360)

    def test_it_is_read_from_the_folder(self, tmp_path):
        folder = write_folder(tmp_path / "model", "1.5", height=64, width=96)
        assert read_layout(folder).largest_px == (64, 96)
        clip = write_clip(tmp_path / "wide.mp4", count=2, size_px=(512, 64)).path
        settings = {"concepts": ("dent",), "model": str(folder), "window_frames": 17, "overlap_frames": 9}
        plan = make_plan(clip, settings)
        assert plan.tiles.width <= 96
        assert not [remark for remark in plan.remarks if "was asked for" in remark.message]

    def test_a_size_beyond_it_is_told_of(self, tmp_path):
        folder = write_folder(tmp_path / "model", "1.5", height=64, width=96)
        clip = write_clip(tmp_path / "a.mp4", count=2).path
        plan = make_plan(clip, {"concepts": ("dent",), "model": str(folder), "height": 128, "width": 192})
        (remark,) = [remark for remark in plan.remarks if "was asked for" in remark.message]
        assert remark.level == "warning"
        assert remark.message.startswith("192x128 was asked for and this model reads at most 96x64, so pictures")
        assert f"read at {plan.tiles.tile_width}x{plan.tiles.tile_height}. Next: " in remark.message

    def test_others_have_no_end(self, tiny_model):
        assert read_layout(tiny_model).largest_px is None


class TestSizesOfAConfig:
    @pytest.fixture
    def config(self, tmp_path) -> Path:
        return write_folder(tmp_path / "model", "1.5") / "transformer" / "config.json"

    def test_where_it_says_none_they_are_those_of_diffusers(self, config):
        content = json.loads(config.read_text())
        del content["sample_height"], content["sample_width"]
        config.write_text(json.dumps(content))
        assert read_layout(config.parents[1]).largest_px == (480, 720)
        assert find_preset(str(config.parents[1])).settings["width"] == 1360

    def test_null_is_refused(self, config):
        config.write_text(json.dumps(json.loads(config.read_text()) | {"sample_height": None}))
        with pytest.raises(ModelError, match=r"config\.json.*sample_height.* Next: fetch the model again"):
            read_layout(config.parents[1])


@pytest.mark.parametrize("setting", [{"timestep": 100}, {"timesteps": (20, 100)}])
def test_a_noise_level_beyond_those_of_the_scheduler_is_refused(tmp_path, setting):
    folder = write_folder(tmp_path / "model")
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_train_timesteps": 100}))
    clip = write_clip(tmp_path / "a.mp4", count=2).path
    asked = {"concepts": ("dent",), "model": str(folder)}
    make_plan(clip, asked | {"timestep": 99})
    (key,) = setting
    with pytest.raises(UsageError, match=rf"`{key}=.*100`: .* no such noise level. Next: `{key}` from 0 to 99"):
        make_plan(clip, asked | setting)


def test_words_that_the_text_encoder_cannot_read_are_refused(tiny_model, tmp_path, monkeypatch):
    from vidconcept.pipelines.track import track

    monkeypatch.setenv("VIDCONCEPT_CACHE_DIR", str(tmp_path / "cache"))
    clip = write_clip(tmp_path / "a.mp4", count=5).path
    for _ in range(2):  # the second time from the cache
        with pytest.raises(UsageError, match=r"'划痕'.*English"):
            track(clip, ["划痕", "凹痕"], model=str(tiny_model), out=tmp_path / "run")
    with pytest.raises(UsageError, match=r"'凹痕'.* change `background`, `distractors` or `sinks`"):
        track(clip, ["dent"], sinks=["凹痕"], model=str(tiny_model), out=tmp_path / "run")
