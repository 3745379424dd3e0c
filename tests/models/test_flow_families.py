"""Every flow-matching family from a folder with random weights: windows, noise, texts, and the whole command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.clips import write_clip
from tests.helpers.family_folders import FOLDERS
from tests.helpers.family_reading import CROSS, STILLS, TOKENS, load, small, window
from vidconcept.errors import ModelError, UsageError
from vidconcept.models.adapter import ADAPTERS, read_layout
from vidconcept.models.folder import find_folder, find_preset
from vidconcept.models.presets import presets
from vidconcept.models.readout import at_timesteps, read_scores, token_grid
from vidconcept.pipelines.plan import make_plan
from vidconcept.settings import TrackSettings


@pytest.mark.parametrize("name", FOLDERS)
class TestEveryFamily:
    def test_scores_of_a_window(self, folders, name):
        folder = find_folder(find_preset(str(folders(name)))).path
        layout = read_layout(folder)
        assert (layout.step, layout.pitch_px) == TOKENS[name]
        model = load(folder, name)
        scores = read_scores(model, window(name))
        assert scores.shape == (3, 2, 2, 3)
        np.testing.assert_allclose(scores.sum(0), 1, atol=1e-5)
        assert scores.std(axis=(1, 2, 3)).min() > 0
        assert np.array_equal(read_scores(model, window(name)), scores)

    def test_every_method_that_is_offered_reads(self, folders, name):
        methods = read_layout(folders(name)).methods
        assert methods == (("cross-attention", "gramcol") if name in CROSS else methods)
        found = load(folders(name), name).logits(window(name), methods=methods)
        assert {key: values.shape for key, values in found.items()} == dict.fromkeys(
            methods, (2, sum_of_tokens(found), 12)
        )

    def test_features_of_the_tokens_come_along(self, folders, name):
        draws, features = load(folders(name), name).described(window(name))
        assert len(draws) == 1
        assert features.shape[:3] == (2, 2, 3)
        assert np.isfinite(features).all()

    def test_sizes_that_do_not_fit_are_padded_and_it_is_said(self, folders, name):
        said: list[str] = []
        model, pitch = load(folders(name), name, said.append), TOKENS[name][1]
        picture = window(name, height=2 * pitch - 3, width=2 * pitch + 1)
        scores = read_scores(model, picture)
        assert scores.shape[1:] == token_grid(model, picture) == (2, 2, 3)
        assert any(f"pictures of {2 * pitch + 1}x{2 * pitch - 3} do not fill whole tokens" in text for text in said)
        padded = np.pad(picture, ((0, 0), (0, 3), (0, pitch - 1), (0, 0)), mode="edge")
        assert np.array_equal(read_scores(model, padded), scores)

    def test_wrong_frame_counts_are_refused(self, folders, name):
        if name in STILLS:
            pytest.skip("a still takes any number of frames, one by one")
        with pytest.raises(ValueError, match="a window is"):
            load(folders(name), name).encode(window(name, frames=3))

    def test_a_prompt_that_is_cut_is_told_of(self, folders, name):
        said: list[str] = []
        length = read_layout(folders(name)).text_length
        load(folders(name), name, said.append, prompt="part")
        load(folders(name), name, said.append, prompt="part " * (length + 1))
        assert [text.split("the model")[1] for text in said if "the prompt is" in text] == [
            f" reads {length}: the rest is left out"
        ]

    def test_sub_words_are_kept_and_special_tokens_are_not(self, folders, name):
        model = load(folders(name), name)
        if name in ("hunyuan", "hunyuan15", "flux2"):
            assert model.word_tokens == [1, 1, 2]
        assert all(len(word) and word.isfinite().all() for word in model.texts.words)

    def test_latents_are_the_codec_s_own_scaled_as_it_says(self, folders, name):
        model, frames = load(folders(name), name), window(name)
        video = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        with torch.no_grad():
            if name == "qwen":
                raw = torch.cat([model.codec.encode(video[:, :, t : t + 1]).latent_dist.mode() for t in (0, 1)], dim=2)
            elif name in STILLS:
                raw = torch.stack([model.codec.encode(video[:, :, t]).latent_dist.mode() for t in range(2)], dim=2)
            else:
                raw = model.codec.encode(video).latent_dist.mode()
        config = model.codec.config
        if name in ("wan", "wan22", "qwen"):
            expected = (raw - 0.1) / 2
        elif name == "mochi":
            expected = (raw - 0.1) / 2 * config.scaling_factor
        elif name == "flux2":
            packed = torch.stack([raw[:, :, :, row::2, col::2] for row in (0, 1) for col in (0, 1)], dim=2).flatten(
                1, 2
            )
            expected = (packed - 0.1) / (4 + config.batch_norm_eps) ** 0.5
        elif name in STILLS:
            expected = (raw - 0.1) * 0.4
        else:
            expected = raw * config.scaling_factor
        torch.testing.assert_close(model.encode(frames), expected)

    def test_pixels_are_rounded_once(self, folders, name):
        model, seen = load(folders(name), name, dtype="bfloat16"), []
        with model.codec.encoder.register_forward_pre_hook(lambda part, given: seen.append(given[0])):
            model.encode(np.full_like(window(name), 128))
        assert all((pixels == (torch.tensor(128.0) / 127.5 - 1).to(pixels.dtype)).all() for pixels in seen)
        assert seen

    def test_latents_in_bfloat16_are_those_of_float32(self, folders, name):
        grey = 112 + window(name) // 8
        exact, rounded = (load(folders(name), name, dtype=dtype).encode(grey) for dtype in ("float32", "bfloat16"))
        spread = exact - exact.mean((0, 2, 3, 4), keepdim=True)
        assert rounded.dtype == torch.bfloat16
        assert (rounded.float() - exact).norm() < 0.05 * spread.norm()

    def test_noise_is_added_by_the_model_s_own_schedule(self, folders, name):
        model = load(folders(name), name)
        latents = model.encode(window(name))
        noised, time = model.add_noise(latents, 0)
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
        sigma = model.sigma(latents)
        torch.testing.assert_close(noised, (1 - sigma) * latents + sigma * noise)
        assert float(time) == pytest.approx(1000 * ((1 - sigma) if name == "mochi" else sigma))
        assert 0.3 < sigma < 0.95


def sum_of_tokens(found: dict[str, np.ndarray]) -> int:
    return next(iter(found.values())).shape[1]


class TestTwoExperts:
    def test_each_reads_its_noise_levels(self, folders):
        model = load(folders("wan22"), "wan22", timestep=500)  # σ = 0.75, below 0.875
        low = model.logits(window("wan22"), methods=("cross-attention",))["cross-attention"]
        high_model = model.with_settings(model.settings.model_copy(update={"timestep": 900}))  # σ = 0.964
        assert high_model.transformer is not model.transformer
        high = high_model.logits(window("wan22"), methods=("cross-attention",))["cross-attention"]
        again = high_model.with_settings(model.settings).logits(window("wan22"), methods=("cross-attention",))
        assert np.array_equal(again["cross-attention"], low)
        first = load(folders("wan"), "wan", timestep=900).logits(window("wan"), methods=("cross-attention",))
        assert np.array_equal(first["cross-attention"], high)
        near = model.with_settings(model.settings.model_copy(update={"timestep": 400}))
        assert near.transformer is model.transformer

    def test_each_is_loaded_once(self, folders):
        model = load(folders("wan22"), "wan22", timestep=900, timesteps=(900, 500, 400, 950))
        experts = {id(own.transformer) for _ in range(2) for own in at_timesteps(model)}
        assert len(experts) == 2
        assert id(model.transformer) in experts


@pytest.mark.parametrize("name", STILLS)
def test_frames_of_a_window_are_read_one_by_one(folders, name):
    model, frames = load(folders(name), name), window(name, frames=3)
    together = read_scores(model, frames)
    for number in range(3):
        alone = read_scores(model, frames[number : number + 1])
        np.testing.assert_allclose(together[:, number : number + 1], alone, atol=1e-5)


def test_sd3_without_its_t5_says_so(folders, tmp_path):
    folder = shutil.copytree(folders("sd3"), tmp_path / "sd3")
    index = json.loads((folder / "model_index.json").read_text())
    nothing = {"text_encoder_3": [None, None], "tokenizer_3": [None, None]}
    (folder / "model_index.json").write_text(json.dumps(index | nothing))
    with pytest.raises(ModelError, match="has no text_encoder_3"):
        load(folder, "sd3")


class TestPlan:
    def test_concept_attention_of_a_cross_attention_model_is_refused(self, folders, tmp_path):
        clip = write_clip(tmp_path / "a.mp4", count=2).path
        settings = {"concepts": ("dent",), "model": str(folders("wan")), "method": "concept-attention"}
        with pytest.raises(UsageError, match=r"never attends.* It has cross-attention, gramcol\. Next: `method=cross"):
            make_plan(clip, settings)

    def test_the_preset_says_what_there_is(self, folders, tmp_path):
        clip = write_clip(tmp_path / "a.mp4", count=2).path
        for name in FOLDERS:
            plan = make_plan(clip, {"concepts": ("dent",), "model": str(folders(name))})
            assert plan.settings.method in plan.layout.methods


class TestPresets:
    def test_there_is_one_for_every_family(self):
        known = presets()
        for adapter in ADAPTERS.values():
            assert adapter.base_preset(Path("not here")) in known

    @pytest.mark.parametrize("name", sorted(presets()))
    def test_settings_fit(self, name):
        settings = TrackSettings(**presets()[name].settings)
        assert settings.background
        assert settings.window_frames >= settings.overlap_frames


@pytest.mark.parametrize(
    "name", ["hunyuan", *(pytest.param(n, marks=pytest.mark.slow) for n in FOLDERS if n != "hunyuan")]
)
def test_the_command_tracks(folders, name, tmp_path):
    count = TOKENS[name][0] + 1
    clip = write_clip(tmp_path / "a.mp4", count=count, size_px=(96, 64)).path
    options = {key: value for key, value in small(name).items() if key != "method"}
    arguments = [
        f"--{key.replace('_', '-')}={','.join(map(str, v)) if isinstance(v, tuple) else v}"
        for key, v in options.items()
    ]
    command = [sys.executable, "-m", "vidconcept", "track", str(clip), "--concepts", "scratch,dent", "--model"]
    out = tmp_path / "run"
    done = subprocess.run(
        [*command, str(folders(name)), *arguments, "--background", "surface", "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run = json.loads((out / "run.json").read_text())
    assert run["model"]["token_px"] == TOKENS[name][1]
    assert run["settings"]["method"] == ("cross-attention" if name in CROSS else "concept-attention")
    assert len((out / "frames.csv").read_text().splitlines()) == 1 + 2 * count
