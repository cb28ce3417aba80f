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
Blocks are consecutive slices of the stream. Many pages are put together at once, as arrays of where each document comes
from and where it goes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infusionlaw.lab.statements import Numbers, StatementCycle, Tokens

PAGE = 1024
_PIECE = 64 * PAGE  # tokens put together at a time: enough to be quick, few enough to stay in the processor's cache


class GeneralText:
    """An endless stream over a token file: chunks of `PAGE` tokens in a scattered order, each closed by end-of-text.

    Chunk i of the stream is chunk (a i + b) mod n of the file, a coprime to n, both drawn from the seed.
    """

    def __init__(self, tokens: Tokens, end_of_text: int, seed: Sequence[int]) -> None:
        self.chunks = len(tokens) // PAGE
        if self.chunks == 0:
            raise ValueError(f"{len(tokens)} tokens of general text are fewer than one page of {PAGE}")
        self._table = np.asarray(tokens)[: self.chunks * PAGE].reshape(self.chunks, PAGE)
        self._end = end_of_text
        rng = np.random.default_rng([*seed])
        self._offset = int(rng.integers(self.chunks))
        self._stride = int(rng.integers(self.chunks))
        while math.gcd(self._stride, self.chunks) != 1:
            self._stride += 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """The token file's own."""
        return self._table.dtype

    def read(self, start: int, count: int) -> Tokens:
        """`count` tokens of the stream from position `start`."""
        first, last = start // PAGE, -(-(start + count) // PAGE)
        places = [(self._stride * chunk + self._offset) % self.chunks for chunk in range(first, last)]
        chunks = self._table[np.array(places, dtype=np.int64)]
        chunks[:, -1] = self._end
        return chunks.reshape(-1)[start - first * PAGE :][:count]


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
class _Pages:
    """Consecutive pages by where they begin, and the last one ends: documents and tokens given before, (pages + 1,)."""

    domain: Numbers
    prior: Numbers
    domain_tokens: Numbers
    prior_tokens: Numbers
    general: Numbers

    @property
    def start(self) -> Numbers:
        """Position in the stream."""
        return self.domain_tokens + self.prior_tokens + self.general

    def part(self, first: int, last: int) -> "_Pages":
        """Pages `first` to `last` - 1 of these."""
        return _Pages(*(getattr(self, name)[first : last + 1] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class _Placed:
    """The statements of some pages in their order: whether of the domain, form number, tokens, pages' counts."""

    domain: NDArray[np.bool_]
    form: Numbers
    size: Numbers
    by_page: Numbers


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
        self._behind = domain.longest + prior.longest + 3  # pages start no more than that before PAGE · p

    def read(self, start: int, count: int) -> Tokens:
        """Tokens [start, start + count) of the stream, in the token file's own dtype."""
        end = start + count
        return np.concatenate([self._piece(at, min(at + _PIECE, end)) for at in range(start, end, _PIECE)])

    def blocks(self, first: int, count: int, block: int) -> Tokens:
        """Blocks `first` to `first` + `count` - 1 as (count, block + 1): inputs, and targets one token later."""
        tokens = self.read(first * block, count * block + 1)
        return np.lib.stride_tricks.sliding_window_view(tokens, block + 1)[::block]

    def ledger(self, tokens: int) -> Ledger:
        """Count what the first `tokens` tokens hold."""
        page = self._pages(tokens, tokens + 1)
        placed = self._placed(page)
        left = tokens - int(page.start[0])
        text = min(left, int(page.general[1] - page.general[0]))
        ends = np.cumsum(placed.size)
        whole = ends <= left - text
        spent = np.clip(left - text - (ends - placed.size), 0, placed.size)
        exposures, forms = self.domain.counts(int(page.domain[0]) + int(whole[placed.domain].sum()))
        prior_exposures, prior_forms = self.prior.counts(int(page.prior[0]) + int(whole[~placed.domain].sum()))
        general = int(page.general[0]) + text
        return Ledger(
            tokens=tokens,
            domain_tokens=int(page.domain_tokens[0] + spent[placed.domain].sum()),
            prior_tokens=int(page.prior_tokens[0] + spent[~placed.domain].sum()),
            general_tokens=general,
            general_passes=general / (self.general.chunks * PAGE),
            domain_exposures=tuple(exposures.tolist()),
            prior_exposures=tuple(prior_exposures.tolist()),
            domain_forms=tuple(dict(sorted(form.items())) for form in forms),
            prior_forms=tuple(dict(sorted(form.items())) for form in prior_forms),
        )

    def _pages(self, start: int, end: int) -> _Pages:
        """The pages that hold positions [start, end); a page starts at or before PAGE · p, and hardly before it."""
        numbers = np.arange(start // PAGE, (end + self._behind) // PAGE + 2)
        domain, domain_tokens = self.domain.within(self._rate[0] * numbers)
        prior, prior_tokens = self.prior.within(self._rate[1] * numbers)
        general = np.floor(self._rate[2] * numbers).astype(np.int64)
        pages = _Pages(domain, prior, domain_tokens, prior_tokens, general)
        first, last = np.searchsorted(pages.start, start, side="right") - 1, np.searchsorted(pages.start, end)
        return pages.part(int(first), int(last))

    def _placed(self, pages: _Pages) -> _Placed:
        """Statements of the pages: each source in its own order, the two evenly interleaved."""
        domain = _of_first(np.diff(pages.domain), np.diff(pages.prior))
        form, size = np.empty(len(domain), dtype=np.int64), np.empty(len(domain), dtype=np.int64)
        for cycle, bounds, here in ((self.domain, pages.domain, domain), (self.prior, pages.prior, ~domain)):
            form[here] = cycle.documents(int(bounds[0]), int(bounds[-1]))
            size[here] = cycle.statements.sizes[form[here]]
        return _Placed(domain, form, size, np.diff(pages.domain) + np.diff(pages.prior))

    def _piece(self, start: int, end: int) -> Tokens:
        """Tokens [start, end), with all pages that hold them put together."""
        pages = self._pages(start, end)
        begin = int(pages.start[0])
        out = np.empty(int(pages.start[-1]) - begin, dtype=self.general.dtype)
        self._put_text(out, pages)
        placed = self._placed(pages)
        at = np.cumsum(placed.size) - placed.size + np.repeat(pages.general[1:] - pages.general[0], placed.by_page)
        for cycle, here in ((self.domain, placed.domain), (self.prior, ~placed.domain)):
            _put(out, at[here], cycle.statements.tokens, cycle.statements.starts[placed.form[here]], placed.size[here])
        return out[start - begin : end - begin]

    def _put_text(self, out: Tokens, pages: _Pages) -> None:
        """Each page's piece of general text at its beginning, closed by end-of-text."""
        bounds = pages.general - pages.general[0]
        text = self.general.read(int(pages.general[0]), int(bounds[-1]))
        text[bounds[1:][np.diff(bounds) > 0] - 1] = self._end
        starts = (pages.start - pages.start[0]).tolist()
        for at, first, last in zip(starts, bounds.tolist(), bounds[1:].tolist(), strict=False):
            out[at : at + last - first] = text[first:last]


def _of_first(first: Numbers, second: Numbers) -> NDArray[np.bool_]:
    """Which documents are of the first of two sources that give `first` and `second` documents to each page.

    Document i of n stands at (i + 1/2) / n of its page, the first source's ahead where two stand at one place. So
    before it come those j of the other's m with (j + 1/2) / m < (i + 1/2) / n: ceil(((2 i + 1) m - n) / 2 n) of them.
    """
    n, m = np.repeat(first, first), np.repeat(second, first)
    number = np.arange(len(n))
    i = number - np.repeat(np.cumsum(first) - first, first)
    ahead = -((n - (2 * i + 1) * m) // (2 * n))
    out = np.zeros(len(n) + int(second.sum()), dtype=np.bool_)
    out[number + np.repeat(np.cumsum(second) - second, first) + ahead] = True
    return out


def _put(out: Tokens, at: Numbers, source: Tokens, starts: Numbers, sizes: Numbers) -> None:
    """Copy the runs source[starts : starts + sizes] to out[at : at + sizes]."""
    before = np.cumsum(sizes) - sizes
    run = np.arange(int(sizes.sum()))
    take, put = np.repeat(starts - before, sizes), np.repeat(at - before, sizes)
    take += run
    put += run
    out[put] = source[take]
