"""Candidate laws: their gradients and inverses, and which of them is believed."""

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import infusionlaw.law.scaling.forms
from infusionlaw.errors import InputError
from infusionlaw.law.dose import Array
from infusionlaw.law.likelihood import normal
from infusionlaw.law.scaling.choice import INTERACTION, SIMPLE, log_prior_weight, weights
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.law.scaling.forms import BUILT_IN, Form, Places, candidates, known_forms, places
from infusionlaw.law.scaling.law import Law, read_law, write_law
from infusionlaw.law.scaling.posterior import Evidence, posterior
from infusionlaw.runs.record import DoseUnit, RunRecord
from tests.law.scaling.test_fit import at as point
from tests.law.scaling.test_fit import law_of

NAMES = [form.name for form in BUILT_IN]
SIZES, TOKEN_COUNTS, FACTS = (1e4, 3e4, 1e5, 3e5), (1e6, 3e6, 9e6), (50.0, 100.0)


def grid(unit: DoseUnit, sizes: Sequence[float] = SIZES, token_counts: Sequence[float] = TOKEN_COUNTS) -> Places:
    size, tokens, facts = (a.ravel() for a in np.meshgrid(sizes, token_counts, FACTS))
    return places(unit, size, tokens, facts, 15.0)


def form_of(name: str, at: Places) -> Form:
    (form,) = candidates(at, [name])
    return form


def theta_of(form: Form, at: Places) -> Array:
    """Two sets of parameters of opposite exponents, whose doses leave general text."""
    shift = 0.0 if form.x(np.array([[m for m, _ in form.prior]]), at).max() < 1 else -2.0
    rows = [[m + 0.3 * sign * min(sd, 1.0) for m, sd in form.prior] for sign in (1, -1)]
    return np.array([[row[0] + shift, *row[1:]] for row in rows])


@pytest.mark.parametrize("unit", ["share", "exposures"])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_agree_with_finite_differences(name: str, unit: DoseUnit) -> None:
    at = grid(unit)
    form = form_of(name, at)
    theta, step = theta_of(form, at), 1e-6
    gradient = form.gradient(theta, at)
    for i in range(len(form.parameters)):
        up, down = theta.copy(), theta.copy()
        up[:, i] += step
        down[:, i] -= step
        slope = (form.x(up, at) - form.x(down, at)) / (2 * step)
        assert np.broadcast_to(gradient, (*slope.shape, theta.shape[1]))[..., i] == pytest.approx(slope, abs=1e-4)


def test_every_form_says_what_it_is_and_where_it_is_from() -> None:
    for form in BUILT_IN:
        assert form.formula and form.source and form.name in known_forms()
        found = form_of(form.name, grid("share"))
        assert len(found.prior) == len(found.parameters)


def test_a_form_that_points_cannot_tell_from_a_simpler_one_is_no_candidate() -> None:
    one_budget = [form.name for form in candidates(places("share", [1e4, 2e4, 4e4], 1e6, 100.0, 15.0))]
    assert one_budget == ["power law in size and token count", "constant share", "capacity bound"]
    assert {NAMES[1], NAMES[5]} <= {form.name for form in candidates(grid("share"))}
    ladder = candidates(places("share", [1e4, 2e4, 4e4, 8e4], [2e5, 4e5, 8e5, 1.6e6]))
    assert NAMES[1] not in [form.name for form in ladder]


TRUTHS = {
    "power law in size and token count": [0.2, 0.5, -0.4, 0.1],
    "power law whose exponent of size changes with tokens": [0.2, 0.5, -0.4, 0.6, 0.8],
    "power law in size": [0.2, -0.5],
    "power law in token count": [0.2, 0.5],
    "power law in compute": [0.2, 0.4],
    "power law in size with an asymptote": [0.6, -0.5, 0.0, 0.4],
    "constant exposures": [2.5],
    "constant share": [0.2],
    "capacity bound": [-1.5],
}


def points_of(name: str, rng: np.random.Generator) -> Evidence:
    """Points of a law at four sizes and three token counts, each known to 0.05 dex."""
    sizes, token_counts = np.meshgrid([1e4, 4e4, 1.6e5, 6.4e5], TOKEN_COUNTS)
    at = places("share", sizes.ravel(), token_counts.ravel(), 64.0, 15.0)
    theta = np.array([TRUTHS[name][: len(form_of(name, at).parameters)]])
    if name == NAMES[1]:
        theta = np.array([TRUTHS[name]])
    x = form_of(name, at).x(theta, at)[0]
    return Evidence.of(at, [normal(value + rng.normal(0, 0.05), 0.05) for value in x])


@pytest.mark.parametrize("name", NAMES)
def test_the_true_form_gains_weight_and_a_wrong_one_gets_none(name: str) -> None:
    rng = np.random.default_rng(NAMES.index(name))
    data = points_of(name, rng)
    forms = list(candidates(data.at))
    weight, outset = weights([posterior(form, data, rng) for form in forms]), np.exp(log_prior_weight(forms))
    assert [weight.sum(), outset.sum()] == pytest.approx([1, 1])
    gain = dict(zip([form.name for form in forms], weight / outset, strict=True))
    assert gain[name] >= 0.5 * max(gain.values())
    if name != "constant exposures":
        assert gain["constant exposures"] < 0.05


