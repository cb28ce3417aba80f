"""Tables that hold the history of runs, as TensorBoard and MLflow give it: one value a row, or one step a row.

A row here is one run at its end, so of each score the value of the last step counts. Rows of one run whose tokens
differ stay rows of their own: they are checkpoints (`lineage`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from infusionlaw.runs.cells import is_missing
from infusionlaw.runs.names import measures
from infusionlaw.runs.outcomes import measure_of
from infusionlaw.runs.tabular import bare

Rows = dict[int, dict[str, Any]]
TAGS, VALUE = ("tag", "key", "metric", "variable"), "value"
TIMES = ("walltime", "timestamp", "time")  # of a value: no two are alike


def pivoted(header: Sequence[str], rows: Rows) -> tuple[list[str], Rows]:
    """Turn a table of tag and value into one with a column a tag; any other table stays as it is.

    A row of it is what the other columns have in common, and has the number of its first row.
    """
    tags = [name for name in header if bare(name) in TAGS]
    values = [name for name in header if bare(name) == VALUE]
    others = [name for name in header if name not in (*tags, *values) and bare(name) not in TIMES]
    if len(tags) != 1 or len(values) != 1 or not others:
        return list(header), rows
    (tag,), (value,) = tags, values
    found: Rows = {}
    first: dict[tuple[str, ...], int] = {}
    for number, row in rows.items():
        if is_missing(row[tag]):
            continue
        at = first.setdefault(_alike(row, others), number)
        found.setdefault(at, {name: row[name] for name in others})[str(row[tag])] = row[value]
    named = [*others, *dict.fromkeys(name for row in found.values() for name in row if name not in others)]
    return named, {number: {name: row.get(name) for name in named} for number, row in found.items()}


def at_their_ends(rows: Rows, columns: Mapping[str, str]) -> tuple[Rows, str]:
    """Join the steps of each run into one row with the last value of each score; and a sentence where any was.

    Runs are told by their name. columns: the file's column of each of ours.
    """
    step = columns.get("step")
    names = [columns[ours] for ours in ("run", "name", "curve") if ours in columns]
    if step is None or not names:
        return rows, ""
    scores = [name for ours, name in columns.items() if measure_of(ours) in (*measures(), "loss")]
    place = [name for name in columns.values() if name != step and name not in scores]
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, row in rows.items():
        if not all(is_missing(row[name]) for name in names):
            groups.setdefault(_alike(row, place), []).append(number)
    joined = dict(rows)
    count = 0
    for members in groups.values():
        steps = {number: _number(rows[number][step]) for number in members}
        if len(members) < 2 or None in steps.values() or len(set(steps.values())) < len(members):
            continue
        count += 1
        *before, last = sorted(members, key=lambda number: steps[number] or 0.0)
        for number in before:
            del joined[number]
        known = {name: rows[n][name] for n in (*before, last) for name in scores if not is_missing(rows[n][name])}
        joined[last] = rows[last] | known
    runs = "1 run" if count == 1 else f"{count} runs"
    said = f"the rows of {runs} are steps at one token count, so of each score the last value counts" if count else ""
    return joined, said


def _alike(row: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    """What rows of one run have in common; a cell of JSON may be a list."""
    return tuple(repr(row[name]) for name in names)


def _number(cell: Any) -> float | None:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None
