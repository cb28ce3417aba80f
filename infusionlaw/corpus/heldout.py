"""Text that no run reads, on which losses are measured: as the study has it, or in the tokens of another tokeniser."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infusionlaw.corpus.corpus import Corpus
from infusionlaw.corpus.tokens import TokenFile, Tokenizer
from infusionlaw.errors import InputError

Text = tuple[NDArray[np.integer], TokenFile]
LOST = 0.01  # of the bytes of a text, at most, where it is put together again from its tokens


@dataclass(frozen=True)
class HeldOut:
    """Held-out general text by source, each with how often it is read beside the others; and held-out documents."""

    general: Mapping[str, Text]
    weights: Mapping[str, float]
    domain: Text | None


def held_out(corpus: Corpus, tokenizer: Tokenizer | None = None) -> HeldOut:
    """Return the held-out text of a corpus. tokenizer: whose tokens it is to have; None for the study's own."""
    documents = None if corpus.documents is None else corpus.documents.validation
    if tokenizer is None:
        return HeldOut(corpus.validation, corpus.weights, documents)
    general = {name: _again(text, corpus.tokenizer, tokenizer) for name, text in corpus.validation.items()}
    return HeldOut(general, corpus.weights, documents and _again(documents, corpus.tokenizer, tokenizer))


def _again(text: Text, own: Tokenizer, other: Tokenizer) -> Text:
    """Return a text in the tokens of another tokeniser, with the bytes that it then has."""
    tokens, header = text
    ends = np.flatnonzero(tokens == own.end_of_text)
    parts = [part[part != own.end_of_text].tolist() for part in np.split(tokens, ends + 1)]
    documents = own.backend.decode_batch([part for part in parts if part], skip_special_tokens=False)
    size = sum(len(document.encode()) for document in documents)
    if abs(size - header.text_bytes) > LOST * header.text_bytes:
        raise InputError(
            f"{own.path}: this tokenizer does not give its text back ({size:,} of {header.text_bytes:,} bytes), so the "
            "loss of a model with another tokenizer cannot be measured on it; use one that does, such as byte-level BPE"
        )
    ids = [each for document in other.encode(documents) for each in (*document, other.end_of_text)]
    return np.array(ids, dtype=other.dtype), TokenFile(len(ids), len(documents), size, other.dtype.name)
