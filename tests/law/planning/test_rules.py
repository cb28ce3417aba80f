"""Published rules beside laws whose predictions are known exactly."""

from dataclasses import replace

import numpy as np
import pytest
from planlaws import SIZE0, SIZES, TOKEN_COUNTS, known_cost, known_law

from infusionlaw.errors import InputError
from infusionlaw.law.dose import Interval, log_odds
from infusionlaw.law.planning.at_target import AtTarget, Target
from infusionlaw.law.planning.rules import BORDT, CMR, HUBBLE, RULES, Carried, Rule, carried, other_answers, under_rule
from infusionlaw.law.scaling.law import Law

FAR_TOKENS, FAR_SIZE = 100 * TOKEN_COUNTS[-1], 100 * SIZES[-1]
CONSTANT_EXPOSURES = known_law((-3.0, 0.1, 0.0, -1.0))


def names(found: tuple[Carried, ...]) -> list[str]:
    return [each.rule.name for each in found]


def at(law: Law, size: float, tokens: float, facts: float | None = None) -> AtTarget:
    return AtTarget(law, Target(size, tokens, facts, law.tokens_per_fact, 0.05, None))


def alone(law: Law, rule: Rule, size: float = SIZE0, tokens: float = FAR_TOKENS, facts: float | None = None) -> Carried:
    found = carried(at(law, size, tokens, facts), rule)
    assert found is not None
    return found


def test_constant_exposures_at_a_hundred_times_the_tokens_differ_by_the_rules_exponent() -> None:
    found = other_answers(CONSTANT_EXPOSURES, SIZE0, FAR_TOKENS)
    assert names(found) == ["Hubble's rule", "Bordt's rule"]
    hubble, bordt = found
    assert hubble.dex == pytest.approx(2 * 0.93, abs=0.01) and bordt.dex == pytest.approx(2 * 0.44, abs=0.01)
    assert hubble.start == (SIZE0, TOKEN_COUNTS[-1])
    ours, theirs = hubble.law.exposures.value, hubble.exposures.value
    assert ours and theirs and theirs / ours == pytest.approx(100**0.93, rel=0.03)


def test_the_rules_interval_holds_the_error_of_the_law_and_that_of_the_exponent() -> None:
    found = alone(CONSTANT_EXPOSURES, HUBBLE)
    width = np.log10((found.exposures.high or 0) / (found.exposures.low or 1)) / 2 / 1.645
    assert width == pytest.approx(np.hypot(0.1, 2 * HUBBLE.tokens_sd), rel=0.1)


@pytest.mark.parametrize("factor", [0.5, 1, 3.9, 4.0])
def test_within_four_times_the_fitted_range_nothing_is_added(factor: float) -> None:
    assert other_answers(CONSTANT_EXPOSURES, SIZE0, factor * TOKEN_COUNTS[-1]) == ()
    assert other_answers(CONSTANT_EXPOSURES, factor * SIZES[-1], TOKEN_COUNTS[-1]) == ()


def test_just_beyond_four_times_the_fitted_range_both_answers_stand() -> None:
    assert names(other_answers(CONSTANT_EXPOSURES, SIZE0, 4.2 * TOKEN_COUNTS[-1])) == ["Hubble's rule", "Bordt's rule"]
    assert "Hubble's rule" in names(other_answers(CONSTANT_EXPOSURES, SIZE0, TOKEN_COUNTS[0] / 4.2))


def test_far_in_tokens_hubbles_rule_is_given_also_where_the_laws_interval_holds_it() -> None:
    agreeing, unsure = known_law((-3.0, 0.1, -0.73, 0.93 - 1)), known_law((-3.0, 2.0, 0.0, -1.0))
    for law in (agreeing, unsure):
        for tokens in (4.2 * TOKEN_COUNTS[-1], FAR_TOKENS):
            (hubble,) = other_answers(law, SIZE0, tokens, rules=[replace(HUBBLE, name="mine", always=False), HUBBLE])
            assert hubble.rule == HUBBLE and not hubble.contradicts
    assert abs(alone(agreeing, HUBBLE).dex or 0.0) < 0.02


def test_far_in_size_alone_a_rule_is_given_only_where_it_contradicts_the_law() -> None:
    agreeing = known_law((-3.0, 0.1, -0.73, 0.93 - 1))
    assert other_answers(agreeing, FAR_SIZE, 4 * TOKEN_COUNTS[-1], rules=[HUBBLE]) == ()
    assert names(other_answers(CONSTANT_EXPOSURES, FAR_SIZE, 3e6, rules=[HUBBLE])) == ["Hubble's rule"]


def test_the_rule_that_is_always_given_comes_first() -> None:
    found = other_answers(CONSTANT_EXPOSURES, SIZE0, FAR_TOKENS, rules=[BORDT, HUBBLE])
    assert names(found) == ["Hubble's rule", "Bordt's rule"]


