"""What to expect at a dose: simulated worlds are met at every dose, and what was not measured stays unknown."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planlaws import SIZE0, TOKENS0, known_law

from infusionlaw.law.design.simulate import TrueLaw, World, fallen, height, simulate, true_points, val_bpb
from infusionlaw.law.dose import Interval, log_odds
from infusionlaw.law.planning.at_target import AtTarget, Target
from infusionlaw.law.planning.forecast import forecast, forecasts
from infusionlaw.law.planning.limits import LARGEST_SHARE
from infusionlaw.law.points.find import find_points
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.law.scaling.law import Law, read_law, write_law

SHARES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.97)
SIZES, TOKEN_COUNTS = (1.4e4, 5.6e4), (1.5e6, 3e6)
TARGET = Target(112e3, 6e6, 128, 16.0, 0.05, None)
WORLDS = {
    "both collapse": World(),
    "only retention does": World(collapse=None, retention=TrueLaw(0.0, 0.3)),
    "smooth": World(shape="logistic", floor=0.4),
}


def law_of(world: World, seed: int) -> Law:
    rows, _ = simulate(world, SIZES, TOKEN_COUNTS, SHARES, 2, np.random.default_rng(seed))
    return fit_law(rows, find_points(rows, draws=200), draws=400)


def truth(world: World, share: float) -> dict[str, float]:
    """What a world gives the target at a share, without noise."""
    knots, x = true_points(world, TARGET.size, TARGET.tokens), log_odds(share)
    guessing = world.guessing
    recall = (world.plateau - guessing) * float(height(world, x, knots["acquisition"], knots["collapse"]))
    kept = (world.kept - guessing) * float(fallen(world.shape, x, knots["retention"], world.fall))
    loss = val_bpb(share, knots["tolerance"])
    return {"recall": guessing + recall, "retention": guessing + kept, "val_bpb": loss}


@pytest.mark.parametrize("world", WORLDS.values(), ids=list(WORLDS))
def test_intervals_hold_what_a_world_gives_at_any_dose(world: World) -> None:
    inside, near = [], []
    for seed in range(2):
        law = law_of(world, seed)
        for share in (0.0, 0.1, 0.4, 0.9, 0.96):
            seen = forecast(AtTarget(law, TARGET), float(log_odds(share)))
            for name, value in truth(world, share).items():
                expected: Interval = seen.scores[name]
                if name == "recall" and expected == Interval():  # no law of a collapse that could come further out
                    assert world.collapse is None and share >= 0.9
                    continue
                assert expected.value is not None and expected.low is not None and expected.high is not None
                slack = 0.03  # what the facts, text and seeds of one study have of their own
                inside.append(expected.low - slack <= value <= expected.high + slack)
                near.append(abs(expected.value - value))
    assert np.mean(inside) > 0.85
    assert np.median(near) < 0.06


def test_a_law_on_disk_expects_the_same(tmp_path: Path) -> None:
    law = law_of(WORLDS["both collapse"], 0)
    write_law(tmp_path / "law.json", law)
    assert forecasts(AtTarget(read_law(tmp_path / "law.json"), TARGET), 0.3) == forecasts(AtTarget(law, TARGET), 0.3)


def test_doses_looked_at_are_none_a_quarter_the_advised_and_four_times_it() -> None:
    law, target = known_law(), Target(SIZE0, TOKENS0, 100, 15.0, 0.05, None)
    names = ("no dose", "a quarter", "the advised dose", "four times")
    assert tuple(seen.name for seen in forecasts(AtTarget(law, target), 0.0)) == names
    doses = [seen.share for seen in forecasts(AtTarget(law, target), float(log_odds(0.2)))]
    assert doses == pytest.approx([0, 0.05, 0.2, 0.8])
    per_share = TOKENS0 / (100 * 15)
    exposures = [seen.exposures for seen in forecasts(AtTarget(law, target), float(log_odds(0.2)))]
    assert exposures == pytest.approx([0, 0.05 * per_share, 0.2 * per_share, 0.8 * per_share])


def test_four_times_ends_at_the_largest_share_possible() -> None:
    law, target = known_law(), Target(SIZE0, TOKENS0, 100, 15.0, 0.05, None)
    assert forecasts(AtTarget(law, target), float(log_odds(0.5)))[-1].share == pytest.approx(LARGEST_SHARE)
    assert len(forecasts(AtTarget(law, target), float(log_odds(0.98)))) == 3
    assert [seen.name for seen in forecasts(AtTarget(law, target), None)] == ["no dose"]


def test_what_was_not_measured_stays_unknown() -> None:
    law, target = known_law(), Target(SIZE0, TOKENS0, 100, 15.0, 0.05, None)
    for seen in forecasts(AtTarget(law, target), 0.0):
        assert seen.scores["recall"].value is not None
        assert (seen.scores["retention"], seen.scores["val_bpb"]) == (Interval(), Interval())
    blind = known_law(acquisition=None)
    assert forecast(AtTarget(blind, target), 0.0).scores["recall"] == Interval()
    rows, _ = simulate(World(), SIZES, TOKEN_COUNTS, SHARES[1:], 2, np.random.default_rng(0))
    dosed = fit_law(rows, find_points(rows, draws=100), draws=100)
    assert forecast(AtTarget(dosed, TARGET), -np.inf).scores["retention"] == Interval()


def test_beyond_what_was_cleared_of_a_collapse_nothing_is_promised() -> None:
    law, target = known_law(collapse=None, largest=0.5), Target(SIZE0, TOKENS0, 100, 15.0, 0.05, None)
    assert forecast(AtTarget(law, target), float(log_odds(0.45))).scores["recall"].value is not None
    assert forecast(AtTarget(law, target), float(log_odds(0.6))).scores["recall"] == Interval()


def test_val_bpb_lies_in_its_interval_however_far_the_target() -> None:
    law = law_of(WORLDS["both collapse"], 0)
    far = forecast(AtTarget(law, Target(1e9, 1e12, 128, 16.0, 0.05, None)), -np.inf).scores["val_bpb"]
    assert far.low is not None and far.value is not None and far.high is not None
    assert far.low < far.value < far.high < 10


def test_four_times_in_exposures_ends_where_the_training_tokens_do_or_at_the_largest_tried() -> None:
    target = Target(SIZE0, TOKENS0, 100, 15.0, 0.05, None)
    known = known_law(unit="exposures", acquisition=(1.5, 0.1, 0, 0), collapse=(2.9, 0.1, 0, 0), largest=900)
    assert forecasts(AtTarget(known, target), 2.7)[-1].exposures == pytest.approx(LARGEST_SHARE * TOKENS0 / (100 * 15))
    unknown = replace(known, facts=None, tokens_per_fact=None)
    blind = Target(SIZE0, TOKENS0, None, None, 0.05, None)
    assert forecasts(AtTarget(unknown, blind), 2.7)[-1].exposures == pytest.approx(900)


@pytest.mark.parametrize("kept", [0.3, 0.95])
def test_retention_without_a_dose_is_what_was_measured_there_however_high(kept: float) -> None:
    law, inside = law_of(World(kept=kept), 0), Target(SIZES[1], TOKEN_COUNTS[0], 128, 16.0, 0.05, None)
    for x in (-np.inf, -1.2):  # a small dose takes nothing from it
        seen = forecast(AtTarget(law, inside), x).scores["retention"]
        assert seen.value == pytest.approx(kept, abs=0.07)
        assert seen.low is not None and seen.high is not None and seen.low < kept < seen.high
