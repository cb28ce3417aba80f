"""The infusion: which fact is stated where and how often, and the ledger that proves it.

A run's training tokens are one long stream made of pages of about `PAGE` tokens. Page p holds a piece of general text,
then the renderings due by then, prior and domain facts evenly interleaved, every document closed by the end-of-text
token. What is due follows from the pacing in closed form (`pacing`), here that of an even schedule:

    domain tokens by page p   <= share · PAGE · p
    prior tokens by page p    <= (1 - share) · prior_share · PAGE · p
    general tokens by page p   = floor((1 - share) (1 - prior_share) · PAGE · p)

Only whole renderings are placed, in cycles: every fact once a cycle, in an order drawn again for each, its templates in
turn. So exposures of two facts never differ by more than one, any prefix of an even stream is as evenly infused as the
whole, and the stream can be entered anywhere: the start of page p is the sum of what the three sources have given.
Blocks are consecutive slices of the stream. It is made in pieces of many pages: what they hold is found at once, as
arrays, and their tokens are joined as bytes, with no index of every token. The last pieces are kept, so that readers of
short stretches pay for a piece once; memory does not grow with the stream or with the text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infusionlaw.corpus.infusion.pacing import Pacing
from infusionlaw.corpus.infusion.permutation import permuted
from infusionlaw.corpus.infusion.renderings import Numbers, RenderingCycle, Tokens

PAGE = 1024
# Tokens put together at a time: they bound the memory, and are no more than a few spans of renderings.
_PIECE = 64 * PAGE
_STRETCH = 4096  # chunks of general text whose order is made at once


class GeneralText:
    """An endless stream over a token file: chunks of `PAGE` tokens, each closed by end-of-text.

    Every pass over the file takes all its chunks, in an order drawn for that pass.
    """

    def __init__(self, tokens: Tokens, end_of_text: int, seed: Sequence[int]) -> None:
        self.chunks = len(tokens) // PAGE
        if self.chunks == 0:
            raise ValueError(f"{len(tokens)} tokens of general text are fewer than one page of {PAGE}")
        self._table = np.asarray(tokens)[: self.chunks * PAGE].reshape(self.chunks, PAGE)
        self._end = end_of_text
        self._seed = tuple(seed)
        self._order = lru_cache(maxsize=4)(self._ordered)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The token file's own."""
        return self._table.dtype

    def read(self, start: int, count: int) -> Tokens:
        """Return `count` tokens of the stream from position `start`."""
        first, last = start // PAGE, -(-(start + count) // PAGE)
        places = np.concatenate([np.empty(0, np.int64), *self._places(first, last)])
        chunks = self._table[places]
        chunks[:, -1] = self._end
        found: Tokens = chunks.reshape(-1)[start - first * PAGE :][:count]
        return found

    def _places(self, first: int, last: int) -> Iterator[Numbers]:
        """Where in the file chunks `first` to `last` - 1 of the stream are."""
        while first < last:
            number, place = divmod(first, self.chunks)
            stretch, skipped = divmod(place, _STRETCH)
            found = self._order(number, stretch)[skipped:][: last - first]
            yield found
            first += len(found)

    def _ordered(self, number: int, stretch: int) -> Numbers:
        """A stretch of the order of a pass, made at once because that is quicker."""
        places = np.arange(stretch * _STRETCH, min((stretch + 1) * _STRETCH, self.chunks))
        return permuted(places, self.chunks, (*self._seed, number))


@dataclass(frozen=True)
class Ledger:
    """What the first `tokens` tokens of a stream hold.

    Exposures count whole renderings only; forms say, by fact, how often each of its renderings was used.
    """

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
        """Return pages `first` to `last` - 1 of these."""
        return _Pages(*(getattr(self, name)[first : last + 1] for name in self.__dataclass_fields__))


