"""Layers of settings: which one wins, where each value came from, and what is said of one that does not fit."""

import os
from pathlib import Path

import pytest

from vidconcept.errors import InputError, UsageError
from vidconcept.live.deliverer import Deliverer
from vidconcept.models.folder import find_preset
from vidconcept.pipelines.plan import make_plan
from vidconcept.pipelines.settle import settle
from vidconcept.pipelines.vocabulary import find_preset_thresholds
from vidconcept.setting_layers import (
    Layer,
    called_by_command,
    collect_layers,
    parse_text,
    read_config_file,
    read_environment,
    resolve,
)

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


class TestCaller:
    def test_what_a_caller_in_python_gives_is_told_as_arguments(self):
        with pytest.raises(UsageError, match=r"^arguments: unknown key 'thresold'"):
            settle({"concepts": ("scratch",), "thresold": 0.3}, environ={})
        with pytest.raises(UsageError, match=r"^arguments: `threshold=2` does not fit"):
            settle({"concepts": ("scratch",), "threshold": 2}, environ={})
        assert settle({"concepts": ("scratch",)}, environ={}).sources["concepts"] == "arguments"

    def test_what_a_command_gives_is_told_as_its_command_line(self):
        with called_by_command(), pytest.raises(UsageError, match=r"^command line: `threshold=2` does not fit"):
            settle({"concepts": ("scratch",), "threshold": 2}, environ={})
        assert collect_layers({}, environ={})[0].name == "arguments"

    def test_so_it_is_where_a_command_finishes_run_folders_in_a_thread(self):
        names: list[str] = []
        deliverer = Deliverer(names.append)
        with called_by_command():
            deliverer.take("run", lambda: names.append(collect_layers({}, environ={})[0].name))
        deliverer.close()
        assert names == ["command line"]


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

    def test_a_new_calibration_takes_settings_of_an_earlier_one_and_nothing_that_it_learnt(self, tmp_path):
        path = tmp_path / "c.toml"
        found = "[thresholds]\nscratch = 0.3\n[place_lifts]\nscratch = [[0.1]]\n"
        given = 'concepts = ["scratch"]\nmin_area_px = 99\nrarity = "good.safetensors"\n'
        path.write_text(f"{given}{found}[provenance]\nhours = 1\n")
        settled = settle({}, path, {}, calibrating=True)
        assert settled.settings == settle({"concepts": ("scratch",), "min_area_px": 99}, environ={}).settings
        assert settled.provenance == {}
        # What the user chose himself, not the calibration.
        path.write_text(f"{given}{found}")
        assert settle({}, path, {}, calibrating=True).settings.thresholds == {"scratch": 0.3}
        path.write_text('concepts = ["scratch"]\nrarity = "off"\n[provenance]\nhours = 1\n')
        assert settle({}, path, {}, calibrating=True).settings.rarity == "off"

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


def test_a_word_for_how_much_care_sets_what_nobody_set():
    asked = {"concepts": ("scratch",)}
    plain, fast, accurate = (settle(asked | {"preset": p}, environ={}) for p in ("balanced", "fast", "accurate"))
    assert (plain.settings.stride, plain.settings.looks, plain.settings.edges) == ("auto", None, "pixel")
    assert (fast.settings.stride, fast.settings.looks, fast.settings.edges) == ("auto", 1, "coarse")
    assert (plain.settings.encoder_preset, fast.settings.encoder_preset) == ("veryfast", "superfast")
    assert accurate.settings.stride == 1
    given = settle(asked | {"preset": "fast", "looks": 4}, environ={})
    assert given.settings.looks == 4
    assert (given.sources["looks"], given.sources["edges"]) == ("arguments", "preset fast")


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
        ("layers", "", "it must have 1 or more entries, not 0"),
        ("keep_recurring", "3,0", "entry 2 must be at least 1"),
    ],
)
def test_what_does_not_fit_is_told_in_plain_words(key, text, words):
    with pytest.raises(UsageError) as error:
        resolve([Layer("command line", {key: parse_text(key, text)})])
    assert words in str(error.value)
    assert f"({key}: " in str(error.value)


