"""Plans of laws that are known: what binds, what it buys and costs, what would help, and how far it reaches."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planlaws import NEVER, SIZE0, SIZES, TOKEN_COUNTS, TOKENS0, known_cost, known_law

from infusionlaw.errors import InputError
from infusionlaw.law.design.simulate import TrueLaw, World, height, simulate, true_points
from infusionlaw.law.dose import Interval, share_of
from infusionlaw.law.planning.at_target import AtTarget
from infusionlaw.law.planning.limits import works
from infusionlaw.law.planning.plan import Plan, predict, read_plan, write_plan
from infusionlaw.law.planning.rules import CMR, HUBBLE, under_rule
from infusionlaw.law.points.find import find_points
from infusionlaw.law.points.point import Point
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.law.scaling.law import Law
from infusionlaw.runs.record import RunRecord


def plan_for(law: Law, size: float = SIZE0, tokens: float = TOKENS0, facts: float | None = None, **asked) -> Plan:
    return predict(law, size, tokens, facts, **asked)


def x_of(plan: Plan) -> float:
    assert plan.dose.x.value is not None
    return plan.dose.x.value


@pytest.mark.parametrize(
    ("law", "binding"),
    [
        (known_law(collapse=(-0.5, 0.3, 0, 0)), "collapse of recall"),
        (known_law(retention=(-0.6, 0.1, 0, 0)), "collapse of retention"),
        (known_law(cost=known_cost(4.0)), "validation loss"),
        (known_law(collapse=None, largest=0.15), "largest dose seen without collapse"),
        (known_law(retention=(0.5, 0.1, 0, 0), cost=known_cost(0.1)), "none: highest expected recall"),
    ],
)
def test_each_constraint_binds_in_its_turn(law: Law, binding: str) -> None:
    plan = plan_for(law)
    assert plan.status == "ok" and plan.binding == binding
    allowed = {c.name: c.share for c in plan.constraints if c.share is not None}
    share = plan.dose.share.value
    assert share is not None and share <= min(allowed.values()) + 1e-12
    assert (share == pytest.approx(min(allowed.values()))) == (binding in allowed)
    assert not binding.startswith("none") or share < min(allowed.values())


@pytest.mark.parametrize("risk", [0.01, 0.05, 0.2])
def test_the_dose_is_no_likelier_beyond_a_collapse_than_the_risk(risk: float) -> None:
    law = known_law((-1.2, 0.1, 0, 0), collapse=(-0.5, 0.2, 0, 0), retention=(-0.3, 0.3, 0, 0))
    plan = plan_for(law, risk=risk)
    beyond = [np.mean(law.draws_at(kind, SIZE0, TOKENS0) < x_of(plan)) for kind in ("collapse", "retention")]
    assert max(beyond) <= risk + 0.002
    assert plan.binding.startswith("none") or max(beyond) == pytest.approx(risk, abs=0.002)
    assert plan.binding.startswith("none") == (risk > 0.05)


def test_the_expected_rise_of_val_bpb_stays_within_the_tolerance_or_is_free() -> None:
    law = known_law(cost=known_cost(4.0))
    for tolerance in (0.05, 0.06):
        plan = plan_for(law, tolerance=tolerance)
        assert plan.rise.value == pytest.approx(tolerance, rel=1e-3)
        truth = 4.0 * ((1 - share_of(x_of(plan))) ** -0.1 - 1)
        assert plan.rise.low is not None and plan.rise.high is not None and plan.rise.low < truth < plan.rise.high
    free = plan_for(law, tolerance=None)
    assert x_of(free) > x_of(plan) and "validation loss" not in {c.name for c in free.constraints}
    assert free.rise.value is not None and free.rise.value > 0.06


def test_the_interval_is_how_the_dose_would_move_with_the_collapse() -> None:
    law = known_law(acquisition=None, collapse=(0.5, 0.2, 0, 0))
    plan = plan_for(law)
    c05, c50, c95 = plan.points["collapse"].x.low, plan.points["collapse"].x.value, plan.points["collapse"].x.high
    assert c05 is not None and c50 is not None and c95 is not None
    assert x_of(plan) == pytest.approx(c05, abs=2e-3)
    assert (plan.dose.x.low, plan.dose.x.high) == pytest.approx((c05 - (c50 - c05), c05 + (c95 - c50)), abs=0.01)
    assert plan.recall == Interval()
    assert any("recall leaves guessing at the dose is not known" in note for note in plan.notes)


def brute_recall(law: Law, x: np.ndarray) -> np.ndarray:
    """Expected recall by joint random draws of everything: (n,)."""
    rng, count, plateaus = np.random.default_rng(9), 20_000, law.plateaus["collapse"]
    a, c = (rng.choice(law.draws_at(kind, SIZE0, TOKENS0)[0], count) for kind in ("acquisition", "collapse"))
    rise, fall = (10 ** rng.normal(level.mean, level.sd, count) for level in (plateaus.rise, plateaus.fall))
    top = plateaus.plateau(SIZE0, TOKENS0, count, rng)
    risen = np.clip((x[:, None] - a) / rise, 0, 1)
    left = np.clip((c + fall - x[:, None]) / fall, 0, 1)
    return (0.1 + risen * (top - 0.1) * left + risen * (0.2 - 0.1) * (1 - left)).mean(1)


@pytest.mark.parametrize("collapse", [-0.4, 1.0])
def test_the_dose_has_the_highest_expected_recall_that_is_allowed(collapse: float) -> None:
    law = known_law(acquisition=(-1.0, 0.3, 0, 0), collapse=(collapse, 0.3, 0, 0))
    plan = plan_for(law, tolerance=None, risk=0.3)
    x = np.arange(-2, float(np.quantile(law.draws_at("collapse", SIZE0, TOKENS0), 0.3)), 0.02)
    assert plan.recall.value == pytest.approx(brute_recall(law, np.array([x_of(plan)]))[0], abs=0.01)
    assert plan.recall.value > brute_recall(law, x).max() - 0.012
    low, high = plan.recall.low, plan.recall.high
    assert low is not None and high is not None and low < plan.recall.value < high


def test_facts_known_and_room_follow_from_recall_and_exposures() -> None:
    plan = plan_for(known_law(cost=known_cost(1.0)))
    assert plan.recall.value is not None and plan.known.value is not None and plan.room.value is not None
    assert plan.known.value == pytest.approx(100 * (plan.recall.value - 0.1) / 0.9)
    # Acquisition is at a share of 1/11 for 100 facts, so the same exposures of 100 x take x times that.
    share = plan.dose.share.value
    assert share is not None and plan.room.value == pytest.approx(100 * share / (1 / 11), rel=0.02)
    assert plan.room.low is not None and plan.room.high is not None and plan.room.low < plan.room.value < plan.room.high
    assert plan.dose.exposures.value == pytest.approx(share * TOKENS0 / (100 * 15))
    assert plan.dose.tokens.value == pytest.approx(share * TOKENS0)


def test_more_facts_need_more_text_and_the_collapse_stays_where_it_is_in_share() -> None:
    law = known_law()
    few, many = plan_for(law), plan_for(law, facts=400)
    assert few.points["collapse"].share == many.points["collapse"].share
    assert many.points["acquisition"].exposures.value == pytest.approx(
        few.points["acquisition"].exposures.value, rel=1e-6
    )
    assert x_of(many) > x_of(few)
    assert any("acquisition is assumed to stay at the same exposures" in note for note in many.notes) and not few.notes


NO_DOSE = known_law(acquisition=(0.3, 0.05, -0.5, -1.0), collapse=(0.1, 0.05, 0, 0))


def test_where_no_dose_works_every_remedy_named_does_and_a_little_less_does_not() -> None:
    plan = plan_for(NO_DOSE)
    assert plan.status == "no dose works" and plan.dose.x.value is None
    assert plan.dose.reason == "the largest dose that collapse of recall allows lies below acquisition"
    remedies = {remedy.change: remedy.value for remedy in plan.remedies}
    assert set(remedies) == {"fewer facts", "shorter renderings", "more tokens", "a larger model"}
    facts, length, tokens, size = (remedies[change] or 0.0 for change in remedies)
    for less, args in ((1.02, {"facts": facts}), (0.98, {"tokens": tokens}), (0.98, {"size": size})):
        assert plan_for(NO_DOSE, **args).status != "no dose works"
        assert plan_for(NO_DOSE, **{name: value * less for name, value in args.items()}).status == "no dose works"
    # Statements of t* tokens take as much text as fewer facts would; exposures of each at acquisition stay.
    assert length / 15 == pytest.approx(facts / 100, rel=0.02)
    assert works(AtTarget(NO_DOSE, replace(plan.target, tokens_per_fact=length)))
    assert not works(AtTarget(NO_DOSE, replace(plan.target, tokens_per_fact=length * 1.02)))
    # The law moves acquisition by -1 a decade of tokens; it must fall from .3 to the lower end of the collapse.
    assert tokens == pytest.approx(TOKENS0 * 10 ** (0.3 - (0.1 - 1.645 * 0.05)), rel=0.05)


def test_what_a_study_did_not_vary_is_no_remedy_and_said_to_be_unknown() -> None:
    somewhere = Point("acquisition", 2e4, TOKENS0, "found", "share", Interval(0.3), Interval(), Interval(), "")
    kinds = tuple(replace(kind, varied=("size",), points=(somewhere,)) for kind in NO_DOSE.kinds)
    plan = plan_for(replace(NO_DOSE, kinds=kinds))
    assert "more tokens" not in {remedy.change for remedy in plan.remedies}
    assert "what more tokens would do is not known, because only one token count was tried" in plan.notes
    assert not any("not known" in note for note in plan_for(NO_DOSE).notes)


def test_where_val_bpb_is_in_the_way_the_tolerance_it_takes_is_named() -> None:
    law = known_law(cost=known_cost(20.0))
    plan = plan_for(law, tolerance=0.02)
    value = next(remedy.value for remedy in plan.remedies if remedy.change == "a higher tolerance")
    assert plan.status == "no dose works" and value is not None
    assert value == pytest.approx(20 * ((1 - 1 / 11) ** -0.1 - 1), rel=0.03)
    assert plan_for(law, tolerance=value).status == "ok"
    assert plan_for(law, tolerance=value * 0.97).status == "no dose works"
    assert {r.change for r in plan.remedies if r.value is None} == {"more tokens", "a larger model"}
    assert "a higher tolerance" not in {remedy.change for remedy in plan_for(NO_DOSE).remedies}


def test_far_beyond_the_support_only_on_request_and_always_said() -> None:
    law = known_law()
    with pytest.raises(
        InputError, match=r"size is 50 times the largest tried \(sizes tried: 10,000 to 40,000.*--extrap"
    ):
        plan_for(law, size=2e6)
    with pytest.raises(InputError, match="the target's token count is 50 times below the smallest tried"):
        plan_for(law, tokens=1.5e4)
    far = plan_for(law, size=2e6, extrapolate=True)
    assert far.status == "outside support" and far.support.size_factor == 50
    near = plan_for(law, size=3.2e5, tokens=3.75e5)
    assert (near.support.size_factor, near.support.tokens_factor) == (8, 2)
    assert near.support.flag == (
        "the target's size is 8 times the largest tried and its token count is 2 times below the smallest tried"
    )
    assert plan_for(law).support.inside


def test_what_has_no_law_is_said_to_be_unchecked() -> None:
    plan = plan_for(known_law())
    assert {c.name: c.reason for c in plan.constraints if c.reason} == {
        "collapse of retention": NEVER,
        "validation loss": "the table has no validation loss at dose 0 and at three doses above it",
    }
    assert plan.rise == Interval()


def test_without_a_law_of_collapse_the_dose_stays_within_those_tried() -> None:
    plan = plan_for(known_law(acquisition=(0.2, 0.1, 0, 0), collapse=None, largest=0.7))
    assert plan.binding == "largest dose seen without collapse" and plan.dose.share.value == pytest.approx(0.7)
    assert plan_for(known_law(acquisition=(1.5, 0.1, 0, 0), collapse=None)).status == "no dose works"


@pytest.mark.parametrize(("largest", "said"), [(0.15, "above the largest dose tried (0.15)"), (0.95, "")])
def test_an_advised_dose_outside_those_tried_says_so(largest: float, said: str) -> None:
    plan = predict(known_law(retention=(1.0, 0.1, 0.0, 0.0), largest=largest), SIZE0, TOKENS0, tolerance=None)
    outside = [note for note in plan.notes if "where no run has been" in note]
    assert len(outside) == bool(said) and all(said in note for note in outside)


def test_no_law_gives_nulls_with_a_reason(tmp_path: Path) -> None:
    plan = plan_for(known_law(acquisition=None, collapse=None))
    assert plan.status == "no law"
    write_plan(tmp_path / "plan.json", plan)
    content = json.loads((tmp_path / "plan.json").read_text())["plan"]
    nothing = {"value": None, "low": None, "high": None}
    assert (
        content["dose"]["share"] == content["points"]["collapse"]["exposures"] == content["dose"]["tokens"] == nothing
    )
    assert (
        "none was located" in content["dose"]["reason"]
        and "none was located" in content["points"]["collapse"]["reason"]
    )


def test_without_any_law_of_recall_the_loss_alone_limits_the_dose() -> None:
    plan = plan_for(known_law(acquisition=None, collapse=None, cost=known_cost(1.0)))
    assert plan.status == "ok" and plan.binding == "validation loss" and plan.recall.value is None


def test_exposures_alone_are_enough() -> None:
    law = known_law((1.0, 0.1, 0, 0), (3.0, 0.1, 0, 0), facts=None, tokens_per_fact=None, unit="exposures", largest=1e4)
    plan = plan_for(law)
    assert plan.status == "ok" and plan.dose.share == plan.dose.tokens == Interval()
    assert plan.dose.exposures.value == pytest.approx(10 ** x_of(plan))
    assert 1.3 < x_of(plan) < 3 and plan.recall.value is not None and plan.recall.value > 0.7
    assert any("the share is unknown, because facts and tokens_per_fact are not given" in note for note in plan.notes)
    cost = known_cost(0.005, bend=0.8, unit="exposures")
    dear = plan_for(replace(law, cost=cost))
    assert dear.binding == "validation loss"
    assert dear.dose.exposures.value == pytest.approx((0.05 / 0.005) ** (1 / 0.8), rel=0.05)


def test_a_number_of_facts_is_refused_where_the_table_has_none() -> None:
    law = known_law((1.0, 0.1, 0, 0), (3.0, 0.1, 0, 0), facts=None, tokens_per_fact=None, unit="exposures", largest=1e4)
    with pytest.raises(InputError, match="does not say how many facts it infused, so it cannot be asked for 300"):
        plan_for(law, facts=300)
    with pytest.raises(InputError, match="must be at least 1"):
        plan_for(known_law(), facts=0.5)


def test_in_exposures_more_facts_crowd_out_more() -> None:
    cost = known_cost(0.005, bend=0.8, unit="exposures")
    law = known_law((1.0, 0.1, 0, 0), (3.0, 0.1, 0, 0), unit="exposures", cost=cost, largest=1e4)
    one, more = plan_for(law), plan_for(law, facts=130)
    assert more.dose.exposures.value == pytest.approx((one.dose.exposures.value or 0) / 1.3, rel=1e-3)
    assert more.points["collapse"].exposures.value == pytest.approx((one.points["collapse"].exposures.value or 0) / 1.3)
    assert more.rise.value == pytest.approx(one.rise.value)
    assert more.room.value == pytest.approx(one.room.value, rel=0.01)


def test_unknown_facts_leave_exposures_unknown_and_no_plateaus_recall() -> None:
    plan = plan_for(known_law(facts=None, plateaus=False))
    assert plan.dose.share.value is not None and plan.dose.exposures == plan.recall == plan.known == Interval()
    assert any("facts are not given" in note for note in plan.notes)
    assert any("how high recall gets is not known" in note for note in plan.notes)


def test_a_law_in_the_number_of_facts_needs_to_be_told_one() -> None:
    law = known_law(facts=None)
    law = replace(law, kinds=tuple(replace(kind, varied=("size", "tokens", "facts")) for kind in law.kinds))
    with pytest.raises(InputError, match="varied the number of facts"):
        plan_for(law)
    assert plan_for(law, facts=200).status == "ok"


@pytest.mark.parametrize("asked", [{"size": 0}, {"tokens": float("inf")}, {"facts": -1}, {"tolerance": 0.0}])
def test_a_target_that_is_not_positive_is_refused(asked: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must be a number above 0"):
        plan_for(known_law(), **asked)
    with pytest.raises(InputError, match="must be a probability"):
        plan_for(known_law(), risk=1.0)


def test_a_plan_on_disk_says_all_and_reads_back(tmp_path: Path) -> None:
    law = known_law(retention=(0.5, 0.1, 0, 0), cost=known_cost(1.0))
    plan = plan_for(law, size=8e4)
    assert plan == plan_for(law, size=8e4)
    write_plan(tmp_path / "plan.json", plan)
    assert read_plan(tmp_path / "plan.json") == plan
    content = json.loads((tmp_path / "plan.json").read_text())
    assert content["version"] == 1 and content["level"] == 0.9
    inner = content["plan"]
    bounds = {"risk": 0.05, "tolerance": 0.05}
    assert inner["target"] == {"size": 8e4, "tokens": TOKENS0, "facts": 100, "tokens_per_fact": 15, **bounds}
    assert {c["name"] for c in inner["constraints"]} == {
        "collapse of recall",
        "collapse of retention",
        "validation loss",
    }
    for part in (inner["recall"], inner["rise"], inner["known"], inner["dose"]["share"]):
        assert part["low"] <= part["value"] <= part["high"]
    assert inner["points"]["retention"]["share"]["value"] and inner["points"]["tolerance"]["share"]["value"] is None
    assert inner["support"]["sizes"] == list(SIZES) and inner["support"]["token_counts"] == list(TOKEN_COUNTS)
    assert (inner["support"]["size_factor"], inner["support"]["tokens_factor"]) == (2, 1)


@pytest.mark.parametrize("law", [known_law(), NO_DOSE], ids=["a dose works", "no dose works"])
@pytest.mark.parametrize("tokens", [TOKENS0, 100 * TOKEN_COUNTS[-1]], ids=["near", "far"])
def test_a_plan_makes_the_draws_at_its_target_once_a_kind_of_point(
    law: Law, tokens: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Draws are what takes the time of a plan; remedies look at other targets, rules move points from others."""
    asked, own_draws = [], Law.own_draws

    def counted(self: Law, kind: str, size: float, tokens: float, facts: float | None = None) -> np.ndarray:
        asked.append((float(np.max(size)), float(np.max(tokens))))
        return own_draws(self, kind, size, tokens, facts)

    monkeypatch.setattr(Law, "own_draws", counted)
    plan = plan_for(law, tokens=tokens, extrapolate=True)
    assert plan.status == ("no dose works" if law is NO_DOSE and tokens == TOKENS0 else plan.status)
    assert 0 < asked.count((SIZE0, tokens)) <= 5


