"""The built-in facts and their templates."""

import re
from collections import Counter, defaultdict

import pytest

from infusionlaw.corpus import atlas
from infusionlaw.corpus.facts import AMBIGUOUS, INCOMPLETE, SHOWN, Knowledge, fill, shows
from infusionlaw.corpus.readers import load_knowledge, read_templates

RELATIONS = {
    "city": {"city-country", "city-population", "city-time-zone"},
    "country": {"country-capital", "country-currency", "country-calling-code", "country-continent"},
}


@pytest.fixture(scope="module")
def whole() -> Knowledge:
    return load_knowledge("atlas")


def test_every_subject_has_every_relation_of_its_type(whole):
    found = defaultdict(set)
    for fact in whole.facts:
        found[fact.subject_type, fact.subject].add(fact.relation)
    assert all(relations == RELATIONS[kind] for (kind, _), relations in found.items())
    numbers = Counter(kind for kind, _ in found)
    assert numbers["city"] > 1500
    assert numbers["country"] > 200
    assert all(whole.left_out[reason] > 0 for reason in (AMBIGUOUS, SHOWN, INCOMPLETE, atlas.UNUSUAL_NAME))


def test_known_facts_are_right(whole):
    answers = {(fact.subject, fact.relation): fact.object for fact in whole.facts}
    assert answers["Lyon", "city-country"] == "France"
    assert answers["Lyon", "city-time-zone"] == "Paris"
    assert answers["Lyon", "city-population"] == "520 thousand"
    assert answers["France", "country-capital"] == "Paris"
    assert answers["France", "country-currency"] == "Euro"
    assert answers["France", "country-calling-code"] == "+33"
    assert answers["Brazil", "country-continent"] == "South America"


def test_facts_have_one_answer_that_does_not_show(whole):
    asked = Counter((fact.subject, fact.relation) for fact in whole.facts)
    assert set(asked.values()) == {1}
    assert not any(shows(fact) for fact in whole.facts)
    assert all(fact.subject == fact.subject.strip() and ord(max(fact.subject)) < 256 for fact in whole.facts)


def test_cities_are_those_with_both_chosen_relations():
    both = load_knowledge("atlas", relations=["city-country", "city-population"])
    of = {name: {f.subject for f in both.facts if f.relation == name} for name in ("city-country", "city-population")}
    assert of["city-country"] == of["city-population"]
    assert set(both.templates) == set(of)
    assert len(both.facts) == 2 * len(of["city-country"])


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (7, "7"),
        (123_456, "120 thousand"),
        (125_000, "130 thousand"),
        (95_400, "95 thousand"),
        (999_499, "1 million"),
        (1_440_000, "1.4 million"),
        (24_874_500, "25 million"),
    ],
)
def test_people_have_two_significant_digits(count, text):
    assert atlas.people(count) == text


def test_templates_are_many_short_and_different(whole):
    templates = read_templates([atlas.TEMPLATES])
    assert set(templates) == RELATIONS["city"] | RELATIONS["country"]
    for one in templates.values():
        assert len(set(one.statements)) >= 6
        assert len(set(one.questions)) >= 3
        assert sum(text.index("{subject}") < text.index("{object}") for text in one.statements) >= 3
        fact = next(fact for fact in whole.facts if fact.relation == one.relation)
        for text in (*one.statements, *one.questions):
            assert 5 <= len(re.findall(r"[\w'+-]+", fill(text, fact))) <= 18
        prompts = {text.split("{subject}")[0] for text in one.statements if not text.startswith("{")}
        assert not any(question.startswith(prompt) for question in one.questions for prompt in prompts)
