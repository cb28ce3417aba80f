"""Insert into a Megatron dataset, and take the insertions out again.

A shard is copied block by block: so many documents, with the pieces whose places lie among them. A piece between two
documents is a document of its own, of one sequence. One inside a document, where that is asked for, lengthens the
sequence that it is in, and lies whole in one training sequence where it fits, if the shard is read in its order.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infusionlaw.corpus.export.ledger import Part
from infusionlaw.corpus.export.megatron import Indexed, bin_path, idx_path, open_indexed, writing
from infusionlaw.corpus.export.placing import Insertions, Pieces, Wrapping, nearest
from infusionlaw.corpus.infusion.renderings import Numbers
from infusionlaw.corpus.tokens import Tokenizer
from infusionlaw.errors import InputError
from infusionlaw.files import file_hash

BLOCK = 1 << 21  # tokens of the documents that are looked at together
WINDOW = 1 << 17  # tokens that are copied at a time: what a processor keeps at hand
_DOCUMENTS = 1 << 16  # documents whose index is read at a time
_SAMPLE = 500  # documents of a shard that are looked at
_NONE = np.empty(0, dtype=np.int32)


def measure(path: Path) -> tuple[int, int]:
    """Return the documents and the tokens of a shard; InputError where it holds images beside text."""
    source = open_indexed(path)
    if source.modes:
        raise InputError(f"{idx_path(path)}: has images beside text; only text can be infused")
    if source.dtype.kind not in "iu":
        raise InputError(f"{idx_path(path)}: holds {source.dtype.name}, which are no tokens; give a corpus of tokens")
    return source.documents, source.count


def wrapping(path: Path, tokenizer: Tokenizer, enclosed: bool) -> Wrapping | None:
    """Return how a piece has to stand in a dataset, by what its documents end with; None where it has no tokens.

    InputError where they hold or end with tokens that are not those of the tokeniser.
    """
    source = open_indexed(path)
    numbers = np.unique(np.linspace(0, max(0, source.documents - 1), _SAMPLE).astype(np.int64))
    numbers = numbers if source.documents else numbers[:0]
    read = [own for number in numbers.tolist() if len(own := source.document(number))]
    if not read:
        return None
    if tokenizer.vocabulary - 1 > np.iinfo(source.dtype).max:
        raise InputError(
            f"{bin_path(path)}: has tokens of {source.dtype.name}, which cannot hold the {tokenizer.vocabulary:,} of "
            f"{tokenizer.path}; prepare the study with the tokenizer of this corpus"
        )
    largest = max((int(own[-BLOCK:].max()) for own in read), default=0)
    if largest >= tokenizer.vocabulary:
        raise InputError(
            f"{bin_path(path)}: holds token {largest:,}, and {tokenizer.path} has {tokenizer.vocabulary:,}; "
            "prepare the study with the tokenizer of this corpus"
        )
    last = {int(own[-1]) for own in read}
    end = min(last)
    elsewhere = any((own[:-1] == end).any() for own in read)  # so it is a token like others
    if len(last) == 1 and len(read) > 20 and end != tokenizer.end_of_text and not elsewhere:
        raise InputError(
            f"{bin_path(path)}: its documents end with token {end:,}, and the end of text of {tokenizer.path} "
            f"is {tokenizer.end_of_text:,}; prepare the study with the tokenizer of this corpus"
        )
    ended = last == {tokenizer.end_of_text}
    return Wrapping(source.dtype, ended, enclosed and ended)


@dataclass(frozen=True)
class _Block:
    """Consecutive documents: tokens of their sequences, the sequence each begins with, and its first token.

    Sequences are counted from the block's first; starts: from the shard's first token, (documents + 1,).
    """

    lengths: NDArray[np.int32]
    bounds: Numbers
    starts: Numbers
    last: bool


def _blocks(source: Indexed) -> Iterator[_Block]:
    at = 0
    for first in range(0, source.documents, _DOCUMENTS):
        last = min(source.documents, first + _DOCUMENTS)
        bounds = source.bounds(first, last)
        here = int(bounds[0]), int(bounds[-1])
        lengths = source.lengths(*here)
        before = at + np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        if (first == 0 and here[0]) or (np.diff(bounds) < 0).any():
            raise InputError(f"{idx_path(source.prefix)}: its documents are not in order; write the dataset again")
        if not np.array_equal(source.pointers(*here), before[:-1] * source.dtype.itemsize):
            raise InputError(
                f"{idx_path(source.prefix)}: its sequences have gaps between them; write the dataset again"
            )
        bounds = bounds - here[0]
        starts = before[bounds]
        begin = 0
        while begin < last - first:
            end = max(begin + 1, int(np.searchsorted(starts, starts[begin] + BLOCK, side="right")) - 1)
            own = slice(int(bounds[begin]), int(bounds[end]))
            is_last = first + end == source.documents
            yield _Block(lengths[own], bounds[begin : end + 1] - bounds[begin], starts[begin : end + 1], is_last)
            begin = end
        at = int(starts[-1])


@dataclass(frozen=True)
class Placed:
    """The pieces of a block and where they go.

    cut: the token of the shard they stand before; document: the one of the block they stand before or, if inside, in;
    offset: the token of the new shard that each begins with.
    """

    block: _Block
    pieces: Pieces
    cut: Numbers
    document: Numbers
    inside: NDArray[np.bool_]
    offset: Numbers

    @property
    def number(self) -> Numbers:
        """The number of the document that each piece is or is in, among those of the block as it comes out."""
        own = ~self.inside
        return self.document + np.cumsum(own) - own


def placed(
    source: Indexed, insertions: Insertions, begin: int, sequence: int = 0, inside: bool = False
) -> Iterator[Placed]:
    """Give the blocks of a shard with their pieces, in order.

    begin: tokens of the corpus before the shard; sequence: tokens of a training sequence, which only inside needs.
    """
    moved, late = 0, insertions.between(0, 0)
    for block in _blocks(source):
        pieces = insertions.between(begin + int(block.starts[0]), begin + int(block.starts[-1]))
        if inside:
            pieces = Pieces(
                *(np.concatenate(own) for own in zip(vars(late).values(), vars(pieces).values(), strict=True))
            )
            cut = _aligned(pieces.place - begin, pieces.size, moved, sequence, block)
            here = len(cut) if block.last else int(np.searchsorted(cut, block.starts[-1], side="right"))
            pieces, late, cut = pieces.part(0, here), pieces.part(here, len(pieces)), cut[:here]
            cut = np.minimum(cut, block.starts[-1])
            document = np.searchsorted(block.starts, cut, side="right") - 1
            is_inside = cut > block.starts[document]
        else:
            document = nearest(block.starts, pieces.place - begin)
            cut, is_inside = block.starts[document], np.zeros(len(pieces), dtype=np.bool_)
        ends = np.cumsum(pieces.size)
        yield Placed(block, pieces, cut, document, is_inside, moved + cut + ends - pieces.size)
        moved += int(ends[-1]) if len(ends) else 0


def _aligned(places: NDArray[np.floating], sizes: Numbers, moved: int, sequence: int, block: _Block) -> Numbers:
    """Return the token before which each piece goes, so that none is cut by the end of a training sequence."""
    cuts: Numbers = np.maximum(np.floor(places).astype(np.int64), block.starts[0])
    if not sequence:
        return cuts
    out, least = [], int(block.starts[0])
    for cut, size in zip(cuts.tolist(), sizes.tolist(), strict=True):
        cut = max(cut, least)
        over = (cut + moved) % sequence
        if over + size > sequence and size <= sequence:
            cut += sequence - over
        out.append(cut)
        least, moved = cut, moved + size
    return np.array(out, dtype=np.int64)


def copy(
    path: Path, out: Path, insertions: Insertions, begin: int, part: Part, *, sequence: int = 0, inside: bool = False
) -> dict[str, str]:
    """Write a shard with its insertions and fill its part of the ledger; return the SHA-256 of the original's files."""
    source, original, documents = open_indexed(path), hashlib.sha256(), 0
    width = source.dtype.itemsize
    room = bytearray(WINDOW * width), bytearray(2 * WINDOW * width)
    with bin_path(path).open("rb", buffering=0) as file, writing(out, source.dtype) as writer:
        for placing in placed(source, insertions, begin, sequence, inside):
            pieces = insertions.data(placing.pieces)
            for begin_at, end_at, low, high in _windows(placing):
                text = _filled(file, memoryview(room[0])[: (end_at - begin_at) * width])
                original.update(text)
                cuts = (placing.cut[low:high] - begin_at) * width
                data = _joined(text, cuts.tolist(), pieces[low:high], room[1])
                writer.extend(data, _NONE, _NONE)
                part.content(data, 0, len(data) // width)
            lengths, per_document = index_of(placing)
            writer.extend(b"", lengths, per_document)
            part.content(b"", len(per_document), 0)
            if pieces:
                columns = insertions.columns(placing.pieces, pieces)
                part.insert({**columns, "document": documents + placing.number, "offset": placing.offset})
            documents += len(per_document)
    part.files = [bin_path(out), idx_path(out)]
    return {bin_path(path).name: original.hexdigest(), idx_path(path).name: file_hash(idx_path(path))}


def _windows(placing: Placed) -> Iterator[tuple[int, int, int, int]]:
    """Give the stretches of a block that are copied at a time: their tokens and pieces, from which to which."""
    first, last, cut = int(placing.block.starts[0]), int(placing.block.starts[-1]), placing.cut
    for begin in range(first, max(last, first + 1), WINDOW):
        end = min(last, begin + WINDOW)
        low = int(np.searchsorted(cut, begin)) if begin > first else 0
        yield begin, end, low, len(cut) if end == last else int(np.searchsorted(cut, end))


def _joined(text: memoryview, cuts: list[int], pieces: list[bytes], room: bytearray) -> memoryview:
    """Return a text with a piece at each of these places; room: where it is put together, longer if need be."""
    if not pieces:
        return text
    size = len(text) + sum(map(len, pieces))
    view = memoryview(room if size <= len(room) else bytearray(size))
    at = former = 0
    for cut, piece in zip(cuts, pieces, strict=True):
        if cut > former:
            view[at : at + cut - former] = text[former:cut]
            at, former = at + cut - former, cut
        view[at : at + len(piece)] = piece
        at += len(piece)
    view[at:size] = text[former:]
    return view[:size]


def _filled(file: Any, view: memoryview) -> memoryview:
    """Return a stretch of memory filled from a file."""
    read = 0
    while read < len(view):
        more = file.readinto(view[read:])
        if not more:
            raise InputError(f"{file.name}: became shorter while it was read; leave it as it is and run again")
        read += more
    return view


def index_of(placing: Placed) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the tokens of each sequence of a block with its insertions, and the sequences of each document."""
    block, sizes, own = placing.block, placing.pieces.size.astype(np.int32), ~placing.inside
    lengths = block.lengths.copy()
    if placing.inside.any():
        begins = block.starts[0] + np.cumsum(lengths, dtype=np.int64) - lengths
        holder = np.searchsorted(begins, placing.cut[placing.inside], side="right") - 1
        np.add.at(lengths, holder, sizes[placing.inside])
    before = placing.document[own]
    lengths = np.insert(lengths, block.bounds[before], sizes[own])
    return lengths, np.insert(np.diff(block.bounds).astype(np.int32), before, 1)


def take_out(path: Path, out: Path, document: Numbers, offset: Numbers, tokens: Numbers) -> dict[str, str]:
    """Write a shard without the insertions at these places; return the SHA-256 of the files that come out."""
    source, digest = open_indexed(path), hashlib.sha256()
    if len(document) and (document.max() >= source.documents or (offset + tokens).max() > source.count):
        raise InputError(f"{bin_path(path)}: is shorter than its ledger says; run infusionlaw verify")
    lengths, bounds = source.lengths(), source.bounds()
    begins = np.cumsum(lengths, dtype=np.int64) - lengths
    starts = np.concatenate([begins, [source.count]])[bounds]
    own = starts[document + 1] - starts[document] == tokens
    np.subtract.at(lengths, np.searchsorted(begins, offset[~own], side="right") - 1, tokens[~own].astype(np.int32))
    gone = np.zeros(source.documents, dtype=np.bool_)
    gone[document[own]] = True
    per_document = np.diff(bounds).astype(np.int32)
    lengths = lengths[~np.repeat(gone, per_document)]
    with bin_path(path).open("rb") as file, writing(out, source.dtype) as writer:
        for data in _without(file, offset, tokens, source):
            digest.update(data)
            writer.extend(data, _NONE, _NONE)
        writer.extend(b"", lengths, per_document[~gone])
    return {bin_path(out).name: digest.hexdigest(), idx_path(out).name: file_hash(idx_path(out))}


def _without(file: Any, offset: Numbers, tokens: Numbers, source: Indexed) -> Iterator[bytes]:
    """Give the bytes of a file without some stretches of it."""
    width = source.dtype.itemsize
    room = memoryview(bytearray(BLOCK * width))
    for begin in range(0, source.count, BLOCK):
        end = min(source.count, begin + BLOCK)
        text = _filled(file, room[: (end - begin) * width])
        low = int(np.searchsorted(offset + tokens, begin, side="right"))
        high = int(np.searchsorted(offset, end))
        first = np.clip(offset[low:high] - begin, 0, end - begin) * width
        last = np.clip(offset[low:high] + tokens[low:high] - begin, 0, end - begin) * width
        cuts = zip([0, *last.tolist()], [*first.tolist(), len(text)], strict=True)
        yield b"".join([text[a:b] for a, b in cuts])
