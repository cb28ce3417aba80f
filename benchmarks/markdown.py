"""Tables in Markdown: whole, or line by line as their rows are measured."""

from collections.abc import Iterable, Sequence


def line(cells: Sequence[str]) -> str:
    """One row."""
    return f"| {' | '.join(cells)} |"


def head(headings: Sequence[str]) -> str:
    """The two lines that a table begins with."""
    return f"{line(headings)}\n{line(['---'] * len(headings))}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A whole table."""
    return "\n".join([head(headings), *map(line, rows)])
