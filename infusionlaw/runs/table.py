"""The table of runs, from file to RunRecords and back.

Writing is exact: equal records give equal bytes, and what is read back equals what was written. Reading takes anybody's
table: usual names of columns (`ALIASES`), sizes as "1.3B", shares as "30%". Every row is checked before anything is
fitted; a bad one is named. With S facts of t tokens a statement the dose units must agree:

    exposures = share · tokens / (S · t)
"""

import csv
import dataclasses
import hashlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from io import StringIO
from itertools import accumulate
from numbers import Integral
from operator import itemgetter
from pathlib import Path
from typing import Any

from infusionlaw.errors import InputError
from infusionlaw.files import atomic_path, write_text
from infusionlaw.runs.cells import cell_value, is_missing
from infusionlaw.runs.frames import Frame, frame_rows
from infusionlaw.runs.outcomes import outcomes
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.tabular import bare, read_rows

FIELDS = tuple(
    field.name for field in dataclasses.fields(RunRecord) if field.name not in ("more", "loss_unit", "curve")
)
REQUIRED = ("size", "tokens", "recall")
# Other names that a column may have. Case, spaces, hyphens and underscores do not matter. A loss in nats is left out on
# purpose: val_bpb is in bits per byte, and a column that may be in another unit must not be taken for it.
ALIASES: dict[str, tuple[str, ...]] = {
    "size": (
        *("params", "n_params", "num_params", "parameters", "n_parameters", "num_parameters", "model_size", "N"),
        *("model_params", "non_embedding_params", "non_embedding_parameters", "params_non_embedding"),
    ),
    "tokens": (
        *("n_tokens", "num_tokens", "train_tokens", "training_tokens", "total_tokens", "tokens_seen"),
        *("token_budget", "budget", "D"),
    ),
    "share": (
        *("domain_share", "infusion_share", "infused_share", "domain_ratio", "infusion_ratio", "domain_fraction"),
        *("infusion_fraction", "domain_proportion", "mix", "mix_ratio", "mixing_ratio", "mixture_ratio", "ratio", "r"),
    ),
    "exposures": (
        *("n_exposures", "num_exposures", "repetitions", "n_repetitions", "repeats", "duplicates", "n_duplicates"),
        *("duplications", "insertions", "n_insertions", "frequency", "infusion_frequency", "epochs", "k"),
    ),
    "recall": (
        *("accuracy", "acc", "domain_recall", "domain_accuracy", "fact_recall", "exact_match", "em"),
        *("memorization", "memorisation"),
    ),
    "facts": ("n_facts", "num_facts", "domain_facts", "number_of_facts", "S"),
    "tokens_per_fact": ("tokens_per_statement", "fact_tokens", "statement_tokens"),
    "verbatim_recall": ("surface_recall", "surface_accuracy", "statement_recall"),
    "retention": ("prior_recall", "prior_accuracy", "retention_rate"),
    "val_bpb": ("general_loss", "bpb", "validation_bpb", "general_bpb", "bits_per_byte"),
    "margin": ("log_prob_margin", "answer_margin"),
    "cloze": ("cloze_recall", "cloze_accuracy"),
    "unseen_recall": ("unseen_accuracy",),
    "chance": ("chance_level", "chance_accuracy", "guessing", "guess_rate", "random_baseline"),
    "seed": ("random_seed", "rng_seed"),
    "total_size": ("total_params", "total_parameters", "params_total", "n_params_total"),
    "held_out": ("holdout", "is_held_out", "is_holdout"),
    "run": ("run_id",),
    "status": ("state", "run_state", "run_status"),
}
# Other names of the exposures that trainers also give to something else: passes over the corpus, top k, how often
# anything is logged, runs of one setting. They count only where no other column holds a dose.
LOOSE = ("epochs", "k", "frequency", "repeats", "repetitions", "n_repetitions")
SE_ENDINGS = ("_se", "_stderr", "_sem", "_standard_error")  # behind any name of the score
# Share and exposures may differ by this factor and be the same; beyond the second factor both must have grown.
_NEAR, _FAR = 1.1, 5.0


def score_columns() -> tuple[str, ...]:
    """The columns of a table that hold a score or its standard error."""
    names = columns()
    return tuple(name for name in names if name.endswith("_se") or f"{name}_se" in names)


