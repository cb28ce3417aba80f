"""Which column of a file holds which of ours. Where two fit, nothing is guessed.

What a person chose goes first, then whole names, then the last parts of names (`names.Names`). Columns that are
unclear or missing are all named in one sentence, each with the option to paste.
"""

import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from infusionlaw.errors import InputError, Question, nearest
from infusionlaw.runs.cells import holds_states, is_missing
from infusionlaw.runs.names import (
    DOSES,
    FILTER,
    SE_ENDINGS,
    Names,
    measures,
    names_its_unit,
    parts_of,
)
from infusionlaw.runs.outcomes import measure_of
from infusionlaw.runs.tabular import bare

Rows = Collection[Mapping[str, Any]]
DOSED = frozenset({"share", "exposures", "facts"})  # with one of these a table needs no token count
NEAR, NEAREST = 0.7, 3  # how alike a name must be to be named, and how many are
SHOWN = 12  # columns of a file that are listed
HOLDS = 0.8  # how alike a name is to another that stands within it
SLIP = 0.85  # how alike a name is that is only misspelt
_TENSORBOARD = ["step", "value", "walltime"]


@dataclass(frozen=True)
class Matched:
    """The file's column of each of ours. by_parts: those of ours that were found by the last parts of a name."""

    columns: dict[str, str]
    by_parts: tuple[str, ...]


def matched(header: Sequence[str], rows: Rows, chosen: Mapping[str, str], names: Names) -> Matched:
    """Find which column of a file holds which of ours.

    chosen: the file's column of ours that a person named; "" for none; names: of a table of runs or of a surface.
    Raises Question, without the file, where two columns fit and where one that a table needs is missing.
    """
    if sorted(map(bare, header)) == _TENSORBOARD:
        raise InputError(
            "this is one scalar of one run, as TensorBoard saves it, and says nothing of size, tokens and share; write "
            "the scalars of all runs into one table of run, tag, step, value, size, tokens and share"
        )
    taken = set(chosen.values())
    free = _without_loose([name for name in header if name not in taken], rows, names, chosen)
    whole, parts = _by_meaning(free, names.whole), _by_meaning(free, names.parts)
    found = {ours: name for ours, name in chosen.items() if name}
    by_parts, unclear = [], []
    for ours in dict.fromkeys((*whole, *parts)):
        if ours in chosen or (ours.endswith("_se") and ours not in whole):
            continue  # a standard error is looked for beside its score
        fit = _likely(ours, whole.get(ours) or parts[ours], rows)
        if len(fit) > 1 and ours not in ("step", "name"):  # any of these tells which rows are of one run
            unclear.append(f'"{fit[0]}" and "{fit[1]}" may both be {ours}; choose: {_option(ours, fit[0])}')
        else:
            found[ours] = fit[0]
            by_parts += [] if ours in whole else [ours]
    for ours in [name for name in found if measure_of(name) in measures() and not name.endswith("_se")]:
        beside = _error_of(found[ours], free)
        if beside and f"{ours}_se" not in chosen:
            found[f"{ours}_se"] = beside
    if "status" not in found and "status" not in chosen:  # trackers and schedulers call it many names
        others = (name for name in free if name not in found.values())
        states = next((name for name in others if holds_states(name, (row[name] for row in rows))), None)
        found |= {"status": states} if states else {}
    if complaints := [*unclear, *_missing(found, chosen, " ".join(unclear), free, names)]:
        raise Question("; ".join(complaints))
    return Matched(found, tuple(by_parts))


def column_named(asked: str, header: Sequence[str]) -> str | None:
    """The file's column that a person means by a name or its last parts; None where there is none.

    Raises InputError, without the file, where two fit.
    """
    if asked in header:
        return asked
    same = [name for name in header if bare(name) == bare(asked)]
    ends = ("/" + bare(asked), "." + bare(asked))
    fit = same or [name for name in header if bare(name).endswith(ends) or bare(FILTER.sub("", name)) == bare(asked)]
    if len(fit) > 1:
        raise InputError(f'"{asked}" may be the column "{fit[0]}" or "{fit[1]}"; write the whole name')
    return fit[0] if fit else None


def no_column(asked: str, header: Sequence[str]) -> InputError:
    """The error of a column that is not there, with the nearest that is."""
    return InputError(f'there is no column "{asked}"; {nearest(asked, header)}')


