"""Settings: which layer wins, where each value came from, and which of them the maps depend on."""

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.clips import image_folder, write_clip
from tests.helpers.films import write_video
from tests.helpers.footage import deep_folder, hdr_film, two_streams
from tests.helpers.model_folders import write_folder
from vidconcept.errors import InputError, UsageError
from vidconcept.models.folder import find_preset
from vidconcept.pipelines.maps import ModelShelf, compute_window_maps, cut_source_windows
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import make_plan
from vidconcept.pipelines.settle import settle
from vidconcept.pipelines.vocabulary import find_preset_thresholds
from vidconcept.runs import compute_digest
from vidconcept.setting_layers import Layer, parse_text, read_config_file, read_environment, resolve
from vidconcept.settings import TrackSettings
from vidconcept.wording import suggest

EXAMPLE = Path(__file__).parents[1] / "examples" / "line_cam.mp4"


def test_layers_and_where_each_value_came_from():
    settings, sources = resolve(
        [
            Layer("command line", {"threshold": 0.7}),
            read_environment({"VIDCONCEPT_THRESHOLD": "0.6", "VIDCONCEPT_BACKGROUND": "steel, belt"}),
            Layer("config x.toml", {"stride": 3, "threshold": 0.4}),
            Layer("preset p", {"timestep": 20, "stride": 9}),
        ]
    )
    assert (settings.threshold, settings.stride, settings.timestep) == (0.7, 3, 20)
    assert settings.background == ("steel", "belt")
    assert sources["threshold"] == "command line"
    assert sources["background"] == "environment"
    assert sources["stride"] == "config x.toml"
    assert sources["seed"] == "default"


def test_unknown_keys_name_the_nearest():
    with pytest.raises(UsageError, match=r"unknown key .treshold. \(did you mean .threshold.\?\)"):
        resolve([Layer("config a.toml", {"treshold": 1})])
    with pytest.raises(UsageError, match="did you mean 'VIDCONCEPT_THRESHOLD'"):
        read_environment({"VIDCONCEPT_TRESHOLD": "1"})


def test_a_value_out_of_range_is_told_with_its_bound_and_what_the_setting_is():
    with pytest.raises(
        UsageError, match=r"config a.toml: hysteresis = 1.5 .* at most 1\. Next: change it .*share of its thr"
    ):
        resolve([Layer("config a.toml", {"hysteresis": 1.5})])


class TestCalibratedThresholds:
    def test_a_threshold_asked_for_overrules_a_calibration(self, tmp_path):
        path = tmp_path / "c.toml"
        path.write_text('concepts = ["dent"]\n[thresholds]\ndent = 0.3\n[provenance]\nhours = 1\n')
        calibrated, _ = resolve([read_config_file(path)])
        assert calibrated.thresholds == {"dent": 0.3}
        asked, _ = resolve([Layer("command line", {"threshold": 0.7}), read_config_file(path)])
        assert (asked.threshold, asked.thresholds) == (0.7, {})

    def test_a_preset_has_thresholds_of_single_concepts_until_somebody_gives_one(self):
        settings = {"threshold": 0.7, "thresholds": {"scratch": 0.6, "hole": 0.4}}
        preset = find_preset("linecam").model_copy(update={"settings": settings})
        asked = Layer("command line", {"concepts": ("Kratzer", "dent")})
        assert find_preset_thresholds(*resolve([asked, preset.layer]), preset) == {"Kratzer": 0.6}
        given = Layer("command line", {"concepts": ("Kratzer", "dent"), "threshold": 0.5})
        assert find_preset_thresholds(*resolve([given, preset.layer]), preset) == {}

    def test_a_calibration_holds_for_the_concept_by_whatever_word(self, tmp_path):
        path = tmp_path / "c.toml"
        path.write_text("[thresholds]\nscratch = 0.33\nrust = 0.2\n[place_lifts]\nscratch = [[0.1]]\n")
        plan = make_plan(EXAMPLE, {"concepts": ("Kratzer", "dent")}, path)
        assert plan.settings.thresholds["Kratzer"] == 0.33
        assert "rust" not in plan.settings.thresholds
        assert plan.settings.place_lifts == {"Kratzer": ((0.1,),)}
        path.write_text("[thresholds]\nscrach = 0.33\n")
        with pytest.raises(UsageError, match="did you mean 'scratch'"):
            make_plan(EXAMPLE, {"concepts": ("scratch",)}, path)

    def test_a_word_that_is_like_no_other_gets_no_suggestion(self):
        assert suggest("scrach", ["scratch", "scoring"]) == " (did you mean 'scratch'?)"
        assert suggest("unicorn", ["scratch", "scoring"]) == ""


