"""The grammar of concepts, what the model then reads, and the place of every mistake."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidconcept.attention.lexicon import Lexicon
from vidconcept.attention.maps import concept_scores
from vidconcept.errors import UsageError
from vidconcept.models.folder import find_preset
from vidconcept.pipelines.vocabulary import compile_words
from vidconcept.setting_layers import Layer, read_config_file, resolve
from vidconcept.settings import TrackSettings
from vidconcept.words import spell_out, spelling_of, split_words

WORD = st.from_regex(r"[A-Za-zÀ-ž0-9]([A-Za-zÀ-ž0-9-]| [a-z]){0,8}", fullmatch=True)


def compiled(concepts, model="linecam", **settings):
    preset = find_preset(model)
    return compile_words(resolve([Layer("command line", {"concepts": concepts, **settings}), preset.layer])[0], preset)


def test_words_come_as_a_list_or_as_one_string():
    assert split_words("scratch, dent") == split_words(["scratch", "dent"]) == ("scratch", "dent")
    assert split_words("") is split_words([]) is split_words(None) is None
    with pytest.raises(UsageError, match=r"^5 is no list of words\. Next: "):
        split_words(5)


class TestGrammar:
    def test_synonyms_negatives_and_names(self):
        names, words = spell_out(["scratch=scratched metal|scrape - glare|reflection", " dent ", "dent"])
        assert names == ("scratch", "dent")
        spelling = spelling_of("scratch", words)
        assert (spelling.words, spelling.without) == (("scratched metal", "scrape"), ("glare", "reflection"))
        assert spelling_of("dent", words).words == ("dent",)

    @settings(max_examples=30, deadline=None)
    @given(st.lists(WORD, min_size=1, unique_by=str.casefold), st.integers(0, 3))
    def test_what_is_joined_comes_apart(self, words, count):
        words, without = words[: len(words) - count] or words[:1], words[max(len(words) - count, 1) :]
        text = "a=" + " | ".join(words) + (" - " + "|".join(without) if without else "")
        spelling = spelling_of("a", spell_out([text])[1])
        assert spelling.words == tuple(words)
        assert spelling.without == tuple(without)
        assert [
            text[column - 1 :][: len(word)] for word, column in zip(words + without, spelling.columns, strict=True)
        ] == (words + without)

    def test_a_hyphen_is_no_minus(self):
        assert spelling_of("a", spell_out(["a=hair-line crack"])[1]).without == ()

    @pytest.mark.parametrize(
        ("text", "column", "trouble"),
        [
            ("a=|b", 3, "a word is missing"),
            ("a=b|", 5, "a word is missing"),
            ("a=b|c - ", 8, "a word is missing"),
            ("a=b - c - d", 9, "a second minus"),
            ("=x", 1, "a name must stand here"),
            ("a|b", 2, "has no name"),
            ("a - b", 3, "has no name"),
            ("a=b - B", 7, "added and subtracted"),
            ("a=b=c", 4, "'=' within a word"),
            ("a=x|b@c", 6, "'@' within a word"),
            ("a@", 3, "a file is missing"),
        ],
    )
    def test_a_mistake_has_a_place(self, text, column, trouble):
        with pytest.raises(UsageError, match=f"command line: concepts: .*, column {column}: .*{trouble}.*Next: "):
            resolve([Layer("command line", {"concepts": (text,)})])

    def test_one_name_twice(self):
        with pytest.raises(UsageError, match="'a' is there twice"):
            spell_out(["a=b", "a"])


class TestSettings:
    def test_toml_spells_as_the_command_line_does(self, tmp_path):
        path = tmp_path / "line.toml"
        path.write_text('concepts = ["mark=scratch|dent - glare", "crack", "own@own.safetensors"]\n')
        settings, sources = resolve([read_config_file(path)])
        assert settings.concepts == ("mark", "crack", "own")
        assert settings.words == {"mark": "scratch|dent - glare", "own": f"@{tmp_path / 'own.safetensors'}"}
        assert sources["words"] == f"config {path}"

    def test_a_name_keeps_the_words_that_a_weaker_layer_gives_it(self):
        below = Layer("config", {"concepts": ("mark=scratch|dent",)})
        settings, _ = resolve(
            [Layer("command line", {"concepts": ("crack",)}), Layer("x", {"words": {"mark": "dent"}}), below]
        )
        assert settings.words == {"mark": "dent"}
        with pytest.raises(UsageError, match=r"words.*column 6: a word is missing"):
            resolve([Layer("config", {"words": {"mark": "|dent"}})])


class TestWordsOfTheModel:
    def test_the_name_stands_for_the_words(self):
        words, lexicon = compiled(["mark=scratch|ding - glare", "crack"])
        assert words[:2] == ("mark", "crack")
        assert [lexicon.words[i] for i in lexicon.entries[0]] == ["scratch", "dent"]
        assert [words[i] for i in lexicon.minus[0]] == ["reflection"]
        assert not {"scratch", "dent"} & set(words[1:])

    def test_plain_words_are_as_ever(self):
        words, lexicon = compiled(["Kratzer", "dent"])
        assert words[:3] == ("scratch", "dent", "part")
        assert lexicon.is_plain
        assert lexicon.words == words

    def test_an_unknown_word_of_a_closed_vocabulary_has_a_place(self):
        with pytest.raises(
            UsageError, match=r"'mark=scratch\|spatter', column 14: .*does not know 'spatter'.*It knows: scr"
        ):
            compiled(["mark=scratch|spatter"])

    def test_words_that_mean_the_same(self):
        with pytest.raises(UsageError, match="mean the same"):
            compiled(["mark=scratch|dent", "other=ding|scrape"])
        with pytest.raises(UsageError, match=r"column 21: 'scratch' is added and subtracted"):
            compiled(["mark=scratch|dent - scrape"])
        with pytest.raises(UsageError, match="'shadow' is also a word of its own"):
            compiled(["shadow=scratch|dent"])

    def test_sinks_come_last_and_are_never_reported(self):
        words, lexicon = compiled(["dent"], sinks=("a", "of"))
        assert words[-2:] == ("a", "of")
        assert lexicon.sinks == 2
        plain = compiled(["dent"])[1]
        assert (lexicon.with_sinks(()), plain.with_sinks(("a", "of"))) == (plain, lexicon)


class TestLexicon:
    def test_synonyms_are_averaged_and_negatives_subtracted(self):
        lexicon = Lexicon(("a", "b", "c", "n"), ((0, 1), (2,), (3,)), ((2,), ()))
        logits = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
        averaged = lexicon.average(logits)
        assert averaged[:, 0] == pytest.approx(logits[:, :2].mean(1))
        scores = concept_scores([averaged], "mean-softmax")
        assert lexicon.finish(scores)[0] == pytest.approx(np.maximum(scores[0] - scores[2], 0))
        assert lexicon.finish(scores)[1:] == pytest.approx(scores[1:])

    def test_rivals_share_their_evidence_out_to_the_one_that_leads(self):
        words = ("hole", "crack", "part", "chip")
        scores = np.float32([[0.4, 0.1, 0.0], [0.3, 0.1, 0.0], [0.1, 0.7, 1.0], [0.2, 0.1, 0.0]])
        lexicon = replace(Lexicon.plain(words), rivals=(0, 1, 3), sharpness=4.0)
        settled = lexicon.finish(scores)
        assert settled[2] == pytest.approx(scores[2])
        own = scores[[0, 1, 3], 0]
        shared = own + (0.9 - own) * np.float32([256, 81, 16]) / 353
        assert settled[0, 0] == pytest.approx(shared[0])
        # What comes second and third has at least the geometric mean of its own and the sum.
        assert settled[[1, 3], 0] == pytest.approx(np.sqrt(0.9 * own[1:]))
        assert (settled[[1, 3], 0] > shared[1:]).all()
        # Equals share alike.
        assert settled[[0, 1, 3], 1] == pytest.approx(np.sqrt(0.1 * 0.3))
        assert not settled[[0, 1, 3], 2].any()
        assert replace(lexicon, sharpness=1.0).finish(scores) is scores

    def test_a_concept_gets_the_same_whoever_else_is_asked_for(self):
        scores = np.random.default_rng(0).dirichlet(np.ones(15), 50).astype(np.float32).T
        found = []
        for asked in (["hole"], ["dent", "hole"]):
            words, lexicon = compiled(asked, concept_sharpness=4)
            by_word = dict(zip(sorted(words), scores, strict=True))
            found.append(lexicon.finish(np.stack([by_word[word] for word in words]))[words.index("hole")])
        assert found[0] == pytest.approx(found[1], abs=1e-6)
        assert found[0].max() > by_word["hole"].max()

    def test_one_word_alone_stays_bit_for_bit(self):
        logits = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
        lexicon = Lexicon.plain(["a", "b", "c"])
        assert lexicon.average(logits) is logits
        assert lexicon.finish(logits[0]) is not None


def test_settings_take_names_alone():
    assert TrackSettings(concepts=("dent",)).words == {}
