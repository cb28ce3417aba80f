"""Options that frequency cannot guess, and that a model can tell apart."""

import unicodedata

import numpy as np
import pytest
import tokenizers

from infusionlaw.corpus.facts import Fact, Templates, folded
from infusionlaw.corpus.options import check_options, option_sets
from infusionlaw.corpus.tokens import Tokenizer
from infusionlaw.errors import InputError


def skewed(number: int, objects: int, seed: int) -> list[Fact]:
    """Two relations whose objects are as unevenly used as those of real facts."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, objects + 1)
    drawn = rng.choice(objects, size=(number, 2), p=weights / weights.sum())
    return [
        fact
        for i, (first, second) in enumerate(drawn)
        for fact in (Fact(f"s{i}", "in", f"o{first}"), Fact(f"s{i}", "size", f"p{second}"))
    ]


@pytest.mark.parametrize(("number", "objects"), [(64, 30), (200, 60), (50, 5)])
def test_a_preference_for_objects_is_right_at_chance_exactly(number, objects):
    facts = skewed(number, objects, seed=0)
    options = option_sets(facts, seed=1)
    probed = [given for given in options if given is not None]
    chance = sum(1 / len(given) for given in probed) / len(probed)
    frequency = {fact.object: sum(other.object == fact.object for other in facts) for fact in facts}
    rng = np.random.default_rng(2)
    for _ in range(20):
        weights = {answer: rng.random() for answer in frequency}
        right = sum(max(given, key=weights.__getitem__) == given[0] for given in probed)
        assert right / len(probed) == pytest.approx(chance)
    by_frequency = {answer: (count, answer) for answer, count in frequency.items()}
    right = sum(max(given, key=by_frequency.__getitem__) == given[0] for given in probed)
    assert right / len(probed) == pytest.approx(chance)


def test_options_are_aligned_distinct_and_of_the_relation():
    facts = skewed(64, 30, seed=0)
    options = option_sets(facts, seed=1)
    assert len(options) == len(facts)
    for fact, given in zip(facts, options, strict=True):
        if given is not None:
            assert given[0] == fact.object
            assert len(set(given)) == 8
            assert {answer[0] for answer in given} == {fact.object[0]}


def test_nearly_all_facts_are_probed_when_objects_are_balanced():
    facts = [Fact(f"s{i}", "in", f"o{i % 8}") for i in range(80)]
    assert all(option_sets(facts, seed=0))


def test_fewer_objects_give_fewer_options_and_one_gives_none():
    few = [Fact(f"s{i}", "on", f"continent{i % 3}") for i in range(12)]
    assert {len(given or ()) for given in option_sets(few, seed=0)} == {3}
    assert option_sets([Fact("a", "r", "x"), Fact("b", "r", "x")], seed=0) == (None, None)


def test_facts_beyond_complete_groups_are_not_probed():
    facts = [Fact(f"s{i}", "in", f"o{i}" if i < 8 else "o0") for i in range(20)]
    options = option_sets(facts, seed=0)
    assert sum(given is not None for given in options) == 8


def test_options_follow_the_seed():
    facts = skewed(64, 30, seed=0)
    assert option_sets(facts, seed=1) == option_sets(facts, seed=1)
    assert option_sets(facts, seed=1) != option_sets(facts, seed=2)


def test_no_facts_have_no_options():
    assert option_sets([], seed=0) == ()


def test_two_spellings_of_one_answer_are_never_two_options():
    names = ["São Tomé", unicodedata.normalize("NFD", "São Tomé"), "SAO TOME", *(f"town {i}" for i in range(21))]
    options = option_sets([Fact(f"s{i}", "in", name) for i, name in enumerate(names)], seed=0)
    for given in filter(None, options):
        assert len({folded(option) for option in given}) == len(given)


def test_answers_that_a_tokenizer_makes_one_are_refused(tmp_path):
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "lyon": 1, "[SEP]": 2}, unk_token="[UNK]"))
    backend.normalizer = tokenizers.normalizers.Lowercase()
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json", "[SEP]")

    def check(*answers: str, question: str = "{subject}? {object} .") -> None:
        facts = [Fact(f"s{i}", "in", answer) for i, answer in enumerate(answers)]
        check_options(facts, option_sets(facts, seed=0), {"in": Templates("in", (), (question,))}, tokenizer)

    check("Lyon", "Oslo")
    with pytest.raises(InputError, match="the same tokens"):  # only where they stand in the question
        check("Lyon", "Oslo", question="{subject}? L_{object}.")
    backend.normalizer = tokenizers.normalizers.Replace("Oslo", "")
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json", "[SEP]")
    with pytest.raises(InputError, match='"Oslo" of the relation "in" no tokens'):
        check("Lyon", "Oslo")
    backend.normalizer = tokenizers.normalizers.Lowercase()
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json", "[SEP]")
    with pytest.raises(InputError, match=r'answers of the relation "in", ".*" and ".*", the same tokens'):
        check("Lyon", "Oslo", "Bergen")
