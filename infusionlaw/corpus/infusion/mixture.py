"""The infusion: which fact is stated where and how often, and the ledger that proves it.

A run's training tokens are one long stream made of pages of about `PAGE` tokens, or of a block where that is longer.
Page p holds a piece of general text, then the renderings and the parts of domain documents due by then, prior facts and
the domain evenly interleaved, every document closed by the end-of-text token. What is due follows from the pacing in
closed form (`pacing`), here that of an even schedule:

    domain tokens by page p   <= share · PAGE · p
    prior tokens by page p    <= (1 - share) · prior_share · PAGE · p
    general tokens by page p   = floor((1 - share) (1 - prior_share) · PAGE · p)

Only whole renderings and whole parts (of at most a page) are placed, in cycles: every fact and every document once a
cycle, in an order drawn again for each, templates in turn. So exposures of two facts or of two documents never differ
by more than one, any prefix of an even stream is as evenly infused as the whole, and the stream can be entered
anywhere: the start of page p is the sum of what the sources have given. Where there are facts and documents, domain
tokens are divided so that a cycle of the ones takes as long as one of the others.
Blocks are consecutive slices of the stream. It is made in pieces of many pages: what they hold is found at once, as
arrays, and their tokens are joined as bytes, with no index of every token. The last pieces are kept, so that readers of
short stretches pay for a piece once; memory does not grow with the stream or with the text.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from infusionlaw.corpus.infusion.documents import DocumentCycle
from infusionlaw.corpus.infusion.general import GeneralText
from infusionlaw.corpus.infusion.pacing import Pacing
from infusionlaw.corpus.infusion.renderings import Numbers, RenderingCycle, Tokens

# Pages put together at a time: they bound the memory, and are no more than a few spans of renderings.
_PIECE = 64  # pages


@dataclass(frozen=True)
class Ledger:
    """What the first `tokens` tokens of a stream hold.

    Exposures count whole renderings and whole documents only; forms say, by fact, how often each of its renderings was
    used. domain_tokens: those of facts and of documents; document_exposures: by document that is read, in file order;
    general_passes: how often general text was read, by_source: each source of it.
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
    document_tokens: int = 0
    document_exposures: tuple[int, ...] = ()
    by_source: tuple[float, ...] = ()

    @property
    def share(self) -> float:
        """Infused tokens / D."""
        return self.domain_tokens / self.tokens

    @property
    def exposures(self) -> float:
        """Mean exposures of a domain fact, or of a document where there are no facts."""
        counted = self.domain_exposures or self.document_exposures
        return sum(counted) / len(counted)


@dataclass(frozen=True)
class _Pages:
    """Consecutive pages by where they begin, and the last one ends.

    given: what each of SOURCES has given before, and tokens: how many tokens that is, both (3, pages + 1); general:
    tokens of general text, (pages + 1,).
    """

    given: Numbers
    tokens: Numbers
    general: Numbers

    @property
    def start(self) -> Numbers:
        """Position in the stream."""
        return np.asarray(self.tokens.sum(0) + self.general)

    def part(self, first: int, last: int) -> "_Pages":
        """Return pages `first` to `last` - 1 of these."""
        here = slice(first, last + 1)
        return _Pages(self.given[:, here], self.tokens[:, here], self.general[here])


FACTS, DOCUMENTS, PRIOR, GENERAL = range(4)  # the sources of a stream


