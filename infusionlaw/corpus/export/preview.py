"""What comes of an insertion before it is written: what is packed into training sequences, and how even it stays.

A trainer seldom reads a corpus as it lies on disk. Megatron shuffles documents, packs them and shuffles the sequences;
others shuffle sequences alone, or the order of shards. `spread` counts, for each such order, how often every item is
given in each tenth of training.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from infusionlaw.corpus.corpus import Corpus
from infusionlaw.corpus.export import insert_rows, insert_tokens
from infusionlaw.corpus.export.insert import Plan
from infusionlaw.corpus.export.megatron import open_indexed
from infusionlaw.corpus.export.placing import Insertions, Pieces
from infusionlaw.corpus.infusion.renderings import Numbers

Order = Literal["as written", "shards", "sequences", "documents"]
ORDERS: dict[Order, str] = {
    "as written": "reads in order",
    "shards": "shuffles shards",
    "sequences": "shuffles sequences",
    "documents": "shuffles documents",
}
TENTHS = 10
SHOWN = 5  # insertions that a text shows


@dataclass(frozen=True)
class Layout:
    """Every piece in the corpus that comes out: source, item, first token from the start of all, tokens, document.

    documents: tokens of all its documents, shard after shard; shards: tokens of each; moved: by how many tokens the
    piece farthest from its even place is away from it.
    """

    source: Numbers
    item: Numbers
    start: Numbers
    size: Numbers
    document: Numbers
    documents: Numbers
    shards: Numbers
    moved: int

    @cached_property
    def tokens(self) -> int:
        """Tokens of the corpus that comes out."""
        return int(self.shards.sum())


def layout(plan: Plan, corpus: Corpus) -> Layout:
    """Return where every piece will lie; reads indexes alone."""
    insertions = plan.insertions(corpus)
    parts: list[tuple[NDArray[Any], ...]] = []
    documents: list[Numbers] = [np.empty(0, dtype=np.int64)]
    shards: list[int] = []
    count, moved = 0, 0.0
    for shard, begin in zip(plan.shards, plan.begins(), strict=True):
        base, own = sum(shards), 0
        laid = _rows if plan.field else _tokens
        for pieces, number, offset, sizes, away in laid(plan, Path(shard.path), insertions, begin):
            parts.append((pieces.source, insertions.items(pieces), base + offset, pieces.size, count + number))
            documents.append(sizes)
            count, own = count + len(sizes), own + int(sizes.sum())
            moved = max(moved, away)
        shards.append(own)
    source, item, start, size, document = (np.concatenate(own) for own in zip(*parts, strict=True))
    after = np.concatenate(documents), np.array(shards, dtype=np.int64)
    return Layout(source, item, start, size, document, *after, round(moved))


Laid = Iterator[tuple[Pieces, Numbers, Numbers, Numbers, float]]


def _tokens(plan: Plan, path: Path, insertions: Insertions, begin: int) -> Laid:
    """Give, block by block of a dataset, its pieces, the document of each and where it begins, the tokens of all
    documents, and by how many tokens a piece is away from its even place."""
    for placing in insert_tokens.placed(open_indexed(path), insertions, begin, plan.sequence, plan.inside):
        away = np.abs(placing.cut + begin - placing.pieces.place).max(initial=0)
        sizes = _sizes(*insert_tokens.index_of(placing))
        yield placing.pieces, placing.number, placing.offset, sizes, float(away)


def _rows(plan: Plan, path: Path, insertions: Insertions, begin: int) -> Laid:
    """Give the same of a file of rows; the tokens of its own rows are estimates."""
    moved = 0
    for placing in insert_rows.placed(path, plan.field, insertions, begin):
        starts = np.round(placing.starts / plan.per_token).astype(np.int64)
        size, before = placing.pieces.size, placing.before
        offset = moved + starts[before] + np.cumsum(size) - size
        sizes = np.insert(np.diff(starts), before, size)
        away = np.abs(placing.starts[before] + begin - placing.pieces.place).max(initial=0) / plan.per_token
        yield placing.pieces, placing.number, offset, sizes, float(away)
        moved += int(size.sum())


def _sizes(lengths: NDArray[np.int32], per_document: NDArray[np.int32]) -> Numbers:
    """The tokens of documents, by those of their sequences."""
    ends: Numbers = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    sizes: Numbers = np.diff(ends[np.concatenate([[0], np.cumsum(per_document)])])
    return sizes


@dataclass(frozen=True)
class Packing:
    """What becomes of the corpus in training sequences of so many tokens, each shard by itself, in its order.

    cut: pieces that lie in more than one; lost: pieces that lie, if only in part, behind the last whole sequence.
    """

    sequence: int
    sequences: int
    tokens: int
    infused: int
    cut: int
    lost: int

    @property
    def share(self) -> float:
        """Infused tokens / tokens that are packed."""
        return self.infused / self.tokens if self.tokens else 0.0


def packing(layout: Layout, sequence: int) -> Packing:
    """Pack every shard and count what comes out."""
    begins = np.cumsum(layout.shards) - layout.shards
    whole = layout.shards // sequence
    shard = np.searchsorted(begins, layout.start, side="right") - 1
    at, limit = layout.start - begins[shard], (whole * sequence)[shard]
    last = at + layout.size
    cut = (at // sequence != (last - 1) // sequence) & (layout.size > 0)
    lost = last > limit
    kept = np.clip(limit - at, 0, layout.size)
    total = int(whole.sum())
    return Packing(sequence, total, total * sequence, int(kept.sum()), int((cut & ~lost).sum()), int(lost.sum()))


@dataclass(frozen=True)
class Spread:
    """How often every item is given in each tenth of training, (items, 10), and the infused share of each, (10,)."""

    order: Order
    counts: NDArray[np.int64]
    shares: NDArray[np.float64]

    @property
    def deviation(self) -> float:
        """Root mean square of (exposures in a tenth / a tenth of the item's exposures - 1), over items and tenths."""
        each = self.counts.sum(1, keepdims=True) / TENTHS
        return float(np.sqrt(np.mean((self.counts / each - 1) ** 2)))


def spread(layout: Layout, order: Order, *, sequence: int = 2048, seed: int = 0) -> Spread:
    """Count exposures by tenth of training for a trainer that takes the corpus in this order."""
    rng, total = np.random.default_rng(seed), layout.tokens
    orders: dict[Order, Callable[[], NDArray[np.floating] | Numbers]] = {
        "as written": lambda: layout.start,
        "shards": lambda: _shuffled(layout.start, layout.shards, rng),
        "documents": lambda: _shuffled(layout.start, layout.documents, rng, layout.document),
        "sequences": lambda: sequence * rng.permutation(-(-total // sequence))[layout.start // sequence],
    }
    place = orders[order]()
    tenth = np.minimum(place * TENTHS // total, TENTHS - 1).astype(np.int64)
    _, item = np.unique(np.stack([layout.source, layout.item]), axis=1, return_inverse=True)
    items = int(item.max()) + 1 if len(item) else 0
    counts = np.bincount(item.reshape(-1) * TENTHS + tenth, minlength=items * TENTHS).reshape(items, TENTHS)
    shares = np.bincount(tenth, weights=layout.size, minlength=TENTHS) / (total / TENTHS)
    return Spread(order, counts, shares)


def _shuffled(starts: Numbers, sizes: Numbers, rng: np.random.Generator, of: Numbers | None = None) -> Numbers:
    """Return where pieces begin once the parts that they lie in, of these sizes, are shuffled."""
    begins = np.cumsum(sizes) - sizes
    part = np.searchsorted(begins, starts, side="right") - 1 if of is None else of
    order = rng.permutation(len(sizes))
    moved = np.empty_like(begins)
    moved[order] = np.cumsum(sizes[order]) - sizes[order]
    return moved[part] + starts - begins[part]


def preview_text(plan: Plan, corpus: Corpus, *, sequence: int = 2048) -> str:
    """Return what an insertion would do, as a text: what, where, how much, and what trainers make of it."""
    found, insertions = layout(plan, corpus), plan.insertions(corpus)
    packed, end = packing(found, plan.sequence or sequence), "end-of-text" if plan.ended else "nothing"
    gained = ", ".join(
        f"{given.count:,} {kind}s, {exposures:,.4g} exposures each"
        for kind, given, exposures in zip(plan.kinds, plan.given, plan.exposures, strict=True)
    )
    into, about = f"into {len(plan.shards):,} shard{'s' if plan.shards[1:] else ''} of", "about " if plan.error else ""
    lines = [
        f"{into} about {plan.size:,} tokens, an end-of-text for each row included; estimated from a sample, standard "
        f"error {plan.error:.1%}"
        if plan.error
        else f"{into} {plan.size:,} {plan.dtype} tokens, documents end with {end}",
        f"insert {gained}: {plan.tokens:,} tokens, {about}{plan.share:.4%} of {plan.size + plan.tokens:,}",
        f"at most {found.moved:,} tokens from an even place; the first:",
    ]
    begins = np.cumsum(found.shards) - found.shards
    first = insertions.between(0, plan.whole).part(0, SHOWN)
    for text, start in zip(insertions.texts(first), found.start.tolist(), strict=False):
        shard = int(np.searchsorted(begins, start, side="right")) - 1
        shown = " ".join(text.split())
        lines.append(
            f"  {plan.shards[shard].name} at token {start - int(begins[shard]):,}: {shown[:60]}"
            f"{' ...' if len(shown) > 60 else ''}"
        )
    lines += [
        f"packed in order into sequences of {packed.sequence:,}: {packed.sequences:,} sequences, share "
        f"{packed.share:.4%}; {packed.cut:,} insertions are cut by the end of a sequence, {packed.lost:,} are lost "
        "behind the last",
        "exposures of an item in a tenth of training, root mean square deviation, and infused share by tenth:",
    ]
    for order, said in ORDERS.items():
        own = spread(found, order, sequence=packed.sequence)
        lines.append(
            f"  a trainer that {said:<19} {own.deviation:6.1%}   {own.shares.min():.4%} to {own.shares.max():.4%}"
        )
    return "\n".join(lines)