class Mixture:
    """The token stream of one run: seekable, endless, the same bytes for the same arguments."""

    def __init__(
        self,
        domain: RenderingCycle,
        prior: RenderingCycle,
        general: GeneralText,
        *,
        share: float,
        prior_share: float,
        end_of_text: int,
        tilt: float = 0.0,
        tokens: int = 0,
    ) -> None:
        """share, prior_share, tilt and tokens: see `Pacing`."""
        sources = domain.renderings, prior.renderings
        if {each.dtype for each in sources} != {general.dtype}:
            raise ValueError(
                f"renderings of {sources[0].dtype} and {sources[1].dtype} in general text of {general.dtype}"
            )
        self.domain, self.prior, self.general = domain, prior, general
        self._tokens = [
            *sources[0].tokens,
            *sources[1].tokens,
        ]  # a rendering of a prior fact comes after all domain facts'
        self._sizes = np.concatenate([each.sizes for each in sources])
        self._pacing = Pacing(share, prior_share if prior.facts else 0.0, tilt, tokens)
        self._end = end_of_text
        self._piece = lru_cache(maxsize=2)(self._make_piece)
        self._behind = domain.longest + prior.longest + 3  # pages start no more than that before PAGE · p

    def read(self, start: int, count: int) -> Tokens:
        """Return tokens [start, start + count) of the stream, in the token file's own dtype."""
        first, last = start // _PIECE, (start + count - 1) // _PIECE
        pieces = [self._piece(number) for number in range(first, last + 1)]
        pieces[-1] = pieces[-1][: start + count - last * _PIECE]
        pieces[0] = pieces[0][start - first * _PIECE :]
        return np.concatenate(pieces)

    def blocks(self, first: int, count: int, block: int) -> Tokens:
        """Return blocks `first` to `first` + `count` - 1 as (count, block + 1): inputs, and targets one token later."""
        tokens = self.read(first * block, count * block + 1)
        return np.lib.stride_tricks.sliding_window_view(tokens, block + 1)[::block]

    def ledger(self, tokens: int) -> Ledger:
        """Count what the first `tokens` tokens hold."""
        page = self._pages(tokens, tokens + 1)
        is_domain, placed = self._placed(page)
        sizes = self._sizes[placed]
        left = tokens - int(page.start[0])
        text = min(left, int(page.general[1] - page.general[0]))
        ends = np.cumsum(sizes)
        whole = ends <= left - text
        spent = np.clip(left - text - (ends - sizes), 0, sizes)
        exposures, domain_forms = self.domain.counts(int(page.domain[0] + whole[is_domain].sum()))
        prior_exposures, prior_forms = self.prior.counts(int(page.prior[0] + whole[~is_domain].sum()))
        general = int(page.general[0]) + text
        return Ledger(
            tokens=tokens,
            domain_tokens=int(page.domain_tokens[0] + spent[is_domain].sum()),
            prior_tokens=int(page.prior_tokens[0] + spent[~is_domain].sum()),
            general_tokens=general,
            general_passes=general / (self.general.chunks * PAGE),
            domain_exposures=tuple(exposures.tolist()),
            prior_exposures=tuple(prior_exposures.tolist()),
            domain_forms=tuple(dict(sorted(form.items())) for form in domain_forms),
            prior_forms=tuple(dict(sorted(form.items())) for form in prior_forms),
        )

    def _pages(self, start: int, end: int) -> _Pages:
        """Return the pages that hold positions [start, end); a page starts at PAGE · p or a little before it."""
        numbers = np.arange(start // PAGE, (end + self._behind) // PAGE + 2)
        domain_due, prior_due, general_due = self._pacing.by(PAGE * numbers)
        domain, domain_tokens = self.domain.within(domain_due)
        prior, prior_tokens = self.prior.within(prior_due)
        general = np.floor(general_due).astype(np.int64)
        pages = _Pages(domain, prior, domain_tokens, prior_tokens, general)
        first, last = np.searchsorted(pages.start, start, side="right") - 1, np.searchsorted(pages.start, end)
        return pages.part(int(first), int(last))

    def _placed(self, pages: _Pages) -> tuple[NDArray[np.bool_], Numbers]:
        """Return the renderings of the pages in their order, as whether each is of the domain, and its number.

        Each source keeps its own order, and in every page the two are evenly interleaved.
        """
        is_domain = _of_first(np.diff(pages.domain), np.diff(pages.prior))
        numbers = np.empty(len(is_domain), dtype=np.int64)
        numbers[is_domain] = self.domain.documents(int(pages.domain[0]), int(pages.domain[-1]))
        numbers[~is_domain] = self.prior.documents(int(pages.prior[0]), int(pages.prior[-1]))
        numbers[~is_domain] += len(self.domain.renderings.tokens)
        return is_domain, numbers

    def _make_piece(self, number: int) -> Tokens:
        """Return tokens `number` · _PIECE to (`number` + 1) · _PIECE of the stream."""
        start = number * _PIECE
        pages = self._pages(start, start + _PIECE)
        skip = start - int(pages.start[0])
        return np.frombuffer(b"".join(self._parts(pages)), dtype=self.general.dtype)[skip : skip + _PIECE]

    def _parts(self, pages: _Pages) -> list[bytes | memoryview]:
        """Return the bytes of the pages: of each its text, closed by end-of-text, then its renderings."""
        bounds = pages.general - pages.general[0]
        text = self.general.read(int(pages.general[0]), int(bounds[-1]))
        text[bounds[1:][np.diff(bounds) > 0] - 1] = self._end
        view = text.data
        renderings = list(map(self._tokens.__getitem__, self._placed(pages)[1].tolist()))
        texts = pairwise(bounds.tolist())
        places = pairwise((pages.domain - pages.domain[0] + pages.prior - pages.prior[0]).tolist())
        parts: list[bytes | memoryview] = []
        for (first, last), (here, there) in zip(texts, places, strict=True):
            parts.append(view[first:last])
            parts += renderings[here:there]
        return parts


def _of_first(first: Numbers, second: Numbers) -> NDArray[np.bool_]:
    """Return which documents are of the first of two sources that give `first` and `second` documents to each page.

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
