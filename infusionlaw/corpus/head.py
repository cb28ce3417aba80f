"""The head of a prepared corpus: its id, counts, and what it was made from."""

from dataclasses import dataclass, field
from pathlib import Path

from infusionlaw.corpus.digests import Stamp, prepare_again
from infusionlaw.files import read_typed


@dataclass(frozen=True)
class Head:
    """corpus.json. `fingerprint` and `content` are a cheap and a thorough sign of the sources; files: its own files,
    none where a lab of another kind prepared it. most_passes: how often a source of text may be read at most."""

    fingerprint: str
    content: dict[str, str]
    files: dict[str, Stamp]
    id: str
    end_of_text: str
    counts: dict[str, int | dict[str, int] | dict[str, dict[str, int]]]
    most_passes: dict[str, float] = field(default_factory=dict)


def read_head(folder: Path) -> Head:
    """Read corpus.json of a corpus; InputError when it is none."""
    again = prepare_again(folder)
    return read_typed(folder / "corpus.json", Head, "the head of a corpus", again, version=None)
