"""Real models load as they are published: random weights in each published layout, through the same code."""

import json
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXPipeline, CogVideoXTransformer3DModel
from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid

from tests.helpers.model_folders import LAYOUTS, write_folder
from vidconcept.errors import ModelError, UsageError
from vidconcept.models import text as text_module
from vidconcept.models.adapter import read_layout
from vidconcept.models.cogvideox import fit_grid, load
from vidconcept.models.folder import ModelFolder, fetch, find_folder, find_preset
from vidconcept.models.presets import presets
from vidconcept.models.readout import read_scores
from vidconcept.models.text_encoders import load_tokenizer
from vidconcept.setting_layers import resolve
from vidconcept.settings import TrackSettings

WORDS = ("scratch", "dent", "clean surface")


@pytest.fixture(scope="module", params=LAYOUTS)
def folder(request, tmp_path_factory) -> ModelFolder:
    path = write_folder(tmp_path_factory.mktemp("models") / request.param, request.param)
    return find_folder(find_preset(str(path)))


def settings_for(folder: ModelFolder, **changes) -> TrackSettings:
    values = folder.preset.settings | {"dtype": "float32", "device": "cpu"} | changes
    return TrackSettings(**values)


def frames(folder: ModelFolder, count: int | None = None) -> np.ndarray:
    settings = settings_for(folder)
    shape = (count or settings.window_frames, settings.height, settings.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_threads_may_load_at_once(tmp_path):
    """While they load, the libraries change how torch makes modules, for the whole process."""
    folder = find_folder(find_preset(str(write_folder(tmp_path / "model", next(iter(LAYOUTS))))))
    settings = settings_for(folder)
    begin = threading.Barrier(3)

    def load_often(_: int) -> bool:
        begin.wait()
        return all(load(folder.path, settings, WORDS).transformer.device.type == "cpu" for _ in range(3))

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(load_often, range(3))) == [True] * 3
    assert torch.nn.Linear(2, 2).weight.device.type == "cpu"


