"""Where a power law does not fit, it is said; where it does, nothing is."""

from pathlib import Path

import numpy as np
import pytest

from infusionlaw.law.dose import Array
from infusionlaw.law.likelihood import normal
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.law.scaling.forms import PowerLaw, places
from infusionlaw.law.scaling.law import Law, read_law, write_law
from infusionlaw.law.scaling.misfit import Misfit, misfit
from infusionlaw.law.scaling.posterior import Evidence, posterior
from infusionlaw.report.words import law_text
from infusionlaw.runs.record import RunRecord
from tests.law.scaling.test_fit import at, law_of

SIZES, TOKENS = 1e4 * 3.0 ** np.arange(4), np.array([1e6, 2e6, 4e6])
N, D = (values.ravel() for values in np.meshgrid(SIZES, TOKENS))


def logs(size: Array = N, tokens: Array = D) -> tuple[Array, Array]:
    return np.log10(size / 5e4), np.log10(tokens / 2e6)


def checked(x: Array, sd: Array, rng: np.random.Generator, size: Array = N, tokens: Array = D) -> Misfit | None:
    """The check of points near x (n,) that are each known to sd (n,)."""
    where = places("share", size, tokens)
    data = Evidence.of(where, [normal(a + rng.normal(0, b), b) for a, b in zip(x, sd, strict=True)])
    return misfit(posterior(PowerLaw.around(where), data, rng), data, rng)


@pytest.mark.parametrize("scatter", [0.0, 0.1])
def test_power_laws_are_doubted_in_about_five_percent(scatter: float) -> None:
    n, d = logs()
    p = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        beta, gamma = rng.uniform(-0.6, 0.6, 2)
        x = 0.2 + beta * n + gamma * d + rng.normal(0, scatter, len(n))
        found = checked(x, rng.choice([0.05, 0.1, 0.2], len(n)), rng)
        assert found is not None
        p.append(found.p)
    assert np.mean(np.array(p) < 0.05) <= 0.12
    assert 0.3 < np.median(p) < 0.7


@pytest.mark.parametrize(("term", "sign"), [("product", 1), ("product", -1), ("size", 1), ("tokens", -1)])
def test_the_term_that_is_missing_is_named(term: str, sign: int) -> None:
    n, d = logs()
    bend = {"product": 1.5 * n * d, "size": 0.5 * n * n, "tokens": 3 * d * d}[term]
    found = checked(0.3 * n + sign * bend, np.full(len(n), 0.03), np.random.default_rng(1))
    assert found is not None and found.term == term and found.p < 0.01


def test_designs_that_cannot_tell_are_not_judged() -> None:
    rng = np.random.default_rng(0)
    assert checked(np.zeros(3), np.full(3, 0.05), rng, SIZES[:3], np.full(3, 1e6)) is None
    size, tokens = (values.ravel() for values in np.meshgrid(SIZES[:2], TOKENS[:2]))
    assert checked(np.zeros(4), np.full(4, 0.05), rng, size, tokens) is None


def law_at(x: Array) -> Law:
    return law_of([at(size, value, tokens) for size, tokens, value in zip(N, D, x, strict=True)])


def test_an_exponent_that_changes_with_tokens_is_believed_said_and_allowed_for(tmp_path: Path) -> None:
    rng, (n, d) = np.random.default_rng(2), logs()
    for form in (lambda n, d: 1.2 * n * d, lambda n, d: 0.5 * n * np.tanh(5 * d)):  # goes on, or levels off
        law = law_at(0.2 + form(n, d) + rng.normal(0, 0.03, len(n)))
        kind = law.of("collapse")
        weight = {fitted.form.name: fitted.weight for fitted in kind.forms}
        assert weight["power law whose exponent of size changes with tokens"] > 0.8
        (note,) = kind.notes
        assert note.startswith("The exponent of size changes with tokens (p") and "token counts may be wrong" in note
        prediction = law.predict_point("collapse", 8 * SIZES[-1], 4 * TOKENS[-1])
        assert note in prediction.flags
        true = 0.2 + float(form(*logs(np.array(8 * SIZES[-1]), np.array(4 * TOKENS[-1]))))
        assert prediction.x.low is not None and prediction.x.high is not None
        assert prediction.x.low < true < prediction.x.high
        assert f"note: {note}." in law_text(law).splitlines()
        write_law(tmp_path / "law.json", law)
        assert read_law(tmp_path / "law.json") == law


def test_a_power_law_of_four_sizes_shifts_as_far_as_the_truth_and_is_silent() -> None:
    n, d = logs()
    shifts = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        law = law_at(0.2 - 0.4 * n + 0.3 * d + rng.normal(0, 0.05, len(n)))
        shift = [law.predict_point("collapse", size, 4e6).x.value for size in (SIZES[-1], 8 * SIZES[-1])]
        assert shift[0] is not None and shift[1] is not None
        shifts.append((shift[1] - shift[0]) / (-0.4 * np.log10(8)))
    assert np.mean(shifts) == pytest.approx(1.0, abs=0.06)


def test_what_the_table_was_remarked_for_reaches_the_law_and_its_text() -> None:
    sizes = (1e4, 2e4, 4e4)
    rows = [
        RunRecord(size=n, tokens=1e6 + j, share=s, recall=0.5) for n in sizes for s in (0.1, 0.5) for j in (0, 0, 9)
    ]
    law = fit_law(rows, [at(n, 0.2, 1e6) for n in sizes])
    assert law.token_counts == (1e6,) and law.of("collapse").status == "fitted"
    (note,) = law.notes
    assert law_text(law).splitlines()[0] == f"note: {note}"


def test_checkpoints_of_one_run_make_an_exponent_no_surer_than_one_run() -> None:
    def width(tokens: list[float], run: bool) -> float:
        sizes = (1e4, 3e4, 9e4, 2.7e5)
        rows = [
            RunRecord(size=n, tokens=t, share=s, recall=0.5 + s / 9 + t / 1e9, run=f"{n}-{s}" if run else "")
            for n in sizes
            for s in (0.1, 0.5)
            for t in tokens
        ]
        law = fit_law(
            rows,
            [at(n, 0.3 * np.log10(n / 5e4), t) for n in sizes for t in tokens],
            forms=["power law in size and token count"],
        )
        size = law.of("collapse").coefficients["size"]
        assert size.low is not None and size.high is not None
        return size.high - size.low

    one, three = width([1e6], False), [1e6, 2e6, 4e6]
    assert 0.9 * one < width(three, True) < 1.35 * one
    assert width(three, False) < 0.8 * one
