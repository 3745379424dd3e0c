"""Settings: which of them the maps depend on."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.clips import image_folder, write_clip
from tests.helpers.films import write_video
from tests.helpers.footage import deep_folder, hdr_film, two_streams
from tests.helpers.model_folders import write_folder
from vidconcept.pipelines.maps import ModelShelf, compute_window_maps, cut_source_windows
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import make_plan
from vidconcept.runs import compute_digest
from vidconcept.settings import TrackSettings

# Another value of each setting, and what has to be set with it for the maps to show.
OTHERWISE = {
    "words": {"scratch": "scratch|round"},
    "sinks": ("a", "with"),
    "timesteps": (20, 500),
    "concepts": ("dent",),
    "background": ("metal",),
    "distractors": ("round",),
    "prompt": "a machine part",
    "method": "cross-attention",
    "preset": "fast",
    "model": "other",
    "layers": (0,),
    "timestep": 20,
    "reduce": "mean-softmax",
    "concept_tokens": "first",
    "concept_sharpness": 2.0,
    "token_support": 0.5,
    "coarse_scale": 0.5,
    "noise_samples": 2,
    "seed": 1,
    "dtype": "bfloat16",
    "device": "cpu:0",
    "threads": 2,
    "vae_tiling": "on",
    "offload": "model",
    "quantize": "int8",
    "height": 96,
    "width": 144,
    "window_frames": 5,
    "overlap_frames": 1,
    "stride": 2,
    "looks": 24,
    "start_s": 0.1,
    "end_s": 0.3,
    "roi": (0, 0, 64, 64),
    "tile": (2, 1),
    "fps": 50,
    "bits": 16,
    "stream": 1,
    "max_megapixels": 0.03,
    "deinterlace": True,
    "tone_map": True,
    "smooth": "none",
    "threshold": 0.3,
    "hysteresis": 0.9,
    "thresholds": {"scratch": 0.3},
    "place_lifts": {"scratch": ((0.1,),)},
    "rarity": "off",
    "keep_recurring": (1,),
    "ratio": 0.4,
    "edges": "coarse",
    "floor": 0.3,
    "min_area_px": 50,
    "min_duration_s": 1.0,
    "view": "grid",
    "codec": "libvpx-vp9",
    "encoder_preset": "ultrafast",
}
WITH = {
    "window_frames": {"overlap_frames": 1},
    "overlap_frames": {"end_s": 0.7},
    # The leading concept has to look likely.
    "coarse_scale": {"concept_sharpness": 64.0},
    "looks": {"stride": "auto", "smooth": "flow", "window_frames": 5, "overlap_frames": 1},
    # A smaller picture is one tile.
    "vae_tiling": {"height": 256, "width": 384, "end_s": 0.04},
}


def one_larger(folder):
    """Pictures of a folder, one of which is larger than the others."""
    path = image_folder(folder).path
    last = max(path.iterdir())
    Image.open(last).resize((384, 256)).save(last)
    return path


# Settings that say something of one kind of source alone, and what makes it.
SOURCES = {
    "looks": lambda folder: moving_film(folder / "moving.mp4"),
    "bits": lambda folder: deep_folder(folder / "deep", ".png", 12),
    "stream": lambda folder: two_streams(folder / "two.mkv", 0),
    "max_megapixels": lambda folder: one_larger(folder / "sizes"),
    "deinterlace": lambda folder: write_clip(folder / "plain.mp4").path,
    "tone_map": lambda folder: hdr_film(folder / "hdr.mp4"),
}


def moving_film(path: Path) -> Path:
    """A texture that moves 4 px a frame."""
    stripes = (
        np.repeat(np.random.default_rng(0).integers(40, 220, (16, 80, 1), np.uint8), 8, 0).repeat(8, 1).repeat(3, 2)
    )
    write_video(path, np.stack([stripes[:, 4 * k : 4 * k + 192] for k in range(13)]))
    return path


@pytest.fixture(scope="module")
def maps_of(tmp_path_factory, tiny_model):
    """Settings -> what the model sees and says with them, and the digest of all that it should depend on."""
    folder = tmp_path_factory.mktemp("settings")
    frames, other = image_folder(folder / "frames").path, write_folder(folder / "other", "5b")
    shelf, monitor = ModelShelf(), Monitor()

    def compute(settings, key):
        folder = tmp_path_factory.mktemp(key)
        source = SOURCES[key](folder) if key in SOURCES else frames
        model = other if settings.get("model") else tiny_model
        asked = {"concepts": ("scratch", "dent"), "end_s": 0.5, "device": "cpu"}
        asked |= {"fps": 25} if source.is_dir() else {}
        plan = make_plan(source, asked | settings | {"model": str(model)})
        loaded = shelf(plan, monitor)
        windows = [
            (w.positions.tolist(), compute_window_maps(plan, loaded, w).scores)
            for w in cut_source_windows(plan, monitor)
        ]
        return windows, compute_digest(plan.facts())

    return compute


MARKS = {
    # The table of a tone mapping takes seconds to make.
    "tone_map": pytest.mark.slow,
    "quantize": pytest.mark.skipif(find_spec("torchao") is None, reason="needs torchao, the extra `quantize`"),
}
# Of the embedded model alone; see tests/pipelines/test_line_head.py.
ELSEWHERE = {"line_head"}
KEYS = [pytest.param(key, marks=MARKS.get(key, ())) for key in TrackSettings.model_fields if key not in ELSEWHERE]


@pytest.mark.parametrize("key", KEYS)
def test_a_setting_counts_for_the_maps_when_it_changes_them(maps_of, key):
    assert key in OTHERWISE, "give the new setting another value to try"
    plain = maps_of(WITH.get(key, {}), key)
    changed = maps_of(WITH.get(key, {}) | {key: OTHERWISE[key]}, key)
    same = [at for at, _ in plain[0]] == [at for at, _ in changed[0]] and all(
        one.shape == two.shape and np.allclose(one, two, rtol=0, atol=1e-6)
        for (_, one), (_, two) in zip(plain[0], changed[0], strict=True)
    )
    assert same == (plain[1] == changed[1])