class TestPublishedLayouts:
    def test_scores_of_a_window(self, folder):
        model = load(folder.path, settings_for(folder), WORDS)
        layout = read_layout(folder.path)
        window = frames(folder)
        scores = read_scores(model, window)
        steps = (len(window) - 1) // layout.step + 1
        assert scores.shape == (3, steps, window.shape[1] // 16, window.shape[2] // 16)
        np.testing.assert_allclose(scores.sum(0), 1, atol=1e-5)
        assert model.step == layout.step == (8 if folder.path.name == "1.5" else 4)

    def test_a_single_frame(self, folder):
        scores = read_scores(load(folder.path, settings_for(folder), WORDS), frames(folder, 1))
        assert scores.shape[1] == 1

    def test_trained_size_and_step_come_from_the_folder(self, folder):
        preset = folder.preset
        assert (preset.settings["height"], preset.settings["width"]) == (64, 96)
        assert preset.settings["window_frames"] % read_layout(folder.path).step == 1

    def test_rotary_tables_are_the_pipelines_own(self, folder):
        model = load(folder.path, settings_for(folder), WORDS)
        if not model.transformer.config.use_rotary_positional_embeddings:
            pytest.skip("this layout adds positions instead")
        pipeline = CogVideoXPipeline(None, None, model.codec, model.transformer, model.scheduler)
        latents = model.encode(frames(folder))
        theirs = pipeline._prepare_rotary_positional_embeddings(64, 96, latents.shape[1], latents.device)
        for ours, table in zip(model._rotary(latents), theirs, strict=True):
            assert torch.equal(ours, table)

    def test_prompt_embeddings_are_the_pipelines_own(self, folder):
        model = load(folder.path, settings_for(folder, prompt="a machine part"), WORDS)
        pipeline = CogVideoXPipeline.from_pretrained(folder.path)
        length = model.transformer.config.max_text_seq_length
        theirs = pipeline._get_t5_prompt_embeds("a machine part", max_sequence_length=length)
        torch.testing.assert_close(model.texts.prompt, theirs)

    def test_every_subword_is_kept_and_no_padding(self, folder):
        model = load(folder.path, settings_for(folder), WORDS)
        tokenizer = CogVideoXPipeline.from_pretrained(folder.path).tokenizer
        for word, embeds in zip(WORDS, model.texts.words, strict=True):
            assert len(embeds) == len(tokenizer(word, add_special_tokens=False).input_ids)

    def test_windows_start_with_a_fresh_codec(self, folder):
        """The causal convolutions must not remember the window before."""
        model = load(folder.path, settings_for(folder), WORDS)
        window = frames(folder)
        first = model.encode(window)
        model.encode(255 - window)
        assert torch.equal(model.encode(window), first)

    def test_wrong_frame_counts_are_refused(self, folder):
        with pytest.raises(ValueError, match="a window is"):
            load(folder.path, settings_for(folder), WORDS).encode(frames(folder, 4))


class TestTextEncoder:
    def test_is_not_loaded_when_the_cache_knows_every_text(self, folder, monkeypatch):
        first = load(folder.path, settings_for(folder), WORDS)
        monkeypatch.setattr(text_module.T5Text, "encode", None)
        again = load(folder.path, settings_for(folder), WORDS)
        assert torch.equal(first.texts.prompt, again.texts.prompt)

    def test_a_prompt_that_is_cut_is_told_of_also_from_the_cache(self, folder):
        told: list[str] = []
        for prompt in ("a " * 11, "a " * 12, "a " * 12):
            load(folder.path, settings_for(folder, prompt=prompt), WORDS, told.append)
        assert told == ["the prompt is 25 tokens long, the model reads 24: the rest is left out"] * 2

    def test_a_prompt_that_it_cannot_read_is_told_of_also_from_the_cache(self, folder):
        told: list[str] = []
        for _ in range(2):
            load(folder.path, settings_for(folder, prompt="划痕在金属表面"), WORDS, told.append)
        said = "the text encoder of this model cannot read all of the prompt. Next: say it in English"
        assert told == [said] * 2

    @pytest.mark.parametrize("word", ["scratch </s> dent", "scratch </s>", "<pad> dent"])
    def test_a_word_with_a_mark_of_its_own_is_refused(self, folder, word):
        with pytest.raises(UsageError, match=f"cannot read '{word}'"):
            load(folder.path, settings_for(folder), (word, "dent"))

    def test_a_word_that_would_be_cut_is_refused(self, folder):
        with pytest.raises(UsageError, match=r"'a a .* is 61 tokens long, and this model reads 24\. Next: "):
            load(folder.path, settings_for(folder), ("a " * 30, "dent"))

    def test_is_freed_before_the_transformer_loads(self, folder, monkeypatch, tmp_path):
        import gc

        from transformers import T5EncoderModel

        monkeypatch.setenv("VIDCONCEPT_CACHE_DIR", str(tmp_path))
        alive = []
        original = CogVideoXTransformer3DModel.from_pretrained

        def spy(*args, **kwargs):
            gc.collect()
            alive.append(sum(isinstance(o, T5EncoderModel) for o in gc.get_objects()))
            return original(*args, **kwargs)

        monkeypatch.setattr(CogVideoXTransformer3DModel, "from_pretrained", spy)
        load(folder.path, settings_for(folder), WORDS)
        assert alive == [0]

    def test_a_damaged_cache_file_is_made_anew(self, folder, monkeypatch, tmp_path):
        monkeypatch.setenv("VIDCONCEPT_CACHE_DIR", str(tmp_path))
        first = load(folder.path, settings_for(folder), WORDS)
        for path in (tmp_path / "text").iterdir():
            path.write_bytes(b"broken")
        assert torch.equal(load(folder.path, settings_for(folder), WORDS).texts.prompt, first.texts.prompt)


class TestMissingWeights:
    def test_a_preset_that_is_not_here(self, monkeypatch, tmp_path):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(ModelError, match=r"vidconcept models fetch cogvideox-5b \(21.5 GB") as caught:
            find_folder(find_preset("cogvideox-5b"))
        assert caught.value.exit_code == 5

    def test_a_missing_shard_is_named(self, tmp_path):
        path = write_folder(tmp_path / "m")
        shard = sorted((path / "transformer").glob("*.safetensors"))[3]
        shard.unlink()
        with pytest.raises(ModelError, match=shard.name):
            find_folder(find_preset(str(path)))

    def test_pickled_weights_are_not_loaded(self, tmp_path):
        path = write_folder(tmp_path / "m", shards=False)
        weights = path / "transformer" / "diffusion_pytorch_model.safetensors"
        weights.rename(weights.with_suffix(".bin"))
        with pytest.raises(ModelError, match="pickled"):
            find_folder(find_preset(str(path)))

    def test_a_variant_alone_is_named(self, tmp_path):
        path = write_folder(tmp_path / "m", shards=False)
        weights = path / "vae" / "diffusion_pytorch_model.safetensors"
        weights.rename(weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
        with pytest.raises(
            ModelError, match=r"no vae/\S+ \(only \S+\.fp16\.safetensors, which is not loaded\)\. Next: copy"
        ):
            find_folder(find_preset(str(path)))

    def test_a_tokenizer_without_words_is_named_and_a_local_folder_is_not_to_be_fetched(self, tmp_path):
        path = write_folder(tmp_path / "m")
        (path / "tokenizer" / "spiece.model").unlink()
        needed = r"incomplete: no tokenizer/spiece\.model or tokenizer/tokenizer\.json\. Next: copy what is missing"
        for ask in (find_folder, fetch):
            with pytest.raises(ModelError, match=needed) as caught:
                ask(find_preset(str(path)))
            assert caught.value.exit_code == 5
            assert "models fetch" not in str(caught.value)
        with pytest.raises(ModelError, match=r"cannot load .*tokenizer: "):
            load_tokenizer("T5TokenizerFast", path, "tokenizer")

    def test_foreign_components_are_refused(self, tmp_path):
        path = write_folder(tmp_path / "m", shards=False)
        index = json.loads((path / "model_index.json").read_text())
        (path / "model_index.json").write_text(json.dumps(index | {"vae": ["evil", "Custom"]}))
        folder = find_folder(find_preset(str(path)))
        with pytest.raises(ModelError, match="Custom"):
            load(folder.path, settings_for(folder), WORDS)

    def test_a_model_that_wants_a_picture_too_is_refused(self, tmp_path):
        path = write_folder(tmp_path / "m", shards=False)
        config = path / "transformer" / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"in_channels": 8}))
        with pytest.raises(ModelError, match="image-to-video"):
            read_layout(path)

    @pytest.mark.parametrize("part", ["text_encoder", "vae"])
    def test_half_a_file_of_weights_is_an_error_of_the_model(self, tmp_path, part, monkeypatch):
        monkeypatch.setenv("VIDCONCEPT_CACHE_DIR", str(tmp_path / "cache"))
        path = write_folder(tmp_path / "m", shards=False)
        (weights,) = (path / part).glob("*.safetensors")
        weights.write_bytes(weights.read_bytes()[:2000])
        folder = find_folder(find_preset(str(path)))
        with pytest.raises(ModelError, match="cannot load"):
            load(folder.path, settings_for(folder), WORDS)

    def test_an_unknown_name_gets_the_nearest(self):
        with pytest.raises(UsageError, match="did you mean 'cogvideox-2b'"):
            find_preset("cogvideox2b")