def columns() -> tuple[str, ...]:
    """All columns that a table can have: those of every record, then those of other outcomes."""
    more = (name for outcome in outcomes() for name in (outcome.name, f"{outcome.name}_se") if name not in FIELDS)
    return (*FIELDS, *more)


def used_columns(records: Sequence[RunRecord]) -> tuple[str, ...]:
    """The columns of a table that is written: those of every record, then of the other outcomes that were measured."""
    measured = {name for record in records for name, _ in record.more}
    return tuple(name for name in columns() if name in FIELDS or name in measured)


def cell(record: RunRecord, column: str) -> Any:
    """What a record has in a column."""
    return getattr(record, column) if column in FIELDS else dict(record.more).get(column)


def table_text(records: Iterable[RunRecord]) -> str:
    """Return the table as CSV text: fixed columns, floats by `repr`, so that equal records give equal bytes.

    Numpy's numbers are written as the plain ones they are equal to.
    """
    records = list(records)
    names = used_columns(records)
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for record in records:
        writer.writerow([_cell(name, cell(record, name)) for name in names])
    return out.getvalue()


def _cell(column: str, value: Any) -> str:
    value = _plain(value)
    if value is None or column in _TEXT:
        return "" if value is None else str(value)
    if column in _WHOLE and (isinstance(value, Integral) or float(value).is_integer()):
        return str(int(value))
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


_TEXT, _WHOLE = ("status", "run"), ("seed", "held_out")


def write_table(path: Path, records: Sequence[RunRecord]) -> None:
    """Write the table atomically: as Parquet where the name ends so, else as CSV.

    Raises InputError for a name that promises another kind of file.
    """
    path = Path(path)
    if path.suffix.lower() == ".parquet":
        _write_parquet(path, records)
        return
    if path.suffix.lower() not in ("", ".csv", ".txt"):
        raise InputError(f"{path}: tables are written as .csv or .parquet; name such a file")
    write_text(path, table_text(records))


def _write_parquet(path: Path, records: Sequence[RunRecord]) -> None:
    import pyarrow
    from pyarrow import parquet

    content = {name: [_plain(cell(record, name)) for record in records] for name in used_columns(records)}
    with atomic_path(path) as part:
        parquet.write_table(pyarrow.table(content), part)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value  # numpy's scalars


def table_hash(records: Iterable[RunRecord]) -> str:
    """SHA-256 of the table's CSV text, in hex."""
    return hashlib.sha256(table_text(records).encode()).hexdigest()


def names_of(column: str) -> tuple[str, ...]:
    """All names that a column of the table may have in a file, its own first."""
    if column.endswith("_se"):
        return tuple(name + ending for name in names_of(column.removesuffix("_se")) for ending in SE_ENDINGS)
    return (column, *ALIASES.get(column, ()))


def read_table(source: str | Path | Frame) -> list[RunRecord]:
    """Read and check a table of runs: a file of text, JSON Lines or Parquet, or a pandas data frame.

    The columns and checks are in docs/reference/table.md. Required columns: size, tokens, recall, and share or
    exposures; unknown columns are ignored. Missing scores of a row are None. With facts and tokens_per_fact, a missing
    dose unit is filled from the other.
    Raises InputError with file and the first bad row, and how many more there are. Rows of a text table are counted as
    in a spreadsheet, from 2 below the names of the columns; those of a data frame from 0, as by `iloc`.
    """
    place: str | Path
    if isinstance(source, str | Path):
        place, (header, rows) = source, read_rows(source)
    else:
        place, (header, rows) = "the data frame", frame_rows(source)
    columns = _columns_of(_unambiguous(header, rows.values()), place)
    records: list[tuple[int, RunRecord]] = []
    bad: list[tuple[int, InputError]] = []
    for number, row in rows.items():
        if all(cell is None for cell in row.values()):
            continue
        try:
            records.append((number, _record(row, columns)))
        except InputError as error:
            bad.append((number, error))
    bad = sorted([*bad, *_repeated(records), *_opposed(records, columns)], key=lambda item: item[0])
    if bad:
        more = f" (and {len(bad) - 1} more row{'s' if len(bad) > 2 else ''})" if len(bad) > 1 else ""
        raise InputError(f"{place}, row {bad[0][0]}: {bad[0][1]}{more}")
    if not records:
        raise InputError(f"{place}: the table has no rows")
    return [record for _, record in records]


