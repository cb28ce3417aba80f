"""Laws of losses: which share a limit allows, and what it buys, from tables that hold nothing but losses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from infusionlaw.errors import InputError
from infusionlaw.fitting import fit
from infusionlaw.law.losses.fit import fit_losses
from infusionlaw.law.losses.law import LossLaw
from infusionlaw.law.losses.measured import losses_of
from infusionlaw.law.planning.plan import predict
from infusionlaw.law.scaling.law import Law
from infusionlaw.law.surfaces.conditions import Conditions
from infusionlaw.law.surfaces.mixtures import EXPONENTIAL_MIXING, POWER_MIXING
from infusionlaw.report.words import law_text, plan_text
from infusionlaw.runs.record import RunRecord

GENERAL = {"E": 1.9, "A": 0.0, "B": 0.0, "K": 0.5, "alpha": 0.3, "beta": 0.3, "t": 3.5, "p": -0.1, "s": 0.2}
DOMAIN = {"E": 1.1, "A": 0.0, "B": 0.0, "K": 0.6, "alpha": 0.3, "beta": 0.3, "g": 0.3, "p": -0.05, "s": 0.0}
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
U_SHAPED, FALLING = (3.0, 1.7, 2.0, 2.4, 3.3), (3.0, 2.0, 1.9, 1.8, 1.7)


def start(size: float) -> float:
    return float(1.9 + 300 / size**0.3)


def general(size: float, tokens: float, share: float) -> float:
    """The validation loss of a run, from a start that falls with size."""
    return float(start(size) - 1.95 + EXPONENTIAL_MIXING.loss(GENERAL, Conditions(size, tokens, share=1 - share))[0])


def domain(size: float, tokens: float, share: float) -> float:
    return float(POWER_MIXING.loss(DOMAIN, Conditions(size, tokens, share=share))[0])


def table(noise: float = 0.001, seed: int = 0, sizes=(5e7, 1e8, 2e8), tokens=(5e8, 1e9, 2e9)) -> list[RunRecord]:
    rng = np.random.default_rng(seed)
    return [
        RunRecord(
            n,
            d,
            share=r,
            val_bpb=general(n, d, r) + rng.normal(0, noise),
            loss_unit="nats per token",
            more=(("domain_loss", domain(n, d, r) + rng.normal(0, noise)), ("start_val_bpb", start(n))),
        )
        for n in sizes
        for d in tokens
        for r in SHARES
    ]


@pytest.fixture(scope="module")
def law() -> Law:
    return fit(table(), 0.05, 200)[1]


def truth(tolerance: float, size: float, tokens: float) -> float:
    shares = np.linspace(0, 1, 2001)
    above = [general(size, tokens, share) - start(size) > tolerance for share in shares]
    return float(shares[np.argmax(above)])


def test_a_table_of_losses_says_which_share_a_limit_allows_and_what_the_domain_gains(law: Law) -> None:
    plan = predict(law, 8e8, 4e9, tolerance=0.05)
    largest = plan.losses[0].largest
    true = truth(0.05, 8e8, 4e9)
    assert largest.low is not None and largest.high is not None and largest.value is not None
    assert largest.low < true < largest.high
    assert abs(largest.value - true) < 0.05
    assert plan.status == "outside support" and plan.dose.share.value == pytest.approx(largest.value, abs=0.01)
    text = plan_text(plan)
    assert "nats per token" in text and "bits per byte" not in text and "of the start" in text


def test_inside_the_sizes_and_token_counts_tried_the_status_is_ok(law: Law) -> None:
    assert predict(law, 1e8, 1e9, tolerance=0.05).status == "ok"


def test_no_worse_than_the_start_is_a_limit(law: Law) -> None:
    plan = predict(law, 1e8, 1e9, tolerance=0.0)
    assert plan.dose.share.value == pytest.approx(truth(0.0, 1e8, 1e9), abs=0.03)


def test_a_domain_loss_is_counted_from_dose_0_and_cannot_be_told_without_it(law: Law) -> None:
    named = {loss.loss: loss for loss in law.losses}
    assert not named["domain_loss"].displaced and named["domain_loss"].since == ""
    answer = predict(law, 1e8, 1e9).losses[1]
    assert answer.change.value is None and "neither the loss of the start nor dose 0" in answer.reason
    rng = np.random.default_rng(0)
    with_zero = [
        replace(row, more=(("domain_loss", domain(row.size, row.tokens, row.share or 0.0) + rng.normal(0, 0.001)),))
        for row in (*table(), *(replace(row, share=0.0) for row in table()[::5]))
    ]
    domain_law = next(loss for loss in fit_losses(with_zero) if loss.loss == "domain_loss")
    assert domain_law.since == "dose 0"
    gain = domain_law.answer(None, 1e8, 1e9, 0.5).change
    true = domain(1e8, 1e9, 0.5) - domain(1e8, 1e9, 0.0)
    assert gain.low is not None and gain.high is not None
    assert gain.value == pytest.approx(true, abs=0.003) and gain.low < gain.high < 0


def test_a_law_of_losses_is_read_as_it_was_written_and_predicts_the_same(law: Law, tmp_path: Path) -> None:
    law.save(tmp_path / "law.json")
    again = Law.load(tmp_path / "law.json")
    assert again == law
    plan = predict(again, 8e8, 4e9)
    assert plan == predict(law, 8e8, 4e9)
    plan.save(tmp_path / "plan.json")
    assert type(plan).load(tmp_path / "plan.json") == plan


def test_every_source_of_text_has_its_own_largest_share() -> None:
    rows = [
        replace(row, val_bpb=None, more=(("val_bpb:wiki", row.val_bpb or 0.0), ("start_val_bpb:wiki", start(row.size))))
        for row in table()
    ]
    plan = predict(fit(rows, 0.05, 100)[1], 1e8, 1e9)
    assert plan.losses[0].title == "validation loss on wiki" == plan.binding
    assert plan.dose.share.value == pytest.approx(truth(0.05, 1e8, 1e9), abs=0.03)


def test_few_curves_of_many_checkpoints_count_as_few_runs() -> None:
    """Four runs do not tell a surface over tokens, however often they were measured: their ends are used."""
    rows = [
        replace(row, curve=f"{row.share}") for row in table(sizes=(1e8,), tokens=np.linspace(1e8, 2e9, 10).tolist())
    ]
    (loss,) = (loss for loss in fit_losses(rows) if loss.loss == "val_bpb")
    assert loss.surfaces and any("only the last ones count" in note for note in loss.notes)
    found = loss.answer(0.05, 1e8, 2e9).largest
    assert found.value == pytest.approx(truth(0.05, 1e8, 2e9), abs=0.04)


def test_two_shares_are_too_few_and_that_is_said() -> None:
    rows = [row for row in table(sizes=(1e8,), tokens=(1e9,)) if row.share in (0.1, 0.9)]
    law = fit(rows, 0.05, 100)[1]
    assert "too few for any surface" in law_text(law)
    plan = predict(law, 1e8, 1e9)
    assert plan.status == "no law" and "too few" in plan.dose.reason


def test_only_a_start_allows_a_tolerance_of_nothing() -> None:
    rows = [replace(row, more=()) for row in table()]
    with pytest.raises(InputError, match="tolerance is 0"):
        predict(fit([*rows, *(replace(row, share=0.0) for row in rows[::5])], 0.05, 100)[1], 1e8, 1e9, tolerance=0)


def test_scores_keep_the_limit_that_a_dose_costs_them() -> None:
    """A table of recall and validation loss from scratch has no use for a surface."""
    rows = [replace(row, recall=0.5, more=()) for row in table(sizes=(1e8,), tokens=(1e9,))]
    assert fit(rows, 0.05, 100)[1].losses == ()


def test_an_answer_without_surfaces_says_why() -> None:
    law = LossLaw("val_bpb", "bits per byte", True, "the start", 2.0, (1e8,), (1e9,), (0.1, 0.9), (), reason="none yet")
    assert law.answer(0.05, 1e8, 1e9).reason == "none yet"


def test_errors_are_no_losses_and_a_loss_of_one_source_is_not_counted_twice() -> None:
    answers = ("answer_loss", 2.0), ("answer_loss_se", 0.1), ("answer_loss:med", 2.0), ("answer_loss:med_se", 0.1)
    row = RunRecord(5e7, 5e8, 0.1, val_bpb=1.9, more=answers)
    assert losses_of([row]) == ["val_bpb", "answer_loss"]
    both = replace(row, more=(*answers, ("answer_loss:law", 3.0)))
    assert losses_of([replace(both, more=(("answer_loss", 2.5), *both.more[1:]))]) == [
        "val_bpb",
        "answer_loss",
        "answer_loss:med",
        "answer_loss:law",
    ]


@pytest.mark.parametrize("repeated", [True, False])
def test_a_domain_loss_that_rises_again_is_no_general_one_and_where_it_is_lowest_is_said(repeated: bool) -> None:
    rows = [
        replace(row, share=share, seed=seed, more=(("domain_loss", loss + 0.01 * (-1) ** seed),))
        for row in table(sizes=(5e7, 1e8, 2e8), tokens=(1e9,))[:: len(SHARES)]
        for share, loss in zip((0.0, 0.1, 0.3, 0.6, 0.9), U_SHAPED if repeated else FALLING, strict=False)
        for seed in (1, 2)
    ]
    found = next(law for law in fit_losses(rows) if law.loss == "domain_loss")
    assert not found.displaced and not found.points
    assert found.turn == (
        "is lowest at a share of 0.1 and higher by 1.6 at the largest share, where the same text is read too often"
        if repeated
        else ""
    )
    # The target reads the domain as often as the runs did at their best share.
    twice = predict(fit(rows, 1.0, 50)[1], 4e8, 2e9, tolerance=1.0)
    binds = "Limit: domain loss would rise again beyond this dose." in plan_text(twice)
    assert binds == repeated and (not repeated or twice.dose.share.value == pytest.approx(0.05))