def _without_loose(header: list[str], rows: Rows, names: Names, chosen: Mapping[str, str]) -> list[str]:
    """The names without the loose ones, where another column holds a dose."""
    loose = {bare(name) for name in names.loose}
    doses = [chosen[ours] for ours in DOSES if chosen.get(ours)]
    doses += [name for name in header if bare(name) not in loose and (names.whole(name) or names.parts(name)) in DOSES]
    if all(is_missing(row[name]) for row in rows for name in doses):
        return header
    return [name for name in header if bare(name) not in loose]


def _by_meaning(header: Iterable[str], meaning: Callable[[str], str | None]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in header:
        if ours := meaning(name):
            found.setdefault(ours, []).append(name)
    return found


def _likely(ours: str, fit: list[str], rows: Rows) -> list[str]:
    """Of columns that mean the same those that have values, and of one loss those whose names say the unit."""
    if len(fit) > 1:
        fit = [name for name in fit if not all(is_missing(row[name]) for row in rows)] or fit[:1]
    if ours != "loss":  # of a surface, which may be that of any loss
        fit = [name for name in fit if names_its_unit(name)] or fit
    return fit


def _error_of(score: str, header: Iterable[str]) -> str | None:
    """The column of a score's standard error: its own name with an ending, as in `eval/acc_stderr` or
    `acc_stderr,none`."""
    stem = FILTER.sub("", score)
    wanted = {bare(stem + ending + score[len(stem) :]) for ending in SE_ENDINGS}
    return next((name for name in header if bare(name) in wanted), None)


def _missing(
    found: Mapping[str, str], chosen: Mapping[str, str], unclear: str, free: Sequence[str], names: Names
) -> list[str]:
    """What to say of the columns that a table needs and that are not there: at most one sentence."""
    unknown = [name for name in free if not (names.whole(name) or names.parts(name))]
    needed, possible = names.lacking((*found, *(ours for ours in chosen if ours in DOSES)))
    near = {ours: _nearest(known, unknown) for ours, known in needed.items()}
    if not DOSED.isdisjoint(found) and ("tokens" in chosen or not near.get("tokens")):
        near.pop("tokens", None)  # all runs have one count, whatever it is
    slips = {ours: _nearest(known, unknown, SLIP) for ours, known in possible.items()}
    near |= dict([(ours, alike) for ours, alike in slips.items() if alike][:1])
    near = {ours: names for ours, names in near.items() if f"be {ours};" not in unclear}
    if not near:
        return []
    said, options = [], []
    for ours, close in near.items():
        what = f"{ours} (or another of {', '.join(measures()[1:])})" if ours == "recall" else ours
        said.append(f"{what} is missing" + (f", perhaps {' or '.join(map(_quoted, close))}" if close else ""))
        options.append(_option(ours, close[0] if close else "20B" if ours == "tokens" else "NAME"))
    said.append(f"say which column it is: {' '.join(options)}")
    if not near.get("tokens", True):
        said.append("20B stands for one count of all runs")
    if not all(near.values()):
        said.append(f"the columns are {', '.join(free[:SHOWN])}" + (" and more" if len(free) > SHOWN else ""))
    return ["; ".join(said)]


def _nearest(known: Iterable[str], header: Sequence[str], least: float = NEAR) -> list[str]:
    """The names of a file that are most like one of a column's names, whole or by their last part."""
    ours = {bare(name) for name in known if len(name) > 2}
    ranked = []
    for name in header:
        tried = {bare(name), *([bare(parts_of(name)[-1])] if least < SLIP else [])}
        ratio = max((_alike(one, other) for one in tried for other in ours), default=0.0)
        ranked += [(-ratio, name)] if ratio >= least else []
    return [name for _, name in sorted(ranked)[:NEAREST]]


def _alike(one: str, other: str) -> float:
    if len(other) >= 5 and other in one and one != other:
        return HOLDS
    matcher = SequenceMatcher(None, one, other)
    return matcher.ratio() if matcher.real_quick_ratio() >= NEAR and matcher.quick_ratio() >= NEAR else 0.0


def _quoted(name: str) -> str:
    return f'"{name}"'


def _option(ours: str, name: str) -> str:
    return f"--column {shlex.quote(f'{ours}={name}')}"