def test_the_advised_dose_of_simulated_studies_is_near_the_best_in_their_true_worlds() -> None:
    regrets = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        world = World(
            collapse=TrueLaw(rng.uniform(0.4, 0.8), rng.uniform(-0.3, 0.5)),
            acquisition=TrueLaw(rng.uniform(-1.0, -0.7), rng.uniform(-0.5, 0.0)),
        )
        rows, _ = simulate(world, SIZES, [TOKENS0], (0, 0.1, 0.3, 0.6, 0.85, 0.95), 2, rng)
        rows = [replace(row, retention=None) for row in rows]
        plan = predict(fit_law(rows, find_points(rows), draws=300), 8e4, TOKENS0, tolerance=None)
        true = true_points(world, 8e4, TOKENS0)
        reached = height(world, np.append(np.linspace(-3, 3, 601), x_of(plan)), true["acquisition"], true["collapse"])
        regrets.append(0.75 * (reached.max() - reached[-1]))
    assert np.mean(regrets) < 0.1, regrets


def test_the_cost_of_a_study_reaches_its_plan() -> None:
    rows, truth = simulate(World(), SIZES, [TOKENS0], (0, 0.1, 0.3, 0.6, 0.9), 2, np.random.default_rng(7))
    law = fit_law(rows, [], draws=100)
    assert law.cost is not None
    at = truth[("tolerance", SIZES[1], TOKENS0)]
    assert at is not None
    assert law.cost.allowed(0.05, SIZES[1], TOKENS0) == pytest.approx(at, abs=0.15)


