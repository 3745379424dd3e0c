"""What `--false-alarms` takes, and where it says something."""

import pytest

from vidconcept.commands.calibrate import calibrate, parse_rate
from vidconcept.errors import UsageError


@pytest.mark.parametrize(("text", "rate"), [("1/hour", 1), ("20/h", 20), ("12/day", 0.5), ("0.1/min", 6), ("3", 3)])
def test_rates(text, rate):
    assert parse_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize("text", ["0/hour", "-1/h", "1/fortnight", "often"])
def test_no_rates(text):
    with pytest.raises(UsageError, match="false-alarms"):
        parse_rate(text)


def test_a_rate_is_refused_where_masks_choose_the_thresholds(tmp_path):
    with pytest.raises(UsageError, match=r"--false-alarms is only for good footage, .* Next: leave it out"):
        calibrate(labelled=tmp_path, false_alarms="1/hour")
