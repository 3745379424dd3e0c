"""Settings: which layer wins, where each value came from, and what is said of a key that is none."""

import pytest

from vidconcept.errors import UsageError
from vidconcept.settings import Layer, TrackSettings, environment_layer, resolve


def test_layers_and_where_each_value_came_from():
    settings, sources = resolve(
        [
            Layer("command line", {"threshold": 0.7}),
            environment_layer({"VIDCONCEPT_THRESHOLD": "0.6", "VIDCONCEPT_BACKGROUND": "steel, belt"}),
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
        environment_layer({"VIDCONCEPT_TRESHOLD": "1"})


def test_a_value_out_of_range_is_told_with_its_bound_and_what_the_setting_is():
    with pytest.raises(UsageError, match=r"config a.toml: hysteresis = 1.5 .* to 1\. Change it .*share of the thr"):
        resolve([Layer("config a.toml", {"hysteresis": 1.5})])


def test_every_key_that_maps_depend_on_is_a_key():
    assert TrackSettings.map_keys() < set(TrackSettings.model_fields)
    assert "threshold" not in TrackSettings.map_keys()
