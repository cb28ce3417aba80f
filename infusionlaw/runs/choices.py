"""What a person says about a table: which column is which, which rows count, what is percent, the unit of losses.

It is kept beside the table, in TABLE.columns.toml, and read from there the next time:

    where = ["State = finished"]
    percent = ["acc", "acc_stderr"]
    unit = "nats per token"

    [columns]
    recall = "eval/med/acc"
"""

import csv
import json
import re
import shlex
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from infusionlaw.errors import InputError, Question, naming, nearest
from infusionlaw.files import write_text
from infusionlaw.quantities import written_number
from infusionlaw.runs.cells import is_missing, is_part_of_one
from infusionlaw.runs.columns import column_named, no_column
from infusionlaw.runs.names import OF_SURFACES, Names, names_its_unit
from infusionlaw.runs.outcomes import is_loss

UNITS = ("bits per byte", "nats per byte", "bits per token", "nats per token")
# What may be given as one number for all runs, instead of a column.
CONSTANTS = ("size", "tokens", "share", "exposures", "facts", "tokens_per_fact", "chance")
SHOWN = 8  # values or columns that are named
SMALL_ERROR = 0.1  # of a score from 0 to 1; a larger one beside a score in percent is in percent
_CONDITION = re.compile(
    r'\s*(?:"(?P<quoted>[^"]+)"|(?P<plain>[^"=!<>]+?))\s*(?:(?P<sign>!=|=|<|>)|(?<=\s)(?P<within>in)(?=\s))'
    r"\s*(?P<value>[^=].*?)\s*"
)
Rows = dict[int, dict[str, Any]]


@dataclass(frozen=True)
class Choices:
    """What a person says about a table. columns: the file's column of each of ours, "" for none, or a number for all
    runs; where: conditions that a row meets; percent: columns in percent; unit: of all losses, one of UNITS."""

    columns: Mapping[str, str] = field(default_factory=dict)
    where: tuple[str, ...] = ()
    percent: tuple[str, ...] = ()
    unit: str | None = None

    def __bool__(self) -> bool:
        return bool(self.columns or self.where or self.percent or self.unit)

    def over(self, kept: "Choices") -> "Choices":
        """These choices, and those kept from earlier where these say nothing."""
        both = {**kept.columns, **self.columns}
        return Choices(both, self.where or kept.where, self.percent or kept.percent, self.unit or kept.unit)

    def known_to(self, names: Names) -> "Choices":
        """These choices without the columns that a table of runs, or a surface, has no use for."""
        return replace(self, columns={ours: name for ours, name in self.columns.items() if names.whole(ours) == ours})


def choices(
    columns: Mapping[str, str] | None = None,
    where: str | Iterable[str] = (),
    percent: str | Iterable[str] = (),
    unit: str | None = None,
    names: Names | None = None,
) -> Choices:
    """Return choices as a person writes them. names: of a table of runs, where none are given.

    Raises InputError for a column of ours or a unit there is none of.
    """
    names = names or Names()
    ours = {}
    for name, column in (columns or {}).items():
        meant = names.whole(name.strip())
        if meant is None:
            raise InputError(f'"{name}" is no column that is read here; {nearest(name, names.ours())}')
        ours[meant] = column.strip()
    conditions, parts = ([given] if isinstance(given, str) else given for given in (where, percent))
    return Choices(ours, tuple(conditions), tuple(parts), None if unit is None else unit_named(unit))


def unit_named(text: str) -> str:
    """The unit of a loss as it is stored. Raises InputError where it is none."""
    words = " ".join(re.sub(r"/|_", " per ", text.casefold()).split()).removeprefix("in ")
    full = {"bpb": "bits per byte", "bit": "bits", "nat": "nats"}
    words = " ".join(full.get(word, word) for word in words.split())
    if words not in UNITS:
        raise InputError(f'the unit "{text}" is none of {", ".join(UNITS)}; write one of these')
    return words


def kept_file(table: str | Path) -> Path:
    """Where the choices about a table are kept."""
    return Path(f"{table}.columns.toml")


def read_choices(table: str | Path) -> Choices:
    """Read the choices that are kept beside a table; none where there is no such file."""
    path = kept_file(table)
    if not path.is_file():
        return Choices()
    fix = "fix it, or remove it to start over"
    try:
        content = tomllib.loads(path.read_text(encoding="utf8"))
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {fix}") from error
    kinds = {"columns": dict, "where": list, "percent": list, "unit": str}
    for key, value in content.items():
        texts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if not isinstance(value, kinds.get(key, ())) or not all(isinstance(text, str) for text in texts):
            raise InputError(f'{path}: "{key}" is unknown or not as it is written here; {fix}')
    written = content.pop("columns", {})
    of_surfaces = {ours: name for ours, name in written.items() if ours in OF_SURFACES}
    of_runs = {ours: name for ours, name in written.items() if ours not in OF_SURFACES}
    with naming(path):
        kept = choices(of_runs, **content)
    return replace(kept, columns={**kept.columns, **of_surfaces})


