"""The options of a multiple-choice probe, drawn so that the frequency of an object says nothing about the answer.

Within a relation the facts are put in groups of n facts with n distinct objects, where two spellings are one object,
and every fact of a group has that group's n objects as its options. Whoever ranks the objects without looking at the
subject picks the same object n times and is right exactly once: accuracy 1/n, whatever the ranking. All options are
answers to the same relation, so they have the right type.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from infusionlaw.corpus.facts import Fact, Templates, folded
from infusionlaw.corpus.tokens import Tokenizer
from infusionlaw.errors import InputError


def option_sets(facts: Sequence[Fact], seed: int, n: int = 8) -> tuple[tuple[str, ...] | None, ...]:
    """The options of each fact, the right answer first; None for a fact that is not probed.

    n is lowered to a relation's number of distinct objects (a relation with one object is not probed). The facts left
    when no further group of n distinct objects can be made are not probed.
    """
    rng = np.random.default_rng(seed)
    options: list[tuple[str, ...] | None] = [None] * len(facts)
    for relation in sorted({fact.relation for fact in facts}):
        members = [i for i, fact in enumerate(facts) if fact.relation == relation]
        for group in _groups(members, facts, n, rng):
            answers = [facts[i].object for i in group]
            for place, i in enumerate(group):
                options[i] = (answers[place], *answers[:place], *answers[place + 1 :])
    return tuple(options)


def check_options(
    facts: Sequence[Fact],
    options: Sequence[tuple[str, ...] | None],
    templates: Mapping[str, Templates],
    tokenizer: Tokenizer,
) -> None:
    """Refuse options that are equal for a model: a right answer could never win over a wrong one of the same tokens.

    Answers are compared by themselves and where they stand in a question: some tokenizers tell them apart in one of the
    two only.
    """
    asked = {(fact.relation, own[0]) for fact, own in zip(facts, options, strict=True) if own is not None}
    places = [
        (text.replace("{subject}", "it"), relation, answer)
        for relation, answer in sorted(asked)
        for text in ("{object}", *templates[relation].questions)
    ]
    texts = [text.replace("{object}", answer) for text, _, answer in places]
    seen: dict[tuple[str, str, tuple[int, ...]], str] = {}
    for (text, relation, answer), ids in zip(places, tokenizer.encode(texts), strict=True):
        if not ids:
            raise InputError(
                f'{tokenizer.path.name} gives the answer "{answer}" of the relation "{relation}" no tokens, so no '
                "model can learn it; use another tokenizer, or take it out"
            )
        other = seen.setdefault((relation, text, tuple(ids)), answer)
        if folded(other) != folded(answer):
            raise InputError(
                f'{tokenizer.path.name} gives two answers of the relation "{relation}", "{other}" and "{answer}", '
                "the same tokens, so no model can tell them apart; use another tokenizer, or take one of them out"
            )


def _groups(members: list[int], facts: Sequence[Fact], n: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Groups of n facts with distinct objects, as many as can be made: always from the objects with most facts left."""
    left: dict[str, list[int]] = {}
    for i in rng.permutation(members):
        left.setdefault(folded(facts[i].object), []).append(int(i))
    n = min(n, len(left))
    heap = [(-len(found), rng.random(), answer) for answer, found in left.items()]
    heapq.heapify(heap)
    while 2 <= n <= len(heap):
        taken = [heapq.heappop(heap) for _ in range(n)]
        yield [left[answer].pop() for _, _, answer in taken]
        for count, _, answer in taken:
            if count < -1:
                heapq.heappush(heap, (count + 1, rng.random(), answer))
