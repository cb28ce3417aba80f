"""What is put into a corpus that exists, and where: as evenly as the corpus is long, whatever order its shards have.

Everything follows from few numbers, so that any part of a corpus can be made by itself. A source, facts or documents,
gives its pieces in cycles: each item once a cycle, in an order drawn again for each. Of `count` pieces with `tokens`
tokens in all, the middle of a piece lies at

    place = size · (tokens of its source before it + half of its own) / tokens

where size is that of the whole corpus, in its own unit. So every stretch of the corpus holds as much of every source as
its length says, to within a piece. A piece then goes to the end of a document that is nearest to its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from infusionlaw.corpus.corpus import Corpus
from infusionlaw.corpus.facts import fill
from infusionlaw.corpus.infusion.documents import DocumentCycle
from infusionlaw.corpus.infusion.renderings import Numbers, RenderingCycle
from infusionlaw.errors import InputError

WHOLE = 1 << 40  # tokens: no document is divided
Columns = dict[str, Any]


@dataclass(frozen=True)
class Dose:
    """How much is inserted: a share of the tokens that come out, or how often each item is stated or read."""

    share: float | None = None
    exposures: float | None = None

    def __post_init__(self) -> None:
        if (self.share is None) == (self.exposures is None):
            raise InputError("the dose of an insertion is a share or a number of exposures; give one of the two")
        if self.share is not None and not 0 < self.share < 1:
            raise InputError(f"a share of {self.share:g} is not between 0 and 1; give one that is")
        if self.exposures is not None and not self.exposures > 0:
            raise InputError(f"{self.exposures:g} exposures are none; give more than 0")


@dataclass(frozen=True)
class Wrapping:
    """How a piece stands in the corpus: whether an end-of-text token follows it, and whether one goes before it.

    dtype: what a token is in the corpus.
    """

    dtype: np.dtype[Any]
    ended: bool = True
    enclosed: bool = False

    @property
    def more(self) -> int:
        """By how many tokens a piece is longer than its source has it; sources have it with one end-of-text."""
        return (0 if self.ended else -1) + (1 if self.enclosed else 0)


class Source(Protocol):
    """What gives pieces, numbered from 0 without end."""

    kind: str
    items: int
    mean: float  # tokens of a piece, as its source has it

    def within(self, tokens: NDArray[np.floating]) -> tuple[Numbers, Numbers]: ...

    def sizes(self, first: int, last: int) -> Numbers: ...

    def data(self, first: int, last: int) -> list[bytes]: ...

    def texts(self, first: int, last: int) -> list[str]: ...

    def which(self, first: int, last: int) -> Numbers: ...

    def columns(self, first: int, last: int) -> Columns: ...


class Facts:
    """The renderings of domain facts."""

    kind = "fact"

    def __init__(self, corpus: Corpus, cycle: RenderingCycle, wrapping: Wrapping) -> None:
        self._corpus, self._cycle, self._wrapping = corpus, cycle, wrapping
        self.items, self.mean = cycle.facts, cycle.tokens_per_rendering
        self.within, self.sizes = cycle.within, cycle.sizes

    @cached_property
    def _data(self) -> NDArray[np.object_]:
        wrapped = _wrapped(self._cycle.renderings.tokens.tolist(), self._cycle.dtype, self._corpus, self._wrapping)
        return np.fromiter(wrapped, dtype=object, count=len(wrapped))

    @cached_property
    def _texts(self) -> NDArray[np.object_]:
        stated = zip(self._corpus.facts.domain, self._corpus.domain_templates, strict=True)
        texts = [fill(template, fact) for fact, templates in stated for template in templates]
        return np.fromiter(texts, dtype=object, count=len(texts))

    @cached_property
    def _ids(self) -> NDArray[np.object_]:
        ids = [f"{fact.relation}: {fact.subject}" for fact in self._corpus.facts.domain]
        return np.fromiter(ids, dtype=object, count=len(ids))

    def data(self, first: int, last: int) -> list[bytes]:
        """Return the pieces as tokens of the corpus."""
        found: list[bytes] = self._data[self._cycle.documents(first, last)].tolist()
        return found

    def texts(self, first: int, last: int) -> list[str]:
        """Return the pieces as text."""
        found: list[str] = self._texts[self._cycle.documents(first, last)].tolist()
        return found

    def which(self, first: int, last: int) -> Numbers:
        """Return the item that each piece is of."""
        numbers = self._cycle.documents(first, last)
        return np.searchsorted(self._cycle.renderings.first, numbers, side="right").astype(np.int64) - 1

    def columns(self, first: int, last: int) -> Columns:
        """Return what the ledger says of the pieces, but where they are and what they hold."""
        numbers, facts, count = self._cycle.documents(first, last), self.which(first, last), last - first
        return {
            "kind": np.full(count, self.kind, dtype=object),
            "id": self._ids[facts],
            "file": np.full(count, "", dtype=object),
            "rendering": numbers - self._cycle.renderings.first[facts],
            "exposure": np.arange(first, last) // self.items,
        }


class WholeDocuments:
    """Domain documents, each in one piece."""

    kind = "document"

    def __init__(self, corpus: Corpus, cycle: DocumentCycle, wrapping: Wrapping) -> None:
        self._corpus, self._cycle, self._wrapping = corpus, cycle, wrapping
        self.items, self.mean = cycle.count, cycle.tokens_per_epoch / cycle.count
        self.within, self.sizes = cycle.within, cycle.sizes

    def data(self, first: int, last: int) -> list[bytes]:
        """Return the pieces as tokens of the corpus."""
        pieces = [bytes(piece) for piece in self._cycle.pieces(first, last)]
        return _wrapped(pieces, self._cycle.dtype, self._corpus, self._wrapping)

    def texts(self, first: int, last: int) -> list[str]:
        """Return the pieces as text: what the study's models read, out of its tokens."""
        ids = [np.frombuffer(piece, dtype=self._cycle.dtype)[:-1] for piece in self._cycle.pieces(first, last)]
        backend = self._corpus.tokenizer.backend
        found: list[str] = backend.decode_batch([own.tolist() for own in ids], skip_special_tokens=False)
        return found

    def which(self, first: int, last: int) -> Numbers:
        """Return the item that each piece is of."""
        return self._cycle.named(first, last)[0]

    def columns(self, first: int, last: int) -> Columns:
        """Return what the ledger says of the pieces, but where they are and what they hold."""
        if first == last:
            return {name: np.empty(0, dtype=object) for name in ("kind", "id", "file", "rendering", "exposure")}
        documents = self._corpus.documents
        assert documents is not None
        numbers, parts, _, exposures = self._cycle.named(first, last)
        files = np.array(documents.files, dtype=object)
        return {
            "kind": np.full(last - first, self.kind, dtype=object),
            "id": numbers.astype(str).astype(object),
            "file": files[documents.file_numbers[numbers]],
            "rendering": parts,
            "exposure": exposures,
        }