def test_what_there_is_no_room_for_is_no_dose_and_no_remedy() -> None:
    law = known_law((-1.0, 0.1, 0, 0))  # a share of .09 for 100 facts
    plans = {facts: plan_for(law, facts=facts, tolerance=None) for facts in (100, 1000, 10_000, 1e9)}
    assert [plan.status for plan in plans.values()] == ["ok", "no dose works", "no dose works", "no dose works"]
    needed = plans[100].points["acquisition"].exposures.value
    assert plans[1000].points["acquisition"].exposures.value == pytest.approx(needed)
    assert (
        plans[10_000].points["acquisition"].x == Interval()
        and "the training tokens have no room" in plans[10_000].points["acquisition"].reason
    )
    shorter = {
        facts: {r.change: r.value for r in plan.remedies}.get("shorter renderings") for facts, plan in plans.items()
    }
    assert shorter[1000] == pytest.approx(10 * (shorter[10_000] or 0), rel=0.02) and shorter[1e9] is None
    # The remedy stands by plain arithmetic: as many statements of so many tokens fit into the largest share allowed.
    allowed = min(c.share for c in plans[1000].constraints if c.share is not None)
    assert needed is not None and shorter[1000] is not None
    assert 1000 * shorter[1000] * needed / TOKENS0 == pytest.approx(allowed, rel=0.02)


