"""General text in a stream: pages of one or several token files, each read over and over.

Several sources take turns page by page, as often as their weights say, in one pattern of TURNS pages that comes again
and again. So the stream can be entered anywhere.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infusionlaw.corpus.infusion.permutation import permuted
from infusionlaw.corpus.infusion.renderings import Numbers, Tokens

PAGE = 1024  # tokens, unless blocks are longer
TURNS = 4096  # pages in which several sources take turns
_STRETCH = 4096  # chunks of general text whose order is made at once


class _Source:
    """A token file in chunks of a page. Every pass takes all of them, in an order drawn for that pass."""

    def __init__(self, tokens: Tokens, seed: Sequence[int], page: int) -> None:
        self.chunks = len(tokens) // page
        if self.chunks == 0:
            raise ValueError(f"{len(tokens)} tokens of general text are fewer than one page of {page}")
        self.table = np.asarray(tokens)[: self.chunks * page].reshape(self.chunks, page)
        self._seed = tuple(seed)
        self._order = lru_cache(maxsize=4)(self._ordered)

    def places(self, first: int, last: int) -> Numbers:
        """Return where in the file chunks `first` to `last` - 1 are."""
        return np.concatenate([np.empty(0, np.int64), *self._stretches(first, last)])

    def _stretches(self, first: int, last: int) -> Iterator[Numbers]:
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


class GeneralText:
    """An endless stream over token files of one dtype: chunks of `page` tokens, each closed by end-of-text.

    weights: how often the sources are read beside each other; None: there is one, or all alike.
    """

    def __init__(
        self,
        sources: Tokens | Sequence[Tokens],
        end_of_text: int,
        seed: Sequence[int],
        weights: Sequence[float] | None = None,
        page: int = PAGE,
    ) -> None:
        files = [sources] if isinstance(sources, np.ndarray) else list(sources)
        seeds = [(*seed,)] if len(files) == 1 else [(*seed, number) for number in range(len(files))]
        self._sources = [_Source(tokens, own, page) for tokens, own in zip(files, seeds, strict=True)]
        self._end, self.page = end_of_text, page
        self.chunks = sum(source.chunks for source in self._sources)
        self._turns = _turns(weights or [1.0] * len(files))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The token files' own."""
        return self._sources[0].table.dtype

    def read(self, start: int, count: int) -> Tokens:
        """Return `count` tokens of the stream from position `start`."""
        first, last = start // self.page, -(-(start + count) // self.page)
        chunks = self._chunks(first, last)
        chunks[:, -1] = self._end
        found: Tokens = chunks.reshape(-1)[start - first * self.page :][:count]
        return found

    def seams(self, start: int, count: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return of each of these tokens whether a document of its file begins with it, and whether one ends with it.

        What begins and ends elsewhere is cut.
        """
        first, last = start // self.page, -(-(start + count) // self.page)
        ends = self._chunks(first, last) == self._end
        before = np.ones(last - first, dtype=np.bool_)
        for source, rows, places in self._places(first, last):
            before[rows] = (places == 0) | (source.table[places - 1, -1] == self._end)
        begins = np.concatenate([before[:, None], ends[:, :-1]], axis=1)
        here = slice(start - first * self.page, start - first * self.page + count)
        return begins.reshape(-1)[here], ends.reshape(-1)[here]

    def _chunks(self, first: int, last: int) -> Tokens:
        """Return chunks `first` to `last` - 1 of the stream as their files have them."""
        if len(self._sources) == 1:
            source = self._sources[0]
            return np.asarray(source.table[source.places(first, last)])
        chunks = np.empty((last - first, self.page), dtype=self.dtype)
        for source, rows, places in self._places(first, last):
            chunks[rows] = source.table[places]
        return chunks

    def _places(self, first: int, last: int) -> Iterator[tuple[_Source, NDArray[np.bool_], Numbers]]:
        """Yield each source with which of chunks `first` to `last` - 1 are its own, and where in its file they are."""
        whose = self._turns[np.arange(first, last) % TURNS]
        for number, (source, begin) in enumerate(zip(self._sources, self._given(first), strict=True)):
            own = whose == number
            yield source, own, source.places(begin, begin + int(own.sum()))

    def passes(self, tokens: int) -> tuple[float, ...]:
        """Return how often each source is read in the first `tokens` tokens, counting by pages."""
        pages, rest = divmod(tokens, self.page)
        given = [float(number) for number in self._given(pages)]
        given[int(self._turns[pages % TURNS])] += rest / self.page
        return tuple(number / source.chunks for number, source in zip(given, self._sources, strict=True))

    def _given(self, pages: int) -> list[int]:
        """Return the pages that each source has given by a page."""
        rounds, rest = divmod(pages, TURNS)
        whole, begun = (np.bincount(turns, minlength=len(self._sources)) for turns in (self._turns, self._turns[:rest]))
        return [int(number) for number in rounds * whole + begun]


def _turns(weights: Sequence[float]) -> NDArray[np.int64]:
    """Return the source of each of TURNS pages: as many of each as its weight says, evenly spread."""
    exact = np.array(weights, dtype=float) / sum(weights) * TURNS
    counts = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: TURNS - counts.sum()]] += 1  # the largest remainders
    source = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(TURNS) - np.repeat(np.cumsum(counts) - counts, counts)
    return source[np.argsort((place + 0.5) / counts[source], kind="stable")]
