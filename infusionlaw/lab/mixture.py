"""The infusion: which fact is stated where and how often, and the ledger that proves it.

A run's training tokens are one long stream made of pages of about `PAGE` tokens. Page p holds a piece of general text,
then the statements due by then, prior and domain facts evenly interleaved, every document closed by the end-of-text
token. What is due follows from quotas in closed form:

    domain tokens by page p   <= share · PAGE · p
    prior tokens by page p    <= (1 - share) · prior_share · PAGE · p
    general tokens by page p   = floor((1 - share) (1 - prior_share) · PAGE · p)

Only whole statements are placed, in cycles: every fact once a cycle, in an order drawn anew for each, its templates in
turn. So exposures of two facts never differ by more than one, any prefix of the stream is as evenly infused as the
whole, and the stream can be entered anywhere: the start of page p is the sum of what the three sources have given.
Blocks are consecutive slices of the stream.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.integer]
PAGE = 1024


class StatementCycle:
    """An endless sequence of statements: document j states a fact in one of its forms.

    `forms[f]` lists the token arrays of fact f, each with its end-of-text token. In cycle c fact f uses form
    (first[f] + c) mod len(forms[f]), first[f] drawn from the seed.
    """

    def __init__(self, forms: Sequence[Sequence[Tokens]], seed: Sequence[int]) -> None:
        self.forms = forms
        self.facts = len(forms)
        self._seed = tuple(seed)
        self._first: list[int] = np.random.default_rng(self._seed).integers(1 << 30, size=self.facts).tolist()
        self._period = math.lcm(*(len(form) for form in forms)) if forms else 1
        lengths = [sum(len(self._document(f, c)) for f in range(self.facts)) for c in range(self._period)]
        self._ends = np.cumsum([0, *lengths])
        self._cycle = lru_cache(maxsize=8)(self._make_cycle)

    @property
    def tokens_per_statement(self) -> float:
        """Mean tokens of a statement, end-of-text included."""
        return float(self._ends[-1]) / (self._period * self.facts)

    def tokens_before(self, document: int) -> int:
        """Tokens of documents 0 to `document` - 1."""
        if not self.facts:
            return 0
        cycle, within = divmod(document, self.facts)
        return self._cycle_start(cycle) + int(self._cycle(cycle)[1][within])

    def documents_within(self, tokens: float) -> int:
        """How many whole documents fit into the first `tokens` tokens of the sequence."""
        if not self.facts:
            return 0
        periods, rest = divmod(int(tokens), int(self._ends[-1]))
        phase = bisect_right(self._ends, rest) - 1
        cycle = periods * self._period + phase
        within = int(np.searchsorted(self._cycle(cycle)[1], rest - self._ends[phase], side="right")) - 1
        return cycle * self.facts + within

    def document(self, index: int) -> tuple[int, int, Tokens]:
        """Fact, form and tokens of document `index`."""
        cycle, within = divmod(index, self.facts)
        fact = int(self._cycle(cycle)[0][within])
        return fact, self._form(fact, cycle), self._document(fact, cycle)

    def counts(self, documents: int) -> tuple[NDArray[np.int64], list[Counter[int]]]:
        """Exposures of each fact, and by fact of each form, in the first `documents` documents."""
        cycles, rest = divmod(documents, self.facts) if self.facts else (0, 0)
        exposures = np.full(self.facts, cycles, dtype=np.int64)
        if rest:
            exposures[self._cycle(cycles)[0][:rest]] += 1
        by_form: list[Counter[int]] = []
        for fact, total in enumerate(exposures):
            count = len(self.forms[fact])
            whole, extra = divmod(int(total), count)
            used = Counter({form: whole for form in range(count) if whole})
            used.update(self._form(fact, c) for c in range(extra))
            by_form.append(used)
        return exposures, by_form

    def _form(self, fact: int, cycle: int) -> int:
        return (self._first[fact] + cycle) % len(self.forms[fact])

    def _document(self, fact: int, cycle: int) -> Tokens:
        return self.forms[fact][self._form(fact, cycle)]

    def _cycle_start(self, cycle: int) -> int:
        periods, phase = divmod(cycle, self._period)
        return periods * int(self._ends[-1]) + int(self._ends[phase])

    def _make_cycle(self, cycle: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Order of the facts in a cycle, and tokens before each of its documents (one more entry than facts)."""
        order = np.random.default_rng([*self._seed, cycle]).permutation(self.facts)
        lengths = [len(self._document(f, cycle)) for f in order.tolist()]
        return order, np.cumsum([0, *lengths])


class GeneralText:
    """An endless stream over a token file: chunks of `PAGE` tokens in a scattered order, each closed by end-of-text.

    Chunk i of the stream is chunk (a i + b) mod n of the file, a coprime to n, both drawn from the seed.
    """

    def __init__(self, tokens: Tokens, end_of_text: int, seed: Sequence[int]) -> None:
        self.chunks = len(tokens) // PAGE
        if self.chunks == 0:
            raise ValueError(f"{len(tokens)} tokens of general text are fewer than one page of {PAGE}")
        self._tokens, self._end = tokens, end_of_text
        rng = np.random.default_rng([*seed])
        self._offset = int(rng.integers(self.chunks))
        self._stride = int(rng.integers(self.chunks))
        while math.gcd(self._stride, self.chunks) != 1:
            self._stride += 1

    def read(self, start: int, count: int) -> Tokens:
        """`count` tokens of the stream from position `start`."""
        out = np.empty(count, dtype=self._tokens.dtype)
        done = 0
        while done < count:
            chunk, within = divmod(start + done, PAGE)
            piece = min(PAGE - within, count - done)
            at = (self._stride * chunk + self._offset) % self.chunks * PAGE + within
            out[done : done + piece] = self._tokens[at : at + piece]
            if within + piece == PAGE:
                out[done + piece - 1] = self._end
            done += piece
        return out


