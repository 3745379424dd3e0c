"""What makes the model quick does not change what it says: batch norms folded, a quicker precision."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.small_runs import small_clip
from vidconcept.models.cogvideox import load
from vidconcept.models.engine import CANDIDATES, find_fastest_dtype, fold_batch_norms
from vidconcept.models.folder import find_folder, find_preset
from vidconcept.models.linecam_codec import PatchCodec
from vidconcept.models.readout import read_described
from vidconcept.models.trunk import FRAMES_AT_ONCE
from vidconcept.pipelines.track import track
from vidconcept.settings import TrackSettings

WORDS = ("scratch", "dent", "part", "conveyor")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def window() -> np.ndarray:
    """`(5, 64, 96, 3)`: a dark line over a slope of grey that moves."""
    frames = np.empty((5, 64, 96, 3), np.uint8)
    frames[:] = np.linspace(90, 150, 96, dtype=np.uint8)[None, None, :, None]
    for t, frame in enumerate(frames):
        frame[20:44, 30 + 4 * t : 32 + 4 * t] = 40
    return frames


def embedded(dtype: str):
    preset = find_preset("linecam")
    settings = TrackSettings(**{**preset.settings, "dtype": dtype, "device": "cpu"})
    return load(find_folder(preset).path, settings, WORDS)


def test_folded_batch_norms_change_rounding_alone(window):
    codec = PatchCodec.from_pretrained(find_folder(find_preset("linecam")).path / "vae").eval()
    video = torch.from_numpy(window).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    with torch.inference_mode():
        plain = codec.encode_described(video)
        norms = sum(isinstance(part, nn.BatchNorm2d) for part in codec.modules())
        assert fold_batch_norms(codec) == norms > 0
        folded = codec.encode_described(video)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in codec.modules())
    for before, after in zip(plain, folded, strict=True):
        torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_fused_trunk_gives_what_single_steps_give(window, dtype):
    """Where gradients may be asked for, each step is taken alone, and all frames at once."""
    trunk = PatchCodec.from_pretrained(find_folder(find_preset("linecam")).path / "vae").eval().feature_net.trunk
    trunk.to(dtype).requires_grad_(False)
    frames = (torch.from_numpy(window).permute(0, 3, 1, 2) / 127.5 - 1).to(dtype)
    assert len(frames) > FRAMES_AT_ONCE
    single = [trunk(frame[None]) for frame in frames]
    with torch.inference_mode():
        fused = trunk(frames)
    rounding = {torch.float32: 1e-4, torch.bfloat16: 0.03}[dtype]
    for level, alone in zip(fused, zip(*single, strict=True), strict=True):
        expected = torch.cat(alone).float()
        away = (level.float() - expected).abs()
        assert away.max() <= rounding * expected.abs().max()
        assert away.mean() <= 0.1 * rounding * expected.abs().mean()


def test_the_trunk_reads_under_autocast_too(window):
    """As the training does: what comes out of one convolution has not the precision of the next one's weights."""
    trunk = PatchCodec.from_pretrained(find_folder(find_preset("linecam")).path / "vae").eval().feature_net.trunk
    frames = torch.from_numpy(window[:1]).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        exact = trunk(frames)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = trunk(frames)
    for level, expected in zip(rounded, exact, strict=True):
        assert (level.float() - expected).abs().mean() <= 0.2 * expected.abs().mean()


def test_scores_in_bfloat16_are_those_of_float32_to_a_tenth(window):
    exact, _ = read_described(embedded("float32"), window)
    rounded, _ = read_described(embedded("bfloat16"), window)
    away = np.abs(exact - rounded)
    assert away.max() < 0.1
    assert away.mean() < 0.005


def test_what_was_encoded_ahead_reads_as_what_was_not(window):
    """In a thread of its own, beside another window's transformer, as `track` does it."""
    model = embedded("float32")
    other = np.ascontiguousarray(window[:, ::-1])
    expected = [model.described(frames) for frames in (window, other)]
    threads = torch.get_num_threads()
    with model.overlapping(), ThreadPoolExecutor(1) as beside:
        model.encode_ahead(window)
        encoding = beside.submit(model.encode_ahead, other)
        found = [model.described(window)]
        encoding.result()
        found.append(model.described(other))
    for (logits, features), (plain_logits, plain_features) in zip(found, expected, strict=True):
        np.testing.assert_allclose(logits[0], plain_logits[0], atol=1e-4)
        np.testing.assert_allclose(features, plain_features, atol=1e-4)
    assert torch.get_num_threads() == threads
    assert not model._ahead


def test_the_quickest_precision_is_one_that_was_tried():
    best, took_ms = find_fastest_dtype(CPU)
    assert best in CANDIDATES
    assert set(took_ms) == {"float32", "bfloat16"}
    assert all(ms > 0 for ms in took_ms.values())


def test_a_run_says_how_the_model_ran_and_goes_on_in_the_same_precision(tmp_path):
    """A resumed run keeps the precision that its maps began in, whatever is quickest now."""
    clip = small_clip(tmp_path / "a.mp4")
    options = {"out": tmp_path / "run", "height": 32, "width": 48}
    run = track(clip, ["scratch"], **options)
    engine = run.manifest["engine"]
    assert engine["dtype"] in engine["tried_ms"]
    assert engine["batch_norms_folded"] > 0
    other = "float32" if engine["dtype"] == "bfloat16" else "bfloat16"
    manifest = json.loads((run.path / "run.json").read_text("utf-8"))
    manifest |= {"engine": engine | {"dtype": other}, "done": False, "maps_done": False}
    (run.path / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    next((run.path / "maps").glob("window_*")).unlink()
    assert track(clip, ["scratch"], **options, existing="resume").manifest["engine"]["dtype"] == other