def _wrapped(pieces: list[bytes], dtype: np.dtype[Any], corpus: Corpus, wrapping: Wrapping) -> list[bytes]:
    if wrapping.dtype.itemsize != dtype.itemsize:
        pieces = [np.frombuffer(piece, dtype=dtype).astype(wrapping.dtype).tobytes() for piece in pieces]
    end = wrapping.dtype.type(corpus.tokenizer.end_of_text).tobytes()
    before, behind = end if wrapping.enclosed else b"", None if wrapping.ended else -len(end)
    return [before + piece[:behind] for piece in pieces]


@dataclass(frozen=True)
class Given:
    """How many pieces a source gives in all, and their tokens as the source has them."""

    count: int
    tokens: int


@dataclass(frozen=True)
class Pieces:
    """Pieces that follow one another: the source and number of each, its place and its tokens in the corpus."""

    source: NDArray[np.int8]
    number: Numbers
    place: NDArray[np.floating]
    size: Numbers

    def __len__(self) -> int:
        return len(self.number)

    def part(self, first: int, last: int) -> "Pieces":
        """Return pieces `first` to `last` - 1 of these."""
        here = slice(first, last)
        return Pieces(self.source[here], self.number[here], self.place[here], self.size[here])


class Insertions:
    """All pieces that go into a corpus of a size; any stretch of them is found by itself."""

    def __init__(
        self,
        corpus: Corpus,
        wrapping: Wrapping,
        given: Sequence[Given] | None = None,
        size: int = 0,
        *,
        seed: int = 0,
        domain_tokens: float | None = None,
    ) -> None:
        """given: by source; None: nothing yet, see `dosed`. size: of the corpus, in any unit."""
        facts, documents = corpus.infused(seed, WHOLE, domain_tokens)
        self.sources: list[Source] = []
        if facts.facts:
            self.sources.append(Facts(corpus, facts, wrapping))
        if documents is not None:
            self.sources.append(WholeDocuments(corpus, documents, wrapping))
        if not self.sources:
            raise InputError(f"{corpus.folder}: has neither domain facts nor domain documents, so nothing to insert")
        self.wrapping, self.size = wrapping, size
        self.given = tuple(given or (Given(0, 0) for _ in self.sources))

    def dosed(self, dose: Dose, tokens: float) -> tuple[Given, ...]:
        """Return what each source gives for a dose. tokens: of the corpus."""
        if dose.exposures is not None:
            return tuple(_given(source, round(dose.exposures * source.items)) for source in self.sources)
        assert dose.share is not None
        cycle = [source.items * source.mean for source in self.sources]
        wrapped = [source.items * (source.mean + self.wrapping.more) for source in self.sources]
        cycles = dose.share / (1 - dose.share) * tokens / sum(wrapped)
        return tuple(
            _given(source, max(1, int(source.within(np.array([own * cycles]))[0][0])))
            for source, own in zip(self.sources, cycle, strict=True)
        )

    @property
    def tokens(self) -> int:
        """Tokens that the corpus gains."""
        return sum(given.tokens + self.wrapping.more * given.count for given in self.given)

    @property
    def count(self) -> int:
        """How many pieces are inserted."""
        return sum(given.count for given in self.given)

    def between(self, first: int, last: int) -> Pieces:
        """Return the pieces whose place is in [first, last) of the corpus, in their order."""
        found = [self._of(number, first, last) for number in range(len(self.sources))]
        source, number, place, size = (np.concatenate(own) for own in zip(*found, strict=True))
        order = np.argsort(place, kind="stable")
        return Pieces(source[order], number[order], place[order], size[order] + self.wrapping.more)

    def _of(self, which: int, first: int, last: int) -> tuple[NDArray[np.int8], Numbers, NDArray[np.floating], Numbers]:
        source, given = self.sources[which], self.given[which]
        rate = given.tokens / self.size if self.size else 0.0
        counts, before = source.within(np.array([first * rate, last * rate]))
        begin, end = min(int(counts[0]), given.count), min(int(counts[1]) + 1, given.count)
        sizes = source.sizes(begin, end) if begin < end else np.empty(0, dtype=np.int64)
        middle = int(before[0]) + np.cumsum(sizes) - sizes / 2
        place = middle * (self.size / given.tokens) if given.tokens else middle
        here = (place >= first) & (place < last)
        numbers = np.arange(begin, begin + len(sizes))[here]
        return np.full(len(numbers), which, dtype=np.int8), numbers, place[here], sizes[here]

    def data(self, pieces: Pieces) -> list[bytes]:
        """Return the tokens of pieces."""
        return self._gathered(pieces, "data")

    def texts(self, pieces: Pieces) -> list[str]:
        """Return the texts of pieces."""
        return self._gathered(pieces, "texts")

    def items(self, pieces: Pieces) -> Numbers:
        """Return the item that each piece is of: its number in its source."""
        found = np.empty(len(pieces), dtype=np.int64)
        for which, first, last, own in self._spans(pieces):
            found[own] = self.sources[which].which(first, last)
        return found

    def columns(self, pieces: Pieces, data: Sequence[bytes]) -> Columns:
        """Return what the ledger says of pieces, but where they are. data: their bytes."""
        found: dict[str, NDArray[Any]] = {}
        for which, first, last, own in self._spans(pieces):
            for name, values in self.sources[which].columns(first, last).items():
                column = found.setdefault(name, np.empty(len(pieces), dtype=values.dtype))
                column[own] = values
        return {
            **found,
            "ends": np.ones(len(pieces), dtype=np.bool_),
            "tokens": pieces.size,
            "bytes": np.array([len(piece) for piece in data], dtype=np.int64),
            "sha256": [sha256(piece).hexdigest() for piece in data],
        }

    def _gathered(self, pieces: Pieces, what: str) -> list[Any]:
        found = np.empty(len(pieces), dtype=object)
        for which, first, last, own in self._spans(pieces):
            values = getattr(self.sources[which], what)(first, last)
            found[own] = np.fromiter(values, dtype=object, count=len(values))
        return found.tolist()

    def _spans(self, pieces: Pieces) -> list[tuple[int, int, int, NDArray[np.bool_]]]:
        """Return by source: its number, its pieces among these from first to last, and which of these they are."""
        spans = []
        for which in range(len(self.sources)):
            own = pieces.source == which
            if own.any():
                numbers = pieces.number[own]
                spans.append((which, int(numbers[0]), int(numbers[-1]) + 1, own))
        return spans


def nearest(starts: Numbers, places: NDArray[np.floating]) -> Numbers:
    """Return which of `starts` is nearest to each place."""
    behind = np.clip(np.searchsorted(starts, places), 1, len(starts) - 1)
    closer = places - starts[behind - 1] < starts[behind] - places
    found: Numbers = behind - closer
    return found


def _given(source: Source, count: int) -> Given:
    """What a source gives with so many pieces."""
    near, tokens = (int(own[0]) for own in source.within(np.array([count * source.mean])))
    more = source.sizes(near, count) if near < count else -source.sizes(count, near) if near > count else np.zeros(1)
    return Given(count, tokens + int(more.sum()))