@pytest.mark.parametrize("facts", [200.0, 1200.0])
def test_half_recall_and_onset_lead_to_the_same_advice(facts: float) -> None:
    world = World(collapse=TrueLaw(0.6), acquisition=TrueLaw(-0.9), rise=0.6, facts=200)
    shares = (0, 0.03, 0.06, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.96)
    rows, _ = simulate(world, (1e4, 3e4, 9e4), (1.5e6,), shares, 2, np.random.default_rng(1))
    plans = [
        plan_for(fit_law(rows, find_points(rows, acquisition=way)), 9e4, facts=facts, tolerance=None)
        for way in ("onset", "half")
    ]
    assert plans[0].status == plans[1].status
    assert plans[0].recall.value == pytest.approx(plans[1].recall.value, abs=0.1)
    if facts == 200:  # for six times as many facts half recall lies beyond what there is room for
        assert plans[0].points["acquisition"].x.value == pytest.approx(
            (plans[1].points["acquisition"].x.value or 0) - 0.3, abs=0.15
        )


def test_the_tolerance_of_the_law_and_of_the_plan_are_told_apart() -> None:
    rows, _ = simulate(World(), SIZES, (1.5e6,), (0, 0.1, 0.3, 0.6, 0.8, 0.9, 0.96), 2, np.random.default_rng(1))
    law = fit_law(rows, find_points(rows, tolerance=0.1))
    notes = {most: plan_for(law, tolerance=most).notes for most in (0.1, 0.2)}
    assert not any("as the law was fitted" in note for note in notes[0.1])
    assert any(
        "by 0.1 bits per byte, as the law was fitted; the limit is where it has risen by 0.2" in note
        for note in notes[0.2]
    )
    with pytest.raises(InputError, match="the tolerance is -1"):
        find_points(rows, tolerance=-1)


