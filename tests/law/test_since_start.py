"""Against a start: where a score falls below it, what is gained and lost; and the points of each file of questions."""

import numpy as np
import pytest

from infusionlaw.fitting import fit
from infusionlaw.law.planning.plan import predict
from infusionlaw.law.points.find import find_points
from infusionlaw.report.start import change_sentences
from infusionlaw.report.words import plan_text
from infusionlaw.runs.outcomes import outcomes_of
from infusionlaw.runs.record import RunRecord

SHARES = (0.0, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95)
RECALL, RETENTION = 0.4, 0.7  # of the start
TOKENS = (1e7, 2e7, 4e7)


def forgotten(share: float, tokens: float) -> float:
    """Falls by 0.1 at odds of 1 at the fewest tokens, and later with more."""
    return 0.02 + 0.16 * share**1.0 * (1e7 / tokens) ** 0.2


def rows(replaced: float = 0.0, start: bool = True, files: bool = False) -> list[RunRecord]:
    """Runs of one start. replaced: what training on the replacement text forgets beside."""
    rng, found = np.random.default_rng(0), []
    for tokens in TOKENS:
        for share in SHARES:
            for seed in (1, 2):
                noise = rng.normal(0, 0.004, 2)
                recall = float(RECALL - 0.02 + 0.2 * np.sqrt(share) + noise[0])
                retention = float(RETENTION - forgotten(share, tokens) - replaced + noise[1])
                more: dict[str, float] = {}
                if start:
                    more |= {"start_recall": RECALL, "start_retention": RETENTION}
                if files:
                    more |= {"recall:a": recall + 0.02, "recall:b": recall - 0.02, "retention:c": retention}
                    more |= {"start_retention:c": RETENTION} if start else {}
                found.append(
                    RunRecord(
                        *(1e8, tokens, share),
                        recall=recall,
                        recall_se=0.005,
                        retention=retention,
                        retention_se=0.005,
                        chance=0.25,
                        seed=seed,
                        more=tuple(more.items()),
                    )
                )
    return found


def forgetting(runs: list[RunRecord], most: float = 0.1) -> dict[float, tuple[str, float | None, str]]:
    points = find_points(runs, forgetting=most, draws=200)
    return {p.tokens: (p.status, p.share.value, p.note) for p in points if p.kind == "forgetting"}


def test_the_share_at_which_a_score_has_fallen_below_the_start_is_found() -> None:
    found = forgetting(rows())
    for tokens, (status, share, note) in found.items():
        truth = next(s for s in np.linspace(0, 1, 1001) if forgotten(s, tokens) >= 0.1)
        assert status == "found" and share == pytest.approx(truth, abs=0.06)
        assert note == "retention falls by 0.1 below the start"
    assert forgetting(rows(start=False)) == {}


def test_where_general_text_alone_forgets_too_much_no_dose_is_within_the_tolerance() -> None:
    runs = rows(replaced=0.2)
    assert {status for status, *_ in forgetting(runs).values()} == {"before the grid"}
    plan = predict(fit(runs, 0.05, 50)[1], 1e8, 4e7)
    assert plan.status == "no dose works"
    assert "fall of retention below the start is beyond the tolerance at every share" in plan.dose.reason
    assert any("dose 0" in sentence for sentence in change_sentences(plan))


def test_a_plan_tells_gain_and_loss_against_the_start_and_what_general_text_alone_does() -> None:
    runs = rows()
    _, law = fit(runs, 0.05, 50, forgetting=0.1)
    plan = predict(law, 1e8, 4e7)
    share = plan.dose.share.value
    assert share is not None and "fall of retention below the start" in {c.name for c in plan.constraints}
    advised = next(f for f in plan.forecast if f.name == "the advised dose").changes
    for name, truth in (("recall", -0.02 + 0.2 * np.sqrt(share)), ("retention", -forgotten(share, 4e7))):
        change = advised[name]
        assert change.low is not None and change.high is not None
        assert change.low < truth < change.high and change.high - change.low < 0.06
    none = plan.forecast[0].changes
    assert none["retention"].value == pytest.approx(-0.02, abs=0.01)
    first, second = change_sentences(plan)
    assert first.startswith("Give a share of") and "recall rises by" in first and "retention falls by" in first
    assert "dose 0" in second and "change since the start" in plan_text(plan)


def test_each_file_of_questions_has_points_of_its_own_unless_it_is_the_only_one() -> None:
    runs = rows(files=True)
    assert [o.name for o in outcomes_of(runs) if ":" in o.name] == ["recall:a", "recall:b"]  # c is all of retention
    kinds = {point.kind for point in find_points(runs, draws=50)}
    assert kinds >= {"acquisition:a", "collapse:a", "acquisition:b", "collapse:b", "forgetting"}
    assert "retention:c" not in kinds and "forgetting:c" not in kinds