def test_a_word_for_how_much_care_sets_what_nobody_set():
    asked = {"concepts": ("scratch",)}
    plain, fast, accurate = (settle(asked | {"preset": p}, environ={}) for p in ("balanced", "fast", "accurate"))
    assert (plain.settings.stride, plain.settings.looks, plain.settings.edges) == ("auto", None, "pixel")
    assert (fast.settings.stride, fast.settings.looks, fast.settings.edges) == ("auto", 1, "coarse")
    assert (plain.settings.encoder_preset, fast.settings.encoder_preset) == ("veryfast", "superfast")
    assert accurate.settings.stride == 1
    given = settle(asked | {"preset": "fast", "looks": 4}, environ={})
    assert given.settings.looks == 4
    assert (given.sources["looks"], given.sources["edges"]) == ("command line", "preset fast")


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
    "noise_samples": 2,
    "seed": 1,
    "dtype": "bfloat16",
    "device": "cpu:0",
    "threads": 2,
    "vae_tiling": "on",
    "offload": "group",
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
KEYS = [pytest.param(key, marks=MARKS[key]) if key in MARKS else key for key in TrackSettings.model_fields]


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


class TestBounds:
    """A slip of the keyboard, or a file of strangers, asks for no terabytes and is no number that means nothing."""

    @pytest.mark.parametrize(
        "text",
        [
            "tile = [100000, 100000]",
            "noise_samples = 100000000000",
            "threshold = nan",
            "min_duration_s = inf",
            "[place_lifts]\nscratch = [[0.1, nan]]",
            "[place_lifts]\nscratch = [[0.1, 0.2], [0.1]]",
            "[place_lifts]\nscratch = [[]]",
            "[thresholds]\nscratch = nan",
            "height = 1000000",
        ],
    )
    def test_of_values(self, tmp_path, text):
        path = tmp_path / "line.toml"
        path.write_text(text)
        with pytest.raises(UsageError, match=r"line\.toml: .* does not fit") as error:
            resolve([read_config_file(path)])
        assert len(str(error.value)) < 500

    @pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = \x00", "a"])
    def test_of_nesting(self, tmp_path, text):
        path = tmp_path / "line.toml"
        path.write_text(text)
        with pytest.raises(UsageError, match=r"line\.toml is not TOML"):
            read_config_file(path)

    def test_of_files(self, tmp_path):
        with pytest.raises(InputError, match="is a device, not a file"):
            read_config_file(Path("/dev/zero"))
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(InputError, match="is a pipe, not a file"):
            read_config_file(tmp_path / "pipe")
        with (tmp_path / "large.toml").open("wb") as file:
            file.truncate(1 << 30)
        with pytest.raises(InputError, match="more than the 67 MB"):
            read_config_file(tmp_path / "large.toml")


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("timestep", "abc", "`timestep=abc` does not fit: it must be a whole number. Next: "),
        ("width", "7", "it must be at least 16"),
        ("roi", "1,2", "entry 3 is missing"),
        ("layers", "1,b", "entry 2 must be a whole number"),
        ("stride", "x", "it must be a whole number or must be 'auto'"),
        ("thresholds", "dent=5", "dent must be below 1"),
        ("smooth", "energi", "did you mean 'energy'"),
    ],
)
def test_what_does_not_fit_is_told_in_plain_words(key, text, words):
    with pytest.raises(UsageError) as error:
        resolve([Layer("command line", {key: parse_text(key, text)})])
    assert words in str(error.value)
    assert f"({key}: " in str(error.value)
