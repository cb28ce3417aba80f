"""The documents of a training stream, and the rows of the ledger that say what of them was inserted."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infusionlaw.corpus.corpus import Corpus, open_corpus
from infusionlaw.corpus.export.ledger import Columns, Kind
from infusionlaw.corpus.facts import Fact, fill
from infusionlaw.corpus.infusion.mixture import DOCUMENTS, FACTS, GENERAL, PRIOR, Mixture
from infusionlaw.corpus.infusion.renderings import Numbers, RenderingCycle

KINDS: dict[int, Kind] = {FACTS: "fact", DOCUMENTS: "document", PRIOR: "prior"}
SOURCES = np.array([KINDS.get(source, "general") for source in range(4)], dtype=object)
SHARD = 100_000_000  # tokens


@dataclass(frozen=True)
class Stream:
    """At least the first `tokens` tokens of a stream over a prepared corpus, and the shards that it is cut into.

    share, prior_share, seed, questions, tilt, domain_tokens, block: as in `Corpus.mixture`; shard: tokens of each.
    """

    corpus: Path
    share: float
    tokens: int
    seed: int = 1
    prior_share: float = 0.0
    questions: bool = True
    tilt: float = 0.0
    domain_tokens: float | None = None
    block: int = 0
    shard: int = SHARD

    @property
    def shards(self) -> list[str]:
        """The names of its shards."""
        return [f"train-{number:05}" for number in range(max(1, -(-self.tokens // self.shard)))]

    def mixture(self, corpus: Corpus) -> Mixture:
        """Return the endless stream that it is the beginning of."""
        return corpus.mixture(
            self.share,
            self.prior_share,
            self.seed,
            questions=self.questions,
            tilt=self.tilt,
            tokens=self.tokens,
            domain_tokens=self.domain_tokens,
            block=self.block,
        )


class _Stated:
    """Facts as they are stated: what each rendering is called, and its text."""

    def __init__(self, cycle: RenderingCycle, facts: Sequence[Fact], templates: Sequence[Sequence[str]]) -> None:
        self.cycle = cycle
        self.ids = np.array([f"{fact.relation}: {fact.subject}" for fact in facts], dtype=object)
        texts = [fill(text, fact) for fact, own in zip(facts, templates, strict=True) for text in own]
        self.texts = np.array(texts, dtype=object)
        self._digests: dict[int, str] = {}

    def named(self, first: int, last: int) -> tuple[Numbers, Numbers, Numbers]:
        """Return of statements `first` to `last` - 1 the rendering, the fact, and which of the fact's it is."""
        renderings = self.cycle.documents(first, last)
        fact = np.searchsorted(self.cycle.renderings.first, renderings, side="right") - 1
        return renderings, fact, renderings - self.cycle.renderings.first[fact]

    def digest(self, rendering: int, data: Any) -> str:
        """Return the SHA-256 of a rendering's bytes, which are the same wherever it stands."""
        if rendering not in self._digests:
            self._digests[rendering] = hashlib.sha256(data).hexdigest()
        return self._digests[rendering]