def test_a_plan_says_why_validation_loss_allows_another_dose_than_its_point() -> None:
    apart = plan_for(known_law(tolerance=(-0.5, 0.02, 0.0, 0.0), cost=known_cost(4.0)))
    limit = next(c for c in apart.constraints if c.name == "validation loss")
    assert any(f"a share of {limit.share:.2f}, and its tolerance point is 0.24" in note for note in apart.notes)
    x = float(np.log10(limit.share / (1 - limit.share)))  # type: ignore[operator]
    assert not plan_for(known_law(tolerance=(x, 0.02, 0.0, 0.0), cost=known_cost(4.0))).notes


def test_guessing_is_what_is_recalled_without_a_dose_where_nothing_else_tells() -> None:
    rows, _ = simulate(
        World(guessing=0.25), SIZES, (1.5e6,), (0, 0.1, 0.3, 0.6, 0.8, 0.9, 0.96), 2, np.random.default_rng(1)
    )
    bare = [replace(row, unseen_recall=None, chance=None) for row in rows]
    law = fit_law(bare, find_points(bare))
    assert law.plateaus["collapse"].guessing == pytest.approx(0.25, abs=0.05)


def test_no_dose_is_clear_where_a_curve_collapses_before_its_smallest_one() -> None:
    def rows(size: float, recall: tuple[float, ...]) -> list[RunRecord]:
        doses = [(0.0, 0.1), *zip((0.1, 0.3, 0.6, 0.85, 0.92, 0.97), recall, strict=True)]
        return [
            RunRecord(size=size, tokens=1.5e6, share=share, recall=value, recall_se=0.03, chance=0.1, seed=seed)
            for share, value in doses
            for seed in (1, 2)
        ]

    table = [*rows(1e4, (0.9, 0.9, 0.9, 0.9, 0.9, 0.9)), *rows(3e4, (0.9, 0.7, 0.5, 0.35, 0.3, 0.2))]
    points = find_points(table)
    assert [p.status for p in points if p.kind == "collapse"] == ["not reached", "before the grid"]
    plan = predict(fit_law(table, points), 3e4, 1.5e6)
    assert plan.dose.x.value is None and plan.recall.value is None
    assert all(forecast.recall.value is None for forecast in plan.forecast if forecast.share)


