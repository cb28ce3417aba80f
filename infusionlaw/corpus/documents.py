"""Domain documents on disk: their tokens, where each of them ends, and which file it came from.

domain.bin              tokens of the documents that are infused, each closed by end-of-text
domain-index.npy        by document: where it ends in domain.bin, and the number of its file
domain-files.json       the names of the files
domain-validation.bin   tokens of the documents held out for domain loss
"""

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infusionlaw.corpus.digests import prepare_again
from infusionlaw.corpus.general import documents, documents_by_file, is_validation
from infusionlaw.corpus.infusion.documents import Documents
from infusionlaw.corpus.overlap import repeated_tokens
from infusionlaw.corpus.tokenise import write_tokens
from infusionlaw.corpus.tokens import TokenFile, Tokenizer, open_tokens
from infusionlaw.errors import InputError
from infusionlaw.files import atomic_path, read_typed, write_json
from infusionlaw.settings import Domain

FILES = (
    *("domain.bin", "domain.json", "domain-validation.bin", "domain-validation.json"),
    *("domain-index.npy", "domain-files.json"),
)
WHAT = "domain documents"
VALIDATION_TOKENS = 100_000  # losses are measured on this many
SHORT = 8  # tokens, below which a document is remarked as nearly empty
_DRAW = 20_261_129  # seed of the order in which documents are chosen where only a part of them is read
_INDEX = np.dtype([("end", np.int64), ("file", np.uint32)])


@dataclass(frozen=True)
class DomainDocuments:
    """The domain documents of a prepared corpus, opened."""

    folder: Path

    @cached_property
    def tokens(self) -> NDArray[np.integer]:
        """Those of the documents that are infused, mapped."""
        return open_tokens(self.folder / "domain.bin")[0]

    @cached_property
    def validation(self) -> tuple[NDArray[np.integer], TokenFile]:
        """The held-out documents, mapped, and their header."""
        return open_tokens(self.folder / "domain-validation.bin")

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The files they came from."""
        again = prepare_again(self.folder)
        return read_typed(
            self.folder / "domain-files.json", tuple[str, ...], "the files of documents", again, version=None
        )

    @cached_property
    def _index(self) -> NDArray[Any]:
        path = self.folder / "domain-index.npy"
        try:
            index: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); {prepare_again(self.folder)}") from error
        if index.dtype != _INDEX or not len(index) or index["end"][-1] != len(self.tokens):
            raise InputError(f"{path}: is not the index of domain.bin; {prepare_again(self.folder)}")
        return index

    @property
    def count(self) -> int:
        """How many documents are infused."""
        return len(self._index)

    @property
    def file_numbers(self) -> NDArray[np.uint32]:
        """The number of its file in `files`, by document, (count,)."""
        return np.asarray(self._index["file"])

    @cached_property
    def _drawn(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The order in which documents are chosen, and the tokens of each with those before it."""
        order = np.random.default_rng(_DRAW).permutation(self.count)
        return order, np.cumsum(np.diff(self._index["end"], prepend=0)[order])

    def read(self, tokens: float | None = None) -> Documents:
        """Return the documents that a run reads: all, or as many as have about `tokens` tokens, at least one.

        Fewer tokens take some of the documents that more tokens take.
        """
        ends = self._index["end"]
        if tokens is None or tokens >= len(self.tokens):
            return Documents(self.tokens, ends)
        order, before = self._drawn
        taken = max(1, int(np.searchsorted(before, tokens, side="right")))
        return Documents(self.tokens, ends, np.sort(order[:taken]))


def write_documents(domain: Domain, base: Path, folder: Path, tokenizer: Tokenizer) -> dict[str, int]:
    """Tokenise domain documents into a corpus folder, and return what is to be known of them.

    InputError where no document is left to infuse or none to hold out.
    """
    names: dict[str, int] = {}
    files, sizes = array("I"), array("q")

    def texts() -> Iterator[str]:
        for name, text in documents_by_file(domain.documents, text_field=domain.field, base=base, what=WHAT):
            files.append(names.setdefault(name, len(names)))
            yield text

    header, _ = write_tokens(
        folder / "domain.bin", texts(), tokenizer, _Infused(domain.validation), on_sizes=sizes.extend
    )
    held = (
        text
        for text in documents(domain.documents, text_field=domain.field, base=base, what=WHAT)
        if is_validation(text, domain.validation)
    )
    validation, _ = write_tokens(folder / "domain-validation.bin", held, tokenizer, limit=VALIDATION_TOKENS)
    if not header.documents or not validation.documents:
        raise InputError(
            f"{WHAT}: {header.documents:,} of {header.documents + validation.documents:,} are infused and "
            f"{validation.documents:,} held out for domain loss; both are needed: give more documents, or change "
            "validation in [domain]"
        )
    length = np.frombuffer(sizes, dtype=np.int64)
    infused = length > 0
    index = np.empty(header.documents, dtype=_INDEX)
    index["end"], index["file"] = np.cumsum(length[infused]), np.frombuffer(files, dtype=np.uint32)[infused]
    with atomic_path(folder / "domain-index.npy") as part, part.open("wb") as handle:
        np.save(handle, index)
    write_json(folder / "domain-files.json", list(names))
    held_tokens, infused_tokens = (open_tokens(folder / name)[0] for name in ("domain-validation.bin", "domain.bin"))
    return {
        "domain_documents": header.documents,
        "domain_tokens": header.tokens,
        "domain_bytes": header.text_bytes,
        "domain_documents_nearly_empty": int((length[infused] < SHORT).sum()),
        "domain_files": len(names),
        "held_out_domain_documents": validation.documents,
        "held_out_domain_tokens": validation.tokens,
        "held_out_domain_bytes": validation.text_bytes,
        "held_out_domain_tokens_in_domain_documents": repeated_tokens(held_tokens, infused_tokens),
    }


@dataclass(frozen=True)
class _Infused:
    """Leaves out what is held out."""

    validation: float

    def __call__(self, text: str) -> str:
        return "held out" if is_validation(text, self.validation) else ""


def by_file(documents: DomainDocuments, read: Documents, exposures: tuple[int, ...]) -> dict[str, dict[str, Any]]:
    """Return, by file, how many of its documents a run draws from, and how many of them it read how often."""
    numbers = documents.file_numbers if read.chosen is None else documents.file_numbers[read.chosen]
    times = np.array(exposures, dtype=np.int64)
    found: dict[str, dict[str, Any]] = {}
    for number in np.unique(numbers).tolist():
        own = times[numbers == number]
        counts = Counter(own.tolist())
        found[documents.files[number]] = {
            "documents": len(own),
            "exposures": {str(k): counts[k] for k in sorted(counts)},
        }
    return found