@dataclass(frozen=True)
class Ledger:
    """What the first `tokens` tokens of a stream hold. Exposures count whole statements only."""

    tokens: int
    domain_tokens: int
    prior_tokens: int
    general_tokens: int
    general_passes: float
    domain_exposures: tuple[int, ...]
    prior_exposures: tuple[int, ...]
    domain_forms: tuple[dict[int, int], ...]
    prior_forms: tuple[dict[int, int], ...]

    @property
    def share(self) -> float:
        """Infused tokens / D."""
        return self.domain_tokens / self.tokens

    @property
    def exposures(self) -> float:
        """Mean exposures of a domain fact."""
        return sum(self.domain_exposures) / len(self.domain_exposures)


@dataclass(frozen=True)
class _Extent:
    """Where a page begins: documents and tokens that each source has given before it."""

    domain: int
    prior: int
    general: int
    start: int


class Mixture:
    """The token stream of one run: seekable, endless, the same bytes for the same arguments."""

    def __init__(
        self,
        domain: StatementCycle,
        prior: StatementCycle,
        general: GeneralText,
        *,
        share: float,
        prior_share: float,
        end_of_text: int,
    ) -> None:
        self.domain, self.prior, self.general = domain, prior, general
        self._rate = (
            PAGE * share,
            PAGE * (1 - share) * prior_share if prior.facts else 0.0,
            PAGE * (1 - share) * (1 - prior_share if prior.facts else 1.0),
        )
        self._end = end_of_text
        self._page = lru_cache(maxsize=64)(self._make_page)

    def read(self, start: int, count: int) -> Tokens:
        """Tokens [start, start + count) of the stream, int64."""
        first, last = self._page_at(start), self._page_at(start + count - 1)
        skip = start - self._extent(first).start
        pages = [self._page(page) for page in range(first, last + 1)]
        return np.concatenate(pages)[skip : skip + count]

    def blocks(self, first: int, count: int, block: int) -> Tokens:
        """Blocks `first` to `first` + `count` - 1 as (count, block + 1): inputs, and targets one token later."""
        tokens = self.read(first * block, count * block + 1)
        return np.lib.stride_tricks.sliding_window_view(tokens, block + 1)[::block]

    def ledger(self, tokens: int) -> Ledger:
        """Count what the first `tokens` tokens hold."""
        page = self._page_at(tokens)
        extent = self._extent(page)
        domain, prior = extent.domain, extent.prior
        general = extent.general
        spent = {
            "domain": self.domain.tokens_before(domain),
            "prior": self.prior.tokens_before(prior),
        }
        left = tokens - extent.start
        piece = min(left, self._extent(page + 1).general - extent.general)
        general, left = general + piece, left - piece
        for source, document in self._statements(page):
            size = len(document)
            spent[source] += min(size, left)
            if size <= left and source == "domain":
                domain += 1
            elif size <= left:
                prior += 1
            left -= min(size, left)
        exposures, forms = self.domain.counts(domain)
        prior_exposures, prior_forms = self.prior.counts(prior)
        return Ledger(
            tokens=tokens,
            domain_tokens=spent["domain"],
            prior_tokens=spent["prior"],
            general_tokens=general,
            general_passes=general / (self.general.chunks * PAGE),
            domain_exposures=tuple(exposures.tolist()),
            prior_exposures=tuple(prior_exposures.tolist()),
            domain_forms=tuple(dict(sorted(form.items())) for form in forms),
            prior_forms=tuple(dict(sorted(form.items())) for form in prior_forms),
        )

    def _extent(self, page: int) -> _Extent:
        domain = self.domain.documents_within(self._rate[0] * page) if self._rate[0] else 0
        prior = self.prior.documents_within(self._rate[1] * page) if self._rate[1] else 0
        general = math.floor(self._rate[2] * page)
        start = self.domain.tokens_before(domain) + self.prior.tokens_before(prior) + general
        return _Extent(domain, prior, general, start)

    def _page_at(self, position: int) -> int:
        """The page that holds a position; pages start at or before PAGE · p."""
        page = position // PAGE
        while self._extent(page + 1).start <= position:
            page += 1
        return page

    def _statements(self, page: int) -> list[tuple[str, Tokens]]:
        """Statements of a page, each source in its own order, the two evenly interleaved."""
        here, then = self._extent(page), self._extent(page + 1)
        placed: list[tuple[float, str, Tokens]] = []
        for source, cycle, first, last in (
            ("domain", self.domain, here.domain, then.domain),
            ("prior", self.prior, here.prior, then.prior),
        ):
            for i in range(first, last):
                placed.append(((i - first + 0.5) / (last - first), source, cycle.document(i)[2]))
        placed.sort(key=lambda item: item[:2])
        return [(source, tokens) for _, source, tokens in placed]

    def _make_page(self, page: int) -> Tokens:
        here, then = self._extent(page), self._extent(page + 1)
        text = self.general.read(here.general, then.general - here.general).astype(np.int64)
        if len(text):
            text[-1] = self._end
        return np.concatenate([text, *(tokens for _, tokens in self._statements(page))])