class TestForeignFolders:
    """A folder runs with the preset whose architecture it has."""

    def preset(self, tmp_path, **transformer):
        for part, config in (("transformer", transformer), ("vae", {"block_out_channels": [1, 1, 1, 1]})):
            (tmp_path / part).mkdir()
            (tmp_path / part / "config.json").write_text(json.dumps(config))
        return find_preset(str(tmp_path))

    def test_15_is_read_at_the_preset_s_size_not_at_that_of_its_rotary_table(self, tmp_path):
        size = {"sample_height": 300, "sample_width": 300, "sample_frames": 81}
        settings = self.preset(tmp_path, patch_size_t=2, **size).settings
        assert (settings["height"], settings["width"], settings["window_frames"]) == (768, 1360, 81)

    def test_rotary_positions_mean_5b(self, tmp_path):
        preset = self.preset(tmp_path, use_rotary_positional_embeddings=True)
        assert preset.settings["dtype"] == "bfloat16"

    def test_a_model_of_known_architecture_has_no_known_size(self, tmp_path, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1e9))
        preset = find_preset("someone/small-model")
        with pytest.raises(ModelError, match=r"Next: vidconcept models fetch someone/small-model$"):
            find_folder(preset)
        with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
            fetch(preset)

    def test_a_fetched_hub_id_is_told_by_its_configs(self, tmp_path, monkeypatch):
        self.preset(tmp_path, patch_size_t=2)
        monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(tmp_path))
        assert find_preset("someone/fine-tuned").settings["width"] == 1360


