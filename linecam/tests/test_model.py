"""The embedded model's parts: alignment, vocabulary, training that goes on, and the shipped folder."""

import json
import socket
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from safetensors.torch import load_file

from linecam.denoising import denoising_loss
from linecam.denoising import main as denoising_main
from linecam.evaluate import open_model
from linecam.footage import clips
from linecam.sample import sample
from linecam.training.alignment import alignment_loss, attach, rotary, word_logits
from linecam.training.data import ShardStream, group_shares
from linecam.training.model import load_parts, make_parts, save_parts
from linecam.training.teacher import Teacher, distillation_loss
from linecam.training.train import DEFAULT_CONFIG, Trainer
from linecam.training.train import main as train
from linecam.training.train_codec import fit_picture
from linecam.vocabulary import read_synonyms
from vidconcept.attention import concept_attention
from vidconcept.models.folder import find_folder
from vidconcept.models.linecam_codec import PatchCodec
from vidconcept.models.presets import presets
from vidconcept.models.readout import read_scores
from vidconcept.painting.cells import cell_shares, cell_truth
from vidconcept.painting.kinds import CLASS_ID, CONCEPTS, IGNORE


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    """One shard of two scenes, as the renderer writes it."""
    folder = tmp_path_factory.mktemp("shards")
    made = [clips.clip(seed, (192, 208), 9, defects=8.0) for seed in (1, 2)]
    np.save(folder / "000000_frames.npy", np.stack([c.frames for c in made]))
    np.save(folder / "000000_classes.npy", np.stack([c.classes for c in made]))
    (folder / "000000.txt").write_text("\n".join(c.caption for c in made))
    return folder


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return make_parts(PatchCodec(), tmp_path_factory.mktemp("tokenizer"), layers=3, heads=2, seed=0)