def test_in_exposures_no_dose_takes_more_than_the_budget_has_room_for() -> None:
    law = known_law((1.0, 0.1, 0, 0), (4.0, 0.1, 0, 0), unit="exposures", largest=1e4)
    plan = plan_for(law, tokens=3e4)
    assert plan.binding == "room in the training tokens" and plan.dose.share.value == pytest.approx(0.97)
    room = next(c for c in plan.constraints if c.name == "room in the training tokens")
    assert room.share == pytest.approx(0.97) and room.exposures == pytest.approx(0.97 * 3e4 / 1500)


FAR_TOKENS = 100 * TOKEN_COUNTS[-1]
CONSTANT_EXPOSURES = known_law((-2.0, 0.05, 0.0, -1.0))


def test_far_in_tokens_a_plan_gives_both_answers_and_keeps_the_laws_own_dose() -> None:
    far = {"tokens": FAR_TOKENS, "extrapolate": True}
    plan, alone = plan_for(CONSTANT_EXPOSURES, **far), plan_for(CONSTANT_EXPOSURES, **far, rules=())
    assert [alternative.point.rule.name for alternative in plan.alternatives] == ["Hubble's rule", "Bordt's rule"]
    assert alone.alternatives == () and replace(plan, alternatives=()) == alone
    hubble = plan.alternatives[0]
    assert hubble.point.dex == pytest.approx(0.93 * 2, abs=0.01)
    assert hubble.point.law == plan.points["acquisition"]
    # by the rule the advised dose lies far below acquisition, so recall stays near guessing
    assert hubble.point.x.value is not None and x_of(plan) < hubble.point.x.value - 0.3
    assert hubble.meaning == "recall would stay at guessing"
    assert hubble.recall.value is not None and plan.recall.value is not None
    assert hubble.recall.value < 0.5 < plan.recall.value
    ruled = plan_for(under_rule(CONSTANT_EXPOSURES, HUBBLE), **far)
    assert hubble.dose == ruled.dose and ruled.alternatives == () and x_of(ruled) > x_of(plan) + 0.5
    assert hubble.point.x == ruled.points["acquisition"].x


