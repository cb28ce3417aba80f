"""One cell of a person's table as a typed value: what may stand in each column, and how people write it.

Counts may be written as "1.3B", "160M", "25k", "1e9" or "1,300,000", parts of one as "30%". A cell that cannot be used
is an InputError that names the column and the fix; the reader of the table adds file and row.
"""

import math
import re
from collections.abc import Iterable
from reprlib import repr
from typing import Any

from infusionlaw.errors import InputError
from infusionlaw.quantities import written_number
from infusionlaw.runs.outcomes import ACCURACIES, is_loss, measure_of, scale_of
from infusionlaw.runs.tabular import bare

MISSING = ("na", "n/a", "#n/a", "nan", "null", "none")
TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0")
# What trackers and schedulers call a run's state, by what it means here.
STATUS = {
    "ok": ("ok", "finished", "completed", "complete", "done", "success", "succeeded"),
    "diverged": ("diverged",),
    "unfinished": (
        *("unfinished", "running", "crashed", "failed", "killed", "stopped", "preempted", "preempting", "pending"),
        *("queued", "scheduled", "starting", "cancelled", "canceled", "aborted", "timeout", "out_of_memory"),
        *("node_fail", "node_failure", "boot_fail", "fail", "error", "errored", "terminated", "interrupted", "waiting"),
        *("in_progress", "incomplete", "pruned", "suspended", "requeued", "paused", "deadline", "revoked"),
    ),
}
FINISHED = ("finished", "isfinished", "completed", "iscompleted", "complete", "done")  # columns of true and false
_COUNTS = {"size", "tokens", "facts", "total_size", "exposures", "domain_tokens", "step"}
_POSITIVE = {"size", "tokens", "facts", "tokens_per_fact", "total_size"}
_NAMES = {"run", "name", "curve", "loss_unit"}
_UNIT_INTERVAL = {"share", "loss_share", "cloze", "unseen_recall", "chance", *ACCURACIES}
LARGEST = 1e20
# Fewer parameters or tokens than this are millions or billions without their sign.
LEAST = 1000
_AT_LEAST = {"size": "parameters", "total_size": "parameters", "tokens": "tokens"}
_DECIMAL_COMMA = re.compile(r"(?![+-]?[1-9]\d{0,2}(,\d{3})+$)[+-]?\d*,\d+")


def is_part_of_one(column: str) -> bool:
    """Whether a column, or the score that it is the error of, lies between 0 and 1."""
    name = measure_of(column)
    return name in _UNIT_INTERVAL or scale_of(name) == "proportion"


def is_missing(raw: Any) -> bool:
    """Whether a cell is empty or says that nothing was measured."""
    return raw is None or str(raw).strip().casefold() in ("", *MISSING)


def cell_value(column: str, raw: Any, name: str) -> Any:
    """One cell as its type, None when it is missing; `name` is the column's name in the file."""
    label = f'"{name}"' if name == column else f'"{name}" ({column})'
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return None
    if isinstance(raw, list | tuple | dict):
        raise InputError(f"{label} is {repr(raw)}, which is not one value; fix or empty that cell")
    if column in _NAMES:
        return str(raw).strip()
    if is_missing(raw):
        return None
    if column == "status":
        return _status(raw, name, label)
    if column == "held_out":
        return _truth(raw, label)
    number = _number(column, raw, label)
    complaint = _out_of_range(column, number)
    if complaint:
        raise InputError(f"{label} is {number:g}, which {complaint}")
    return _whole(raw, number) if column == "seed" else number


def _whole(raw: Any, number: float) -> int:
    """The number as an int, from its digits where it has only those: 64 bits do not survive being a float."""
    digits = str(raw).strip()
    return int(raw) if len(digits) < 25 and digits.removeprefix("-").isdecimal() else int(number)


def holds_states(name: str, cells: Iterable[Any]) -> bool:
    """Whether a column of an unknown name holds states of runs, of which some did not finish."""
    found = {state_of(cell, name) for cell in cells if not is_missing(cell)}
    return "" not in found and len(found - {"ok"}) > 0


def state_of(raw: Any, name: str) -> str:
    """What a word says of a run's state, "" for nothing."""
    word = str(raw).strip().casefold()
    if bare(name) in FINISHED and word.removesuffix(".0") in TRUE + FALSE:
        return "ok" if word.removesuffix(".0") in TRUE else "unfinished"
    word = re.sub(r"[\s-]+", "_", word).removesuffix("+")  # Slurm marks what it cut short
    word = "cancelled" if word.startswith("cancelled_by_") else word
    return next((status for status, words in STATUS.items() if word in words), "")


def _status(raw: Any, name: str, label: str) -> str:
    if found := state_of(raw, name):
        return found
    raise InputError(f"{label} is {raw!r}, which is no state of a run; write {', '.join(STATUS)}, or leave it empty")


def _truth(raw: Any, label: str) -> bool:
    word = str(raw).strip().casefold().removesuffix(".0")
    if word not in TRUE + FALSE:
        raise InputError(f"{label} is {raw!r}, which is neither true nor false; write true or false, yes or no, 1 or 0")
    return word in TRUE


def _number(column: str, raw: Any, label: str) -> float:
    """A cell as a number: counts may be written as "1.3B" or "1,300,000", parts of one as "30%"."""
    try:
        number = _written(column, raw) if isinstance(raw, str) else float(raw)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or isinstance(raw, bool):
        comma = isinstance(raw, str) and _DECIMAL_COMMA.fullmatch(raw.strip())
        why = (
            "has a decimal comma; write it with a point"
            if comma
            else "is not a number; fix it (decimals have a point) or empty that cell"
        )
        raise InputError(f"{label} is {raw!r}, which {why}")
    return number


def _written(column: str, text: str) -> float | None:
    return written_number(text, count=column in _COUNTS, part=is_part_of_one(column))


def _out_of_range(column: str, number: float) -> str | None:
    """Why a number cannot stand in its column, and the fix."""
    if math.isinf(number):
        return "is not finite; fix or empty that cell"
    if column in _COUNTS and number > LARGEST:
        return "is more than can be; fix that cell"
    if column in _POSITIVE and number <= 0:
        return "must be above 0"
    if column in _AT_LEAST and number < LEAST:
        millions = f"{1000 * number:g}M" if number < 1 else f"{number:g}M"
        return f"is below {LEAST:,}; write {_AT_LEAST[column]} as {millions} or {number:g}B"
    if is_part_of_one(column) and not column.endswith("_se") and not 0 <= number <= 1:
        hint = f"; if it is percent, write it as {number:g}%" if 1 < number <= 100 else ""
        return f"must lie between 0 and 1{hint}"
    if is_loss(column) and not column.endswith("_se") and number <= 0:
        return "must be above 0: a loss, so turn the sign of a log likelihood"
    if (column in ("exposures", "domain_tokens", "step") or column.endswith("_se")) and number < 0:
        return "must not be negative"
    if is_part_of_one(column) and column.endswith("_se") and number > 0.5:
        return f"is more than a standard error can be of a score from 0 to 1; if it is percent, write it as {number:g}%"
    return "must be a whole number" if column == "seed" and not number.is_integer() else None
