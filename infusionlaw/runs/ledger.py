"""The ledger of a run: what its tokens were, by source, fact and template."""

from dataclasses import dataclass
from pathlib import Path

from infusionlaw.files import read_typed
from infusionlaw.runs.record import AGAIN


@dataclass(frozen=True)
class Tokens:
    """Tokens by source."""

    all: int
    domain: int
    prior: int
    general: int


@dataclass(frozen=True)
class Stated:
    """How often a fact was stated."""

    subject: str
    relation: str
    exposures: int


@dataclass(frozen=True)
class Source:
    """How often each fact of a group was stated, and by relation how often in each template."""

    exposures: tuple[Stated, ...]
    templates: dict[str, dict[str, int]]


@dataclass(frozen=True)
class OfFile:
    """How many documents of a file a run drew from, and by number of exposures how many of them it read so often."""

    documents: int
    exposures: dict[str, int]


@dataclass(frozen=True)
class DocumentLedger:
    """What was read of the domain documents, by file, and how often each was read to its end.

    read: the numbers of the documents that the run drew from, in the order of the corpus; None: all of them.
    """

    tokens: int
    by_file: dict[str, OfFile]
    read: tuple[int, ...] | None
    exposures: tuple[int, ...]


@dataclass(frozen=True)
class RunLedger:
    """ledger.json. general_passes: how often general text was read, passes_by_source: each of several sources."""

    tokens: Tokens
    general_passes: float
    domain: Source
    prior: Source
    passes_by_source: dict[str, float]
    documents: DocumentLedger | None


def read_ledger(path: Path) -> RunLedger:
    """Read a run's ledger.json; InputError when it is none."""
    return read_typed(path, RunLedger, "the ledger of a run", AGAIN, version=None)
