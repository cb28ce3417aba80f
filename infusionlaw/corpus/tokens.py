"""The tokenizer and token files: text to numbers, and numbers on disk that are mapped rather than read.

`tokenise.py` writes the files.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infusionlaw.corpus.digests import prepare_again
from infusionlaw.errors import InputError
from infusionlaw.files import atomic_path, read_typed

_NEVER = -1e5  # log-probability of a piece that no text is split into


class Tokenizer:
    """A `tokenizers` tokenizer with its end-of-text token; text is text, and equal texts have equal tokens.

    vocabulary: its largest id and one, special tokens included, for ids may have gaps.
    """

    def __init__(self, path: Path, end_of_text: str) -> None:
        from tokenizers import Tokenizer as Backend

        self.path, self.end_text = path, end_of_text
        try:
            self.backend: Any = Backend.from_str(_without_piece(path.read_text(encoding="utf-8-sig"), end_of_text))
        except Exception as error:  # the library raises bare Exception
            raise InputError(f"{path}: not a readable tokenizer.json ({error}); replace it") from error
        self.backend.no_truncation()  # a file may ask for both, which would cut documents and fill up the short ones
        self.backend.no_padding()
        if getattr(self.backend.model, "dropout", None):  # it would split a text at random
            self.backend.model.dropout = None
        token = self.backend.token_to_id(end_of_text)
        if token is None:
            raise InputError(f'{path}: has no token "{end_of_text}"; set end_of_text in [tokenizer] to one that it has')
        self.end_of_text: int = token
        self.vocabulary: int = max(self.backend.get_vocab(with_added_tokens=True).values()) + 1
        self.backend.add_special_tokens([end_of_text])  # a file may have it as a word like others
        self._read_marks_as_text()
        if token in self.encode([end_of_text])[0]:
            raise InputError(
                f'{path}: a document that holds the text "{end_of_text}" would end there, for it is a word of this '
                "tokenizer; set end_of_text in [tokenizer] to a special token"
            )

    def _read_marks_as_text(self) -> None:
        """Have "</s>" in a document be text, not the end of it."""
        self.backend.encode_special_tokens = True

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over in another process, where the backend has forgotten what its file does not hold."""
        self.__dict__.update(state)
        self._read_marks_as_text()

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
            first = next((i for i, (_, end) in enumerate(encoding.offsets) if end > seam), len(encoding.ids))
            out.append((encoding.ids, first))
        return out


def one_place(rows: Sequence[tuple[list[int], int]]) -> int:
    """Return the first token that is scored of every option of a question: the first in which any of them has a part.

    rows: the tokens of the question with each option, and the option's own first token.
    """
    alike = takewhile(lambda ids: len(set(ids)) == 1, zip(*(ids for ids, _ in rows), strict=False))
    return min(*(first for _, first in rows), len(list(alike)))


def _without_piece(content: str, end_of_text: str) -> str:
    """A tokenizer.json whose Unigram model does not find the end of text in a document that spells it."""
    if '"Unigram"' not in content:
        return content
    tokenizer = json.loads(content)
    model = tokenizer.get("model", {})
    if model.get("type") == "Unigram":
        model["vocab"] = [[piece, _NEVER if piece == end_of_text else score] for piece, score in model["vocab"]]
    return json.dumps(tokenizer)


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


def open_tokens(path: Path) -> tuple[NDArray[np.integer], TokenFile]:
    """Map a token file; InputError when it is not as long as its header says."""
    again = prepare_again(path.parent)
    header = read_typed(path.with_suffix(".json"), TokenFile, "the header of a token file", again, version=None)
    if header.dtype not in ("uint16", "uint32"):
        raise InputError(f"{path.with_suffix('.json')}: {header.dtype!r} is no kind of token; {again}")
    want = header.tokens * np.dtype(header.dtype).itemsize
    have = path.stat().st_size if path.exists() else 0
    if have != want:
        raise InputError(f"{path}: holds {have} bytes where its header says {want}; {again}")
    if have == 0:  # an empty file cannot be mapped
        return np.empty(0, dtype=header.dtype), header
    return np.memmap(path, dtype=header.dtype, mode="r"), header