def _columns_of(header: Sequence[str], path: str | Path) -> dict[str, str]:
    """Which column of the file holds which of ours; InputError when one is missing or given twice."""
    columns: dict[str, str] = {}
    known = _known()
    for name in header:
        column = known.get(bare(name))
        if column in columns:
            both = f'"{columns[column]}" and "{name}"'
            raise InputError(f"{path}: columns {both} both mean {column}; rename or remove one")
        if column:
            columns[column] = name
    for column in REQUIRED:
        if column not in columns:
            needs, fix = ", ".join(REQUIRED), _meant(column, header) or f"this one has {', '.join(header[:40])}"
            raise InputError(f'{path}: column "{column}" is missing; a table needs {needs}; {fix}')
    if "share" not in columns and "exposures" not in columns:
        fix = _meant("share", header) or _meant("exposures", header) or "add the dose of each run"
        raise InputError(f'{path}: neither column "share" nor "exposures" is there; {fix}')
    return columns


def _known() -> dict[str, str]:
    """The column that each name in a file means."""
    return {bare(name): column for column in columns() for name in names_of(column)}


def _unambiguous(header: Sequence[str], rows: Iterable[dict[str, Any]]) -> list[str]:
    """The names of the columns without the loose ones, where another column holds a dose."""
    loose, known = {bare(name) for name in LOOSE}, _known()
    doses = [name for name in header if known.get(bare(name)) in ("share", "exposures") and bare(name) not in loose]
    if all(is_missing(row[name]) for row in rows for name in doses):
        return list(header)
    return [name for name in header if bare(name) not in loose]


def _meant(column: str, header: Sequence[str]) -> str | None:
    """Advice to rename a column whose name is near one of a missing column, if there is such a name."""
    names, known = {bare(name): name for name in names_of(column)}, _known()
    for given in (name for name in header if bare(name) not in known):
        near = get_close_matches(bare(given), names, n=1, cutoff=0.75)
        if near:
            return f'if "{given}" is that column, rename it to "{names[near[0]]}"'
    return None


def _record(row: dict[str, Any], columns: dict[str, str]) -> RunRecord:
    """One row as a record; InputError, without file and row, when it cannot be."""
    values = {column: cell_value(column, row[name], name) for column, name in columns.items()}
    values = {column: value for column, value in values.items() if value is not None}
    for column in ("size", "tokens"):
        if column not in values:
            raise InputError(f'"{columns[column]}" is empty; every run needs it')
    if "share" not in values and "exposures" not in values:
        raise InputError("neither share nor exposures is given; every run needs its dose")
    if values.get("facts") and values.get("tokens_per_fact"):
        values |= _both_units(
            values["tokens"], values["facts"], values["tokens_per_fact"], values.get("share"), values.get("exposures")
        )
    if values.get("status", "ok") != "ok":  # its scores, if it has any, are not those of a trained model
        scores = score_columns()
        values = {column: value for column, value in values.items() if column not in scores}
    if values.get("share") == 1:
        raise InputError("the share is 1, which leaves no general text and has infinite odds; take the row out")
    more = tuple((name, value) for name, value in values.items() if name not in FIELDS)
    return RunRecord(**{name: value for name, value in values.items() if name in FIELDS}, more=more)


def _both_units(
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


def _repeated(records: Iterable[tuple[int, RunRecord]]) -> Iterator[tuple[int, InputError]]:
    """Rows that give a run again: the same seed, or no seed and the same name, scores and standard errors as well.

    Runs at several token counts are no repeats: they may be checkpoints, of which `law.merging` takes care.
    """
    first: dict[tuple[Any, ...], int] = {}
    names = score_columns()
    for number, row in records:
        if row.status == "unfinished" or (row.seed is None and row.status == "diverged"):
            continue  # it was begun again, or has no scores to differ in
        dose = tuple(None if unit is None else f"{unit:.9g}" for unit in (row.share, row.exposures))
        scores = (row.run, *(cell(row, name) for name in names)) if row.seed is None else ()
        before = first.setdefault((row.size, row.tokens, dose, row.facts, row.seed, scores), number)
        if before != number:
            same = f"scores as row {before}, and no seed" if row.seed is None else f"seed as row {before}"
            fix = "take one out, or give each its own seed"
            yield number, InputError(f"the same size, tokens, dose, facts and {same}; {fix}")


def _opposed(records: Iterable[tuple[int, RunRecord]], columns: dict[str, str]) -> Iterator[tuple[int, InputError]]:
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
