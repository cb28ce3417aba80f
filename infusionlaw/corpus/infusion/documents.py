"""Read domain documents over and over: every document once an epoch, in an order drawn for each epoch.

A document is given in parts of at most `part` tokens, one after another, so that the share of infused tokens holds to
within a page however long documents are. Only the last part of a document ends with the end-of-text token.

Documents are shuffled within shelves of up to SHELF of them, and the shelves among themselves. So an epoch can be
entered anywhere, and memory does not grow with the corpus.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infusionlaw.corpus.infusion.renderings import Numbers, Tokens

SHELF = 1 << 18  # documents


class Documents:
    """The documents of a token file: tokens (n,), and where each document ends in it (count,), ascending.

    chosen: which of them are read, ascending; None: all.
    """

    def __init__(self, tokens: Tokens, ends: Numbers, chosen: Numbers | None = None) -> None:
        self.tokens, self.ends = tokens, ends
        self.chosen = chosen
        self.count = len(ends) if chosen is None else len(chosen)

    @property
    def tokens_in_all(self) -> int:
        """Tokens of the documents that are read."""
        if self.chosen is None:
            return len(self.tokens)
        ends = np.asarray(self.ends)
        return int((ends[self.chosen] - np.where(self.chosen > 0, ends[self.chosen - 1], 0)).sum())

    def spans(self, first: int, last: int) -> tuple[Numbers, Numbers]:
        """Return where documents `first` to `last` - 1 of those that are read begin in the file, and their tokens."""
        numbers = np.arange(first, last) if self.chosen is None else np.asarray(self.chosen[first:last])
        if not len(numbers):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        base = int(numbers[0])
        ends = np.asarray(self.ends[max(0, base - 1) : int(numbers[-1]) + 1], dtype=np.int64)
        ends = np.concatenate([[0], ends]) if base == 0 else ends
        starts = ends[numbers - base]
        return starts, ends[numbers - base + 1] - starts


class DocumentCycle:
    """An endless sequence of parts of documents."""

    def __init__(self, documents: Documents, seed: Sequence[int], part: int, shelf: int = SHELF) -> None:
        self.documents, self._seed, self._part = documents, tuple(seed), part
        self._view = documents.tokens.data.cast("B")
        bounds = np.array([*range(0, documents.count, shelf), documents.count], dtype=np.int64)
        sizes = (documents.spans(first, last)[1] for first, last in pairwise(bounds.tolist()))
        shelves = np.array([(own.sum(), _parts_of(own, part).sum(), own.max()) for own in sizes], dtype=np.int64)
        self._bounds = bounds
        self._shelf_tokens, self._shelf_parts = shelves[:, 0], shelves[:, 1]
        self._longest = int(shelves[:, 2].max())
        self.tokens_per_epoch = int(self._shelf_tokens.sum())
        self.parts_per_epoch = int(self._shelf_parts.sum())
        kept = min(1024, max(4, 2 * SHELF // max(1, min(shelf, documents.count))))  # many where they are small
        self._order = lru_cache(maxsize=kept)(self._ordered_shelves)
        self._shelf = lru_cache(maxsize=kept)(self._made)
        self._names = lru_cache(maxsize=4)(self._named)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The token file's own."""
        return self.documents.tokens.dtype

    @property
    def count(self) -> int:
        """How many documents are read in an epoch."""
        return self.documents.count

    @property
    def longest(self) -> int:
        """Tokens of the longest part."""
        return min(self._longest, self._part)

    def within(self, tokens: NDArray[np.floating]) -> tuple[Numbers, Numbers]:
        """Return how many whole parts fit into the first `tokens` tokens, and how many tokens they have.

        tokens: ascending, (n,).
        """
        whole = tokens.astype(np.int64)
        first = self._at(int(whole[0]), self.tokens_per_epoch, 1)
        last = self._at(int(whole[-1]), self.tokens_per_epoch, 1)
        parts, before, starts = [], [], []
        for epoch, place in self._from(first, last):
            token, part, shelf = self._order(epoch)
            ends = self._shelf(epoch, int(shelf[place]))[2]
            starts.append(epoch * self.parts_per_epoch + int(part[place]))
            parts.append(np.arange(len(ends)) + starts[-1])
            before.append(epoch * self.tokens_per_epoch + int(token[place]) + ends - ends[0])
        known, counts = np.concatenate(before), np.concatenate(parts)
        at = np.searchsorted(known, whole, side="right") - 1
        return counts[at], known[at]

    def pieces(self, first: int, last: int) -> NDArray[np.object_]:
        """Return the bytes of parts `first` to `last` - 1."""
        starts, sizes = (own * self.dtype.itemsize for own in self._spans(first, last))
        parts = (self._view[a:b] for a, b in zip(starts.tolist(), (starts + sizes).tolist(), strict=True))
        return np.fromiter(parts, dtype=object, count=len(starts))

    def sizes(self, first: int, last: int) -> Numbers:
        """Return the tokens of parts `first` to `last` - 1."""
        return self._spans(first, last)[1]

    def named(self, first: int, last: int) -> tuple[Numbers, Numbers, NDArray[np.bool_], Numbers]:
        """Return of parts `first` to `last` - 1 the document in file order, the part's number and if it is the last.

        And how often the document had been read before.
        """
        shelves = list(self._shelves(first, last))
        named = [[own[here] for own in self._names(epoch, shelf)] for epoch, shelf, here in shelves]
        document, part, ends = (np.concatenate(own) for own in zip(*named, strict=True))
        epochs = np.repeat([epoch for epoch, _, _ in shelves], [len(own[0]) for own in named])
        chosen = self.documents.chosen
        return document if chosen is None else np.asarray(chosen)[document], part, ends, epochs

    def exposures(self, parts: int) -> Numbers:
        """Return how often each document was read to its end in the first `parts` parts, (count,)."""
        epochs, rest = divmod(parts, self.parts_per_epoch)
        read = np.full(self.count, epochs, dtype=np.int64)
        _, before, shelves = self._order(epochs)
        for place, shelf in enumerate(shelves.tolist()):
            here = rest - int(before[place])
            if here <= 0:
                break
            order, sizes = self._shuffled(epochs, shelf)
            ends = np.cumsum(_parts_of(sizes, self._part))
            read[int(self._bounds[shelf]) + order[: np.searchsorted(ends, here, side="right")]] += 1
        return read

    def _spans(self, first: int, last: int) -> tuple[Numbers, Numbers]:
        """Return where parts `first` to `last` - 1 begin in the file, and their tokens."""
        if first == last:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        found = []
        for epoch, shelf, here in self._shelves(first, last):
            starts, sizes, _ = self._shelf(epoch, shelf)
            found.append((starts[here], sizes[here]))
        return np.concatenate([s for s, _ in found]), np.concatenate([n for _, n in found])

    def _shelves(self, first: int, last: int) -> Iterator[tuple[int, int, slice]]:
        """Yield epoch and number of each shelf that has some of parts `first` to `last` - 1, and which of its parts."""
        for epoch, place in self._from(
            self._at(first, self.parts_per_epoch, 0), self._at(last - 1, self.parts_per_epoch, 0)
        ):
            _, part, shelf = self._order(epoch)
            begin = epoch * self.parts_per_epoch + int(part[place])
            yield epoch, int(shelf[place]), slice(max(0, first - begin), max(0, last - begin))

    def _at(self, position: int, per_epoch: int, what: int) -> tuple[int, int]:
        """Return epoch and place in its order of the shelf that a part (what = 0) or token (what = 1) lies in."""
        epoch, rest = divmod(position, per_epoch)
        token, part, _ = self._order(epoch)
        return epoch, int(np.searchsorted(token if what else part, rest, side="right")) - 1

    def _from(self, first: tuple[int, int], last: tuple[int, int]) -> list[tuple[int, int]]:
        shelves = len(self._shelf_tokens)
        begin, end = first[0] * shelves + first[1], last[0] * shelves + last[1]
        return [divmod(number, shelves) for number in range(begin, end + 1)]

    def _ordered_shelves(self, epoch: int) -> tuple[Numbers, Numbers, Numbers]:
        """Return the shelves in an epoch's order: tokens and parts before each, and its number."""
        order = np.random.default_rng([*self._seed, epoch]).permutation(len(self._shelf_tokens))
        tokens, parts = self._shelf_tokens[order], self._shelf_parts[order]
        return np.cumsum(tokens) - tokens, np.cumsum(parts) - parts, order

    def _shuffled(self, epoch: int, shelf: int) -> tuple[Numbers, Numbers]:
        """Return a shelf's documents in an epoch's order: their numbers on the shelf, and their tokens."""
        first, last = int(self._bounds[shelf]), int(self._bounds[shelf + 1])
        order = np.random.default_rng([*self._seed, epoch, shelf]).permutation(last - first)
        return order, self.documents.spans(first, last)[1][order]

    def _made(self, epoch: int, shelf: int) -> tuple[Numbers, Numbers, Numbers]:
        """Return the parts of a shelf: where they begin in the file, their tokens, and the tokens up to each and all.

        The last has one more than the others: (parts + 1,).
        """
        order, sizes = self._shuffled(epoch, shelf)
        starts = self.documents.spans(int(self._bounds[shelf]), int(self._bounds[shelf + 1]))[0][order]
        counts = _parts_of(sizes, self._part)
        number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        starts = np.repeat(starts, counts) + number * self._part
        sizes = np.minimum(np.repeat(sizes, counts) - number * self._part, self._part)
        return starts, sizes, np.concatenate([[0], np.cumsum(sizes)])

    def _named(self, epoch: int, shelf: int) -> tuple[Numbers, Numbers, NDArray[np.bool_]]:
        """Name the parts of a shelf: of which of the documents that are read, their number, and if it is the last."""
        order, sizes = self._shuffled(epoch, shelf)
        counts = _parts_of(sizes, self._part)
        part = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return int(self._bounds[shelf]) + np.repeat(order, counts), part, part == np.repeat(counts, counts) - 1


def _parts_of(sizes: Numbers, part: int) -> Numbers:
    return -(-sizes // part)
