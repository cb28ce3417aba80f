"""The sequence of statements that a source of facts gives: what is stated, in which order, and how long it is.

Everything asked of it is answered for many documents at once. A span, some cycles made together, is the unit that is
kept, and only the last few are, so memory does not grow with the stream.
"""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infusionlaw.corpus.infusion.shuffles import shuffles

Tokens = NDArray[np.integer]
Numbers = NDArray[np.int64]
_DOCUMENTS, _CYCLES = 4096, 256  # a span has about so many documents, but no more cycles than that


class Statements:
    """All forms of all facts, numbered: the tokens of form g as bytes in `tokens[g]`, how many they are in `sizes[g]`.

    `forms[f]` lists the token arrays of fact f, each with its end-of-text token; they are numbered in that order.
    """

    def __init__(self, forms: Sequence[Sequence[Tokens]], dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.tokens = [form.astype(dtype).tobytes() for own in forms for form in own]
        self.sizes: Numbers = np.array([len(form) for own in forms for form in own], dtype=np.int64)
        self.forms: Numbers = np.array([len(own) for own in forms], dtype=np.int64)
        self.first_form: Numbers = np.cumsum(self.forms) - self.forms


class StatementCycle:
    """An endless sequence of statements: document j states a fact in one of its forms.

    In cycle c fact f uses form (first[f] + c) mod forms[f], first[f] drawn from the seed.
    """

    def __init__(self, statements: Statements, seed: Sequence[int]) -> None:
        self.statements = statements
        self.facts = len(statements.forms)
        self._seed = tuple(seed)
        self._first = np.random.default_rng(self._seed).integers(1 << 30, size=self.facts)
        # By how many forms facts have: tokens of all their statements in the first so many cycles, until they recur.
        self._recurring = {int(count): self._of_facts_with(int(count)) for count in np.unique(statements.forms)}
        mean = sum((Fraction(ends[-1], count) for count, ends in self._recurring.items()), Fraction())
        self._tokens_per_cycle = float(mean)
        self._tokens_per_statement = float(mean / self.facts) if self.facts else 0.0
        self._cycles = min(_CYCLES, max(1, _DOCUMENTS // max(1, self.facts)))
        self._span = lru_cache(maxsize=4)(self._make_span)

    @property
    def longest(self) -> int:
        """Tokens of the longest statement."""
        return int(self.statements.sizes.max(initial=0))

    @property
    def tokens_per_statement(self) -> float:
        """Mean tokens of a statement, end-of-text included."""
        return self._tokens_per_statement

    def within(self, tokens: NDArray[np.floating]) -> tuple[Numbers, Numbers]:
        """How many whole documents fit into the first `tokens` tokens of the sequence, and how many tokens they have.

        tokens: ascending, (n,).
        """
        if not self.facts:
            return np.zeros(len(tokens), dtype=np.int64), np.zeros(len(tokens), dtype=np.int64)
        whole = tokens.astype(np.int64)
        first, _, before = self._spans(self._cycle_at(int(whole[0])), self._cycle_at(int(whole[-1])))
        documents = np.searchsorted(before, whole, side="right") - 1
        return first + documents, before[documents]

    def documents(self, first: int, last: int) -> Numbers:
        """Form numbers of documents `first` to `last` - 1."""
        if first == last:
            return np.empty(0, dtype=np.int64)
        start, forms, _ = self._spans(first // self.facts, (last - 1) // self.facts)
        return forms[first - start : last - start]

    def counts(self, documents: int) -> tuple[Numbers, list[Counter[int]]]:
        """Exposures of each fact, and by fact of each form, in the first `documents` documents."""
        cycles, rest = divmod(documents, self.facts) if self.facts else (0, 0)
        exposures = np.full(self.facts, cycles, dtype=np.int64)
        if rest:
            exposures[shuffles(self._seed, cycles, 1, self.facts)[0, :rest]] += 1
        by_form: list[Counter[int]] = []
        for first, forms, total in zip(self._first.tolist(), self.statements.forms.tolist(), exposures, strict=True):
            whole, extra = divmod(int(total), forms)
            used = Counter({form: whole for form in range(forms) if whole})
            used.update((first + cycle) % forms for cycle in range(extra))
            by_form.append(used)
        return exposures, by_form

    def _forms(self, cycle: Numbers) -> Numbers:
        """Form number of each fact in a cycle; (n, facts) for cycles (n, 1)."""
        return self.statements.first_form + (self._first + cycle) % self.statements.forms

    def _of_facts_with(self, count: int) -> list[int]:
        own = self.statements.forms == count
        sizes = self.statements.sizes[self._forms(np.arange(count)[:, None])[:, own]].sum(1)
        return [0, *np.cumsum(sizes).tolist()]

    def _before(self, cycle: int) -> int:
        """Tokens of the sequence before a cycle."""
        return sum(cycle // count * ends[-1] + ends[cycle % count] for count, ends in self._recurring.items())

    def _cycle_at(self, token: int) -> int:
        """The cycle that a token lies in: where the mean has it, or a few away."""
        cycle = int(token / self._tokens_per_cycle)
        while self._before(cycle) > token:
            cycle -= 1
        while self._before(cycle + 1) <= token:
            cycle += 1
        return cycle

    def _spans(self, first: int, last: int) -> tuple[int, Numbers, Numbers]:
        """The spans that hold cycles `first` to `last`: number of their first document, and by document its form
        number and the tokens of the sequence before it."""
        numbers = range(first // self._cycles, last // self._cycles + 1)
        forms, before = zip(*map(self._span, numbers), strict=True)
        return numbers[0] * self._cycles * self.facts, _joined(forms), _joined(before)

    def _make_span(self, number: int) -> tuple[Numbers, Numbers]:
        first = number * self._cycles
        orders = shuffles(self._seed, first, self._cycles, self.facts)
        by_fact = self._forms(np.arange(first, first + self._cycles)[:, None])
        forms = np.take_along_axis(by_fact, orders, axis=1).ravel()
        sizes = self.statements.sizes[forms]
        return forms, self._before(first) + np.cumsum(sizes) - sizes


def _joined(parts: Sequence[Numbers]) -> Numbers:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
