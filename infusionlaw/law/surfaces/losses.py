"""A table of one loss by what it depends on: size, tokens or compute, unique tokens or epochs, share.

Columns are found and choices kept as for a table of runs (`runs.table`), but neither a dose nor an outcome is needed.
Unique tokens are tokens / epochs, so either may be given, and tokens are compute / (6 size). The share is that of the
text which the loss is of. Units are those of the file: the loss is fitted as it is.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infusionlaw.errors import InputError, Question, naming
from infusionlaw.law.dose import Array
from infusionlaw.law.surfaces.conditions import Conditions
from infusionlaw.runs.cells import cell_value
from infusionlaw.runs.choices import Choices, choices
from infusionlaw.runs.names import OF_SURFACES, SurfaceNames, names_of
from infusionlaw.runs.table import find_columns
from infusionlaw.runs.tabular import bare

CONDITIONS = ("size", "tokens", "unique_tokens", "share")
# A loss beyond these is none: a run that diverged, another unit, or a slip.
LEAST_LOSS, LARGEST_LOSS = 1e-6, 1e6
# Losses of general text, of any text, and shares that are of domain text by their name: a surface needs the share of
# the text that the loss is of.
GENERAL = tuple(map(bare, (*names_of("val_bpb"), "general_loss", "val_loss", "valid_loss", "validation_loss")))
ANY = tuple(map(bare, ("loss", "test_loss", "eval_loss", "final_loss", "nll")))
OF_DOMAIN = re.compile("domain|infus")
# What a cell is written as, where that is as in another column.
WRITTEN_AS = {"unique_tokens": "tokens", "loss_share": "share"}
# Epochs and unique tokens are often rounded; beyond this they contradict each other.
AGREE = 0.01


@dataclass(frozen=True)
class Losses:
    """Conditions and losses (n,), and a sentence on each thing that a person should check."""

    conditions: Conditions
    loss: Array
    remarks: tuple[str, ...] = ()


def read_losses(
    path: str | Path, loss: str | None = None, *, where: str | Iterable[str] = (), **columns: str
) -> tuple[Conditions, Array]:
    """Read conditions and losses (n,) from a table: text, JSON Lines or Parquet.

    loss: the column of the loss (default: by its usual names); where: conditions that a row meets, as in "set = b" or
    "params < 1e9"; columns: the file's column of a condition, as in size="Model Size". The share is that of the text
    which the loss is of: where a column may be the share of other text, say loss_share="r_d" if it is that.
    Raises InputError with file, row and fix.
    """
    named = {**columns, **({"loss": loss} if loss else {})}
    found = losses_in(path, choices(named, where, names=SurfaceNames()))
    return found.conditions, found.loss


def losses_in(path: str | Path, chosen: Choices) -> Losses:
    """Read a table of losses as `read_losses` does, with remarks on how it was read."""
    found = find_columns(path, chosen, SurfaceNames())
    with naming(path):
        columns = _conditions(found.columns)
    values = []
    for number, row in found.rows.items():
        with naming(f"{path}, row {number}"):
            values += [_row(row, columns)] if _finished(row, found.columns) else []
    if not values:
        raise InputError(f"{path}: no row is a run that finished")
    known = [name for name in CONDITIONS if name in values[0]]
    conditions = Conditions(**{name: np.array([row[name] for row in values]) for name in known})
    return Losses(conditions, np.array([row["loss"] for row in values]), found.remarks)


def _finished(row: Mapping[str, Any], columns: Mapping[str, str]) -> bool:
    status = columns.get("status")
    return status is None or cell_value("status", row[status], status) in (None, "ok")


def _conditions(found: Mapping[str, str]) -> dict[str, str]:
    """The columns that tell the conditions and the loss; InputError, without the file, where they cannot."""
    columns = {ours: name for ours, name in found.items() if ours in ("size", "tokens", "share", *OF_SURFACES)}
    if "loss_share" not in columns and "share" in columns:
        _check_share(columns["share"], columns["loss"])
    if "loss_share" in columns:
        columns["share"] = columns.pop("loss_share")
    if "tokens" in columns and "compute" in columns:
        del columns["compute"]  # tokens say the same
    if "compute" in columns and "size" not in columns:
        raise InputError(f'"{columns["compute"]}" tells tokens by the size, which is not there; add a column size')
    if not set(columns) & set(CONDITIONS):
        raise Question(
            "no column is known as size, tokens, unique tokens or share; say which, as in --column size=NAME"
        )
    return columns


def _check_share(share: str, loss: str) -> None:
    """Refuse to guess whether a share is of the text that the loss is of."""
    if bare(loss) in GENERAL or (bare(loss) in ANY and OF_DOMAIN.search(bare(share))):
        raise Question(
            f'"{share}" may be the share of domain text and "{loss}" a loss of general text, but a surface needs the '
            f"share of the text that the loss is of; add --column loss_share={share} if it is that, or name a column "
            "of 1 minus it"
        )


def _row(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, float]:
    """The numbers of one row, checked, with unique tokens from epochs where need be."""
    values: dict[str, float] = {}
    for ours, column in columns.items():
        value = cell_value(WRITTEN_AS.get(ours, ours), row[column], column)
        if value is None:
            raise InputError(f'"{column}" is empty; fill it in or remove the row')
        if ours == "loss" and value <= 0:
            raise InputError(f'"{column}" is {value:g}, which must be above 0')
        if ours == "loss" and not LEAST_LOSS <= value <= LARGEST_LOSS:
            raise InputError(
                f'"{column}" is {value:g}; a loss lies between {LEAST_LOSS:g} and {LARGEST_LOSS:g}, '
                "so fix it or take the row out"
            )
        values[ours] = value
    if "compute" in values:
        values.setdefault("tokens", values["compute"] / (6 * values["size"]))
    if "passes" in values and "tokens" in values:
        _unique(values)
    if values.get("unique_tokens", 0.0) > values.get("tokens", float("inf")):
        raise InputError("there are more unique tokens than tokens; fix one of the two")
    return values


def _unique(values: dict[str, float]) -> None:
    epochs, tokens = values["passes"], values["tokens"]
    if not 1 <= epochs <= tokens:
        raise InputError(f"epochs is {epochs:g}, which must be 1 or more and fewer than its tokens")
    follows = tokens / epochs
    given = values.setdefault("unique_tokens", follows)
    if abs(given / follows - 1) > AGREE:
        raise InputError(
            f"{epochs:g} epochs of {tokens:g} tokens are {follows:g} unique tokens and not {given:g}; "
            "fix one of the three"
        )