class TestAlignment:
    def test_training_maps_are_the_method_s_maps(self, parts):
        torch.manual_seed(1)
        transformer = parts.transformer.eval()
        for p in transformer.parameters():
            p.data.normal_(0, 0.06)
        latents, text = torch.randn(2, 2, 16, 8, 12), torch.randn(2, 5, 64)
        words, t = torch.randn(4, 64), torch.tensor([20, 20])
        rope = rotary(64, torch.arange(4.0), torch.arange(6.0), 2)
        with torch.no_grad():
            plain = transformer(latents, text, t, image_rotary_emb=rope).sample
            with concept_attention(transformer, words, layers=[0, 1, 2]) as recorder:
                transformer(latents, text, t, image_rotary_emb=rope)
            stock = dict(transformer.attn_processors)
            processors = attach(transformer, len(words), torch.float32)
            joined = torch.cat([text, words.expand(2, -1, -1)], 1)
            trained = transformer(latents, joined, t, image_rotary_emb=rope).sample
            transformer.set_attn_processor(stock)
        for mine, theirs in zip(processors, recorder.logits["concept-attention"], strict=True):
            torch.testing.assert_close(mine.logits, theirs, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(trained, plain, rtol=1e-4, atol=1e-4)

    def test_rotary_tables_are_the_pipeline_s(self):
        cos, sin = get_3d_rotary_pos_embed(64, ((0, 0), (32, 56)), (32, 56), 3)
        mine = rotary(64, torch.arange(32.0), torch.arange(56.0), 3)
        torch.testing.assert_close(mine[0], cos, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(mine[1], sin, rtol=1e-4, atol=1e-4)

    def test_sub_words_of_a_word_are_averaged(self):
        logits = torch.tensor([[[1.0], [3.0], [10.0]]])
        assert word_logits([logits, logits], [2, 1])[0, :, 0].tolist() == [2.0, 10.0]


class TestLosses:
    def test_tokens_of_a_small_defect_weigh_more(self):
        truth = torch.zeros(1, 100, dtype=torch.long)
        truth[0, :50], truth[0, 50] = 1, 2
        defects = torch.tensor([False, True, True])
        clear = torch.nn.functional.one_hot(truth, 3).transpose(1, 2) * 20.0

        def lose(token: int) -> float:
            wrong = clear.clone()
            wrong[0, :, token] = 0
            return float(alignment_loss(wrong, truth, defects, 2.0, torch.ones(1)))

        assert lose(50) > 2 * lose(0) > 2 * lose(99)

    def test_a_student_that_says_what_its_teacher_says_has_no_divergence(self):
        torch.manual_seed(0)
        logits, defects = torch.randn(2, 3, 20), torch.tensor([False, True, True])
        taught = torch.log_softmax(logits, 1)
        loss = partial(distillation_loss, taught=taught, defects=defects, defect_weight=5.0)
        ones, hidden = torch.ones(2), torch.full((2, 20), IGNORE)
        assert float(loss(logits, wanted=hidden, sample_weight=ones)) == pytest.approx(0, abs=1e-6)
        assert float(loss(torch.randn(2, 3, 20), wanted=hidden, sample_weight=ones)) > 0.1

    def test_a_teacher_that_sees_a_defect_on_good_surface_is_not_believed(self):
        defects = torch.tensor([False, True])
        taught = torch.log_softmax(torch.tensor([[[0.0, 5.0], [5.0, 0.0]]]), 1)  # (1, word, token): a defect, then none
        logits = torch.zeros(1, 2, 2, requires_grad=True)
        wanted = torch.tensor([[0, 0]])
        distillation_loss(logits, taught, wanted, defects, 5.0, torch.ones(1)).backward()
        assert logits.grad is not None
        assert logits.grad[0, :, 0].abs().max() == 0
        assert logits.grad[0, :, 1].abs().max() > 0

    def test_a_teacher_says_what_its_maps_say(self):
        folder = find_folder(presets()["linecam"]).path
        teacher = Teacher(folder, torch.device("cpu"))
        video = torch.rand(1, 3, 9, 64, 96, generator=torch.Generator().manual_seed(3)) * 2 - 1
        rope = rotary(64, torch.arange(8.0), torch.arange(12.0), 3)
        query = list(range(len(CONCEPTS)))
        readings = [teacher.read(video, query, rope, torch.Generator().manual_seed(seed)) for seed in range(8)]
        for said in readings:
            assert said.shape == (1, len(CONCEPTS), 3 * 8 * 12)
            torch.testing.assert_close(said.exp().sum(1), torch.ones(1, 3 * 8 * 12))
        frames = ((video[0].permute(1, 2, 3, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
        theirs = torch.from_numpy(read_scores(open_model(folder), frames)).flatten(1)
        # Other noise, half precision, and mirrored in most of them: the maps of the frame itself all the same.
        differences = [float((said[0].exp() - theirs).abs().mean()) for said in readings]
        assert min(differences) < 0.02
        assert max(differences) < 0.1


class TestTruth:
    def test_a_hair_thin_crack_counts_and_a_touch_does_not(self):
        classes = np.zeros((1, 16, 16), np.uint8)
        classes[0, :8, 3] = CLASS_ID["crack"]  # 8 of 64 pixels
        classes[0, 8, 12] = CLASS_ID["crack"]  # 1 of 64
        truth = cell_truth(group_shares(cell_shares(classes)))
        assert truth[0].tolist() == [[CLASS_ID["crack"], 0], [0, IGNORE]]


class TestVocabulary:
    @pytest.mark.parametrize(
        ("word", "meaning"),
        [("傷", "scratch"), ("打痕", "dent"), ("割れ", "crack"), ("Kratzer", "scratch"), ("Delle", "dent"),
         ("Riss", "crack"), ("划痕", "scratch"), ("凹痕", "dent"), ("Burr", "fray"), ("CORROSION", "rust"),
         ("screw", "bolt"), ("pit", "hole")],
    )  # fmt: skip
    def test_plant_words(self, word, meaning):
        assert presets()["linecam"].translate(word) == meaning

    def test_no_word_means_two_things(self):
        words = [w.lower() for row in read_synonyms().values() for w in row]
        assert len(words) == len(set(words))
        assert set(presets()["linecam"].vocabulary) == set(CONCEPTS)

    def test_the_tokenizer_knows_every_concept(self, parts):
        for word in CONCEPTS:
            assert parts.tokenizer.unk_token_id not in parts.tokenizer(word).input_ids


def test_a_sampled_clip_follows_its_seed(parts):
    fit_picture(codec := PatchCodec().eval(), 1, clips=4)
    model = replace(parts, codec=codec)
    one, again, other = (
        sample(model, "a film with a dent", seed, size=(16, 24), steps=2, guidance=1.0) for seed in (1, 1, 2)
    )
    assert one.shape == (9, 16, 24, 3)
    assert one.dtype == np.uint8
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


class TestDenoisingLoss:
    """Latents of zeros: the noised ones are sigma·noise, the velocity is signal·noise."""

    def loss(self, parts, velocity) -> dict[str, float]:
        codec = PatchCodec().eval()

        class Transformer:
            def __call__(self, noised, text, t, **_):
                alpha = parts.scheduler.alphas_cumprod[t].float()
                return (velocity(noised, alpha),)

        codec.encode_picture = lambda x: torch.zeros(1, 8, 3, x.shape[-2] // 4, x.shape[-1] // 4)
        codec.feature_latents = lambda kinds: torch.zeros(1, 8, 3, 2 * kinds.shape[2], 2 * kinds.shape[3])
        return denoising_loss(replace(parts, codec=codec, transformer=Transformer()), range(3))

    def test_the_true_velocity_has_none_and_silence_that_of_the_signal(self, parts):
        exact = self.loss(parts, lambda noised, alpha: noised * (alpha / (1 - alpha)).sqrt())
        assert exact == {"all": pytest.approx(0, abs=1e-6), "picture": pytest.approx(0, abs=1e-6)}
        silence = self.loss(parts, lambda noised, alpha: torch.zeros_like(noised))
        alphas = parts.scheduler.alphas_cumprod[[166, 500, 833]]
        assert silence["all"] == pytest.approx(float(alphas.mean()), rel=0.05)

    def test_the_first_model_s_loss_is_given_over_the_last_one_s(self, parts, tmp_path, capsys):
        state = parts.collect_trained().state_dict()
        off = state | {"transformer.proj_out.bias": state["transformer.proj_out.bias"] + 3}
        for name, weights in (("plain", state), ("off", off)):
            save_parts(parts, tmp_path / name, weights, {})
        denoising_main([str(tmp_path / name) for name in ("plain", "off")] + ["--clips", "1"])
        said = json.loads(capsys.readouterr().out)
        plain, off = said["loss"]
        assert [Path(row["model"]).name for row in said["loss"]] == ["plain", "off"]
        assert plain["picture"] != plain["all"]
        for key, ratio in said["first_over_last"].items():
            assert off[key] > plain[key] + 1
            assert ratio == pytest.approx(plain[key] / off[key], abs=1e-4)


def test_every_weight_is_trained_once_and_the_attention_s_sharpness_at_its_own_rate(parts):
    rates = {"matrix_rate": 1.0, "rate": 2.0, "sharpness_rate": 3.0, "defect_weight": 1.0}
    trainer = Trainer(parts, rates, 0, torch.device("cpu"))
    names = {id(p): name for name, p in trainer.model.named_parameters()}
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    trained = [(names[id(p)], group["lr"]) for group in groups for p in group["params"]]
    assert sorted(name for name, _ in trained) == sorted(names.values())
    sharpness = [name for name, rate in trained if rate == 3.0]
    assert len(sharpness) == 3 * 2 * 2  # of three blocks the query's and the key's norm, weight and bias
    assert all(".norm_q." in name or ".norm_k." in name for name in sharpness)


def test_with_a_rate_of_its_own_the_codec_learns_from_the_maps_and_its_trunk_stays(shards, tmp_path):
    parts = load_parts(find_folder(presets()["linecam"]).path)
    settings = tomllib.loads(DEFAULT_CONFIG.read_text("utf-8"))["train"] | {"codec_rate": 1e-3}
    trainer = Trainer(parts, settings, 0, torch.device("cpu"))
    net = parts.codec.feature_net
    trained = [p for optimizer in trainer.optimizers for group in optimizer.param_groups for p in group["params"]]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    video, truth, captions = next(ShardStream(shards, 0).batches(1, 9, 64, 64))
    trainer.update(video, truth, captions, np.random.default_rng(0), 1.0)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert {"stem.0.0.weight", "out.bias", "beside.2.weight"} <= changed
    assert not any(name.startswith("trunk.") for name in changed)
    # A kernel is handed to Muon as a matrix that shares its memory.
    theirs = {p.data_ptr() for p in trained}
    assert all((p.data_ptr() in theirs) == (not name.startswith("trunk.")) for name, p in net.named_parameters())
    save_parts(parts, tmp_path / "model", trainer.model.state_dict(), {})
    again = load_parts(tmp_path / "model").codec.feature_net.state_dict()
    torch.testing.assert_close(again["out.bias"], net.out.bias.detach(), atol=1e-2, rtol=1e-2)


class TestFolder:
    def test_saved_weights_are_the_ones_given(self, parts, tmp_path):
        state = {k: torch.full_like(v, 0.5) for k, v in parts.collect_trained().state_dict().items()}
        save_parts(parts, tmp_path / "model", state, {"clips": 3})
        again = load_parts(tmp_path / "model")
        assert all((v == 0.5).all() for v in again.transformer.state_dict().values())
        assert json.loads((tmp_path / "model" / "training_state.json").read_text())["clips"] == 3
        ids = [p.tokenizer("scratch 傷").input_ids for p in (parts, again)]
        assert ids[0] == ids[1]

    def test_a_model_that_goes_on_does_not_say_from_which_folder(self, parts, tmp_path):
        state = parts.collect_trained().state_dict()
        save_parts(parts, tmp_path / "first", state, {})
        save_parts(load_parts(tmp_path / "first"), tmp_path / "second", state, {})
        for path in (tmp_path / "second").rglob("*.json"):
            assert str(tmp_path) not in path.read_text(encoding="utf-8"), path.name

    def test_the_shipped_model_is_small_and_half_precision(self):
        folder = find_folder(presets()["linecam"]).path
        files = [p for p in folder.rglob("*") if p.is_file()]
        assert sum(p.stat().st_size for p in files) < 25e6
        weights = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
        assert {w.dtype for w in weights.values()} == {torch.float16}


@pytest.mark.slow
@pytest.mark.slice
def test_training_runs_stops_and_goes_on(shards, tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MASTER_PORT", str(free.getsockname()[1]))
    config = tmp_path / "tiny.toml"
    text = DEFAULT_CONFIG.read_text()
    text = text.replace("seconds = 5400", "seconds = 4").replace("early = [128, 32, 0.6]", "early = [64, 4, 0.6]")
    text = text.replace("late = [256, 8, 0.3]", "late = [64, 4, 0.3]")
    text = text.replace("seconds = 3200", "seconds = 12")
    text = text.replace("[[16, 16, 8, 0.45], [24, 32, 2, 0.3], [32, 56, 1, 0.25]]", "[[8, 8, 2, 1.0]]")
    text = text.replace("[[16, 16, 8, 0.3], [24, 32, 2, 0.3], [32, 56, 1, 0.4]]", "[[8, 8, 2, 1.0]]")
    # The codec's net goes on with the transformer.
    text = text.replace("codec_rate = 0\n", "codec_rate = 1e-4\n")
    # From the shipped codec: the published trunk would have to be downloaded.
    shipped = str(find_folder(presets()["linecam"]).path)
    text = text.replace('teacher = ""', f'teacher = "{shipped}"')
    config.write_text(text)
    common = ["--shards", str(shards), "--out", str(tmp_path / "out"), "--config", str(config)]
    train(["codec", *common, "--processes", "2", "--resume-from", shipped])
    codec = torch.load(tmp_path / "out" / "codec.pt", weights_only=True)
    assert codec["step"] > 0
    train(["model", *common])
    first = json.loads((tmp_path / "out" / "linecam" / "training_state.json").read_text())
    assert first["clips"] > 0
    config.write_text(text.replace("seconds = 12", f"clips = {first['clips'] + 4}"))
    train(["model", *common])
    second = json.loads((tmp_path / "out" / "linecam" / "training_state.json").read_text())
    assert second["clips"] == first["clips"] + 4
