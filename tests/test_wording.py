"""Which known word, setting or option an unknown one may have been meant for."""

import pytest

from vidconcept.errors import UsageError
from vidconcept.models.presets import presets
from vidconcept.wording import format_number, is_alike, suggest


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


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("Kratzer;Delle", "Kratzer,Delle"),
        ("Kratzer Delle", "Kratzer,Delle"),
        ("傷、打痕", "傷,打痕"),
        ("划痕，凹痕", "划痕,凹痕"),
        ("broken edge / crack", "broken edge,crack"),
    ],
)
def test_words_between_other_marks_are_told_with_commas(words, meant):
    with pytest.raises(UsageError, match=f"{words!r}; a comma separates concepts. Next: {meant!r}$"):
        presets()["linecam"].translate(words)


@pytest.mark.parametrize(
    "word", ["crack / wombat", "deep crack", ";", "spatter", "bubble", "dust", "bent", "porosity", "misprint", "notch"]
)
def test_another_defect_is_not_taken_for_a_slip(word):
    with pytest.raises(UsageError, match=f"{word!r}\\. It knows: "):
        presets()["linecam"].translate(word)


@pytest.mark.parametrize(("number", "said"), [(51_512.3, "51500"), (0.01234, "0.0123"), (9.2, "9.2"), (0, "0")])
def test_numbers_have_no_exponent(number, said):
    assert format_number(number) == said


def test_options_are_not_alike_by_their_dashes():
    assert is_alike("--treshold", "--threshold")
    assert not any(is_alike("--quiet", option) for option in ("--bits", "--out", "--view"))
