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
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

from tests.helpers.clips import write_clip
from tests.helpers.family_folders import FOLDERS
from vidconcept.errors import ModelError, UsageError
from vidconcept.models.adapter import ADAPTERS, choose_adapter, read_layout
from vidconcept.models.flow import FlowSchedule
from vidconcept.models.folder import find_folder, find_preset
from vidconcept.models.presets import presets
from vidconcept.models.readout import read_scores, token_grid
from vidconcept.pipelines.plan import make_plan
from vidconcept.settings import TrackSettings

WORDS = ("scratch", "dent", "clean surface")
# Frames a token covers in time, and pixels.
TOKENS = {
    "wan": (4, 16),
    "wan22": (4, 16),
    "ltx": (8, 32),
    "mochi": (6, 16),
    "hunyuan": (4, 16),
    "hunyuan15": (4, 16),
    "flux": (1, 16),
    "flux2": (1, 16),
    "sd3": (1, 16),
}
STILLS = ("flux", "flux2", "sd3")
CROSS = ("wan", "wan22", "ltx")


def small(name: str, **changes) -> dict:
    step, pitch = TOKENS[name]
    frames = 1 if name in STILLS else 1 + step
    sizes = {"height": 2 * pitch, "width": 3 * pitch, "window_frames": frames, "overlap_frames": 1}
    method = "cross-attention" if name in CROSS else "concept-attention"
    return {"dtype": "float32", "device": "cpu", "method": method, "layers": (1, 2), **sizes, **changes}


def load(folder: Path, name: str, report=lambda text: None, **changes):
    return choose_adapter(folder).load(folder, TrackSettings(**small(name, **changes)), WORDS, report)


def window(name: str, frames: int | None = None, height: int | None = None, width: int | None = None) -> np.ndarray:
    step, pitch = TOKENS[name]
    shape = (frames or 1 + step, height or 2 * pitch, width or 3 * pitch, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


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

    def test_sub_words_are_kept_and_special_tokens_are_not(self, folders, name):
        model = load(folders(name), name)
        if name in ("hunyuan", "hunyuan15", "flux2"):
            assert model.word_tokens == [1, 1, 2]
        assert all(len(word) and word.isfinite().all() for word in model.texts.words)

    def test_latents_are_the_codec_s_own_scaled_as_it_says(self, folders, name):
        model, frames = load(folders(name), name), window(name)
        video = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        with torch.no_grad():
            if name in STILLS:
                raw = torch.stack([model.codec.encode(video[:, :, t]).latent_dist.mode() for t in range(2)], dim=2)
            else:
                raw = model.codec.encode(video).latent_dist.mode()
        config = model.codec.config
        if name in ("wan", "wan22"):
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


class TestSchedule:
    """σ of every timestep against the scheduler's own table."""

    @staticmethod
    def ours(scheduler, tokens: int = 0) -> np.ndarray:
        schedule = FlowSchedule.model_validate(dict(scheduler.config))
        return np.array([schedule.sigma(t, tokens) for t in range(1, 1000)])

    @pytest.mark.parametrize("shift", [1.0, 3.0, 7.0])
    def test_constant_shift(self, shift):
        scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
        scheduler.set_timesteps(sigmas=np.arange(1, 1000)[::-1] / 1000)
        np.testing.assert_allclose(self.ours(scheduler), scheduler.sigmas.numpy()[:-1][::-1], rtol=1e-5)

    @pytest.mark.parametrize("kind", ["exponential", "linear"])
    def test_shift_by_the_number_of_tokens(self, kind):
        scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, time_shift_type=kind)
        slope = (1.15 - 0.5) / (4096 - 256)
        scheduler.set_timesteps(sigmas=np.arange(1, 1000)[::-1] / 1000, mu=0.5 + slope * (1024 - 256))
        np.testing.assert_allclose(self.ours(scheduler, 1024), scheduler.sigmas.numpy()[:-1][::-1], rtol=1e-5)

    def test_end_of_the_schedule(self):
        scheduler = FlowMatchEulerDiscreteScheduler(shift_terminal=0.1)
        scheduler.set_timesteps(sigmas=np.arange(1, 1001)[::-1] / 1000)
        np.testing.assert_allclose(self.ours(scheduler)[1:], scheduler.sigmas.numpy()[:-2][::-1][1:], atol=2e-3)

    def test_counted_from_the_noise(self):
        scheduler = FlowMatchEulerDiscreteScheduler(invert_sigmas=True)
        scheduler.set_timesteps(sigmas=np.arange(1, 1000)[::-1] / 1000)
        schedule = FlowSchedule.model_validate(dict(scheduler.config))
        times = [schedule.time(schedule.sigma(t, 0)) for t in range(1, 1000)]
        np.testing.assert_allclose(times, scheduler.timesteps.numpy()[::-1], rtol=1e-4, atol=1e-3)

    def test_unipc_under_its_own_name(self):
        scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0)
        scheduler.set_timesteps(10)
        schedule = FlowSchedule.model_validate(dict(scheduler.config))
        for sigma in scheduler.sigmas[1:-1]:
            plain = float(sigma) / (5 - 4 * float(sigma))
            assert schedule.sigma(round(1000 * plain), 0) == pytest.approx(float(sigma), abs=2e-3)


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