@dataclass(frozen=True)
class Documents:
    """Consecutive documents of a stream, by column.

    tokens: of all, one after another, in the kind that is written; starts: where each begins in them, and the last one
    ends, (n + 1,); kinds: the source of each; numbers: how much this source had given before.
    """

    source: "Source"
    tokens: NDArray[Any]
    starts: Numbers
    kinds: NDArray[np.int8]
    numbers: Numbers

    @property
    def sizes(self) -> Numbers:
        """Tokens of each, end-of-text included."""
        return np.diff(self.starts)

    @cached_property
    def texts(self) -> list[str]:
        """The text of each: of a fact as it is stated, of others as their tokens spell it."""
        texts = np.empty(len(self.kinds), dtype=object)
        for kind, stated in self.source.stated.items():
            if (own := self.kinds == kind).any():
                texts[own] = stated.texts[stated.named(*self._span(own))[0]]
        rest = np.flatnonzero((self.kinds == GENERAL) | (self.kinds == DOCUMENTS))
        ends = self.starts[1:][rest]
        ends = ends - (self.tokens[ends - 1] == self.source.end)
        spans = zip(self.starts[rest].tolist(), ends.tolist(), strict=True)
        ids = [self.tokens[first:last].tolist() for first, last in spans]
        decode = self.source.corpus.tokenizer.backend.decode_batch
        texts[rest] = decode(ids, skip_special_tokens=False)
        found: list[str] = texts.tolist()
        return found

    @cached_property
    def sources(self) -> list[str]:
        """What each is: fact, document, prior or general."""
        found: list[str] = SOURCES[self.kinds].tolist()
        return found

    @cached_property
    def ids(self) -> list[str]:
        """The id that the ledger has of each; of general text, where in the general stream it begins."""
        ids = np.array(list(map(str, self.numbers.tolist())), dtype=object)
        for kind in KINDS:
            if (own := self.kinds == kind).any():
                ids[own] = self._given(kind, own)["id"]
        found: list[str] = ids.tolist()
        return found

    @cached_property
    def whole(self) -> list[bool]:
        """Whether each is all there: general text is cut where its pages end, long documents are given in parts."""
        whole = np.ones(len(self.kinds), dtype=np.bool_)
        if (own := self.kinds == GENERAL).any():
            first, sizes = int(self.numbers[own][0]), self.sizes[own]
            at = self.numbers[own] - first
            begins, ends = self.source.mixture.general.seams(first, int(at[-1] + sizes[-1]))
            whole[own] = begins[at] & ends[at + sizes - 1]
        if (own := self.kinds == DOCUMENTS).any():
            given = self._given(DOCUMENTS, own)
            whole[own] = (given["rendering"] == 0) & given["ends"]
        found: list[bool] = whole.tolist()
        return found

    def rows(self, data: Any, document: int, offset: int) -> Columns:
        """Return the rows of the ledger for what was inserted.

        data: the content, as one array of tokens or as the bytes of each text; document, offset: how many documents and
        tokens the shard has before these.
        """
        at = np.flatnonzero(self.kinds != GENERAL)
        is_text = isinstance(data, list)
        columns: dict[str, NDArray[Any]] = {
            name: np.empty(len(at), dtype=kind)
            for name, kind in (("id", object), ("file", object), ("rendering", int), ("exposure", int), ("ends", bool))
        }
        digests = np.empty(len(at), dtype=object)
        for kind in KINDS:
            own = self.kinds[at] == kind
            if not own.any():
                continue
            given = self._given(kind, self.kinds == kind)
            for name, column in columns.items():
                column[own] = given[name]
            places = at[own].tolist()
            starts, ends = self.starts[at[own]].tolist(), self.starts[at[own] + 1].tolist()
            parts = [data[i] for i in places] if is_text else [data[a:b] for a, b in zip(starts, ends, strict=True)]
            if (stated := self.source.stated.get(kind)) is None:
                digests[own] = [hashlib.sha256(part).hexdigest() for part in parts]
            else:
                renderings = stated.named(*self._span(self.kinds == kind))[0].tolist()
                digests[own] = [stated.digest(*both) for both in zip(renderings, parts, strict=True)]
        tokens = self.sizes[at]
        return {
            **columns,
            "kind": SOURCES[self.kinds[at]],
            "document": document + at,
            "offset": np.zeros(len(at), dtype=np.int64) if is_text else offset + self.starts[at],
            "tokens": tokens,
            "bytes": [len(data[i]) for i in at.tolist()] if is_text else tokens * self.tokens.itemsize,
            "sha256": digests,
        }

    def without_blank(self) -> "Documents":
        """Leave out what is nothing but an end-of-text token, as where a page ends right behind a document."""
        sizes = self.sizes
        kept = (self.kinds != GENERAL) | (sizes > 1) | (self.tokens[self.starts[:-1]] != self.source.end)
        tokens, starts = self.tokens[np.repeat(kept, sizes)], np.concatenate([[0], np.cumsum(sizes[kept])])
        return Documents(self.source, tokens, starts, self.kinds[kept], self.numbers[kept])

    def _span(self, own: NDArray[np.bool_]) -> tuple[int, int]:
        """The numbers of a source's pieces, which follow one another."""
        numbers = self.numbers[own]
        return int(numbers[0]), int(numbers[-1]) + 1

    def _given(self, kind: int, own: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """What the ledger says of the pieces of a kind that was inserted."""
        first, last = self._span(own)
        if (stated := self.source.stated.get(kind)) is not None:
            _, fact, rendering = stated.named(first, last)
            exposure, ids, ends = (
                np.arange(first, last) // stated.cycle.facts,
                stated.ids[fact],
                np.ones(len(fact), bool),
            )
            file = np.full(len(fact), "", dtype=object)
        else:
            cycle, known = self.source.mixture.documents, self.source.corpus.documents
            assert cycle is not None and known is not None
            document, rendering, ends, exposure = cycle.named(first, last)
            ids = np.array(list(map(str, document.tolist())), dtype=object)
            file = np.array([known.files[number] for number in known.file_numbers[document].tolist()], dtype=object)
        return {"id": ids, "file": file, "rendering": rendering, "exposure": exposure, "ends": ends}


class Source:
    """A stream opened to be written, its tokens in the kind that a format has for a vocabulary."""

    def __init__(self, stream: Stream, dtype: Callable[[int], np.dtype[Any]]) -> None:
        self.stream, self.corpus = stream, open_corpus(stream.corpus)
        self.mixture = stream.mixture(self.corpus)
        self.end, self.dtype = self.corpus.tokenizer.end_of_text, dtype(self.corpus.tokenizer.vocabulary)
        own, asked = self.corpus.domain_templates, self.corpus.prior_templates(stream.questions)
        self.stated = {
            FACTS: _Stated(self.mixture.domain, self.corpus.facts.domain, own),
            PRIOR: _Stated(self.mixture.prior, self.corpus.facts.prior, asked),
        }

    def documents(self, first: int, last: int, blank: bool) -> tuple[Documents, bool]:
        """Return the documents of the pages that begin in [first, last), and whether the stream ends with them.

        General text is parted at its end-of-text tokens. blank: whether documents are kept that have no text.
        """
        pieces = self.mixture.pieces(first, last)
        kept = int(np.searchsorted(pieces.start[:-1], self.stream.tokens, side="right"))
        begin, starts = int(pieces.start[0]), pieces.start[: kept + 1] - pieces.start[0]
        is_last = kept < len(pieces.source) or int(pieces.start[-1]) > self.stream.tokens
        tokens = (
            self.mixture.read(begin, int(starts[-1])) if starts[-1] else np.empty(0, dtype=self.mixture.general.dtype)
        )
        general = np.repeat(pieces.source[:kept] == GENERAL, np.diff(starts))
        bounds = np.union1d(starts, np.flatnonzero(general & (tokens == self.end)) + 1)
        piece = np.searchsorted(starts, bounds[:-1], side="right") - 1
        kinds = pieces.source[:kept][piece]
        numbers = pieces.number[:kept][piece] + (bounds[:-1] - starts[piece]) * (kinds == GENERAL)
        found = Documents(self, tokens.astype(self.dtype, copy=False), bounds, kinds, numbers)
        return found if blank else found.without_blank(), is_last
