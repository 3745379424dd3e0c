"""What an earlier run was asked otherwise, and what is the same in other words."""

from pathlib import Path

import pytest

from tests.helpers.small_runs import small_clip
from vidconcept.errors import UsageError
from vidconcept.pipelines.plan import make_plan
from vidconcept.run_changes import changes_of, check_same_maps, list_drawing_changes


@pytest.fixture(scope="module")
def facts_of(tmp_path_factory):
    """Settings -> the facts of a plan with the embedded model."""
    clip = small_clip(tmp_path_factory.mktemp("clips") / "a.mp4")
    return lambda **settings: make_plan(clip, {"concepts": ("scratch", "dent"), **settings}, environ={}).facts()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"looks": 2}, {}),
        ({"preset": "fast", "stride": 1}, {"stride": 1}),
        ({"max_megapixels": 128.0}, {}),
        ({"layers": (-1,)}, {}),
        ({"layers": (1, 1)}, {}),
        ({"layers": (-1, 0)}, {"layers": (0, 1)}),
        ({"timesteps": (20,)}, {}),
        ({"roi": (0, 0, 96, 64)}, {}),
        ({"smooth": "none"}, {"smooth": "none", "stride": 1}),
    ],
)
def test_what_means_the_same_gives_the_same_maps(facts_of, one, other):
    assert facts_of(**one)["maps_from"] == facts_of(**other)["maps_from"]


# As versions before wrote what a run of today would say in other words.
RAW = {"layers": [-1], "looks": 2, "max_megapixels": 128.0, "timesteps": [20], "roi": [0, 0, 96, 64]}


def test_a_run_of_before_is_read_as_one_of_today(facts_of):
    now = facts_of()
    before = {**now, "maps_from": now["maps_from"] | RAW}
    check_same_maps(Path("run"), "resumed", before, now)
    assert not changes_of(before, now)


@pytest.mark.parametrize("content", [{"layers": "last"}, {"layers": [None]}, {"timesteps": 20}, {"roi": 3}])
def test_what_was_changed_by_hand_is_another_value(facts_of, content):
    now = facts_of()
    with pytest.raises(UsageError, match=f"{next(iter(content))} was "):
        check_same_maps(Path("run"), "resumed", {**now, "maps_from": now["maps_from"] | content}, now)


def test_the_precision_that_was_found_to_be_quickest_can_be_asked_for(facts_of):
    before = {**facts_of(), "engine": {"dtype": "bfloat16"}}
    check_same_maps(Path("run"), "resumed", before, facts_of(dtype="bfloat16"))
    with pytest.raises(UsageError, match='dtype was "bfloat16", is "float32"'):
        check_same_maps(Path("run"), "resumed", before, facts_of(dtype="float32"))


class TestWindows:
    def test_those_of_the_motion_do_not_serve_a_method_that_needs_all(self, facts_of):
        with pytest.raises(UsageError, match=r"asked for, and .* as they are now need every window\. Next: `existing="):
            check_same_maps(Path("run"), "resumed", facts_of(), facts_of(smooth="none"))

    def test_all_of_them_serve_what_follows_the_motion_at_stride_1(self, facts_of):
        before = facts_of(smooth="none")
        with pytest.raises(UsageError, match=r"read every window, and .* Next: `stride=1`, which these maps serve"):
            check_same_maps(Path("run"), "resumed", before, facts_of(looks=3))
        check_same_maps(Path("run"), "resumed", before, facts_of(stride=1))
        with pytest.raises(UsageError, match=r"seed was .*Next: `existing=overwrite`"):
            check_same_maps(Path("run"), "resumed", before, facts_of(seed=1))

    def test_another_stride_is_told_by_its_number(self, facts_of):
        assert changes_of(facts_of(), facts_of(stride=4)) == ['stride was "auto", is 4']


def test_how_the_film_is_drawn_does_not_change_the_answer(facts_of):
    before, now = facts_of(), facts_of(view="grid")
    assert not changes_of(before, now)
    assert list_drawing_changes(before, now) == ["view was overlay, is grid"]