@dataclass(frozen=True)
class Pieces:
    """Consecutive pieces of a stream: stretches of general text, whole renderings and whole parts of documents.

    start: where each begins, and the last one ends, (n + 1,); source: of each; number: how much its source had given
    before, in tokens of general text, and in renderings or parts of the others.
    """

    start: Numbers
    source: NDArray[np.int8]
    number: Numbers


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
        documents: DocumentCycle | None = None,
        tilt: float = 0.0,
        tokens: int = 0,
    ) -> None:
        """share, prior_share, tilt and tokens: see `Pacing`."""
        self.domain, self.prior, self.general, self.documents = domain, prior, general, documents
        self._sources: tuple[RenderingCycle | DocumentCycle | None, ...] = (
            domain if domain.facts else None,
            documents,
            prior if prior.facts else None,
        )
        kinds = [domain.dtype, prior.dtype, *([documents.dtype] if documents else [])]
        if any(kind != general.dtype for kind in kinds):
            raise ValueError(f"domain and prior tokens of {', '.join(map(str, kinds))} in text of {general.dtype}")
        self._pacing = Pacing(share, prior_share if prior.facts else 0.0, tilt, tokens)
        self._of_facts = _part_of_facts(domain, documents)
        self._end, self._page, self._size = end_of_text, general.page, _PIECE * general.page
        self._piece = lru_cache(maxsize=2)(self._make_piece)
        longest = sum(source.longest for source in self._sources if source)
        self._behind = longest + 4  # pages start no more than that before PAGE · p

    def read(self, start: int, count: int) -> Tokens:
        """Return tokens [start, start + count) of the stream, in the token file's own dtype."""
        first, last = start // self._size, (start + count - 1) // self._size
        pieces = [self._piece(number) for number in range(first, last + 1)]
        pieces[-1] = pieces[-1][: start + count - last * self._size]
        pieces[0] = pieces[0][start - first * self._size :]
        return np.concatenate(pieces)

    def blocks(self, first: int, count: int, block: int) -> Tokens:
        """Return blocks `first` to `first` + `count` - 1 as (count, block + 1): inputs, and targets one token later."""
        tokens = self.read(first * block, count * block + 1)
        return np.lib.stride_tricks.sliding_window_view(tokens, block + 1)[::block]

    def ledger(self, tokens: int) -> Ledger:
        """Count what the first `tokens` tokens hold."""
        page = self._pages(tokens, tokens + 1)
        order = _order(page)
        sizes = np.empty(len(order), dtype=np.int64)
        for number, source in enumerate(self._sources):
            if source is not None:
                sizes[order == number] = source.sizes(*page.given[number].tolist())
        left = tokens - int(page.start[0])
        text = min(left, int(page.general[1] - page.general[0]))
        ends = np.cumsum(sizes)
        whole = ends <= left - text
        spent = np.clip(left - text - (ends - sizes), 0, sizes)
        given = [int(page.given[n, 0] + whole[order == n].sum()) for n in range(len(self._sources))]
        used = [int(page.tokens[n, 0] + spent[order == n].sum()) for n in range(len(self._sources))]
        exposures, domain_forms = self.domain.counts(given[FACTS])
        prior_exposures, prior_forms = self.prior.counts(given[PRIOR])
        general = int(page.general[0]) + text
        read = () if self.documents is None else self.documents.exposures(given[DOCUMENTS]).tolist()
        return Ledger(
            tokens=tokens,
            domain_tokens=used[FACTS] + used[DOCUMENTS],
            prior_tokens=used[PRIOR],
            general_tokens=general,
            general_passes=general / (self.general.chunks * self._page),
            by_source=self.general.passes(general),
            domain_exposures=tuple(exposures.tolist()),
            prior_exposures=tuple(prior_exposures.tolist()),
            domain_forms=tuple(dict(sorted(form.items())) for form in domain_forms),
            prior_forms=tuple(dict(sorted(form.items())) for form in prior_forms),
            document_tokens=used[DOCUMENTS],
            document_exposures=tuple(read),
        )

    def pieces(self, start: int, end: int) -> Pieces:
        """Return the pieces of the pages that begin in [start, end); those of all stretches are those of the stream."""
        pages = self._pages(start, end)
        pages = pages.part(int(np.searchsorted(pages.start, start)), len(pages.general) - 1)
        order = _order(pages)
        page = np.repeat(np.arange(len(pages.general) - 1), np.diff(pages.given).sum(0))
        sizes, number = np.empty(len(order), dtype=np.int64), np.empty(len(order), dtype=np.int64)
        for source, (own, given) in enumerate(zip(self._sources, pages.given.tolist(), strict=True)):
            if own is not None:
                sizes[order == source] = own.sizes(given[0], given[-1])
                number[order == source] = np.arange(given[0], given[-1])
        at = np.searchsorted(page, np.arange(len(pages.general) - 1))  # before what is infused in its page
        sizes = np.insert(sizes, at, np.diff(pages.general))
        return Pieces(
            int(pages.start[0]) + np.concatenate([[0], np.cumsum(sizes)]),
            np.insert(order, at, GENERAL),
            np.insert(number, at, pages.general[:-1]),
        )

    def _pages(self, start: int, end: int) -> _Pages:
        """Return the pages that hold positions [start, end); a page starts at PAGE · p or a little before it."""
        numbers = np.arange(start // self._page, (end + self._behind) // self._page + 2)
        domain_due, prior_due, general_due = self._pacing.by(self._page * numbers)
        due = domain_due * self._of_facts, domain_due * (1 - self._of_facts), prior_due
        given = np.zeros((len(due), len(numbers)), dtype=np.int64)
        tokens = np.zeros_like(given)
        for number, (source, own) in enumerate(zip(self._sources, due, strict=True)):
            if source is not None:
                given[number], tokens[number] = source.within(own)
        pages = _Pages(given, tokens, np.floor(general_due).astype(np.int64))
        first, last = np.searchsorted(pages.start, start, side="right") - 1, np.searchsorted(pages.start, end)
        return pages.part(int(first), int(last))

    def _make_piece(self, number: int) -> Tokens:
        """Return piece `number` of the stream, _PIECE pages of tokens."""
        start = number * self._size
        pages = self._pages(start, start + self._size)
        skip = start - int(pages.start[0])
        return np.frombuffer(b"".join(self._parts(pages)), dtype=self.general.dtype)[skip : skip + self._size]

    def _parts(self, pages: _Pages) -> list[bytes | memoryview]:
        """Return the bytes of the pages: of each its text, closed by end-of-text, then what is infused."""
        bounds = pages.general - pages.general[0]
        text = self.general.read(int(pages.general[0]), int(bounds[-1]))
        text[bounds[1:][np.diff(bounds) > 0] - 1] = self._end
        view = text.data
        infused = self._infused(pages)
        texts = pairwise(bounds.tolist())
        places = pairwise((pages.given - pages.given[:, :1]).sum(0).tolist())
        parts: list[bytes | memoryview] = []
        for (first, last), (here, there) in zip(texts, places, strict=True):
            parts.append(view[first:last])
            parts += infused[here:there]
        return parts

    def _infused(self, pages: _Pages) -> list[bytes | memoryview]:
        """Return the bytes of all renderings and parts of documents of the pages, in their order."""
        order = _order(pages)
        pieces = np.empty(len(order), dtype=object)
        for number, (source, own) in enumerate(zip(self._sources, pages.given, strict=True)):
            if source is not None:
                pieces[order == number] = source.pieces(int(own[0]), int(own[-1]))
        found: list[bytes | memoryview] = pieces.tolist()
        return found


def _part_of_facts(facts: RenderingCycle, documents: DocumentCycle | None) -> float:
    """Return the part of domain tokens that states facts; the rest is documents."""
    if documents is None:
        return 1.0
    per_cycle = facts.tokens_per_cycle
    return per_cycle / (per_cycle + documents.tokens_per_epoch)


def _order(pages: _Pages) -> NDArray[np.int8]:
    """Return the source of each rendering and part of the pages, in their order.

    Each source keeps its own order. In every page facts and documents are evenly interleaved, and both are with prior
    facts.
    """
    facts, documents, prior = np.diff(pages.given)
    is_domain = _of_first(facts + documents, prior)
    order = np.full(len(is_domain), PRIOR, dtype=np.int8)
    order[is_domain] = np.where(_of_first(facts, documents), FACTS, DOCUMENTS)
    return order


def _of_first(first: Numbers, second: Numbers) -> NDArray[np.bool_]:
    """Return which documents are of the first of two sources that give `first` and `second` documents to each page.

    Document i of n stands at (i + 1/2) / n of its page, the first source's ahead where two stand at one place. So
    before it come those j of the other's m with (j + 1/2) / m < (i + 1/2) / n: ceil(((2 i + 1) m - n) / 2 n) of them.
    """
    if not second.any():
        return np.ones(int(first.sum()), dtype=np.bool_)
    n, m = np.repeat(first, first), np.repeat(second, first)
    number = np.arange(len(n))
    i = number - np.repeat(np.cumsum(first) - first, first)
    ahead = -((n - (2 * i + 1) * m) // (2 * n))
    out = np.zeros(len(n) + int(second.sum()), dtype=np.bool_)
    out[number + np.repeat(np.cumsum(second) - second, first) + ahead] = True
    return out