def keep_choices(table: str | Path, chosen: Choices) -> Path:
    """Write choices beside a table and return where."""
    path = kept_file(table)
    lines = [f"# How {Path(table).name} is read. Change it, or remove it to start over."]
    lines += [f"where = [{', '.join(map(_text, chosen.where))}]"] if chosen.where else []
    lines += [f"percent = [{', '.join(map(_text, chosen.percent))}]"] if chosen.percent else []
    lines += [f"unit = {_text(chosen.unit)}"] if chosen.unit else []
    lines += ["", "[columns]"] if chosen.columns else []
    keys = {ours: ours if ours.isidentifier() else _text(ours) for ours in chosen.columns}
    lines += [f"{keys[ours]} = {_text(name)}" for ours, name in chosen.columns.items()]
    write_text(path, "\n".join(lines) + "\n")
    return path


def _text(value: str) -> str:
    """A text of TOML: as in JSON, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def file_columns(chosen: Choices, header: list[str], rows: Rows) -> dict[str, str]:
    """The file's whole column of each of ours that a person chose.

    A number that stands for all runs becomes a column of the header and of the rows. Raises InputError, without the
    file, for a column that is not there.
    """
    found: dict[str, str] = {}
    for ours, name in chosen.columns.items():
        column = column_named(name, header) if name else ""
        constant = ours in CONSTANTS or ours.startswith("start_")
        if column is None and constant and written_number(name, count=True, part=True) is not None:
            column = f"{ours}={name}"
            header.append(column)
            for row in rows.values():
                row[column] = name if any(cell is not None for cell in row.values()) else None
        if column is None:
            raise no_column(name, header)
        if column and column in found.values():
            other = next(key for key, value in found.items() if value == column)
            raise InputError(f'"{column}" cannot be both {other} and {ours}; name another for one of them')
        found[ours] = column
    return found


def rows_where(conditions: Sequence[str], header: Sequence[str], rows: Rows) -> dict[int, dict[str, Any]]:
    """Return the rows that meet all conditions, such as `State = finished`, `lr < 1e-3` or `seed in 1, 2`.

    Raises InputError, without the file, for one that cannot be read and where no row is left.
    """
    left = dict(rows)
    for condition in conditions:
        left = _meeting(condition, header, left)
    return left


def _meeting(condition: str, header: Sequence[str], rows: Rows) -> dict[int, dict[str, Any]]:
    match = _CONDITION.fullmatch(condition)
    if not match:
        raise InputError(
            f'the condition "{condition}" cannot be read; write it like "State = finished", with =, !=, <, > or in, '
            "and quote a column whose name has one of these"
        )
    asked, sign = (match["quoted"] or match["plain"]).strip(), match["sign"] or match["within"]
    column = column_named(asked, header)
    if column is None:
        raise no_column(asked, header)
    if sign in "<>":
        bound = _number(match["value"], condition)
        cells = {number: _number(row[column], f"row {number}") for number, row in rows.items() if _is(row[column])}
        met = {n for n, cell in cells.items() if (cell < bound if sign == "<" else cell > bound)}
        left = {n: row for n, row in rows.items() if n in met}
    else:
        values = _listed(match["value"]) if sign == "in" else [match["value"]]
        wanted = {_key(_unquoted(value)) for value in values}
        left = {n: row for n, row in rows.items() if (_key(row[column]) in wanted) == (sign != "!=")}
    if not left:
        there = list(dict.fromkeys(str(row[column]) for row in rows.values() if _is(row[column])))
        shown = ", ".join(there[:SHOWN]) + (" and more" if len(there) > SHOWN else "")
        raise InputError(f'no row meets "{condition}"; "{column}" has {shown or "no values"}')
    return left


def _is(cell: Any) -> bool:
    return not is_missing(cell)


def _number(cell: Any, place: str) -> float:
    number = written_number(str(cell), count=True, part=True)
    if number is None:
        raise InputError(f'{place}: "{cell}" is no number to compare; use = or in, or fix it')
    return number


def _listed(text: str) -> list[str]:
    if text[:1] + text[-1:] in ("()", "[]"):
        text = text[1:-1]
    return next(csv.reader([text], skipinitialspace=True), [])


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _key(cell: Any) -> str | float:
    """What two equal cells have in common: 0.10 is .1, and Finished is finished."""
    text = "" if cell is None else str(cell).strip()
    number = written_number(text, count=True, part=True)
    return text.casefold() if number is None else number


def as_parts(percent: Sequence[str], matched: Mapping[str, str], header: Sequence[str], rows: Rows) -> Rows:
    """The rows with the columns in percent written so, with their sign.

    Raises InputError, without the file, for a column that is no score or share; Question where columns that nobody
    called percent have values up to 100, all of them at once.
    """
    parts = {name: ours for ours, name in matched.items() if is_part_of_one(ours)}
    chosen = set()
    for asked in percent:
        ours = Names().whole(asked)
        name = matched[ours] if ours and ours in matched and asked not in header else column_named(asked, header)
        if name is None:
            if ours and is_part_of_one(ours):
                continue  # of a score that this table has under no name
            raise no_column(asked, header)
        if name not in matched.values():
            continue  # said of another reading of the same file
        if name not in parts:
            raise InputError(
                f'"{asked}" is not read as a score or share, so it cannot be percent; {nearest(asked, parts)}'
            )
        chosen.add(name)
    most = {name: _largest(row[name] for row in rows.values()) for name in parts if name not in chosen}
    doubtful = {name: value for name, value in most.items() if 1 < value <= 100}
    # errors beside a score in percent are in percent too, but may be small enough to be taken for parts of one
    beside = [name for name, ours in parts.items() if matched.get(ours.removesuffix("_se")) in {*doubtful, *chosen}]
    small = {name: most[name] for name in beside if most.get(name, 0) > SMALL_ERROR}
    if doubtful or small:
        listed = list(dict.fromkeys((*percent, *doubtful, *small)))
        largest = list((small | doubtful).items())[:SHOWN]
        said = ", ".join(f'"{name}" (up to {value:g})' for name, value in largest)
        option = ",".join(f'"{name}"' if "," in name else name for name in listed)
        raise Question(
            f"{said}: above 1, too much for a share or a score; if in percent, add --percent {shlex.quote(option)}"
        )
    return {n: row | {name: _signed(row[name]) for name in chosen} for n, row in rows.items()} if chosen else rows


def _largest(cells: Iterable[Any]) -> float:
    """The largest number of a column; 0 where one is negative, has a sign of percent or is no number."""
    numbers = [cell if type(cell) is float else written_number(str(cell)) for cell in cells if _is(cell)]
    known = [number for number in numbers if number is not None and number >= 0]
    return max(known, default=0) if len(known) == len(numbers) else 0


def _signed(cell: Any) -> Any:
    """A cell in percent with its sign, where it is a number without one."""
    return cell if not _is(cell) or written_number(str(cell)) is None else f"{str(cell).strip()}%"


def unit_of_losses(matched: Mapping[str, str], rows: Rows, chosen: str | None) -> str | None:
    """The unit of a table's losses, None for bits per byte: as chosen, or as the column loss_unit says.

    Raises Question, without the file, where neither says it and the name of a loss does not either.
    """
    said_by_name = {ours: name for ours, name in matched.items() if not name.startswith(f"{ours}=")}  # no constants
    losses = [name for ours, name in said_by_name.items() if is_loss(ours) and not ours.endswith("_se")]
    unclear = [name for name in losses if not names_its_unit(name)]
    unit = chosen
    if unit is None and "loss_unit" in matched:
        said = {unit_named(str(row[matched["loss_unit"]] or UNITS[0])) for row in rows.values()}
        if len(said) > 1:
            raise InputError(f'"{matched["loss_unit"]}" says {" and ".join(sorted(said))}; a table has one unit')
        unit, unclear = next(iter(said), None), []
    if unclear and unit is None:
        which = " and ".join(f'"{name}"' for name in unclear[:3]) + (" and others" if len(unclear) > 3 else "")
        raise Question(
            f"the unit of the loss in {which} is not stated; add --unit nats/token, bits/token, nats/byte or bits/byte"
        )
    if unit and unit != UNITS[0] and unclear and len(unclear) < len(losses):
        named = next(name for name in losses if name not in unclear)
        raise InputError(
            f'"{named}" is in bits per byte by its name and "{unclear[0]}" in {unit}, and a table has one unit; '
            "leave one out, as in --column val_bpb="
        )
    return None if unit == UNITS[0] else unit
