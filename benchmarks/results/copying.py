"""Why the law of small models says too much loss of large ones: these have learned to copy from their context."""

import csv
from pathlib import Path

from benchmarks.markdown import table
from infusionlaw.report.numbers import number

HEAD = """### What large models do that small ones do not

They copy. A token is told by its block when the two tokens before it stand earlier in that block with the same token
after them; a model that has learned to copy from its context (induction heads: Olsson et al. 2022, 2209.11895) loses
far less on those, and on a passage that it reads a second time. General loss without a dose by what the block tells, in
bits per byte, and of passages of real text read twice in a row, in bits per token (`python -m benchmarks.copying`, on
runs of the main grid's kind done on a CPU):"""

TAIL = """Up to {last} the second reading gains {small:.2f} bits at most, whatever the budget; at {first} it gains
{large:.2f} from {tokens} tokens on. The model has begun to copy, at once and not little by little, and general loss
falls by more than anything that smaller models or shorter budgets show. A law of those cannot know, so that what it
says of the general loss of models that copy is too much. Whether recall that collapses later than said, at 7.2 M and
14.4 M, has the same cause is not known: no weights of those were kept."""

COPIES = 0.2  # bits a token by which a second reading must be better than the first, for a model that copies
COLUMNS = ("size", "budget", "seed", "general loss", "told by the block", "the rest", "first reading", "second")


def copying(path: Path) -> str:
    """The table, and from where on models copy; "" without a table."""
    if not path.exists():
        return ""
    with path.open(encoding="utf8", newline="") as handle:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(handle)]
    lines = [
        [number(row["size"]), number(row["tokens"]), f"{row['seed']:.0f}", *(f"{row[name]:.2f}" for name in _LOSSES)]
        for row in rows
    ]
    return "\n\n".join(part for part in (HEAD, table(COLUMNS, lines), _told(rows)) if part)


_LOSSES = ("general_loss", "told", "rest", "first", "again")


def _told(rows: list[dict[str, float]]) -> str:
    """Which sizes do; "" where none does, or a smaller one than one that does not."""
    gains = [(row["size"], row["tokens"], row["first"] - row["again"]) for row in rows]
    copying_ = [row for row in gains if row[2] > COPIES]
    others = [row for row in gains if not copying_ or row[0] < copying_[0][0]]
    if not copying_ or not others or any(row[2] > COPIES for row in others):
        return ""
    first = copying_[0]
    most = max(row[2] for row in copying_ if row[0] == first[0])
    return TAIL.format(
        last=number(max(row[0] for row in others)),
        small=max(row[2] for row in others),
        first=number(first[0]),
        large=most,
        tokens=number(first[1]),
    )
