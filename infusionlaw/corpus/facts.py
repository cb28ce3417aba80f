"""Facts and templates: what a model is to learn, how it is said, and which facts are fit to be asked about.

A fact is (subject, relation, object). A statement template says it, a question template asks for it and ends with the
answer; questions never state an infused fact. A fact is kept only if its question has one answer and does not give that
answer away. Subjects are split into domain (infused), prior (stated in every run) and unseen (never stated), so that
recall of the unseen facts measures what guessing gives.
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import regex

from infusionlaw.corpus.words import holds, spelled, words_only
from infusionlaw.errors import InputError, nearest

DUPLICATE = "exact duplicate"
AMBIGUOUS = "ambiguous subject: same name, different answers"
SHOWN = "the answer shows in the subject, or the subject in the answer"
INCOMPLETE = "the subject lacks another chosen relation"
INVERSE = "another fact says the same the other way round"
MOST_JOINED = 8  # subjects that go to one part of a split together, because their facts say the same
MOST_OF_A_SPLIT = 1 / 8  # no object should answer more of a relation's facts: 8 options are what a probe offers

_BRACED = re.compile(r"\{([^{}]*)\}")
_MARKS = ("subject", "object")
# What may be written or left out: accents of Latin and Greek letters; in Russian those of stress and the dots of ё; the
# points and vowel signs of Hebrew and Arabic, and the stroke that makes a word longer.
_OPTIONAL = regex.compile(
    "([\\p{Latin}\\p{Greek}])[\u0300-\u036f]+|(?<=[аеиоуыэюяі])[\u0300\u0301]|(?<=е)\u0308"
    "|[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u0652\u0670]"
)


@dataclass(frozen=True)
class Fact:
    """One piece of knowledge; `subject_type` is free text such as "city", empty when unknown."""

    subject: str
    relation: str
    object: str
    subject_type: str = ""


@dataclass(frozen=True)
class Templates:
    """How one relation is stated and asked: texts with `{subject}` and `{object}`, each exactly once."""

    relation: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]


@dataclass(frozen=True)
class Knowledge:
    """The facts fit for a study, the templates of their relations by name, and the facts left out, by reason."""

    facts: tuple[Fact, ...]
    templates: Mapping[str, Templates]
    left_out: Mapping[str, int]


@dataclass(frozen=True)
class Split:
    """Facts in three parts that share no subject."""

    domain: tuple[Fact, ...]
    prior: tuple[Fact, ...]
    unseen: tuple[Fact, ...]


def prompt_and_answer(template: str, fact: Fact) -> tuple[str, str, str]:
    """The text before the object (subject filled in), the object, and the text after it."""
    before, after = template.split("{object}")
    return before.replace("{subject}", fact.subject), fact.object, after.replace("{subject}", fact.subject)


def fill(template: str, fact: Fact) -> str:
    """The template as a sentence about the fact."""
    return "".join(prompt_and_answer(template, fact))


def check_template(text: str, place: str, *, question: bool) -> None:
    """Refuse a template that cannot be filled; InputError names `place`.

    A question template has its subject before its object and nothing but signs after it, so that the prompt is
    complete and the answer can be scored.
    """
    names = _BRACED.findall(text)
    for name in names:
        if name not in _MARKS:
            raise InputError(f'{place}: unknown placeholder "{{{name}}}" in "{text}"; {nearest(name, _MARKS)}')
    for name in _MARKS:
        if names.count(name) != 1:
            raise InputError(f'{place}: "{text}" has {names.count(name)} times "{{{name}}}"; write it exactly once')
    if set("{}") & set(_BRACED.sub("", text)):
        raise InputError(f'{place}: "{text}" has a single brace; only {{subject}} and {{object}} may stand in braces')
    before, after = text.split("{object}")
    if question and ("{subject}" not in before or re.search(r"\w", after)):
        raise InputError(
            f'{place}: the question "{text}" must name {{subject}} first and end with its answer {{object}}'
        )


def folded(text: str) -> str:
    """The text in one spelling, without case and what may be left out: "São Paulo" and "SAO PAULO" are one name.

    Two texts that fold alike are one answer. What only looks alike when it is decomposed stays apart: 10² and 102, й
    and и.
    """
    plain = spelled(text).casefold()
    if plain.isascii():
        return plain
    return unicodedata.normalize("NFC", _OPTIONAL.sub(r"\1", unicodedata.normalize("NFD", plain)))


def shows(fact: Fact) -> bool:
    """Whether the answer stands in the subject or the reverse, as whole words, whatever signs are between them."""
    subject, answer = (words_only(folded(text)) for text in (fact.subject, fact.object))
    return holds(subject, answer) or holds(answer, subject)


def clean(facts: Sequence[Fact]) -> tuple[list[Fact], Counter[str]]:
    """The facts whose question has one answer that the subject does not give away; and the rest, counted by reason.

    Names are compared without case and accents. Of an ambiguous subject all facts of that relation go.
    """
    answers: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for fact in facts:
        answers[_asked(fact)].add(folded(fact.object))
    kept: dict[tuple[str, str], Fact] = {}
    left_out: Counter[str] = Counter()
    for fact in facts:
        if len(answers[_asked(fact)]) > 1:
            left_out[AMBIGUOUS] += 1
        elif _asked(fact) in kept:
            left_out[DUPLICATE] += 1
        elif shows(fact):
            left_out[SHOWN] += 1
        else:
            kept[_asked(fact)] = fact
    return list(kept.values()), left_out


def _asked(fact: Fact) -> tuple[str, str]:
    return folded(fact.subject), fact.relation


def complete(facts: Sequence[Fact], types: Collection[str]) -> list[Fact]:
    """The facts without those of subjects that lack a relation which others of their type have.

    Only subjects of the given types are held to this.
    """
    relations: defaultdict[str, set[str]] = defaultdict(set)
    count: Counter[tuple[str, str]] = Counter()
    for fact in facts:
        relations[fact.subject_type].add(fact.relation)
        count[folded(fact.subject), fact.subject_type] += 1
    return [
        fact
        for fact in facts
        if fact.subject_type not in types
        or count[folded(fact.subject), fact.subject_type] == len(relations[fact.subject_type])
    ]


def split(knowledge: Knowledge, *, domain: int, prior: int, unseen: int, seed: int) -> Split:
    """Draw that many subjects for each part; a subject brings all its facts, and no two parts share one.

    Subjects whose facts are inverses of each other ("France has the capital Paris", "Paris is the capital of France")
    go to one part, so that no part states what another asks; where a part has room for some of them only, the others
    are in none. Within a part no object should answer more than 1/8 of a relation's facts: a subject whose object is at
    that cap is passed over while others are left. Names that differ in case or accents alone are one subject. The draw
    does not depend on the order of the facts. Raises InputError when there are too few subjects.
    """
    subjects: dict[str, list[Fact]] = {}
    for fact in knowledge.facts:
        subjects.setdefault(folded(fact.subject), []).append(fact)
    wanted = domain + prior + unseen
    if wanted > len(subjects):
        raise InputError(
            f"the facts have {len(subjects)} subjects{_less(knowledge.left_out)}, but "
            f"{domain} domain + {prior} prior + {unseen} unseen = "
            f"{wanted} are asked for; ask for fewer or add facts"
        )
    names, joined = sorted(subjects), _joined(knowledge.facts)
    order: list[_Unit] = []
    placed: set[str] = set()
    for i in np.random.default_rng(seed).permutation(len(names)):
        if names[i] not in placed:
            unit = joined.get(names[i], (names[i],))
            placed.update(unit)
            order.append([subjects[name] for name in unit])
    parts = []
    for number in (domain, prior, unseen):
        chosen, order = _balanced(order, number)
        if len(chosen) < number:
            raise InputError(
                f"the facts of {len(joined)} of the {len(subjects)} subjects are inverses of each other, which must go "
                f"to one part, so there are too few for {domain} domain + {prior} prior + {unseen} unseen; ask for "
                "fewer or add facts"
            )
        parts.append(tuple(fact for facts in chosen for fact in facts))
    return Split(*parts)


def _less(left_out: Mapping[str, int]) -> str:
    """How many facts were left out and why, in brackets."""
    told = [f"{number:,} of them {why}" for why, number in left_out.items() if number]
    return f" (facts left out: {'; '.join(told)})" if told else ""


_Unit = list[list[Fact]]  # subjects that go to one part, each as its facts


def _joined(facts: Sequence[Fact]) -> dict[str, tuple[str, ...]]:
    """The subjects, folded, that go together with each: those of facts which are inverses of each other."""
    pairs = {(folded(fact.subject), folded(fact.object)) for fact in facts}
    groups: dict[str, set[str]] = {}
    for one, other in sorted(pairs):
        if (other, one) in pairs and one < other:
            together = groups.get(one, {one}) | groups.get(other, {other})
            groups |= dict.fromkeys(together, together)
    return {name: tuple(sorted(group)) for name, group in groups.items()}


def one_way(facts: Sequence[Fact]) -> list[Fact]:
    """The facts, of inverse ones only the first where they chain more than MOST_JOINED subjects to each other."""
    joined = _joined(facts)
    kept: dict[tuple[str, str], str] = {}
    found = []
    for fact in facts:
        one, other = folded(fact.subject), folded(fact.object)
        chained = len(joined.get(one, ())) > MOST_JOINED
        if not (chained and (other, one) in kept):
            found.append(fact)
            kept[one, other] = fact.relation
    return found


def _balanced(order: list[_Unit], number: int) -> tuple[list[list[Fact]], list[_Unit]]:
    """The first `number` subjects that keep to the caps, which double until enough are found; and the units left.

    A unit is broken up where nothing smaller is left; what there is no room for is given up.
    """
    caps, used = _caps(order, number), Counter[tuple[str, str]]()
    chosen: list[list[Fact]] = []
    while len(chosen) < number and order:
        rest = []
        for unit in order:
            answers = [(fact.relation, folded(fact.object)) for facts in unit for fact in facts]
            room = len(chosen) + len(unit) <= number
            if room and all(used[answer] < caps[answer[0]] for answer in answers):
                chosen += unit
                used.update(answers)
            else:
                rest.append(unit)
        if rest and min(map(len, rest)) > number - len(chosen) > 0:
            chosen += rest.pop(0)[: number - len(chosen)]
        order, caps = rest, {relation: 2 * cap for relation, cap in caps.items()}
    return chosen, order


def _caps(order: list[_Unit], number: int) -> dict[str, int]:
    """How many facts of a relation one object may answer: ceil(expected facts · max(1/8, 1/distinct objects))."""
    objects: defaultdict[str, list[str]] = defaultdict(list)
    for fact in (fact for unit in order for facts in unit for fact in facts):
        objects[fact.relation].append(folded(fact.object))
    subjects = sum(map(len, order))
    return {
        relation: math.ceil(number * len(found) / subjects * max(MOST_OF_A_SPLIT, 1 / len(set(found))))
        for relation, found in objects.items()
    }