class TestPresets:
    @pytest.mark.parametrize("name", ["cogvideox-2b", "cogvideox-5b", "cogvideox1.5-5b", "linecam"])
    def test_every_setting_is_known_and_fits(self, name):
        preset = presets()[name]
        settings, sources = resolve([preset.layer])
        assert sources["timestep"] == f"preset {name}"
        assert settings.background
        shipped = read_layout(find_folder(presets()["linecam"]).path).num_layers
        depths = {"cogvideox-2b": 30, "cogvideox-5b": 42, "cogvideox1.5-5b": 42, "linecam": shipped}
        assert max(settings.layers) < depths[name]

    def test_words_are_the_same_however_unicode_writes_them(self):
        linecam = presets()["linecam"]
        for word in ("Verfärbung", "ひび", "クラック"):
            decomposed = unicodedata.normalize("NFD", word)
            assert decomposed != word or word == "クラック"
            assert linecam.translate(decomposed) == linecam.translate(word)

    def test_a_closed_vocabulary_names_what_it_knows(self):
        linecam = presets()["linecam"]
        assert linecam.translate("Kratzer") == linecam.translate("傷") == "scratch"
        with pytest.raises(
            UsageError, match=r"does not know .wombat.*scratch.*`model=cogvideox-2b` \(very slow without"
        ):
            linecam.translate("wombat")


# The published configurations, at full size, without memory: shapes only.
PUBLISHED = {
    "2b": ({"num_attention_heads": 30, "num_layers": 30}, (1, 13, 16, 60, 90), 17_550),
    "5b": (
        {"num_attention_heads": 48, "num_layers": 42, "use_rotary_positional_embeddings": True},
        (1, 13, 16, 60, 90),
        17_550,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_full_size_on_the_meta_device(name):
    from vidconcept.attention import concept_attention

    config, shape, tokens = PUBLISHED[name]
    with torch.device("meta"):
        transformer = CogVideoXTransformer3DModel(**config).eval()
        latents, text = torch.empty(shape), torch.empty(1, 226, 4096)
        rope = (torch.empty(tokens, 64), torch.empty(tokens, 64)) if name == "5b" else None
        with torch.no_grad(), concept_attention(transformer, torch.empty(7, 4096)) as recorder:
            noise_pred = transformer(latents, text, torch.empty(1, dtype=torch.long), image_rotary_emb=rope)[0]
    assert noise_pred.shape == shape
    half = config["num_layers"] // 2
    assert recorder.logits["concept-attention"].shape == (config["num_layers"] - half, 1, 7, tokens)
    billions = sum(p.numel() for p in transformer.parameters()) / 1e9
    assert billions == pytest.approx({"2b": 1.7, "5b": 5.6}[name], abs=0.15)


def test_full_size_vae_on_the_meta_device():
    with torch.device("meta"):
        vae = AutoencoderKLCogVideoX(scaling_factor=1.15258426, latent_channels=16).eval()
        with torch.no_grad():
            latents = vae.encode(torch.empty(1, 3, 49, 480, 720)).latent_dist.mode()
    assert latents.shape == (1, 16, 13, 60, 90)


@pytest.mark.parametrize("base", [(30, 45), (60, 90), (32, 56)])
def test_a_grid_lies_where_the_pipeline_puts_it(base):
    for rows in range(1, 70):
        for columns in range(1, 100, 3):
            theirs = get_resize_crop_region_for_grid((rows, columns), base[1], base[0])
            assert fit_grid((rows, columns), base) == theirs