def test_a_rule_moves_by_all_covariates_that_lie_outside_and_by_no_other() -> None:
    tokens_only, size_only = alone(CONSTANT_EXPOSURES, HUBBLE), alone(CONSTANT_EXPOSURES, HUBBLE, FAR_SIZE, 3e6)
    both = alone(CONSTANT_EXPOSURES, HUBBLE, FAR_SIZE)
    assert size_only.dex == pytest.approx(-2 * 0.73, abs=0.01) and size_only.start == (SIZES[-1], 3e6)
    barely = 1.005 * SIZES[-1]
    assert alone(CONSTANT_EXPOSURES, HUBBLE, barely).start == (barely, TOKEN_COUNTS[-1])
    assert both.dex == pytest.approx((tokens_only.dex or 0.0) + (size_only.dex or 0.0), abs=0.03)


def test_a_tolerance_that_does_not_move_with_size_contradicts_the_shares_of_cmr() -> None:
    law = known_law(tolerance=(-0.4, 0.03, 0.0, 0.0))
    (found,) = other_answers(law, FAR_SIZE, 3e6, rules=[CMR])
    odds = 10**-0.4 * 100**0.413
    assert found.share.value == pytest.approx(odds / (1 + odds), abs=0.005)
    assert other_answers(law, SIZE0, FAR_TOKENS, rules=[CMR]) == ()  # it says nothing of tokens
    growing = known_law(tolerance=(-0.4, 0.03, 0.413, 0.0))
    assert other_answers(growing, FAR_SIZE, 3e6, rules=[CMR]) == ()


def test_other_facts_need_as_many_exposures_even_where_the_fitted_tokens_have_no_room_for_them() -> None:
    law = known_law((float(log_odds(0.24)), 0.02, 0.0, 0.0))  # a share of .24 for 100 facts, 2.4 for 1,000
    few, many = alone(law, BORDT), alone(law, BORDT, facts=1000)
    assert many.exposures.value == pytest.approx(few.exposures.value)
    assert few.share.value == pytest.approx(0.24 * 100 ** (0.44 - 1), rel=0.02)
    assert many.share.value == pytest.approx(10 * (few.share.value or 0.0), rel=0.01)


def test_exposures_that_the_tokens_have_no_room_for_are_still_given() -> None:
    found = alone(known_law((1.0, 0.02, 0.0, 0.0)), replace(HUBBLE, tokens=1.2, tokens_sd=0.0))
    share = 10 / 11 * 100**0.2
    assert found.x == found.share == Interval() and found.contradicts
    assert found.exposures.value == pytest.approx(share * FAR_TOKENS / 1500, rel=0.02)


def test_a_law_in_exposures_moves_by_the_exponent_itself() -> None:
    law = known_law((1.0, 0.1, 0, 0), (3.0, 0.1, 0, 0), facts=None, tokens_per_fact=None, unit="exposures", largest=1e4)
    found = alone(law, HUBBLE)
    assert found.exposures.value == pytest.approx(10 ** (1 + 2 * 0.93), rel=0.03) and found.share == Interval()
    in_exposures = known_law(tolerance=(1.0, 0.1, 0, 0), unit="exposures")
    assert carried(at(in_exposures, FAR_SIZE, 3e6), CMR) is None


def test_what_has_no_law_has_no_rule() -> None:
    assert other_answers(known_law(None), FAR_SIZE, FAR_TOKENS) == ()


def test_a_law_under_a_rule_is_the_law_itself_where_it_was_fitted() -> None:
    law = known_law((-1.0, 0.1, 0.2, -0.8), tolerance=(-0.4, 0.05, 0.1, 0.1), cost=known_cost(4.0))
    for rule in RULES:
        ruled = under_rule(law, rule)
        for kind in ("acquisition", "collapse", "tolerance"):
            np.testing.assert_allclose(ruled.draws_at(kind, 1.3e4, 2e6), law.draws_at(kind, 1.3e4, 2e6), atol=1e-9)
        assert ruled.cost is not None and law.cost is not None
        assert ruled.cost.allowed(0.05, 1.3e4, 2e6) == pytest.approx(law.cost.allowed(0.05, 1.3e4, 2e6))
    sizes = np.array([2e4, 4e6])
    both = under_rule(law, HUBBLE).draws_at("acquisition", sizes, 3e6)
    for i, size in enumerate(sizes):
        np.testing.assert_allclose(both[i], under_rule(law, HUBBLE).draws_at("acquisition", size, 3e6)[0])


@pytest.mark.parametrize(("kind", "measure"), [("acquisition", "odds"), ("tolerance", "exposures")])
def test_a_rule_in_a_measure_that_does_not_carry_over_is_refused(kind, measure) -> None:
    with pytest.raises(InputError, match=f"a rule of {kind} must be one of"):
        replace(HUBBLE, kind=kind, measure=measure)
