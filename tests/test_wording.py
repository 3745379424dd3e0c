"""Which known word, setting or option an unknown one may have been meant for."""

import pytest

from vidconcept.errors import UsageError
from vidconcept.models.presets import presets
from vidconcept.wording import is_alike, suggest


def test_a_word_that_is_like_no_other_gets_no_suggestion():
    assert suggest("scrach", ["scratch", "scoring"]) == " (did you mean 'scratch'?)"
    assert suggest("unicorn", ["scratch", "scoring"]) == ""


@pytest.mark.parametrize(
    ("word", "meant"),
    [("scrach", "scratch"), ("Scrathc", "scratch"), ("dnet", "dent"), ("stian", "stain"), ("Kratzr", "kratzer")],
)
def test_a_slip_of_the_keyboard_is_told_with_the_word_that_was_meant(word, meant):
    with pytest.raises(UsageError, match=f"{word!r} \\(did you mean {meant!r}\\?\\)"):
        presets()["linecam"].translate(word)


@pytest.mark.parametrize("word", ["spatter", "bubble", "dust", "bent", "porosity", "misprint", "notch"])
def test_another_defect_is_not_taken_for_a_slip(word):
    with pytest.raises(UsageError, match=f"{word!r}\\. It knows: "):
        presets()["linecam"].translate(word)


def test_options_are_not_alike_by_their_dashes():
    assert is_alike("--treshold", "--threshold")
    assert not any(is_alike("--quiet", option) for option in ("--bits", "--out", "--view"))
