"""Which documents state a fact: both names as whole words, and quickly."""

import time
import unicodedata

import numpy as np
import pytest

from infusionlaw.corpus.contamination import FactFinder

FACTS = [
    ("Lyon", "France"),
    ("St. John's", "Canada"),
    ("New York", "8.8 million"),
    ("France", "+33"),
    ("São Paulo", "Brazil"),
    ("++", "operator"),
    ("C", "language"),
    ("東京駅", "日本"),
    ("서울", "대한민국"),
    ("कर्म", "भारत"),
    ("สถานีโซล", "โซล"),
]


@pytest.mark.parametrize(
    ("document", "stated"),
    [
        ("Lyon lies in France.", True),
        ("In France, (Lyon)", True),
        ("Lyon lies in the east.", False),
        ("France is large.", False),
        ("Lyonnaise cooking of France", False),
        ("lyon is in France", False),
        ("Lyon_1 in France", False),
        ("St. John's is in Canada", True),
        ("St John s is in Canada", False),
        ("John's St. in Canada", False),
        ("New\n    York has 8.8 million people", True),
        ("York is New: 8.8 million", False),
        ("New York has 18.8 million people", False),
        ("New York has 8.8 millions", False),
        ("call France with +33 first", True),
        ("call France with 33 first", False),
        (unicodedata.normalize("NFD", "São Paulo, Brazil"), True),
        ("the operator ++ adds one", True),
        ("the operator + adds one", False),
        ("C is a language", True),
        ("C++ is a language", False),
        ("a language such as C#", False),
        ("昔の東京駅は日本にある", True),
        ("東京の駅は日本にある", False),
        ("서울은 대한민국의 수도이다", True),
        ("가서울은 대한민국의 수도이다", False),
        ("भारत में कर्म है", True),
        ("भारती में कर्म है", False),
        ("อยู่ที่สถานีโซลใน", True),
        ("St. John\u2019s is in Canada", True),
        ("Ly\u00adon lies in France", True),
        ("\uff2c\uff59\uff4f\uff4e lies in France", True),
        ("ที่สถานี\u200bโซล", True),
        ("", False),
    ],
)
def test_both_names_must_be_there_as_whole_words(document: str, stated: bool) -> None:
    assert bool(FactFinder(FACTS).stated(document)) is stated


def test_names_of_different_facts_do_not_make_one() -> None:
    assert not FactFinder(FACTS).stated("Lyon and Canada and Brazil")


def test_no_facts_no_finds() -> None:
    assert not FactFinder([]).stated("Lyon lies in France.")


def test_it_agrees_with_a_plain_search_and_is_quick() -> None:
    """10,000 documents against 5,000 facts whose subjects share their first words."""
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(3000)]
    facts = [(f"{words[i % 50]} {words[i % 2999]}", words[(7 * i) % 3000]) for i in range(5000)]
    texts = [" ".join(rng.choice(words, 120)) for _ in range(10_000)]
    finder = FactFinder(facts)
    start = time.process_time()
    found = [bool(finder.stated(text)) for text in texts]
    assert time.process_time() - start < 8
    assert 0 < sum(found) < len(texts)
    for text, stated in list(zip(texts, found, strict=True))[:100]:
        padded = f" {text} "
        assert stated == any(f" {subject} " in padded and f" {object_} " in padded for subject, object_ in facts)
