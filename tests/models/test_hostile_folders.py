"""Model folders of strangers: nothing of theirs is run, nothing is waited for, and each fault is one clear error."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save, save_file

from tests.helpers.clips import write_clip
from tests.helpers.model_folders import write_folder
from vidconcept.errors import ModelError
from vidconcept.models.cogvideox import load
from vidconcept.models.folder import find_folder, find_preset
from vidconcept.models.text import encode_texts
from vidconcept.pipelines.plan import make_plan
from vidconcept.pipelines.track import track
from vidconcept.settings import TrackSettings


@pytest.fixture
def folder(tiny_model, tmp_path) -> Path:
    return shutil.copytree(tiny_model, tmp_path / "model")


@pytest.fixture
def clip(tmp_path) -> Path:
    return write_clip(tmp_path / "a.mp4", count=5).path


SMALL = {"height": 64, "width": 96, "window_frames": 9, "overlap_frames": 5, "device": "cpu"}


def rewrite(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def load_folder(folder: Path):
    return load(find_folder(find_preset(str(folder))).path, TrackSettings(device="cpu"), ["scratch", "surface"])


class TestCodeOfStrangers:
    @pytest.fixture
    def bait(self, folder, tmp_path, monkeypatch) -> Path:
        """A tokenizer that brings its own class; the file that its code would leave."""
        # Whoever is asked says yes.
        monkeypatch.setattr("builtins.input", lambda *_: "y")
        monkeypatch.setenv("VIDCONCEPT_CACHE_DIR", str(tmp_path / "cache"))
        left = tmp_path / "left by its code"
        code = f"open({str(left)!r}, 'w').close()\nclass EvilTokenizer: pass\n"
        (folder / "tokenizer" / "tokenization_evil.py").write_text(code)
        config = folder / "tokenizer" / "tokenizer_config.json"
        stripped = {key: value for key, value in json.loads(config.read_text()).items() if key != "tokenizer_class"}
        auto_map = {"AutoTokenizer": ["tokenization_evil.EvilTokenizer", None]}
        config.write_text(json.dumps(stripped | {"auto_map": auto_map}))
        return left

    def test_it_is_refused(self, folder, bait, clip, tmp_path):
        with pytest.raises(ModelError, match=r"tokenizer_config.json asks for code of its own \(auto_map\)"):
            track(clip, ["scratch"], model=str(folder), **SMALL, out=tmp_path / "run")
        assert not bait.exists()

    def test_the_text_encoder_alone_does_not_run_it_either(self, folder, bait):
        texts = encode_texts(folder, "", ["a scratch"], text_length=24, dtype=torch.float32, device=torch.device("cpu"))
        assert len(texts.words) == 1
        assert not bait.exists()

    def test_kernels_of_the_hub_are_code_too(self, folder):
        rewrite(folder / "text_encoder" / "config.json", attn_implementation="somebody/kernel")
        with pytest.raises(ModelError, match="attn_implementation"):
            load_folder(folder)


class TestDamage:
    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("model_index.json", "[]"),
            ("model_index.json", '{"vae": "AutoencoderKLCogVideoX", "scheduler": ["diffusers", "X"]}'),
            ("model_index.json", "[" * 5000),
            ("transformer/config.json", "[]"),
            ("transformer/config.json", '{"num_layers": NaN, "patch_size": 2}'),
            ("vae/config.json", '"text"'),
            ("text_encoder/config.json", "{"),
            ("scheduler/scheduler_config.json", '{"num_train_timesteps": 100000000000}'),
            ("vidconcept.toml", "[" * 5000),
            ("vidconcept.toml", "[model]\nname = 3\n"),
        ],
    )
    def test_of_a_config(self, folder, file, content):
        (folder / file).write_text(content)
        with pytest.raises(ModelError, match=file.rpartition("/")[2]):
            load_folder(folder)

    @pytest.mark.parametrize(
        ("part", "key", "value"),
        [
            ("transformer", "patch_size", 0),
            ("transformer", "num_layers", 0),
            ("transformer", "num_layers", 10**9),
            ("transformer", "max_text_seq_length", 10**9),
            ("transformer", "sample_height", "tall"),
            ("vae", "block_out_channels", []),
            ("vae", "temporal_compression_ratio", -4),
            ("text_encoder", "num_layers", 10**9),
            ("tokenizer", "extra_ids", 10**20),
        ],
    )
    def test_of_a_number(self, folder, part, key, value):
        name = "tokenizer_config.json" if part == "tokenizer" else "config.json"
        rewrite(folder / part / name, **{key: value})
        with pytest.raises(ModelError, match=f"{part}/{name}, {key}"):
            load_folder(folder)

    @pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
    def test_weights_that_are_missing_are_not_made_up(self, folder, part, tmp_path, monkeypatch):
        monkeypatch.setenv("VIDCONCEPT_CACHE_DIR", str(tmp_path / "cache"))
        path = next((folder / part).glob("*.safetensors"))
        tensors = load_file(path)
        tensors.pop(sorted(name for name in tensors if "norm" in name)[0])
        save_file(tensors, path, metadata={"format": "pt"})
        with pytest.raises(ModelError, match=r"lacks 1 weights|1 weights are missing"):
            load_folder(folder)

    def test_a_shard_that_lacks_a_weight_of_the_index(self, tmp_path):
        folder = write_folder(tmp_path / "model", shards=True)
        path = sorted((folder / "transformer").glob("*.safetensors"))[0]
        tensors = load_file(path)
        lost = sorted(tensors)[0]
        del tensors[lost]
        save_file(tensors, path, metadata={"format": "pt"})
        with pytest.raises(ModelError, match=f"cannot load the transformer .* lacks 1 weights, {lost} among them"):
            load_folder(folder)

    @pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder", "tokenizer"])
    def test_a_file_of_noise(self, folder, part, tmp_path, monkeypatch):
        monkeypatch.setenv("VIDCONCEPT_CACHE_DIR", str(tmp_path / "cache"))
        path = next(p for p in (folder / part).iterdir() if p.suffix in (".safetensors", ".model"))
        path.write_bytes(np.random.default_rng(0).bytes(5000))
        with pytest.raises(ModelError):
            load_folder(folder)

    def test_a_tokenizer_of_another_model(self, folder, tmp_path, monkeypatch):
        monkeypatch.setenv("VIDCONCEPT_CACHE_DIR", str(tmp_path / "cache"))
        path = next((folder / "text_encoder").glob("*.safetensors"))
        tensors = load_file(path)
        name = next(name for name in tensors if name.endswith(("shared.weight", "embed_tokens.weight")))
        save_file(tensors | {name: tensors[name][:3].contiguous()}, path, metadata={"format": "pt"})
        rewrite(folder / "text_encoder" / "config.json", vocab_size=3)
        with pytest.raises(ModelError, match=r"the text encoder .* cannot encode .*does not have"):
            load_folder(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
class TestNeverEnding:
    @pytest.mark.parametrize("name", ["tokenizer/spiece.model", "vae/config.json", "transformer/more.json"])
    def test_a_pipe_is_refused(self, folder, name, clip):
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
        with pytest.raises(ModelError, match=r"is a pipe, not a file"):
            make_plan(clip, {"concepts": ("scratch",), "model": str(folder)})

    def test_a_link_to_a_device_is_refused(self, folder, clip):
        (folder / "tokenizer" / "added_tokens.json").symlink_to("/dev/zero")
        with pytest.raises(ModelError, match=r"is a device, not a file"):
            make_plan(clip, {"concepts": ("scratch",), "model": str(folder)})


def damaged_weights(folder: Path, value: float) -> None:
    path = next((folder / "transformer").glob("*.safetensors"))
    tensors = {name: torch.full_like(tensor, value) for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


class TestNoNumbers:
    @pytest.mark.parametrize(("value", "said"), [(float("nan"), "no numbers"), (0.0, "the same number everywhere")])
    def test_nothing_found_is_not_what_broken_weights_say(self, folder, clip, tmp_path, value, said):
        damaged_weights(folder, value)
        with pytest.raises(
            ModelError, match=rf"frames 0 to 4 \(window 0\): layer \d gives {said} .*in float32.*`dtype=bfloat16`"
        ):
            track(clip, ["scratch"], model=str(folder), **SMALL, out=tmp_path / "run")
        assert not list((tmp_path / "run" / "maps").glob("*"))

    def test_a_text_encoder_that_gives_none(self, folder, clip, tmp_path, monkeypatch):
        monkeypatch.setenv("VIDCONCEPT_CACHE_DIR", str(tmp_path / "cache"))
        path = next((folder / "text_encoder").glob("*.safetensors"))
        tensors = {name: torch.full_like(tensor, float("nan")) for name, tensor in load_file(path).items()}
        save_file(tensors, path, metadata={"format": "pt"})
        with pytest.raises(ModelError, match=r"the text encoder .* gives no numbers"):
            track(clip, ["scratch"], model=str(folder), **SMALL, out=tmp_path / "run")


@pytest.mark.parametrize("part", ["transformer", "vae"])
def test_weights_that_are_cut_off_are_told_in_one_sentence(folder, part):
    path = next((folder / part).glob("*.safetensors"))
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(ModelError, match=r"[^.]\. Next: fetch it again, or another `model`$"):
        load(folder, TrackSettings(device="cpu"), ("dent",))


class TestCache:
    @staticmethod
    def encode(folder: Path) -> torch.Tensor:
        texts = encode_texts(folder, "", ["dent"], text_length=24, dtype=torch.float32, device=torch.device("cpu"))
        return texts.words[0]

    @pytest.mark.parametrize("content", [b"", b"noise" * 100, save({"embeds": torch.full((2, 2), torch.nan)})])
    def test_a_damaged_one_is_made_anew(self, folder, tmp_path, monkeypatch, content):
        monkeypatch.setenv("VIDCONCEPT_CACHE_DIR", str(tmp_path))
        before = self.encode(folder)
        for path in (tmp_path / "text").iterdir():
            path.write_bytes(content)
        assert torch.equal(self.encode(folder), before)

    def test_one_that_cannot_be_written_does_not_end_the_run_and_is_told_once(
        self, folder, tmp_path, monkeypatch, caplog
    ):
        (tmp_path / "cache").write_text("a file, not a folder")
        monkeypatch.setenv("VIDCONCEPT_CACHE_DIR", str(tmp_path / "cache"))
        assert self.encode(folder).isfinite().all()
        (said,) = [record.getMessage() for record in caplog.records if record.name == "vidconcept.models.text"]
        assert said.endswith(
            "a part of the path is a file. Next: set VIDCONCEPT_CACHE_DIR to a folder that can be written"
        )
        assert said.count("Next: ") == 1

    def test_one_on_a_full_disk_is_told_with_both_ways_out(self, folder, tmp_path, monkeypatch, caplog):
        def refuse(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setenv("VIDCONCEPT_CACHE_DIR", str(tmp_path / "cache"))
        monkeypatch.setattr(os, "replace", refuse)
        self.encode(folder)
        assert "the disk is full. Next: free some space there, or set VIDCONCEPT_CACHE_DIR" in caplog.text
