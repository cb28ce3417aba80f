"""Runs to add to a table, and what more of them would buy."""

from dataclasses import replace

import numpy as np
import pytest

from infusionlaw.errors import InputError
from infusionlaw.law.design.bought import what_more_buys
from infusionlaw.law.design.next_runs import DONE, PLATEAU, WHERE, next_runs
from infusionlaw.law.design.simulate import TrueLaw, World, simulate
from infusionlaw.report.power import bought_text
from infusionlaw.runs.record import UNSTATED


def table(shares, at=0.5, seeds=2, sizes=(1_000_000,), **world):
    """Curves that are learned below and fall at odds of 10^at."""
    drawn = World(collapse=TrueLaw(at, 0.0), acquisition=TrueLaw(-1.5, 0.0), retention=None, facts=400, **world)
    rows, _ = simulate(drawn, sizes, [20_000_000], [0.0, *shares], seeds, np.random.default_rng(3))
    return [replace(row, retention=None, val_bpb=None) for row in rows]


def test_the_next_dose_lies_where_the_fall_may_be() -> None:
    (run,) = next_runs(table([0.1, 0.2, 0.4, 0.6, 0.98], at=0.7))
    assert run.kind == "collapse" and run.why == WHERE and run.unit == "share"
    assert 0.6 < run.dose < 0.98 and run.sd[1] < run.sd[0]
    assert run.flops == 6 * 1e6 * 20e6 and run.saved > 0


def test_what_more_buys_needs_no_token_count() -> None:
    rows = [replace(row, tokens=UNSTATED) for row in table([0.1, 0.3, 0.6, 0.8, 0.9], seeds=1, sizes=(1e6, 4e6))]
    text = bought_text(what_more_buys(rows, curves=2))
    head, *designs = text.splitlines()[1:5]
    at = head.index("FLOPs")
    assert len(designs) == 3 and {design[at : at + 5].strip() for design in designs} == {"-"}


def test_a_fall_that_was_not_reached_asks_for_a_larger_dose() -> None:
    (run,) = next_runs(table([0.05, 0.1, 0.2, 0.3, 0.4], at=0.7))
    assert run.dose > 0.4


def test_a_plateau_of_one_dose_asks_for_another() -> None:
    (run,) = next_runs(table([0.3, 0.9, 0.95, 0.98], at=0.5))
    assert run.why == PLATEAU


def test_what_is_known_well_comes_last() -> None:
    close = [0.1, 0.3, 0.5, 0.6, 0.66, 0.72, 0.78, 0.84, 0.9, 0.95]
    wide = [replace(row, size=4e6) for row in table([0.1, 0.2, 0.4, 0.98], at=0.7)]
    runs = next_runs([*table(close, seeds=4, knot_spread=0.0), *wide])
    assert [(run.size, run.why == DONE) for run in runs] == [(4e6, False), (1e6, True)]


def test_what_was_never_learned_gets_no_run() -> None:
    rows = [replace(row, recall=0.125 + 0.004 * (i % 3), chance=0.125) for i, row in enumerate(table([0.1, 0.5, 0.9]))]
    assert next_runs(rows) == []


def test_more_seeds_and_doses_cost_more_and_tell_more() -> None:
    now, seeds, doses = what_more_buys(table([0.1, 0.3, 0.5, 0.75, 0.9, 0.97], sizes=(1_000_000, 4_000_000)), curves=4)
    assert (now.runs, seeds.runs, doses.runs) == (28, 56, 36)
    assert now.flops < doses.flops < seeds.flops
    assert now.power.places[0].dose == pytest.approx(seeds.power.places[0].dose)


def test_a_table_without_a_collapse_says_what_to_do() -> None:
    with pytest.raises(InputError, match="no collapse of recall was found"):
        what_more_buys(table([0.1, 0.2, 0.3]))