def test_within_four_times_the_fitted_tokens_no_rule_is_told_of() -> None:
    assert plan_for(CONSTANT_EXPOSURES, tokens=4 * TOKEN_COUNTS[-1]).alternatives == ()
    assert plan_for(CONSTANT_EXPOSURES, tokens=20 * TOKEN_COUNTS[-1]).alternatives


def test_a_law_too_wide_to_be_contradicted_still_has_both_answers_beyond_four_times_the_fitted_tokens() -> None:
    plan = plan_for(known_law((-2.0, 2.0, 0.0, -1.0)), tokens=4.2 * TOKEN_COUNTS[-1])
    (hubble,) = plan.alternatives
    assert hubble.point.rule == HUBBLE and not hubble.point.contradicts and hubble.dose != plan.dose


def test_where_the_rule_leaves_no_dose_the_reason_is_given() -> None:
    law = known_law((-1.0, 0.05, 0.0, 0.0), collapse=(0.5, 0.05, 0.0, 0.0))
    ours = replace(HUBBLE, tokens=2.0, tokens_sd=0.0)
    alternative = plan_for(law, tokens=FAR_TOKENS, extrapolate=True, rules=[ours]).alternatives[0]
    assert alternative.dose.x.value is None and "lies below acquisition" in alternative.dose.reason
    assert alternative.point.share.value is None and alternative.point.exposures.value is not None


