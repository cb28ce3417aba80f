"""Anybody's table of measured losses: one row a run, with its conditions and its loss.

A table of runs (`table`) asks for recall and a dose; this one asks for a loss and at least one thing it depends on:
size, tokens or compute, unique tokens or epochs, share. Unique tokens are tokens / epochs, and tokens are compute / (6
size), so either may be given.
Units are those of the file: the loss in nats, bits, or bits per byte, fitted as it is.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infusionlaw.errors import InputError, naming, nearest
from infusionlaw.law.dose import Array
from infusionlaw.law.surfaces.conditions import Conditions
from infusionlaw.runs.cells import cell_value
from infusionlaw.runs.choices import rows_where
from infusionlaw.runs.names import names_of
from infusionlaw.runs.tabular import bare, read_rows

CONDITIONS = ("size", "tokens", "unique_tokens", "share")
# Other names of columns; those of size, tokens and share are the names they have in a table of runs.
ALIASES: dict[str, tuple[str, ...]] = {
    "size": names_of("size"),
    "tokens": names_of("tokens"),
    "compute": ("compute", "flop", "flops", "training_flop", "training_flops", "train_flops", "C"),
    "unique_tokens": ("unique_tokens", "n_unique_tokens", "unique", "unique_data", "U"),
    "epochs": ("epochs", "n_epochs", "num_epochs", "passes"),
    "share": names_of("share"),
    "loss": (
        *("loss", "val_loss", "valid_loss", "validation_loss", "test_loss", "eval_loss", "final_loss"),
        *("general_loss", "domain_loss", "bpb", "val_bpb", "nll"),
    ),
}
# A loss beyond these is none: a run that diverged, another unit, or a slip.
LEAST_LOSS, LARGEST_LOSS = 1e-6, 1e6
# Losses of general text, of any text, and shares that are of domain text by their name: a surface needs the share of
# the text that the loss is of.
GENERAL = (*names_of("val_bpb"), "general_loss", "val_loss", "valid_loss", "validation_loss")
ANY = ("loss", "test_loss", "eval_loss", "final_loss", "nll")
OF_DOMAIN = re.compile("domain|infus")
# Epochs and unique tokens are often rounded; beyond this they contradict each other.
AGREE = 0.01


def read_losses(
    path: str | Path, loss: str | None = None, *, where: Sequence[str] = (), **renames: str
) -> tuple[Conditions, Array]:
    """Read conditions and losses (n,) from a table: text, JSON Lines or Parquet.

    loss: the column of the loss (default: by its usual names); where: conditions that a row meets, as in "set = b" or
    "params < 1e9"; renames: the column of a condition where its name is not a usual one, as in share="r_d". The share
    is that of the text which the loss is of; where a column may be the share of other text, it is to be named so.
    Raises InputError with file, row and fix.
    """
    import numpy as np

    header, rows = read_rows(path)
    columns = _columns(header, {**renames, **({"loss": loss} if loss else {})}, path)
    filled = {n: row for n, row in rows.items() if any(cell is not None for cell in row.values())}
    with naming(path):
        kept = list(rows_where(where, header, filled).items())
    if not kept:
        raise InputError(f"{path}: no row is left to read; check the table")
    values = [_row(row, columns, f"{path}, row {number}") for number, row in kept]
    known = [name for name in CONDITIONS if name in values[0]]
    conditions = Conditions(**{name: np.array([row[name] for row in values]) for name in known})
    return conditions, np.array([row["loss"] for row in values])


def _columns(header: list[str], renames: Mapping[str, str], path: str | Path) -> dict[str, str]:
    """The file's column of each meaning that it has."""
    for meaning, column in renames.items():
        if meaning not in ALIASES:
            raise InputError(f'"{meaning}" is nothing a loss depends on here; {nearest(meaning, ALIASES)}')
        if column not in header:
            raise InputError(f'{path}: there is no column "{column}"; {nearest(column, header)}')
    found = dict(renames)
    for meaning in (name for name in ALIASES if name not in renames):
        known = {bare(alias) for alias in ALIASES[meaning]}
        mine = [column for column in header if bare(column) in known and column not in renames.values()]
        if len(mine) > 1:
            raise InputError(f'{path}: "{mine[0]}" and "{mine[1]}" may both be the {meaning}; say {meaning}="..."')
        found |= {meaning: mine[0]} if mine else {}
    if "loss" not in found:
        raise InputError(
            f'{path}: no column is known as the loss; say which with loss="...", {nearest("loss", header)}'
        )
    if "share" in found and "share" not in renames:
        _check_share(found["share"], found["loss"], path)
    if "tokens" in found and "compute" in found and "compute" not in renames:
        del found["compute"]  # tokens say the same
    if "compute" in found and "size" not in found:
        raise InputError(
            f'{path}: "{found["compute"]}" tells tokens by the size, which is not there; add a column size'
        )
    if not set(found) & set(CONDITIONS):
        raise InputError(f"{path}: no column is known as size, tokens, unique tokens or share; rename one or say which")
    return found


def _check_share(share: str, loss: str, path: str | Path) -> None:
    """Refuse to guess whether a share is of the text that the loss is of."""
    general = bare(loss) in map(bare, GENERAL)
    if general or (bare(loss) in map(bare, ANY) and OF_DOMAIN.search(bare(share))):
        raise InputError(
            f'{path}: "{share}" may be the share of domain text and "{loss}" a loss of general text, but a surface '
            f'needs the share of the text that the loss is of; say share="{share}" if it is that, or name a column of '
            "1 minus it"
        )


def _row(row: Mapping[str, Any], columns: Mapping[str, str], place: str) -> dict[str, float]:
    """The numbers of one row, checked, with unique tokens from epochs where need be."""
    values: dict[str, float] = {}
    for meaning, column in columns.items():
        try:
            # Unique tokens are a count and are written like any other count of tokens.
            value = cell_value("tokens" if meaning == "unique_tokens" else meaning, row[column], column)
        except InputError as error:
            raise InputError(f"{place}: {error}") from error
        if value is None:
            raise InputError(f'{place}: "{column}" is empty; fill it in or remove the row')
        if meaning == "loss" and value <= 0:
            raise InputError(f'{place}: "{column}" is {value:g}, which must be above 0')
        if meaning == "loss" and not LEAST_LOSS <= value <= LARGEST_LOSS:
            raise InputError(
                f'{place}: "{column}" is {value:g}; a loss lies between {LEAST_LOSS:g} and {LARGEST_LOSS:g}, '
                "so fix it or take the row out"
            )
        values[meaning] = value
    if "compute" in values:
        values.setdefault("tokens", values["compute"] / (6 * values["size"]))
    if "epochs" in values and "tokens" in values:
        _unique(values, place)
    if values.get("unique_tokens", 0.0) > values.get("tokens", float("inf")):
        raise InputError(f"{place}: there are more unique tokens than tokens; fix one of the two")
    return values


def _unique(values: dict[str, float], place: str) -> None:
    if not 1 <= values["epochs"] <= values["tokens"]:
        raise InputError(f"{place}: epochs is {values['epochs']:g}, which must be 1 or more and fewer than its tokens")
    follows = values["tokens"] / values["epochs"]
    given = values.setdefault("unique_tokens", follows)
    if abs(given / follows - 1) > AGREE:
        passes, tokens = f"{values['epochs']:g} epochs", f"{values['tokens']:g} tokens"
        raise InputError(
            f"{place}: {passes} of {tokens} are {follows:g} unique tokens and not {given:g}; fix one of the three"
        )