@pytest.mark.parametrize("line", ["start_s = true", "thresholds = {scratch = true}", "layers = [true, 2]"])
def test_true_is_no_number(tmp_path, line):
    config = tmp_path / "line.toml"
    config.write_text(line + "\n")
    with pytest.raises(UsageError, match=r"line\.toml: \w+ = .*true.* does not fit.*Next: "):
        resolve(collect_layers({"concepts": ("scratch",)}, config, {}))


def test_looks_belong_to_the_stride_that_the_motion_chooses():
    assert settle({"concepts": ("scratch",), "looks": 3}, environ={}).settings.looks == 3
    assert settle({"concepts": ("scratch",), "preset": "fast", "stride": 2}, environ={}).settings.stride == 2
    with pytest.raises(UsageError, match=r"`looks=3`.*`stride` is 2 \(arguments\).*Next: "):
        settle({"concepts": ("scratch",), "looks": 3, "stride": 2}, environ={})
    with pytest.raises(UsageError, match=r"`looks=3`.*`stride` is 1 \(default\).*Next: "):
        settle({"concepts": ("scratch",), "looks": 3, "model": "cogvideox-2b"}, environ={})
    # What is asked for at the terminal goes before what a file says.
    weaker = {"VIDCONCEPT_LOOKS": "3"}
    assert settle({"concepts": ("scratch",), "stride": 2}, environ=weaker).settings.stride == 2
    with pytest.raises(UsageError, match=r"`looks=3`.*`stride` is 2 \(environment\)"):
        settle({"concepts": ("scratch",), "looks": 3}, environ={"VIDCONCEPT_STRIDE": "2"})
    with pytest.raises(UsageError, match=r"`looks=3`.*`stride` is 1 \(default\)"):
        settle({"concepts": ("scratch",), "looks": 3, "model": "cogvideox-2b"}, environ={})
    with pytest.raises(UsageError, match=r"`looks=3`.*`smooth` is none \(arguments\).*Next: "):
        settle({"concepts": ("scratch",), "looks": 3, "smooth": "none"}, environ={})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("layers = [0, 9]", r"layers = \[0, 9\]: this model has no such layer\. Next: layers from 0 to 1"),
        ("overlap_frames = 9", r"overlap_frames = 9 must be less than window_frames, 9 \(preset linecam\)\. Next: "),
        ("window_frames = 10", r"window_frames = 10: this model takes 1 \+ n x 4 frames\. Next: "),
    ],
)
def test_what_the_model_cannot_be_read_by_is_told_with_its_layer(tmp_path, line, said):
    config = tmp_path / "line.toml"
    config.write_text(f'concepts = ["scratch"]\n{line}\n')
    with pytest.raises(UsageError, match=rf"config .*line\.toml: {said}"):
        make_plan(EXAMPLE, {}, config, {})


def test_a_single_timestep_means_nothing_beside_several():
    asked = {"concepts": ("scratch",), "timesteps": (20, 250)}
    assert settle(asked, environ={}).settings.timesteps == (20, 250)
    with pytest.raises(UsageError, match=r"`timestep=30`.*`timesteps` is 20,250 \(arguments\)"):
        settle(asked | {"timestep": 30}, environ={})


def test_only_what_rarity_holds_back_can_be_kept():
    asked = {"concepts": ("scratch",), "keep_recurring": (1, 3)}
    assert settle(asked, environ={}).settings.keep_recurring == (1, 3)
    with pytest.raises(UsageError, match=r"`keep_recurring=1,3` .* `rarity=off` .*Next: "):
        settle(asked | {"rarity": "off"}, environ={})


def test_a_calibration_does_not_speak_for_concepts_that_it_does_not_know(tmp_path):
    config = tmp_path / "line.toml"
    config.write_text('[thresholds]\nscratch = 0.61\n[provenance]\nkind = "good footage"\n')
    both = settle({"concepts": ("scratch", "dent")}, config, {})
    assert both.uncalibrated == ("dent",)
    assert both.settings.thresholds["scratch"] == 0.61
    alone = settle({"concepts": ("dent",)}, config, {})
    assert alone.uncalibrated == ("dent",)
    assert alone.sources["thresholds"].startswith("preset")
    assert settle({"concepts": ("scratch",)}, config, {}).uncalibrated == ()
    asked = settle({"concepts": ("scratch", "dent"), "threshold": 0.5}, config, {})
    assert asked.uncalibrated == (), "a threshold for all was asked for"
