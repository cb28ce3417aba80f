"""What a page is made of: paragraphs, tables, headings, figures, listings. The templates give them their markup."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


class _Block:
    @property
    def block(self) -> str:
        """What the template calls it."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Text(_Block):
    """A paragraph. look: "", "small" or "warning"."""

    text: str
    look: str = ""


@dataclass(frozen=True)
class Heading(_Block):
    """A heading within a section."""

    text: str


@dataclass(frozen=True)
class Table(_Block):
    """Cells of text under a head. wrap: the columns that may break their lines; one of them that is empty is left out.

    summary: what a reader opens it with; "" where it is open.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    wrap: frozenset[str] = frozenset()
    summary: str = ""


@dataclass(frozen=True)
class Figure(_Block):
    """A chart that the page's script draws, with its caption."""

    spec: dict[str, Any]
    height: int
    caption: str


@dataclass(frozen=True)
class Answer(_Block):
    """Questions, each with its answer."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Listing(_Block):
    """Text whose lines stay as they are."""

    text: str


@dataclass(frozen=True)
class Download(_Block):
    """A CSV file that the page holds. data: its bytes in base 64."""

    name: str
    data: str


Block = Text | Heading | Table | Figure | Answer | Listing | Download


def texts(paragraphs: Sequence[str]) -> list[Block]:
    """A paragraph for each text that is not empty."""
    return [Text(text) for text in paragraphs if text]


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], wrap: Sequence[str] = (), summary: str = ""
) -> list[Block]:
    """A table; nothing for no rows."""
    if not rows:
        return []
    kept = [i for i, name in enumerate(head) if name not in wrap or any(row[i] for row in rows)]
    cells = tuple(tuple(row[i] for i in kept) for row in rows)
    return [Table(tuple(head[i] for i in kept), cells, frozenset(wrap), summary)]


@cache
def environment() -> "Environment":
    """Where the templates are; what they are given is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("infusionlaw.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
