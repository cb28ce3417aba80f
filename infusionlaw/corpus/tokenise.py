"""Documents made into a token file, on all cores, in their order.

    documents -> batches -> which are kept, their tokens, the bytes of these -> file

The middle is one piece of work a batch, of which nothing depends on any other. It is done by one worker a core, each of
which tokenises its batch alone: the threads of `tokenizers` would divide a batch between them and wait for each other.
Workers are threads for a short text, and processes for what goes beyond SHORT: asking whether a document is kept and
packing its tokens is Python's work, which only one thread of a process does at a time
(`python -m benchmarks.data_path tokenising`).
"""

import math
import os
import struct
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

from infusionlaw.corpus.tokens import TokenFile, Tokenizer
from infusionlaw.errors import InputError
from infusionlaw.files import atomic_path, write_json
from infusionlaw.processes import Pool, cores, serve

# Documents tokenised at a time, and characters at which a batch ends before. They bound the memory: an encoding takes
# much of it. Batches of 1000 are slower, and those of 64 leave threads idle at the end of each.
DOCUMENTS, CHARACTERS = 200, 1_000_000
FEW = 20  # documents at a time where only the first so many tokens are wanted
SHORT = 30_000_000  # characters before processes are started
MOST = 32  # processes, each of some 100 MB with the batches that wait for it
_PARALLEL = "TOKENIZERS_PARALLELISM"
Keep = Callable[[str], str]  # why a document is left out; "": it is kept


@dataclass(frozen=True)
class Piece:
    """A batch made: `data` are the tokens of the documents that were kept, each closed by end-of-text, as the file has
    them; tokens and documents count these, text_bytes their UTF-8; left_out counts the others by reason."""

    data: bytes
    tokens: int
    documents: int
    text_bytes: int
    left_out: Counter[str]
    sizes: list[int]


def keep_all(document: str) -> str:
    """Leave nothing out."""
    return ""


def write_tokens(
    path: Path,
    documents: Iterable[str],
    tokenizer: Tokenizer,
    keep: Keep = keep_all,
    limit: int | None = None,
    on_sizes: Callable[[list[int]], None] = lambda sizes: None,
) -> tuple[TokenFile, Counter[str]]:
    """Tokenise documents into `path`, each closed by end-of-text; stops after the FEW that reach `limit` tokens.

    keep: asked of every document, in another process where there is much text, so that it must be one that can be
    pickled. on_sizes: hears the tokens of each document, 0 where it was left out, some at a time. The header is written
    beside the file (`.json`) last, so a token file with a header is complete. Returns it and how many documents were
    left out, by reason. InputError when one of those processes is killed.
    """
    batches = in_batches(documents) if limit is None else in_batches(documents, FEW, math.inf)
    try:
        header, left_out = _write(
            path, _packed(batches, _Packer(tokenizer, keep)), limit, tokenizer.dtype.name, on_sizes
        )
    except BrokenProcessPool as error:
        raise InputError(
            f"{path}: a process that tokenised was killed (out of memory?) or could not start (a script must begin its "
            'work under `if __name__ == "__main__":`); fix that and run again'
        ) from error
    write_json(path.with_suffix(".json"), asdict(header))
    return header, left_out


def _write(
    path: Path,
    pieces: Generator[Piece, None, None],
    limit: int | None,
    dtype: str,
    on_sizes: Callable[[list[int]], None],
) -> tuple[TokenFile, Counter[str]]:
    tokens = documents = text_bytes = 0
    left_out: Counter[str] = Counter()
    with atomic_path(path) as part, part.open("wb") as handle, closing(pieces):
        for piece in pieces:
            handle.write(piece.data)
            tokens += piece.tokens
            documents += piece.documents
            text_bytes += piece.text_bytes
            left_out += piece.left_out
            on_sizes(piece.sizes)
            if limit is not None and tokens >= limit:
                break
    return TokenFile(tokens, documents, text_bytes, dtype), left_out


def in_batches(documents: Iterable[str], most: int = DOCUMENTS, characters: float = CHARACTERS) -> Iterator[list[str]]:
    """The documents in lists of at most `most`, the last of which takes a list to `characters` or beyond."""
    batch: list[str] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document)
        if len(batch) == most or size >= characters:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@dataclass(frozen=True)
class _Packer:
    """The work of a batch."""

    tokenizer: Tokenizer
    keep: Keep

    def __call__(self, batch: list[str]) -> Piece:
        reasons = [self.keep(text) for text in batch]
        kept = [text for text, reason in zip(batch, reasons, strict=True) if not reason]
        end, letter = self.tokenizer.end_of_text, self.tokenizer.dtype.char
        packed, lengths = [], []
        for ids in self.tokenizer.encode(kept):
            ids.append(end)
            packed.append(struct.pack(f"{len(ids)}{letter}", *ids))  # quicker than an array of a list
            lengths.append(len(ids))
        following = iter(lengths)
        sizes = [0 if reason else next(following) for reason in reasons]
        text_bytes = len("".join(kept).encode("utf8"))
        return Piece(b"".join(packed), sum(lengths), len(kept), text_bytes, Counter(filter(None, reasons)), sizes)


def _packed(batches: Iterator[list[str]], packer: _Packer) -> Generator[Piece, None, None]:
    workers = min(cores(), MOST)
    with _one_thread_a_batch(), ThreadPoolExecutor(workers) as threads:
        yield from _in_order(threads, packer, _up_to(SHORT, batches), workers)
    following = next(batches, None)
    if following is None:
        return
    with _processes(workers, packer) as pool:
        yield from _in_order(pool, _pack, chain([following], batches), 2 * workers)


@contextmanager
def _one_thread_a_batch() -> Iterator[None]:
    """What `tokenizers` looks up at every call, for a while."""
    former = os.environ.get(_PARALLEL)
    os.environ[_PARALLEL] = "false"
    try:
        yield
    finally:
        os.environ.pop(_PARALLEL, None)
        if former is not None:
            os.environ[_PARALLEL] = former


@contextmanager
def _processes(count: int, packer: _Packer) -> Iterator[ProcessPoolExecutor]:
    """Processes that pack; leaving early leaves what has not been begun."""
    pool = Pool(count, _start, (packer,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _up_to(characters: int, batches: Iterator[list[str]]) -> Iterator[list[str]]:
    """The batches before so many characters are reached, and the one that does."""
    seen = 0
    while seen < characters and (batch := next(batches, None)) is not None:
        seen += sum(map(len, batch))
        yield batch


def _in_order(
    pool: Executor, work: Callable[[list[str]], Piece], batches: Iterable[list[str]], ahead: int
) -> Iterator[Piece]:
    """The work of each batch, in their order; so many more are under way while the caller uses one."""
    running: deque[Future[Piece]] = deque()
    for batch in batches:
        running.append(pool.submit(work, batch))
        if len(running) > ahead:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


class _Worker:
    """What a process keeps between batches."""

    packer: _Packer


def _start(packer: _Packer) -> None:
    serve()
    os.environ[_PARALLEL] = "false"
    _Worker.packer = packer


def _pack(batch: list[str]) -> Piece:
    return _Worker.packer(batch)