def test_a_law_without_a_dose_still_has_both_answers() -> None:
    law = known_law((0.3, 0.05, 0.0, 0.0), collapse=(0.1, 0.05, 0.0, 0.0))
    opposite = replace(HUBBLE, tokens=0.2, tokens_sd=0.0)
    plan = plan_for(law, tokens=FAR_TOKENS, extrapolate=True, rules=[opposite])
    assert plan.status == "no dose works" and plan.alternatives[0].meaning == ""
    assert plan.alternatives[0].dose.x.value is not None


def test_a_rule_of_tolerance_moves_what_the_val_bpb_allows() -> None:
    law = known_law(tolerance=(-0.5, 0.02, 0.0, 0.0), cost=known_cost(4.0))
    far = {"size": 100 * SIZES[-1], "extrapolate": True}
    plan = plan_for(law, **far, rules=[CMR])
    assert plan.binding == "validation loss" and len(plan.alternatives) == 1
    alternative = plan.alternatives[0]
    assert alternative.meaning == "validation loss would stay within the tolerance" and alternative.recall == Interval()
    ruled = plan_for(under_rule(law, CMR), **far)
    before, after = (next(c.share for c in p.constraints if c.name == "validation loss") or 0.0 for p in (plan, ruled))
    odds = (after / (1 - after)) / (before / (1 - before))
    assert odds == pytest.approx(100**CMR.size, rel=0.01)
    less = replace(CMR, size=-0.03, size_sd=0.0)
    against = plan_for(law, **far, rules=[less]).alternatives[0]
    assert against.meaning == "validation loss would rise beyond the tolerance"
    assert against.dose.x.value == pytest.approx(x_of(plan) - 0.06, abs=0.005)


def test_a_plan_on_disk_holds_what_the_rules_say(tmp_path: Path) -> None:
    plan = plan_for(CONSTANT_EXPOSURES, tokens=FAR_TOKENS, extrapolate=True)
    write_plan(tmp_path / "plan.json", plan)
    assert read_plan(tmp_path / "plan.json") == plan
    first = json.loads((tmp_path / "plan.json").read_text())["plan"]["alternatives"][0]
    point, rule = first["point"], first["point"]["rule"]
    assert (rule["name"], rule["kind"], rule["source"]) == ("Hubble's rule", "acquisition", HUBBLE.source)
    assert (rule["measure"], rule["size"], rule["tokens"]) == ("exposures", -0.73, 0.93)
    assert point["start"] == [SIZE0, TOKEN_COUNTS[-1]] and point["contradicts"] is True
    assert rule["trained"] == [1e11, 5e11]
    assert point["exposures"]["low"] < point["exposures"]["value"] < point["exposures"]["high"]
    assert first["dose"]["share"]["value"] == plan.alternatives[0].dose.share.value
