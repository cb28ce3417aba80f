"""What two more seeds, or two more doses a curve, would buy a table: its own design simulated with and without them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from infusionlaw.errors import InputError
from infusionlaw.law.design.power import Power, power
from infusionlaw.law.dose import Scale, dose_of, unit_of
from infusionlaw.law.numbers import DOSE_WORDS, listed
from infusionlaw.law.points.find import find_points
from infusionlaw.runs.outcomes import COLLAPSE
from infusionlaw.runs.record import RunRecord, RunSpec

FACTS = 300  # taken where neither a number of facts nor a standard error says over how many questions a score is
CURVES = 15  # simulated for each design: what more runs buy is a difference, and few curves would hide it
NEAR = 0.15  # dex from the collapse at which doses are added, one on either side


@dataclass(frozen=True)
class Bought:
    """A design, how many runs it has, the floating-point operations they take (6 N D a run), and what it can tell.

    tokens: the most of a run.
    """

    name: str
    runs: int
    flops: float
    tokens: float
    power: Power


def what_more_buys(rows: Sequence[RunRecord], *, curves: int = CURVES, seed: int = 0) -> list[Bought]:
    """A table's design as it is, with two more seeds, and with two more doses near the collapse.

    The collapse is put at the median of the table's own; InputError where none was found.
    """
    used = [row for row in rows if not row.held_out and row.status == "ok"]
    unit = unit_of(used)
    found = [p.x.value for p in find_points(used) if p.kind == COLLAPSE.name and p.x.value is not None]
    if not found:
        raise InputError(
            "no collapse of recall was found in the table, so what more runs would buy cannot be told; infusionlaw fit "
            "says why, and infusionlaw power STUDY.toml simulates a design of your own"
        )
    scale = Scale(unit)
    at, *near = (float(f"{float(scale.dose(median(found) + step)):.3g}") for step in (0.0, -NEAR, NEAR))
    specs = [
        RunSpec(round(row.size), round(row.tokens), dose, unit, i, "")
        for i, row in enumerate(used)
        if (dose := dose_of(row, unit)) is not None
    ]
    once = list({(spec.size, spec.tokens, spec.dose): spec for spec in specs}.values())
    places = list({(spec.size, spec.tokens): spec for spec in specs}.values())
    seeds = range(max(1, round(len(specs) / len(once))))
    shown = listed([DOSE_WORDS[unit].show(dose) for dose in near])
    designs = {
        "as it is": [],
        "two more seeds": [replace(spec, seed=-k) for spec in once for k in (1, 2)],
        f"two more doses ({shown})": [
            replace(spec, dose=dose, seed=k) for spec in places for dose in near for k in seeds
        ],
    }
    return [
        Bought(
            name,
            len(specs) + len(more),
            6.0 * sum(spec.size * spec.tokens for spec in [*specs, *more]),
            max(spec.tokens for spec in specs),
            power([*specs, *more], _questions(used), doses=[at], curves=curves, seed=seed),
        )
        for name, more in designs.items()
    ]


def _questions(rows: Sequence[RunRecord]) -> int:
    """Over how many questions a recall is measured: by the number of facts, else by its standard errors."""
    facts = [row.facts for row in rows if row.facts]
    told = [
        row.recall * (1 - row.recall) / row.recall_se**2
        for row in rows
        if row.recall is not None and 0 < row.recall < 1 and row.recall_se
    ]
    return max(2, round(median(facts or told or [FACTS])))
