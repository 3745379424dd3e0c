"""Folders of flow-matching families that are not whole or not what they say: one clear error with file and place."""

import json
import shutil

import pytest

from tests.helpers.family_reading import load
from vidconcept.errors import ModelError
from vidconcept.models.adapter import choose_adapter
from vidconcept.models.folder import find_folder, find_preset


@pytest.fixture
def broken(folders, tmp_path):
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
def test_file_and_place_are_named(broken, name, file, key, value, said):
    folder = broken(name)
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(ModelError, match=said) as caught:
        load(folder, name)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(("name", "part"), [("hunyuan", "text_encoder_2"), ("wan22", "transformer_2")])
def test_a_part_that_its_index_names_and_that_is_not_there(broken, name, part):
    folder = broken(name)
    shutil.rmtree(folder / part)
    with pytest.raises(ModelError, match=f"incomplete: no {part}"):
        find_folder(find_preset(str(folder)))


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        ("hunyuan", "tokenizer/tokenizer.json", r"no tokenizer/tokenizer\.json\."),
        (
            "hunyuan",
            "tokenizer_2/merges.txt",
            r"no tokenizer_2/vocab\.json and tokenizer_2/merges\.txt or tokenizer_2/",
        ),
        ("wan22", "tokenizer/spiece.model", r"no tokenizer/spiece\.model or tokenizer/tokenizer\.json\."),
        ("qwen", "tokenizer/vocab.json", r"no tokenizer/vocab\.json and tokenizer/merges\.txt or tokenizer/"),
    ],
)
def test_a_vocabulary_that_is_not_there(broken, name, file, said):
    folder = broken(name)
    (folder / file).unlink()
    with pytest.raises(ModelError, match=rf"incomplete: {said}"):
        find_folder(find_preset(str(folder)))
    # `tokenizer.json` holds all that the other files say.
    (folder / file).with_name("tokenizer.json").write_text("{}")
    assert find_folder(find_preset(str(folder))).path == folder


@pytest.mark.parametrize("kind", ["ByT5Tokenizer", "ByT5TokenizerFast"])
def test_a_tokenizer_of_bytes_needs_no_vocabulary(broken, kind):
    folder = broken("hunyuan15")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"tokenizer_2": ["transformers", kind]}))
    (folder / "tokenizer_2" / "spiece.model").unlink()
    assert find_folder(find_preset(str(folder))).path == folder


@pytest.mark.parametrize("part", ["vae", "transformer", "text_encoder", "text_encoder_2"])
def test_a_file_of_noise(broken, part, monkeypatch, tmp_path):
    monkeypatch.setenv("VIDCONCEPT_CACHE_DIR", str(tmp_path / "cache"))
    folder = broken("hunyuan")
    next((folder / part).glob("*.safetensors")).write_bytes(b"noise" * 100)
    with pytest.raises(ModelError, match=r"cannot load"):
        load(folder, "hunyuan")


def test_a_foreign_class_is_refused(broken):
    folder = broken("mochi")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"vae": ["evil", "Custom"]}))
    with pytest.raises(ModelError, match=r"names vae 'Custom'"):
        load(folder, "mochi")


def test_one_whose_text_never_sees_video_is_refused_with_the_reason(broken):
    folder = broken("mochi")
    index = json.loads((folder / "model_index.json").read_text())
    index["transformer"] = ["diffusers", "Cosmos3OmniTransformer"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"'Cosmos3OmniTransformer', which cannot be read: .*never sees the video"):
        choose_adapter(folder)
