"""Estimates of memory against what a process takes, and what follows from them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from tests.helpers.model_folders import write_folder
from vidconcept.errors import ModelError
from vidconcept.models import memory
from vidconcept.models.cogvideox import load
from vidconcept.models.fit import RESERVED_BYTES, WAYS, Way, describe_fit
from vidconcept.models.memory import build_empty, estimate, measure_passes
from vidconcept.models.presets import presets
from vidconcept.models.published import NEEDS, PUBLISHED, Architecture
from vidconcept.settings import TrackSettings

T5 = {"vocab_size": 100, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
SMALL_CODEC = {"block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "norm_num_groups": 2}
# One in which the VAE is what takes memory, one in which the transformer is.
CODEC = Architecture(
    {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2, "text_embed_dim": 32, "time_embed_dim": 16}
    | {"sample_height": 12, "sample_width": 16, "sample_frames": 9},
    {"block_out_channels": (32, 32, 64, 64), "layers_per_block": 1, "norm_num_groups": 8},
    T5,
)
TRANSFORMER = Architecture(
    {"num_attention_heads": 8, "attention_head_dim": 64, "num_layers": 3, "text_embed_dim": 32, "time_embed_dim": 64}
    | {"sample_height": 48, "sample_width": 48, "sample_frames": 9, "use_rotary_positional_embeddings": True},
    SMALL_CODEC,
    T5,
)
SETTINGS = {
    "codec": TrackSettings(height=96, width=128, window_frames=9, layers=(1,)),
    "transformer": TrackSettings(height=384, width=384, window_frames=9, layers=(1, 2)),
}
# Random weights at small sizes: once for the libraries' own buffers, and once to be measured.
MEASURE = """
import json
import numpy as np
import torch
from tests.models.test_memory import ARCHITECTURES, SETTINGS
from vidconcept.models.memory import build_empty

def read_status(key):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(key))

def measure(call):
    open("/proc/self/clear_refs", "w").write("5")
    before = read_status("VmRSS")
    result = call()
    return result, read_status("VmHWM") - before

torch.set_num_threads(1)
found = {}
for name, settings in SETTINGS.items():
    model = build_empty(ARCHITECTURES[name], settings, torch.float32, "cpu")
    frames = np.zeros((settings.window_frames, settings.height, settings.width, 3), np.uint8)
    read = lambda latents: model._read(latents, 0, ("concept-attention",), vectors="last")
    read(model.encode(frames[:1]))
    latents, codec = measure(lambda: model.encode(frames))
    _, transformer = measure(lambda: read(latents))
    found[name] = {"codec": codec, "transformer": transformer}[name]
print(json.dumps(found))
"""
ARCHITECTURES = {"codec": CODEC, "transformer": TRANSFORMER}


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="measured by what Linux says of a process")
def test_an_estimate_is_what_a_process_takes():
    """Within 15 %."""
    expected = {}
    for name, settings in SETTINGS.items():
        passes = measure_passes(build_empty(ARCHITECTURES[name], settings, torch.float32))
        expected[name] = dict(zip(("codec", "transformer"), passes, strict=True))[name]
    # Every large tensor comes from the system and goes back to it, so that the process tells of them.
    environ = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TOP_PAD_": "0", "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", MEASURE], env=environ, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [key if key[1] == "float16" else pytest.param(*key, marks=pytest.mark.slow) for key in NEEDS],
)
def test_what_is_written_down_of_the_published_models_is_what_is_found(name, dtype):
    settings = TrackSettings(**presets()[name].settings)
    assert estimate(PUBLISHED[name], settings, getattr(torch, dtype)) == NEEDS[name, dtype]


class TestWays:
    NEEDS = NEEDS["cogvideox-5b", "bfloat16"]

    def test_each_takes_less_than_the_one_before(self):
        peaks = [self.NEEDS.peak(Way(offload)) for offload in ("none", "model", "group")]
        assert peaks == sorted(peaks, reverse=True)
        assert all(self.NEEDS.peak(replace(way, tiled=True)) <= self.NEEDS.peak(way) for way in WAYS)

    def test_the_first_that_fits_is_the_one_that_costs_least(self):
        fitting = [self.NEEDS.find_way(memory) for memory in (24e9, 16e9, 10e9, 4e9, 1e9)]
        assert fitting == [Way(), Way("model"), Way("group"), Way("group", tiled=True), None]

    def test_they_are_named_as_settings(self):
        text = describe_fit(self.NEEDS, 4e9, has_gpu=True)
        assert re.fullmatch(
            r"needs about 19\.7 GB with 16 bits a weight \(estimate\), this GPU has 4\.0 GB; "
            r"with `offload=group` and `vae_tiling=on` about 3\.2 GB",
            text,
        )


@pytest.fixture(scope="module")
def large(tmp_path_factory, tiny_model):
    """A folder of CogVideoX-5B with empty files for weights, as large as the true ones."""
    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("models") / "large")
    published = {"_class_name": "CogVideoXTransformer3DModel", **PUBLISHED["cogvideox-5b"].transformer}
    (folder / "transformer" / "config.json").write_text(json.dumps(published))
    (folder / "vae" / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKLCogVideoX"}))
    for path in folder.glob("transformer/*.safetensors"):
        os.truncate(path, 11_140_000_000)
    return folder


class TestBeforeLoading:
    def check(self, folder, report=lambda _: None, **settings):
        settings = TrackSettings(**({"dtype": "bfloat16", "device": "cpu"} | settings))
        load(folder, settings, ("dent",), report)

    def test_what_does_not_fit_is_said_and_what_is_far_from_it_refused(self, large, monkeypatch):
        settings = {"height": 64, "width": 96, "window_frames": 9}
        needs = estimate(Architecture.read(large), TrackSettings(**settings), torch.bfloat16)
        peak = needs.peak(Way(tiled=True)) + RESERVED_BYTES
        said: list[str] = []
        for share, error in (
            (0.9, "cannot load the"),
            (0.5, r"about \d+\.\d GB of memory at 96x64 and 9 frames, and this"),
        ):
            monkeypatch.setattr(os, "sysconf", lambda key, share=share: int(share * peak) if "PHYS" in key else 1)
            # Its weights are no weights: where it is tried all the same, loading fails.
            with pytest.raises(ModelError, match=error):
                self.check(large, said.append, **settings)
        (text,) = said
        assert text.endswith("Next: fewer `window_frames`, or a smaller `height` and `width`")

    def test_no_larger_picture_is_estimated_than_is_read(self, tmp_path, monkeypatch):
        folder = write_folder(tmp_path / "model", "1.5", height=64, width=96)
        monkeypatch.setattr(memory, "SMALL_BYTES", 0)
        monkeypatch.setattr(os, "sysconf", lambda key: 1)
        with pytest.raises(ModelError, match="of memory at 96x64 and 17 frames"):
            self.check(folder, height=128, width=192, window_frames=17)

    def test_small_models_are_not_looked_at(self, tiny_model, monkeypatch):
        monkeypatch.setattr(os, "sysconf", lambda key: 1)
        self.check(tiny_model, dtype="float32", height=64, width=96, window_frames=9)