def test_simple_forms_start_with_little_and_a_missing_form_leaves_its_weight_to_the_others() -> None:
    crossed, line = grid("share"), places("share", [1e4, 2e4, 4e4], 1e6, 100.0, 15.0)
    outset = np.exp(log_prior_weight(list(candidates(crossed))))
    assert outset[:2] == pytest.approx([1 - INTERACTION - SIMPLE, INTERACTION])
    general, *simple = np.exp(log_prior_weight(list(candidates(line))))
    assert general > 0.9 and simple == pytest.approx([(1 - general) / 2] * 2)
    assert np.exp(log_prior_weight(list(candidates(line))[1:])) == pytest.approx([0.5, 0.5])


def test_two_sizes_and_two_budgets_rule_out_a_constant_share() -> None:
    points = [point(n, -0.8 * np.log10(n / 1e5) + 0.9 * np.log10(d / 3e6), d) for n in (3e4, 3e5) for d in (1e6, 9e6)]
    by_name = {form.form.name: form.weight for form in law_of(points).of("collapse").forms}
    assert by_name["power law in size and token count"] > 0.5
    assert by_name["constant share"] < 0.01


def test_not_knowing_the_form_widens_a_prediction() -> None:
    points = [point(n, 0.1 + 0.15 * np.log10(n / 1e5), d) for n in (1e4, 4e4, 1.6e5) for d in (1e6, 3e6)]
    rows_law = law_of(points)
    alone = law_of_forms(points, ["constant share"])
    wide, narrow = (law.predict_point("collapse", 5e6, 3e6).x for law in (rows_law, alone))
    assert wide.high is not None and wide.low is not None and narrow.high is not None and narrow.low is not None
    assert wide.high - wide.low > narrow.high - narrow.low


def test_an_unknown_form_is_named() -> None:
    with pytest.raises(InputError, match=r'"power law in sise" is no form of law; did you mean "power law in size"'):
        law_of_forms([point(1e4, 0.1), point(2e4, 0.2)], ["power law in sise"])


def test_a_form_that_these_points_cannot_tell_is_not_fitted() -> None:
    law = law_of_forms([point(1e4, 0.1), point(2e4, 0.2)], ["power law in size"]).of("collapse")
    assert law.status == "not fitted" and "no form asked for" in law.reason


def law_of_forms(points: Sequence[Any], forms: Sequence[str]) -> Law:
    rows = [RunRecord(size=p.size, tokens=p.tokens, share=s, recall=0.5) for p in points for s in (0.0, 0.5)]
    return fit_law(rows, points, forms=forms)


MINE = '''
from dataclasses import dataclass
from typing import ClassVar
import numpy as np

@dataclass(frozen=True)
class Mine:
    """x = alpha + beta sqrt(log10 N)."""
    name: ClassVar[str] = "mine"
    formula: ClassVar[str] = "x = alpha + beta sqrt(log N)"
    source: ClassVar[str] = "a test"
    parameters: ClassVar[tuple[str, ...]] = ("intercept", "size")
    prior: ClassVar[tuple[tuple[float, float], ...]] = ((0.0, 10.0), (0.0, 1.0))

    @classmethod
    def around(cls, at):
        return cls()

    def x(self, theta, at):
        return theta[:, :1] + theta[:, 1:] * np.sqrt(np.log10(at.size))

    def gradient(self, theta, at):
        row = np.stack([np.ones(len(at.size)), np.sqrt(np.log10(at.size))], axis=-1)
        return np.broadcast_to(row, (len(theta), *row.shape))
'''


def test_a_form_that_is_named_like_a_built_in_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other_forms.py").write_text(MINE.replace('"mine"', '"power law in size"'))
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("mine", "other_forms:Mine", "infusionlaw.forms")
    monkeypatch.setattr(infusionlaw.law.scaling.forms, "entry_points", lambda group: [entry])
    known_forms.cache_clear()
    try:
        with pytest.raises(
            InputError, match=r'the form "power law in size" of other_forms:Mine has the name of another'
        ):
            known_forms()
    finally:
        known_forms.cache_clear()
        sys.modules.pop("other_forms", None)


def test_a_form_of_ones_own_comes_from_one_file_and_an_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_forms.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("mine", "my_forms:Mine", "infusionlaw.forms")
    monkeypatch.setattr(infusionlaw.law.scaling.forms, "entry_points", lambda group: [entry])
    known_forms.cache_clear()
    try:
        points = [point(n, 0.2 + 2 * np.sqrt(np.log10(n)) - 4.4) for n in (1e4, 2e4, 4e4, 8e4)]
        law = law_of(points)
        assert "mine" in [form.form.name for form in law.of("collapse").forms]
        write_law(tmp_path / "law.json", law)
        assert read_law(tmp_path / "law.json") == law
        only = law_of_forms(points, ["mine"]).of("collapse").forms
        assert [(form.form.name, form.weight) for form in only] == [("mine", 1.0)]
    finally:
        known_forms.cache_clear()
        sys.modules.pop("my_forms", None)
