"""Figures of the benchmarks that are computed from what was measured."""

import pytest

from benchmarks.gpu import find_rest


@pytest.mark.parametrize(("window_s", "rest_s"), [(3.5, 0.5), (2.9, None)])
def test_no_part_of_a_window_takes_less_than_no_time(window_s, rest_s):
    assert find_rest({"window": {"s": window_s}, "vae": {"s": 1.0}, "transformer": {"s": 2.0}}) == rest_s
