"""Sizes and token counts that are one, rows that are one run: what counts once before points are found.

Three things make a table look as if it held more than it does:

- jitter: sizes or token counts that differ by rounding to whole layers or steps;
- copies: a row that gives a run again;
- checkpoints: rows of one run at several token counts, which err alike.

A name in the column `curve`, else in `run`, tells the last two. It is a run's name only where its rows have one size,
dose and number of facts; a name of a whole sweep is ignored. Fitted rows are read as if the held-out ones were not
there.
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction

from infusionlaw.law.covariates import SAME
from infusionlaw.law.dose import same_dose, x_at
from infusionlaw.runs.names import score_columns
from infusionlaw.runs.record import RunRecord

# Rows that agree in every score are copies if chance would hardly make them agree: at least two scores that could have
# taken this many values together.
TELLING_SCORES, TELLING_VALUES = 2, 1e5
_FINEST = 10**6  # a score that is no fraction of a smaller number is taken to have this many values
Name = tuple[bool, str]  # held out or not, and what stands in `curve`, else in `run`


def merged(rows: Sequence[RunRecord]) -> tuple[list[RunRecord], tuple[str, ...]]:
    """Return the rows with jitter and copies taken out, and a sentence on each thing that was found.

    A size, or token count, within 1 % of a more frequent one is read as that one; of equally frequent ones the smallest
    counts. Of copies the first row stays. Checkpoints all stay: `checkpoint_weights` says what they count for.
    Merging again changes nothing. O(n log n).
    """
    sizes, tokens = _read_as(rows, "size"), _read_as(rows, "tokens")
    placed = [
        row
        if sizes[row.size] == row.size and tokens[row.tokens] == row.tokens
        else replace(row, size=sizes[row.size], tokens=tokens[row.tokens])
        for row in rows
    ]
    named = _without_repeats(placed)
    kept = _without_twins(named)
    remarks = (
        _jitter_told(sizes, "size"),
        _jitter_told(tokens, "token count"),
        _repeats_told(len(placed) - len(named)),
        _twins_told(len(named) - len(kept)),
        _checkpoints_told(sum(len(at) > 1 for at in _appearances(kept).values())),
    )
    return kept, tuple(remark for remark in remarks if remark)


def checkpoint_weights(rows: Sequence[RunRecord]) -> dict[tuple[float, float], float]:
    """Return what the runs of each (size, tokens) place count for, 1 where none of them is a checkpoint.

    rows: as `merged` returns them. The weight is 1 / (at how many token counts a run of the place appears, on average).
    At a place with fitted and held-out rows it is that of the fitted ones.
    """
    appearances, names = _appearances(rows), _run_names(rows)
    counts: dict[tuple[bool, float, float], list[int]] = defaultdict(list)
    for row in rows:
        at = appearances[*_name(row), row.seed] if _name(row) in names else {row.tokens}
        counts[row.held_out, row.size, row.tokens].append(len(at))
    return {
        (size, tokens): len(counted) / sum(counted)
        for (_, size, tokens), counted in sorted(counts.items(), reverse=True)  # fitted rows last: they are kept
    }


def _read_as(rows: Iterable[RunRecord], covariate: str) -> dict[float, float]:
    """By size or token count what it is read as.

    The most frequent value takes all within 1 % of it, then the most frequent of those left, and so on: what remains
    is more than 1 % apart. Fitted rows come first.
    """
    counts = Counter((row.held_out, getattr(row, covariate)) for row in rows)
    ascending = sorted({value for _, value in counts})
    found: dict[float, float] = {}
    for _, centre in sorted(counts, key=lambda key: (key[0], -counts[key], key[1])):
        if centre in found:
            continue
        first = bisect_left(ascending, centre, key=lambda value: value * SAME)
        for value in ascending[first : bisect_right(ascending, centre * SAME)]:
            found.setdefault(value, centre)
    return found


def _name(row: RunRecord) -> Name:
    return row.held_out, row.curve or row.run


def _run_names(rows: Iterable[RunRecord]) -> set[Name]:
    """The names of one run, not of a sweep: their rows have one size, dose and number of facts."""
    by_name: dict[Name, list[RunRecord]] = defaultdict(list)
    for row in rows:
        if row.curve or row.run:
            by_name[_name(row)].append(row)
    return {name for name, mine in by_name.items() if len(mine) > 1 and _one_run(mine)}


def _one_run(rows: Sequence[RunRecord]) -> bool:
    return len({(row.size, row.facts) for row in rows}) == 1 and _one_dose(rows)


def _one_dose(rows: Sequence[RunRecord]) -> bool:
    """Whether rows of one size have one dose: one share, else one count of exposures or so many per token."""
    shares = [row.share for row in rows if row.share is not None]
    if len(shares) == len(rows):
        return same_dose(*x_at([min(shares), max(shares)], "share"))
    if all(row.share is row.exposures is None and row.facts is not None for row in rows):
        return True  # the number of facts is the dose, and it is one
    stated = [(row.exposures, row.exposures / row.tokens) for row in rows if row.exposures is not None]
    if len(stated) < len(rows):
        return False
    return any(same_dose(*x_at([min(counts), max(counts)], "exposures")) for counts in zip(*stated, strict=True))


def _without_repeats(rows: Sequence[RunRecord]) -> list[RunRecord]:
    """The rows without those that give a named run again at one token count."""
    names, seen, kept = _run_names(rows), set(), []
    for row in rows:
        key = (*_name(row), row.tokens)
        if _name(row) in names and key in seen:
            continue
        seen.add(key)
        kept.append(row)
    return kept


def _without_twins(rows: Sequence[RunRecord]) -> list[RunRecord]:
    """The rows without those that agree with an earlier one in every score to the last digit, and not by chance."""
    columns = score_columns()
    contents = [_content(row, columns) for row in rows]
    first = dict(zip(reversed(contents), reversed(rows), strict=True))
    if len(first) == len(rows):
        return list(rows)
    measured = [name for name in columns if not name.endswith("_se")]
    values = {name: _values(rows, name) for name in measured}
    kept = []
    for row, content in zip(rows, contents, strict=True):
        told = [values[name] for name in measured if _tells(row, name)]
        copy = first[content] is not row and len(told) >= TELLING_SCORES and math.prod(told) >= TELLING_VALUES
        if not copy:
            kept.append(row)
    return kept


def _content(row: RunRecord, columns: Sequence[str]) -> tuple[object, ...]:
    """All that two copies have in common: place, dose, facts and scores, but not seed and name."""
    dose = tuple(None if unit is None else f"{unit:.9g}" for unit in (row.share, row.exposures))
    scores = tuple(row.score(name) for name in columns)
    return row.held_out, row.status, row.size, row.tokens, row.facts, *dose, *scores


def _tells(row: RunRecord, score: str) -> bool:
    """Whether a score says something: one of all, nothing or guessing is shared by runs that are no copies."""
    value = row.score(score)
    return value is not None and math.isfinite(value) and value not in (0, 1, row.chance_of(score))


def _values(rows: Iterable[RunRecord], score: str) -> int:
    """How many values a score can take between 0 and 1: 64 in 64ths, 100 with two decimals, very many with more."""
    told = {float(row.score(score) or 0.0) for row in rows if _tells(row, score)}
    return max((Fraction(value).limit_denominator(_FINEST).denominator for value in told), default=1)


def _appearances(rows: Sequence[RunRecord]) -> dict[tuple[bool, str, int | None], set[float]]:
    """The token counts at which each named run appears; a name with several seeds is several runs."""
    names = _run_names(rows)
    found: dict[tuple[bool, str, int | None], set[float]] = defaultdict(set)
    for row in rows:
        if _name(row) in names:
            found[*_name(row), row.seed].add(row.tokens)
    return found


def _jitter_told(read_as: dict[float, float], what: str) -> str:
    moved = {value: centre for value, centre in read_as.items() if value != centre}
    if not moved:
        return ""
    verbs = (f"{what}s lie", "are") if len(moved) > 1 else (f"{what} lies", "is")
    centres = len(set(moved.values()))
    others, them = (f"{centres} others", "those") if centres > 1 else ("another", "that one")
    return f"{len(moved)} {verbs[0]} within 1 % of {others} and {verbs[1]} read as {them}."


def _repeats_told(count: int) -> str:
    if not count:
        return ""
    rows, left = ("rows give", "are") if count > 1 else ("row gives", "is")
    fix = "give every run its own name in the column run if they are not the same"
    return f"{count} {rows} a run again at the same size, tokens and dose and {left} left out; {fix}."


def _twins_told(count: int) -> str:
    if not count:
        return ""
    rows, copies = ("rows agree", "they are copies and are") if count > 1 else ("row agrees", "it is a copy and is")
    same = "size, tokens, dose and every score to the last digit"
    return f"{count} {rows} with an earlier one in {same}: {copies} left out."


def _checkpoints_told(count: int) -> str:
    if not count:
        return ""
    if count == 1:
        return "1 run appears at several token counts: these are its checkpoints and together count as one run."
    are = "these are checkpoints, and those of one run together count as one run"
    return f"{count} runs appear at several token counts: {are}."
