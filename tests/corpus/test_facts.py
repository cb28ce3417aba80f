"""Filling, checking, cleaning and splitting."""

import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infusionlaw.corpus.facts import (
    AMBIGUOUS,
    DUPLICATE,
    SHOWN,
    Fact,
    Knowledge,
    check_template,
    clean,
    complete,
    fill,
    folded,
    one_way,
    prompt_and_answer,
    shows,
    split,
)
from infusionlaw.errors import InputError


def knowledge(facts: list[Fact]) -> Knowledge:
    return Knowledge(tuple(facts), {}, {})


def towns(number: int, objects: int) -> list[Fact]:
    """`number` subjects with two relations; half of the objects of the first relation are "o0"."""
    return [
        fact
        for i in range(number)
        for fact in (
            Fact(f"town{i}", "in", f"o{0 if i % 2 else i % objects}"),
            Fact(f"town{i}", "size", f"s{i % objects}"),
        )
    ]


def test_a_template_is_cut_at_its_answer():
    fact = Fact("Lyon", "in", "France")
    assert prompt_and_answer("Is {subject} in {object}?", fact) == ("Is Lyon in ", "France", "?")
    assert prompt_and_answer("{object} has {subject}.", fact) == ("", "France", " has Lyon.")


@given(st.text(), st.text())
def test_filling_keeps_braces_in_names_as_they_are(subject, answer):
    fact = Fact(subject, "r", answer)
    assert fill("a {subject} b {object} c", fact) == f"a {subject} b {answer} c"
    assert fill("a {object} b {subject} c", fact) == f"a {answer} b {subject} c"


@pytest.mark.parametrize(
    ("text", "question", "message"),
    [
        ("{subject} is in {objet}.", False, 'did you mean "object"'),
        ("{subject} is there.", False, '0 times "{object}"'),
        ("{object} is {object} of {subject}.", False, '2 times "{object}"'),
        ("{subject} is in {object}}.", False, "single brace"),
        ("Is {object} where {subject} is?", True, "end with its answer"),
        ("Where is {subject}? In {object}, they say.", True, "end with its answer"),
    ],
)
def test_unusable_templates_are_refused(text, question, message):
    with pytest.raises(InputError, match="file, line 3") as error:
        check_template(text, "file, line 3", question=question)
    assert message in str(error.value)


def test_usable_templates_pass():
    check_template("{object} has {subject}.", "p", question=False)
    check_template("Where is {subject}? In {object}.", "p", question=True)


@pytest.mark.parametrize(
    ("subject", "answer", "expected"),
    [
        ("Mexico City", "Mexico", True),
        ("Paris", "Europe/Paris", True),
        ("são paulo", "Sao Paulo", True),
        ("Niger", "Nigeria", False),
        ("Romeo", "Rome", False),
        ("C++", "++", False),
        ("C++", "C", False),
        ("C", "C#", False),
        ("The C++ book", "C++", True),
        ("Washington, D.C.", "washington d.c", True),
        ("柏林博物馆", "柏林", True),
        ("オハイオ州議会", "オハイオ州", True),
        ("สถานีโซล", "โซล", True),
        ("서울역", "서울", True),
        ("한서울", "서울", False),
        ("रामायण", "राम", False),
        ("भारत", "भारती", False),
        ("मुंबई शहर", "मुंबई", True),
        ("Lyon", "France", False),
    ],
)
def test_an_answer_shows_by_words(subject, answer, expected):
    assert shows(Fact(subject, "r", answer)) is expected


def test_cleaning_counts_what_it_leaves_out():
    good = [Fact("Lyon", "in", "France"), Fact("Lyon", "size", "520 thousand"), Fact("León", "size", "1.6 million")]
    bad = [
        Fact("Lyon", "in", "France"),
        Fact("Valencia", "in", "Spain"),
        Fact("valencia", "in", "Venezuela"),
        Fact("Valencia", "in", "Spain"),
        Fact("Mexico City", "in", "Mexico"),
    ]
    kept, left_out = clean([*good, *bad])
    assert kept == good
    assert left_out == {DUPLICATE: 1, AMBIGUOUS: 3, SHOWN: 1}


def test_an_ambiguous_relation_leaves_the_subject_its_others():
    facts = [Fact("A", "in", "x"), Fact("A", "in", "y"), Fact("A", "size", "z")]
    assert clean(facts)[0] == [Fact("A", "size", "z")]


def test_complete_holds_only_the_given_types_to_all_relations():
    whole = [Fact("A", "in", "x", "city"), Fact("A", "size", "1", "city")]
    part, other = Fact("B", "in", "x", "city"), Fact("C", "in", "x", "river")
    also = Fact("D", "size", "2", "river")
    assert complete([*whole, part, other, also], ["city"]) == [*whole, other, also]


