"""Why the law of small models says too much loss of large ones: these have learned to copy from their context."""

from pathlib import Path

from benchmarks.markdown import table
from infusionlaw.law.numbers import number
from infusionlaw.runs.tabular import read_rows

HEAD = """## What large models do that small ones do not

They copy. A token is repeated in its block when the two tokens before it stand earlier in that block with the same
token after them; a model that has learned to copy from its context (induction heads: Olsson et al. 2022, 2209.11895)
loses far less on those, and on a passage that it reads a second time. Below is validation loss without a dose of all
tokens, of those and of the rest, in bits per byte (at as many bytes a token as the whole text has), and what 48 tokens
of real text cost when they are read twice in a row, in bits per token (`python -m benchmarks.copying`, on runs of the
main grid's kind done on a CPU):"""

TAIL = """Up to {last} the second reading gains {small:.2f} bits at most, at the token counts tried. At {first} it gains
{gains} tokens, a number a seed: it has begun to copy, and what is repeated costs it less than smaller models show. The
law has one smooth form over models that copy and models that do not, and says too much of the validation loss of those
that do. Not known is whether larger ones, done on a GPU, copy (no weights were kept), and whether recall that collapses
later than said, at 7.2 M, has to do with it."""

COPIES = 0.2  # bits a token by which a second reading must be better than the first, for a model that copies
COLUMNS = ("size", "tokens", "seed", "validation loss", "repeated in the block", "the rest", "first reading", "second")


def copying(path: Path) -> str:
    """The table, and from where on models copy; "" without a table."""
    if not path.exists():
        return ""
    rows = [{name: float(value) for name, value in row.items()} for row in read_rows(path)[1]]
    lines = [
        [number(row["size"]), number(row["tokens"]), f"{row['seed']:.0f}", *(f"{row[name]:.2f}" for name in _LOSSES)]
        for row in rows
    ]
    return "\n\n".join(part for part in (HEAD, table(COLUMNS, lines), _told(rows)) if part)


_LOSSES = ("val_bpb", "repeated", "rest", "first", "again")


def _told(rows: list[dict[str, float]]) -> str:
    """Which size begins to copy and when; "" unless it is one alone, larger than all others, of which no seed copies at
    the shortest token count and every seed does at the longest."""
    gains = [(row["size"], row["tokens"], row["first"] - row["again"]) for row in rows]
    copying = {size for size, _, gain in gains if gain > COPIES}
    others = [(size, gain) for size, _, gain in gains if size not in copying]
    if len(copying) != 1 or not others or max(others)[0] > max(copying):
        return ""
    token_counts = sorted({tokens for size, tokens, _ in gains if size in copying})
    own = {at: [gain for size, tokens, gain in gains if size in copying and tokens == at] for at in token_counts}
    if max(own[token_counts[0]]) > COPIES or min(own[token_counts[-1]]) <= COPIES:
        return ""
    before = max(at for at in token_counts if max(own[at]) <= COPIES)
    return TAIL.format(
        last=number(max(others)[0]),
        small=max(gain for _, gain in others),
        first=number(max(copying)),
        gains=", ".join(f"{_each(own[at])} at {number(at)}" for at in token_counts if at >= before),
    )


def _each(gains: list[float]) -> str:
    return " and ".join(f"{gain:.2f}" for gain in gains)
