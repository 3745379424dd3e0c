"""Model folders of strangers through the commands as typed: exit code 5, one line that names the file."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.clips import write_clip
from tests.helpers.refusals import NESTED, SMALL, check_refusal, put, rewrite


@pytest.fixture
def track(monkeypatch, tiny_model, tmp_path) -> Callable:
    model = shutil.copytree(tiny_model, tmp_path / "model")
    clip = write_clip(tmp_path / "a.mp4", count=5).path
    line = ["track", clip, "--concepts", "scratch", "--model", model, *SMALL, "--out", tmp_path / "run"]

    def run(change: Callable[[Path], Any], *named: str) -> None:
        change(model)
        check_refusal(monkeypatch, line, 5, *named)

    return run


@pytest.mark.parametrize("content", ["[]", "7", "null", "", NESTED, '"text"', "{"])
@pytest.mark.parametrize(
    "file",
    [
        "model_index.json",
        "transformer/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer_config.json",
    ],
)
def test_a_config_that_is_none(track, file, content):
    track(lambda model: (model / file).write_text(content), file.rpartition("/")[2])


@pytest.mark.parametrize(
    ("file", "place", "value"),
    [
        ("model_index.json", ("vae",), "AutoencoderKLCogVideoX"),
        ("model_index.json", ("transformer",), None),
        ("model_index.json", ("transformer",), ["diffusers", "NoSuchTransformer"]),
        ("model_index.json", ("transformer",), ["os", "system"]),
        ("transformer/config.json", ("patch_size",), 0),
        ("transformer/config.json", ("patch_size",), "two"),
        ("transformer/config.json", ("num_layers",), 0),
        ("transformer/config.json", ("num_layers",), 10**9),
        ("transformer/config.json", ("max_text_seq_length",), 10**9),
        ("transformer/config.json", ("attention_head_dim",), -8),
        ("transformer/config.json", ("in_channels",), 1.5),
        ("transformer/config.json", ("norm_eps",), "small"),
        ("transformer/config.json", ("activation_fn",), "no such function"),
        ("transformer/config.json", ("sample_width",), 10**9),
        ("vae/config.json", ("block_out_channels",), []),
        ("vae/config.json", ("norm_num_groups",), 0),
        ("vae/config.json", ("down_block_types",), ["NoSuchBlock"]),
        ("vae/config.json", ("scaling_factor",), "large"),
        ("vae/config.json", ("temporal_compression_ratio",), 0),
        ("text_encoder/config.json", ("num_heads",), 0),
        ("text_encoder/config.json", ("d_model",), 10**9),
        ("text_encoder/config.json", ("feed_forward_proj",), "no-such"),
        ("text_encoder/config.json", ("vocab_size",), -1),
        ("scheduler/scheduler_config.json", ("num_train_timesteps",), 0),
        ("scheduler/scheduler_config.json", ("beta_schedule",), "no such"),
        ("scheduler/scheduler_config.json", ("beta_start",), "low"),
        ("scheduler/scheduler_config.json", ("prediction_type",), 3),
        ("tokenizer/tokenizer_config.json", ("extra_ids",), 10**12),
        ("tokenizer/tokenizer_config.json", ("pad_token",), 7),
    ],
)
def test_a_value(track, file, place, value):
    track(lambda model: rewrite(model / file, put(*place, to=value)), file.partition("/")[0])


@pytest.mark.parametrize("file", ["tokenizer/spiece.model", "vae/diffusion_pytorch_model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"\x00" * 4000, b"\xff" * 8 + b"{}"])
def test_weights(track, file, content):
    track(lambda model: (model / file).write_bytes(content), file.partition("/")[0])


@pytest.mark.parametrize("text", ["x = " + NESTED, "[[model]]", "name = 3", "[settings]\nthreshold = 'high'", "\x00"])
def test_a_preset_of_its_own(track, text):
    track(lambda model: (model / "vidconcept.toml").write_text(text), "vidconcept.toml")
