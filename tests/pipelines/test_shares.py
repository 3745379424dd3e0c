"""Where frames lie between two that the model saw."""

import pytest

from vidconcept.pipelines.findings import find_shares


def test_at_a_constant_rate_they_are_evenly_apart_whatever_the_rounding():
    assert find_shares([0.033, 0.067], 0.1, 3) == [1 / 3, 2 / 3]


def test_at_a_variable_rate_they_lie_where_their_times_are():
    assert find_shares([0.04, 0.08], 0.2, 3) == pytest.approx([0.2, 0.4])


@pytest.mark.parametrize(("times_s", "whole_s"), [([0.0, 0.0], 0.0), ([0.08, 0.04], 0.2), ([0.04, 0.08], 0.0)])
def test_where_times_say_nothing_they_are_evenly_apart(times_s, whole_s):
    assert find_shares(times_s, whole_s, 3) == [1 / 3, 2 / 3]


def test_after_the_last_one_they_go_on():
    assert find_shares([0.3], 0.2, 2) == pytest.approx([1.5])
