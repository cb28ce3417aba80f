"""Rows that contradict themselves or each other: doses in two units, and runs that are given twice."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Any

from infusionlaw.errors import InputError
from infusionlaw.runs.names import score_columns
from infusionlaw.runs.record import RunRecord

# Share and exposures may differ by this factor and be the same; beyond the second factor both must have grown.
_NEAR, _FAR = 1.1, 5.0


def share_of_domain(domain: float, values: Mapping[str, Any], name: str) -> dict[str, float]:
    """The share that follows from domain tokens; InputError where another is given."""
    share = domain / values["tokens"]
    if share > 1:
        raise InputError(f'"{name}" is {domain:g}, more than the {values["tokens"]:g} tokens of the run; fix one')
    given = values.get("share")
    if given is not None and abs(given - share) > 0.1 * max(given, share):
        raise InputError(f'the share is {given:g}, but "{name}" over tokens is {share:.4g}; fix or leave out one')
    return {} if given is not None else {"share": share}


def both_units(
    tokens: float, facts: float, tokens_per_fact: float, share: float | None, exposures: float | None
) -> dict[str, float]:
    """Share and exposures, one filled from the other; InputError when they disagree or leave no general text."""
    per_share = tokens / (facts * tokens_per_fact)
    implied = exposures / per_share if exposures is not None else 0
    if share is None:
        if implied >= 1:
            raise InputError(
                f"{exposures:g} exposures of {facts:g} facts of {tokens_per_fact:g} tokens take a share of "
                f"{implied:.4g} of {tokens:g} tokens, and it must stay below 1; fix one of the four"
            )
        return {"share": implied}
    if exposures is None:
        return {"exposures": share * per_share}
    if abs(share * per_share - exposures) > 0.1 * max(share * per_share, exposures):
        raise InputError(
            f"the share {share:g} makes {share * per_share:.4g} exposures of each fact (share · tokens / (facts · "
            f"tokens_per_fact)), but {exposures:g} are given; fix one of them or leave one empty"
        )
    return {}


def repeated(records: Iterable[tuple[int, RunRecord]]) -> Iterator[tuple[int, InputError]]:
    """Rows that give a run again: the same seed, or no seed and the same name, scores and standard errors as well.

    Runs at several token counts are no repeats: they may be checkpoints, of which `law.merging` takes care.
    """
    first: dict[tuple[Any, ...], int] = {}
    names = score_columns()
    for number, row in records:
        if row.status == "unfinished" or (row.seed is None and row.status == "diverged"):
            continue  # it was begun again, or has no scores to differ in
        dose = tuple(None if unit is None else f"{unit:.9g}" for unit in (row.share, row.exposures))
        scores = (row.run, row.more, *(row.score(name) for name in names)) if row.seed is None else ()
        before = first.setdefault((row.size, row.tokens, dose, row.facts, row.seed, scores), number)
        if before != number:
            same = f"scores as row {before}, and no seed" if row.seed is None else f"seed as row {before}"
            fix = "take one out, or give each its own seed"
            yield number, InputError(f"the same size, tokens, dose, facts and {same}; {fix}")


def opposed(records: Iterable[tuple[int, RunRecord]], columns: Mapping[str, str]) -> Iterator[tuple[int, InputError]]:
    """Rows whose share and exposures contradict another row's of the same size, tokens and facts.

    Exposures are share · tokens / (facts · tokens_per_fact), so where one of the two grows the other does. Token counts
    that differ by rounding are the same.
    """
    groups: dict[tuple[Any, ...], list[tuple[int, float, float]]] = defaultdict(list)
    found: dict[int, int] = {}
    doses: dict[int, str] = {}
    for number, row in records:
        if row.share is not None and row.exposures is not None:
            place = (row.size, f"{row.tokens:.2g}", row.facts, row.tokens_per_fact)
            groups[place].append((number, row.share, row.exposures))
    for rows in groups.values():
        swapped = [(number, exposures, share) for number, share, exposures in rows]
        for one, other in sorted(_contradictions(rows) | _contradictions(swapped)):
            found.setdefault(max(one, other), min(one, other))
        doses |= {number: f"share {share:.4g} and {exposures:.4g} exposures" for number, share, exposures in rows}
    names = f'"{columns.get("share", "share")}" or "{columns.get("exposures", "exposures")}"'
    fix = f"rename or correct {names}, or add a column facts if the number of facts differs"
    for number, other in found.items():
        contradict = f"{doses[number]} contradict row {other}, {doses[other]} at the same size and tokens"
        yield number, InputError(f"{contradict}: where one grows the other must; {fix}")


def _contradictions(rows: Sequence[tuple[int, float, float]]) -> set[tuple[int, int]]:
    """Pairs of (number, one dose, the other dose): the first has more of the one, but less of the other.

    Where it has far more of the one, also when it has no more of the other; dose 0 says nothing there.
    """
    found = set()
    positive = [row for row in rows if row[1] and row[2]]
    for among, reach, grown in ((rows, _NEAR, 1 / _NEAR), (positive, _FAR, _NEAR)):
        ascending = sorted(among, key=itemgetter(1))
        most = list(accumulate(ascending, lambda *two: max(two, key=itemgetter(2))))
        for number, dose, other in ascending:
            below = bisect_left(ascending, dose / reach, key=itemgetter(1))
            if below and other < most[below - 1][2] * grown:
                found.add((number, most[below - 1][0]))
    return found
