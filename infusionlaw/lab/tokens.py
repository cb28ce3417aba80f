"""The tokeniser and token files: text to numbers, and numbers on disk that are mapped rather than read."""

import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infusionlaw.errors import InputError
from infusionlaw.files import atomic_path, read_json, write_json

# Documents tokenised at a time, and characters at which a batch ends before. They bound the memory: an encoding takes
# much of it. Batches of 1000 are slower, and those of 64 leave threads idle at the end of each.
_DOCUMENTS, _CHARACTERS = 200, 1_000_000


class Tokenizer:
    """A `tokenizers` tokeniser with its end-of-text token. `vocabulary` counts entries, special tokens included."""

    def __init__(self, path: Path, end_of_text: str) -> None:
        from tokenizers import Tokenizer as Backend

        self.path = path
        try:
            self.backend: Any = Backend.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise InputError(f"{path}: not a readable tokenizer.json ({error}); replace it") from error
        self.backend.no_truncation()  # a file may ask for both, which would cut documents and fill up the short ones
        self.backend.no_padding()
        token = self.backend.token_to_id(end_of_text)
        if token is None:
            raise InputError(f'{path}: has no token "{end_of_text}"; set end_of_text in [tokenizer] to one that it has')
        self.end_of_text: int = token
        self.vocabulary: int = self.backend.get_vocab_size(with_added_tokens=True)

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16 while the vocabulary fits, else uint32."""
        return np.dtype(np.uint16 if self.vocabulary <= 1 << 16 else np.uint32)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, no special tokens added."""
        encodings = self.backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def encode_from(self, texts: Sequence[tuple[str, str]]) -> list[tuple[list[int], int]]:
        """For each (prompt, continuation): ids of the whole, and where the continuation's first token is.

        The text is tokenised whole, as in training, so a token that straddles the seam counts as continuation.
        """
        encodings = self.backend.encode_batch([a + b for a, b in texts], add_special_tokens=False)
        out = []
        for (prompt, _), encoding in zip(texts, encodings, strict=True):
            seam = len(prompt.rstrip())
            first = next(i for i, (_, end) in enumerate(encoding.offsets) if end > seam)
            out.append((encoding.ids, first))
        return out


def train_tokenizer(texts: Iterable[str], vocabulary: int, end_of_text: str, path: Path) -> None:
    """Train a byte-level BPE of `vocabulary` entries and write it as tokenizer.json."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers, trainers

    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[end_of_text],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    with atomic_path(path) as part:
        backend.save(str(part))


@dataclass(frozen=True)
class TokenFile:
    """The header of a token file: what the bytes beside it must be. `text_bytes` is UTF-8, end-of-text not counted."""

    tokens: int
    documents: int
    text_bytes: int
    dtype: str


def write_tokens(path: Path, documents: Iterable[str], tokenizer: Tokenizer, limit: int | None = None) -> TokenFile:
    """Tokenise documents into `path`, each closed by end-of-text; stops after the twenty that reach `limit` tokens.

    The header is written beside it (`.json`) last, so a token file with a header is complete.
    """
    tokens = count = text_bytes = 0
    end, letter = tokenizer.end_of_text, tokenizer.dtype.char
    batches = in_batches(documents) if limit is None else in_batches(documents, 20, math.inf)
    with atomic_path(path) as part, part.open("wb") as handle:
        for batch, encodings in _tokenised_ahead(batches, tokenizer):
            for encoding in encodings:
                ids = encoding.ids
                ids.append(end)
                handle.write(struct.pack(f"{len(ids)}{letter}", *ids))  # quicker than an array of a list
                tokens += len(ids)
            count += len(batch)
            text_bytes += len("".join(batch).encode("utf8"))
            if limit is not None and tokens >= limit:
                break
    header = TokenFile(tokens, count, text_bytes, tokenizer.dtype.name)
    write_json(path.with_suffix(".json"), asdict(header))
    return header


def in_batches(
    documents: Iterable[str], most: int = _DOCUMENTS, characters: float = _CHARACTERS
) -> Iterator[list[str]]:
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


def _tokenised_ahead(batches: Iterable[list[str]], tokenizer: Tokenizer) -> Iterator[tuple[list[str], list[Any]]]:
    """Each batch with its encodings; the next one is tokenised while the caller uses this one."""
    with ThreadPoolExecutor(1) as beside:
        before = None
        for batch in batches:
            work = beside.submit(tokenizer.backend.encode_batch_fast, batch, add_special_tokens=False)
            if before is not None:
                yield before[0], before[1].result()
            before = batch, work
        if before is not None:
            yield before[0], before[1].result()


def open_tokens(path: Path) -> tuple[NDArray[np.integer], TokenFile]:
    """Map a token file; InputError when it is not as long as its header says."""
    header = TokenFile(**read_json(path.with_suffix(".json")))
    want = header.tokens * np.dtype(header.dtype).itemsize
    have = path.stat().st_size if path.exists() else 0
    if have != want:
        raise InputError(
            f"{path}: holds {have} bytes where its header says {want}; remove {path.parent} and run again, it will be "
            "rebuilt and finished runs are kept"
        )
    if have == 0:  # an empty file cannot be mapped
        return np.empty(0, dtype=header.dtype), header
    return np.memmap(path, dtype=header.dtype, mode="r"), header
