"""The sequence of renderings that a source of facts gives: what is stated, in which order, and how long it is.

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


class Renderings:
    """All renderings of all facts, numbered: `tokens[g]` holds the tokens of rendering g as bytes, `sizes[g]` how many.

    `own[f]` lists the token arrays of fact f, each with its end-of-text token; they are numbered in that order. A fact
    has `counts[f]` renderings, the first of which is number `first[f]`.
    """

    def __init__(self, own: Sequence[Sequence[Tokens]], dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.sizes: Numbers = np.array([len(ids) for each in own for ids in each], dtype=np.int64)
        each_bytes = (ids.astype(dtype).tobytes() for each in own for ids in each)
        self.tokens: NDArray[np.object_] = np.fromiter(each_bytes, dtype=object, count=len(self.sizes))
        self.counts: Numbers = np.array([len(each) for each in own], dtype=np.int64)
        self.first: Numbers = np.cumsum(self.counts) - self.counts


class RenderingCycle:
    """An endless sequence of renderings: document j states a fact in one of its renderings.

    In cycle c fact f uses its rendering (start[f] + c) mod counts[f], start[f] drawn from the seed.
    """

    def __init__(self, renderings: Renderings, seed: Sequence[int]) -> None:
        self.renderings = renderings
        self.facts = len(renderings.counts)
        self._seed = tuple(seed)
        self._start = np.random.default_rng(self._seed).integers(1 << 30, size=self.facts)
        # By how many renderings facts have: tokens of all that they give in the first so many cycles, until they recur.
        self._recurring = {int(count): self._of_facts_with(int(count)) for count in np.unique(renderings.counts)}
        mean = sum((Fraction(ends[-1], count) for count, ends in self._recurring.items()), Fraction())
        self._tokens_per_cycle = float(mean)
        self._tokens_per_rendering = float(mean / self.facts) if self.facts else 0.0
        self._cycles = min(_CYCLES, max(1, _DOCUMENTS // max(1, self.facts)))
        self._span = lru_cache(maxsize=4)(self._make_span)

    @property
    def longest(self) -> int:
        """Tokens of the longest rendering."""
        return int(self.renderings.sizes.max(initial=0))

    @property
    def tokens_per_rendering(self) -> float:
        """Mean tokens of a rendering, end-of-text included."""
        return self._tokens_per_rendering

    @property
    def tokens_per_cycle(self) -> float:
        """Mean tokens of a cycle, which states every fact once."""
        return self._tokens_per_cycle

    @property
    def dtype(self) -> np.dtype[Any]:
        """The renderings' own."""
        return self.renderings.dtype

    def pieces(self, first: int, last: int) -> NDArray[np.object_]:
        """Return the bytes of documents `first` to `last` - 1."""
        return self.renderings.tokens[self.documents(first, last)]

    def sizes(self, first: int, last: int) -> Numbers:
        """Return the tokens of documents `first` to `last` - 1."""
        return self.renderings.sizes[self.documents(first, last)]

    def within(self, tokens: NDArray[np.floating]) -> tuple[Numbers, Numbers]:
        """Return how many whole documents fit into the first `tokens` tokens, and how many tokens they have.

        tokens: ascending, (n,).
        """
        if not self.facts:
            return np.zeros(len(tokens), dtype=np.int64), np.zeros(len(tokens), dtype=np.int64)
        whole = tokens.astype(np.int64)
        first, _, before = self._spans(self._cycle_at(int(whole[0])), self._cycle_at(int(whole[-1])))
        documents = np.searchsorted(before, whole, side="right") - 1
        return first + documents, before[documents]

    def documents(self, first: int, last: int) -> Numbers:
        """Return the rendering numbers of documents `first` to `last` - 1."""
        if first == last:
            return np.empty(0, dtype=np.int64)
        start, numbers, _ = self._spans(first // self.facts, (last - 1) // self.facts)
        return numbers[first - start : last - start]

    def counts(self, documents: int) -> tuple[Numbers, list[Counter[int]]]:
        """Return the exposures of each fact, and by fact of each rendering, in the first `documents` documents."""
        cycles, rest = divmod(documents, self.facts) if self.facts else (0, 0)
        exposures = np.full(self.facts, cycles, dtype=np.int64)
        if rest:
            exposures[shuffles(self._seed, cycles, 1, self.facts)[0, :rest]] += 1
        by_rendering: list[Counter[int]] = []
        for start, count, total in zip(self._start.tolist(), self.renderings.counts.tolist(), exposures, strict=True):
            whole, extra = divmod(int(total), count)
            used = Counter({number: whole for number in range(count) if whole})
            used.update((start + cycle) % count for cycle in range(extra))
            by_rendering.append(used)
        return exposures, by_rendering

    def _numbers(self, cycle: Numbers) -> Numbers:
        """Return the rendering number of each fact in a cycle; (n, facts) for cycles (n, 1)."""
        return self.renderings.first + (self._start + cycle) % self.renderings.counts

    def _of_facts_with(self, count: int) -> list[int]:
        own = self.renderings.counts == count
        sizes = self.renderings.sizes[self._numbers(np.arange(count)[:, None])[:, own]].sum(1)
        return [0, *np.cumsum(sizes).tolist()]

    def _before(self, cycle: int) -> int:
        """Return the tokens of the sequence before a cycle."""
        return sum(cycle // count * ends[-1] + ends[cycle % count] for count, ends in self._recurring.items())

    def _cycle_at(self, token: int) -> int:
        """Return the cycle that a token lies in: where the mean has it, or a few away."""
        cycle = int(token / self._tokens_per_cycle)
        while self._before(cycle) > token:
            cycle -= 1
        while self._before(cycle + 1) <= token:
            cycle += 1
        return cycle

    def _spans(self, first: int, last: int) -> tuple[int, Numbers, Numbers]:
        """Return the spans that hold cycles `first` to `last`.

        The number of their first document, and by document its rendering number and the tokens before it.
        """
        spans = range(first // self._cycles, last // self._cycles + 1)
        numbers, before = zip(*map(self._span, spans), strict=True)
        return spans[0] * self._cycles * self.facts, _joined(numbers), _joined(before)

    def _make_span(self, number: int) -> tuple[Numbers, Numbers]:
        first = number * self._cycles
        orders = shuffles(self._seed, first, self._cycles, self.facts)
        by_fact = self._numbers(np.arange(first, first + self._cycles)[:, None])
        numbers = np.take_along_axis(by_fact, orders, axis=1).ravel()
        sizes = self.renderings.sizes[numbers]
        return numbers, self._before(first) + np.cumsum(sizes) - sizes


def _joined(parts: Sequence[Numbers]) -> Numbers:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