class TestFoldersThatAreBroken:
    @pytest.fixture
    def broken(self, folders, tmp_path):
        return lambda name: shutil.copytree(folders(name), tmp_path / name)

    @pytest.mark.parametrize(
        ("name", "file", "key", "value", "said"),
        [
            ("wan", "transformer/config.json", "patch_size", [1, 2], "transformer/config.json, patch_size"),
            ("wan", "transformer/config.json", "in_channels", 36, "image-to-video"),
            ("wan", "vae/config.json", "z_dim", 10**9, "vae/config.json, z_dim"),
            ("ltx", "transformer/config.json", "num_layers", 10**9, "transformer/config.json, num_layers"),
            ("ltx", "vae/config.json", "spatio_temporal_scaling", [], "spatio_temporal_scaling"),
            ("mochi", "vae/config.json", "temporal_expansions", [0], "vae/config.json, temporal_expansions"),
            ("mochi", "scheduler/scheduler_config.json", "shift", -1, "scheduler_config.json, shift"),
            ("hunyuan", "text_encoder/config.json", "hidden_size", 10**9, "text_encoder/config.json, hidden_size"),
            ("hunyuan", "text_encoder_2/config.json", "vocab_size", -1, "text_encoder_2/config.json, vocab_size"),
            (
                "hunyuan",
                "tokenizer_2/tokenizer_config.json",
                "auto_map",
                {"AutoTokenizer": ["a.B", None]},
                "code of its own",
            ),
        ],
    )
    def test_file_and_place_are_named(self, broken, name, file, key, value, said):
        folder = broken(name)
        path = folder / file
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
        with pytest.raises(ModelError, match=said) as caught:
            load(folder, name)
        assert caught.value.exit_code == 5

    @pytest.mark.parametrize(("name", "part"), [("hunyuan", "text_encoder_2"), ("wan22", "transformer_2")])
    def test_a_part_that_its_index_names_and_that_is_not_there(self, broken, name, part):
        folder = broken(name)
        shutil.rmtree(folder / part)
        with pytest.raises(ModelError, match=f"incomplete: no {part}"):
            find_folder(find_preset(str(folder)))

    @pytest.mark.parametrize("part", ["vae", "transformer", "text_encoder", "text_encoder_2"])
    def test_a_file_of_noise(self, broken, part, monkeypatch, tmp_path):
        monkeypatch.setenv("VIDCONCEPT_CACHE_DIR", str(tmp_path / "cache"))
        folder = broken("hunyuan")
        next((folder / part).glob("*.safetensors")).write_bytes(b"noise" * 100)
        with pytest.raises(ModelError, match=r"cannot load"):
            load(folder, "hunyuan")

    def test_a_foreign_class_is_refused(self, broken):
        folder = broken("mochi")
        index = json.loads((folder / "model_index.json").read_text())
        (folder / "model_index.json").write_text(json.dumps(index | {"vae": ["evil", "Custom"]}))
        with pytest.raises(ModelError, match=r"names vae 'Custom'"):
            load(folder, "mochi")

    def test_one_whose_text_never_sees_video_is_refused_with_the_reason(self, broken):
        folder = broken("mochi")
        index = json.loads((folder / "model_index.json").read_text())
        index["transformer"] = ["diffusers", "Cosmos3OmniTransformer"]
        (folder / "model_index.json").write_text(json.dumps(index))
        with pytest.raises(ModelError, match=r"'Cosmos3OmniTransformer', which cannot be read: .*never sees the video"):
            choose_adapter(folder)


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
