"""What rows of a table are to each other: checkpoints of one training run, and the start that runs began from."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean

from infusionlaw.runs.record import RunRecord

SAME_DOSE = 1.05  # doses of one run's checkpoints differ by less than this factor


@dataclass(frozen=True)
class Row:
    """A row that is read: its number in the file, its record, and what a tracker says of it beside that."""

    number: int
    record: RunRecord
    name: str = ""
    step: float | None = None


def with_curves(rows: Sequence[Row]) -> tuple[list[RunRecord], str]:
    """The records, those of one run's checkpoints with the name of that run in `curve`; and a sentence on how.

    Checkpoints are rows at several token counts with one name, seed, size and dose; without names those that differ in
    step and tokens alone, both rising. Where the file has a column `curve`, that counts.
    """
    records = [row.record for row in rows]
    if any(record.curve for record in records):
        return records, ""
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for at, row in enumerate(rows):
        if row.record.status == "ok" and (key := _key(row)):
            groups[key].append(at)
    by_step = 0
    for key, members in groups.items():
        mine = [rows[at] for at in members]
        if len({row.record.tokens for row in mine}) < 2 or not _one_dose(mine):
            continue
        if not key[0]:
            if not _rising(mine):
                continue
            by_step += 1
        for at in members:
            records[at] = replace(records[at], curve=_title(mine[0]))
    if not by_step:
        return records, ""
    runs = "one run" if by_step == 1 else f"{by_step} runs"
    return records, (
        f"rows that differ in step and tokens alone are read as checkpoints of {runs}; if they are runs of their own, "
        "give each a name in a column run"
    )


def _key(row: Row) -> tuple[object, ...]:
    """What the checkpoints of one run have in common; empty where nothing says that it is one run."""
    record, name = row.record, row.record.run or row.name
    place = (record.held_out, record.seed, record.size, record.facts)
    if name:
        return name, *place
    if row.step is None:
        return ()
    return "", *place, *(None if dose is None else f"{dose:.3g}" for dose in (record.share, record.exposures))


def _title(row: Row) -> str:
    record, name = row.record, row.record.run or row.name
    parts = [name] if name else [f"size {record.size:g}"]
    if not name and record.share is not None:
        parts.append(f"share {record.share:g}")
    elif not name and record.exposures is not None:
        parts.append(f"{record.exposures:g} exposures")
    return " ".join(parts if record.seed is None else [*parts, f"seed {record.seed}"])


def _one_dose(rows: Sequence[Row]) -> bool:
    """Whether rows have one share, else one count of exposures or so many a token."""
    records = [row.record for row in rows]
    shares = [record.share for record in records if record.share is not None]
    if shares or all(record.exposures is None for record in records):
        return len(shares) in (0, len(records)) and _same(shares)
    counts = [record.exposures for record in records if record.exposures is not None]
    rates = [record.exposures / record.tokens for record in records if record.exposures is not None]
    return len(counts) == len(records) and (_same(counts) or _same(rates))


def _same(doses: Sequence[float]) -> bool:
    return not doses or max(doses) <= min(doses) * SAME_DOSE


def _rising(rows: Sequence[Row]) -> bool:
    """Whether step and tokens rise together, each row beyond the one before."""
    places = sorted((row.step, row.record.tokens) for row in rows if row.step is not None)
    rising = all(one[0] < two[0] and one[1] < two[1] for one, two in pairwise(places))
    return len(places) == len(rows) and rising


def with_starts(
    records: Sequence[RunRecord], starts: Sequence[tuple[float, Mapping[str, float]]]
) -> tuple[list[RunRecord], str]:
    """The records with the scores of their start, `start_recall` and the like, from rows with tokens 0.

    starts: size and scores of each such row; those of one size are averaged. What a row says of its own start counts.
    """
    if not starts:
        return list(records), ""
    by_size: dict[float, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for size, scores in starts:
        for name, value in scores.items():
            by_size[size][f"start_{name}"].append(value)
    found = []
    for record in records:
        more = {name: fmean(values) for name, values in by_size.get(record.size, {}).items()}
        own = dict(record.more)
        found.append(replace(record, more=tuple((own | more | own).items())) if more else record)
    rows = "1 row with tokens 0 is" if len(starts) == 1 else f"{len(starts)} rows with tokens 0 are"
    return found, f"{rows} read as the start of the runs of the same size"
