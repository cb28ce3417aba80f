"""Paragraphs and tables of a page, their text escaped."""

from collections.abc import Sequence
from html import escape


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text, escaped; nothing for no text."""
    mark = f' class="{kind}"' if kind else ""
    return f"<p{mark}>{escape(text)}</p>\n" if text else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]], wrap: Sequence[str] = ()) -> str:
    """A table of plain text, escaped; nothing for no rows. Columns in `wrap` may break their lines, or be empty."""
    if not rows:
        return ""
    kept = [i for i, name in enumerate(head) if name not in wrap or any(row[i] for row in rows)]
    head, rows = [head[i] for i in kept], [[row[i] for i in kept] for row in rows]
    marks = [' class="wrap"' if name in wrap else "" for name in head]
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td{mark}>{escape(cell)}</td>" for mark, cell in zip(marks, row, strict=True)) + "</tr>\n"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead>\n<tbody>{body}</tbody></table></div>\n'