def test_parts_share_no_subject_and_subjects_bring_all_their_facts():
    parts = split(knowledge(towns(100, 20)), domain=40, prior=20, unseen=10, seed=1)
    names = [{fact.subject for fact in part} for part in (parts.domain, parts.prior, parts.unseen)]
    assert [len(part) for part in names] == [40, 20, 10]
    assert len(set.union(*names)) == 70
    assert [len(part) for part in (parts.domain, parts.prior, parts.unseen)] == [80, 40, 20]


def test_names_that_differ_in_accents_stay_in_one_part():
    facts = [Fact(name, relation, "x") for name, relation in (("León", "a"), ("Leon", "b"), ("Lyon", "a"))]
    for seed in range(5):
        parts = split(knowledge(facts), domain=1, prior=1, unseen=0, seed=seed)
        assert {len(parts.domain), len(parts.prior)} == {1, 2}


def test_a_split_follows_its_seed_and_not_the_order_of_the_facts():
    facts = towns(60, 20)
    one, turned, other = (
        split(knowledge(given), domain=10, prior=10, unseen=10, seed=seed)
        for given, seed in ((facts, 3), (facts[::-1], 3), (facts, 4))
    )
    assert one == split(knowledge(facts), domain=10, prior=10, unseen=10, seed=3)
    assert {fact.subject for fact in one.domain} == {fact.subject for fact in turned.domain}
    assert one != other


def test_no_object_answers_more_than_an_eighth_while_others_are_left():
    parts = split(knowledge(towns(200, 20)), domain=32, prior=32, unseen=32, seed=0)
    for part in (parts.domain, parts.prior, parts.unseen):
        assert max(Counter((fact.relation, fact.object) for fact in part).values()) <= 4


def test_a_split_is_filled_up_where_balance_is_impossible():
    facts = [Fact(f"t{i}", "in", "x" if i else "y") for i in range(20)]
    parts = split(knowledge(facts), domain=12, prior=4, unseen=4, seed=0)
    assert len(parts.domain + parts.prior + parts.unseen) == 20


def test_too_few_subjects_are_refused_with_the_numbers():
    with pytest.raises(InputError, match=r"10 subjects, but 6 domain \+ 4 prior \+ 1 unseen = 11"):
        split(knowledge(towns(10, 5)), domain=6, prior=4, unseen=1, seed=0)


def pairs(number: int) -> list[Fact]:
    """Capitals, stated both ways."""
    names = [(f"Land {i}a", f"Port {i}z") for i in range(number)]
    return [fact for a, b in names for fact in (Fact(a, "capital", b), Fact(b, "capital-of", a))]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("sizes", [(12, 12, 12), (13, 7, 5)])
def test_no_part_states_what_another_asks_the_other_way_round(seed, sizes):
    parts = split(knowledge(pairs(24)), **dict(zip(("domain", "prior", "unseen"), sizes, strict=True)), seed=seed)
    told = [{(fact.subject, fact.object) for fact in part} for part in (parts.domain, parts.prior, parts.unseen)]
    assert [len({fact.subject for fact in part}) for part in (parts.domain, parts.prior, parts.unseen)] == list(sizes)
    for i, own in enumerate(told):
        others = set().union(*(part for j, part in enumerate(told) if j != i))
        assert not {(b, a) for a, b in own} & others


def test_a_long_chain_of_inverse_facts_is_told_one_way():
    ring = [Fact(f"a{i}", "next", f"a{(i + 1) % 20}") for i in range(20)]
    back = [Fact(fact.object, "last", fact.subject) for fact in ring]
    assert one_way([*ring, *back]) == ring
    assert one_way(pairs(24)) == pairs(24)


def test_too_few_subjects_beside_those_that_must_go_together_are_refused():
    with pytest.raises(InputError, match="inverses of each other"):
        split(knowledge(pairs(3)), domain=3, prior=2, unseen=1, seed=0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("São Tomé", unicodedata.normalize("NFD", "São Tomé"), True),
        ("São Tomé", "SAO TOME", True),
        ("\uff21\uff22 \uff11", "ab 1", True),
        ("\uff76\uff9e", "ガ", True),
        ("Straße", "STRASSE", True),
        ("10²", "102", False),
        ("½", "1/2", False),
        ("йод", "иод", False),
        ("か", "が", False),
        ("O'Brien", "O\u2019Brien", True),
        ("Saint-Denis", "Saint\u2010Denis", True),
        ("co\u00adop\u200b", "coop", True),
        ("\ufb01n", "fin", True),
        ("Αθήνα", "ΑΘΗΝΑ", True),
        ("Королёв", "Королев", True),
        ("Москва\u0301", "Москва", True),
        ("ѓ", "г", False),
        ("كتابٌ", "كتاب", True),
        ("שּׁלום", "שלום", True),
    ],
)
def test_one_answer_in_two_spellings(one, other, same):
    assert (folded(one) == folded(other)) is same
