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
class RunLedger:
    """ledger.json."""

    tokens: Tokens
    general_passes: float
    domain: Source
    prior: Source


def read_ledger(path: Path) -> RunLedger:
    """Read a run's ledger.json; InputError when it is none."""
    return read_typed(path, RunLedger, "the ledger of a run", AGAIN, version=None)
