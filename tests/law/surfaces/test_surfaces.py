from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmarks.surfaces import TRUTHS, trial
from infusionlaw.errors import InputError
from infusionlaw.law.surfaces.conditions import Conditions
from infusionlaw.law.surfaces.fit import SurfaceFit, fit_surface, tolerated_share
from infusionlaw.law.surfaces.forms import (
    CHINCHILLA,
    CRITICAL_SHARE,
    DATA_CONSTRAINED,
    MIXTURE,
    OVER_TRAINING,
    SHARE_CURVE,
    Chinchilla,
    Exponents,
    Theta,
)
from infusionlaw.law.surfaces.known import SURFACES
from infusionlaw.law.surfaces.losses import read_losses


def runs(n: int = 60, seed: int = 0) -> Conditions:
    rng = np.random.default_rng(seed)
    tokens = np.exp(rng.uniform(np.log(1e9), np.log(1e12), n))
    unique = tokens * np.exp(rng.uniform(np.log(0.01), 0, n))
    size, share, loss = np.exp(rng.uniform(np.log(1e7), np.log(1e10), n)), rng.uniform(0.05, 1, n), rng.uniform(1, 4, n)
    return Conditions(size, tokens, unique, share, loss)


def measured(name: str, conditions: Conditions, noise: float = 0.0, seed: int = 1) -> np.ndarray:
    spread = np.exp(np.random.default_rng(seed).normal(0, noise, len(conditions)))
    return np.asarray(SURFACES[name].loss(TRUTHS[name], conditions) * spread)


@pytest.mark.parametrize("name", SURFACES)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    surface, theta, conditions = SURFACES[name], TRUTHS[name], runs()
    gradient = surface.gradient(theta, conditions)
    for column, parameter in enumerate(surface.parameters):
        h = 1e-6 * abs(theta[parameter])
        up, down = (surface.loss({**theta, parameter: theta[parameter] + sign * h}, conditions) for sign in (1, -1))
        assert gradient[:, column] == pytest.approx((up - down) / (2 * h), rel=1e-4, abs=1e-8), parameter


def test_the_forms_are_the_published_ones() -> None:
    at = Conditions(size=1e9, tokens=2e10, unique_tokens=1e10, share=0.3)
    t = TRUTHS["chinchilla"]
    chinchilla = np.exp(t["e"]) + np.exp(t["a"]) / 1e9 ** t["alpha"] + np.exp(t["b"]) / 2e10 ** t["beta"]
    assert CHINCHILLA.loss(t, at)[0] == pytest.approx(chinchilla)
    t = TRUTHS["over-training"]
    compute, multiplier = 6 * 1e9 * 2e10, 20.0
    over = t["E"] + (t["a"] * multiplier ** t["eta"] + t["b"] * multiplier ** -t["eta"]) * compute ** -t["eta"]
    assert OVER_TRAINING.loss(t, at)[0] == pytest.approx(over)
    t = TRUTHS["d-cpt"]
    mixture = t["E"] + t["A"] / 1e9 ** t["alpha"] + t["B"] * 0.3 ** t["eta"] / 2e10 ** t["beta"]
    assert MIXTURE.loss(t, at)[0] == pytest.approx(mixture + t["C"] / (0.3 + t["epsilon"]) ** t["gamma"])
    t = TRUTHS["critical share by tokens"]
    assert CRITICAL_SHARE.loss(t, at)[0] == pytest.approx(t["alpha"] * 100 ** t["s"] + t["beta"])


def test_repetition_is_worth_less_than_new_tokens_and_nothing_is_lost_without_decay() -> None:
    theta, free = TRUTHS["data-constrained"], {"rn_star": np.inf, "rd_star": np.inf}
    once, often = (Conditions(1e9, 4e10, unique) for unique in (4e10, 1e9))
    assert DATA_CONSTRAINED.loss(theta, often)[0] > DATA_CONSTRAINED.loss(theta, once)[0] + 0.05
    assert DATA_CONSTRAINED.loss(theta | free, often)[0] == pytest.approx(CHINCHILLA.loss(theta, often)[0])
    # 30 epochs of 1e9 tokens, of a model small enough for them: D' = U (1 + R (1 - exp(-39 / R))).
    data = 1e9 * (1 + 15.4 * (1 - np.exp(-39 / 15.4)))
    assert DATA_CONSTRAINED.loss(theta, Conditions(1e7, 4e10, 1e9)) == pytest.approx(
        CHINCHILLA.loss(theta, Conditions(1e7, data))
    )


@pytest.mark.parametrize("name", SURFACES)
def test_a_surface_is_recovered_from_exact_losses(name: str) -> None:
    conditions = runs()
    fit = fit_surface(SURFACES[name], conditions, measured(name, conditions), on="linear", draws=10)
    assert fit.status == "converged", fit.reason
    assert fit.theta == pytest.approx(TRUTHS[name], rel=1e-3)
    assert fit.objective < 1e-12 and fit.r2 == pytest.approx(1)
    other = runs(5, seed=9)
    assert fit.predict(other) == pytest.approx(measured(name, other), rel=1e-5)


@pytest.mark.parametrize(("delta", "most"), [(1e-3, 2.0), (np.inf, 1.5)])
def test_the_bootstrap_spreads_as_the_noise_does(delta: float, most: float) -> None:
    """A robust fit with a small delta rests on few residuals, and its bootstrap is on the safe side."""
    conditions = runs(40)
    fixed = {"rn_star": 5.3, "rd_star": 15.4, "alpha": 0.35, "beta": 0.36}
    fits = [
        fit_surface(
            DATA_CONSTRAINED,
            conditions,
            measured("data-constrained", conditions, 0.01, i),
            fixed=fixed,
            delta=delta,
            starts=[TRUTHS["data-constrained"]],
            draws=60,
        )
        for i in range(20)
    ]
    for name in ("e", "a", "b"):
        spread = np.std([fit.theta[name] for fit in fits])
        assert 0.65 < np.mean([np.std(fit.draws[name]) for fit in fits]) / spread < most, name


def test_checkpoints_of_one_curve_count_as_one() -> None:
    """Ten rows of each run that err alike say no more than one of them."""
    one = runs(20)
    losses = measured("chinchilla", one, 0.01)
    many, copies = one.take(np.repeat(np.arange(20), 10)), np.repeat(losses, 10)
    curves = [f"run {i}" for i in np.repeat(np.arange(20), 10)]
    options = {"fixed": {"alpha": 0.34, "beta": 0.28}, "delta": np.inf}
    alone, apart = (fit_surface(CHINCHILLA, *data, **options) for data in ((one, losses), (many, copies)))
    together = fit_surface(CHINCHILLA, many, copies, curves=curves, **options)
    width = {name: np.std(fit.draws["a"]) for name, fit in (("1", alone), ("10", apart), ("curve", together))}
    assert width["curve"] == pytest.approx(width["1"], rel=0.15)
    assert width["10"] < 0.5 * width["1"]


@pytest.mark.parametrize("name", ["chinchilla", "over-training"])
def test_intervals_far_beyond_the_table_hold_the_truth(name: str) -> None:
    """At 8 times the size and 4 times the tokens; `python -m benchmarks.surfaces` asks it of every form."""
    held = [trial(SURFACES[name], seed, draws=40)[0] for seed in range(12)]
    assert sum(held) >= 8


def test_a_wild_loss_moves_a_robust_fit_less_than_least_squares() -> None:
    conditions = runs()
    losses = measured("chinchilla", conditions, 0.002)
    losses[:3] *= 1.4
    robust, plain = (fit_surface(CHINCHILLA, conditions, losses, delta=delta) for delta in (1e-3, np.inf))
    assert abs(robust.theta["alpha"] - 0.34) < 0.01 < abs(plain.theta["alpha"] - 0.34)
    assert abs(robust.residuals[:3]).min() > 0.3


def test_given_parameters_stay_and_a_fit_may_be_all_given() -> None:
    conditions = runs()
    losses = measured("chinchilla", conditions, 0.01)
    fit = fit_surface(CHINCHILLA, conditions, losses, fixed={"alpha": 0.4})
    assert fit.theta["alpha"] == 0.4 and "alpha" not in fit.intervals
    given = fit_surface(CHINCHILLA, conditions, losses, fixed=TRUTHS["chinchilla"])
    assert given.status == "given" and given.intervals == {}
    assert given.objective == pytest.approx(
        np.where(abs(z := given.residuals) < 1e-3, z**2 / 2, 1e-3 * abs(z) - 5e-7).sum()
    )


def test_the_same_losses_give_the_same_fit() -> None:
    conditions = runs()
    losses = measured("chinchilla", conditions, 0.02)
    assert fit_surface(CHINCHILLA, conditions, losses).theta == fit_surface(CHINCHILLA, conditions, losses).theta


@pytest.mark.parametrize(("held", "tied", "told"), [("tokens", "e, b and beta", "a"), ("size", "e, a and alpha", "b")])
def test_what_did_not_vary_is_not_identified(held: str, tied: str, told: str) -> None:
    both = runs()
    one = {"size": both.size, "tokens": both.tokens} | {held: 1e9}
    conditions = Conditions(**one)
    fit = fit_surface(CHINCHILLA, conditions, measured("chinchilla", conditions, 0.005))
    assert fit.status == "not identified"
    assert tied in fit.reason
    assert all((fit.intervals[name].low is not None) == (name in (told, *_shape(told))) for name in fit.theta)


def _shape(coefficient: str) -> tuple[str, ...]:
    return {"a": ("alpha",), "b": ("beta",)}[coefficient]


def test_fewer_runs_than_parameters_are_not_identified_and_as_many_have_no_intervals() -> None:
    few, just = runs(4), runs(5)
    assert fit_surface(CHINCHILLA, few, measured("chinchilla", few)).status == "not identified"
    fit = fit_surface(CHINCHILLA, just, measured("chinchilla", just))
    assert "no more independent runs than parameters" in fit.reason
    assert {interval.low for interval in fit.intervals.values()} == {None}


def test_a_parameter_at_its_limit_is_named() -> None:
    conditions = runs()
    theta = TRUTHS["over-training"] | {"E": 0.0, "a": 0.0}
    fit = fit_surface(OVER_TRAINING, conditions, OVER_TRAINING.loss(theta, conditions) - 0.02, on="linear")
    assert fit.status == "at a bound" and "E at 0" in fit.reason
    assert "% of the draws" in fit.reason


@dataclass(frozen=True)
class Misled(Chinchilla):
    """A form whose slope in alpha points the wrong way, so that no descent can arrive."""

    def exponents(self, theta: Theta, conditions: Conditions) -> Exponents:
        exponents, slopes = super().exponents(theta, conditions)
        return exponents, slopes | {"alpha": [-1.0 * np.asarray(slope) for slope in slopes["alpha"]]}


def test_a_fit_that_did_not_arrive_says_so() -> None:
    conditions = runs()
    fit = fit_surface(Misled(), conditions, measured("chinchilla", conditions, 0.01), starts=[TRUTHS["chinchilla"]])
    assert fit.status == "not converged"
    assert "start" in fit.reason and {interval.low for interval in fit.intervals.values()} == {None}


def test_losses_and_names_that_cannot_be_fitted_are_named() -> None:
    conditions, losses = runs(6), np.full(6, 3.0)
    with pytest.raises(InputError, match="5 losses for 6 runs"):
        fit_surface(CHINCHILLA, conditions, losses[:5])
    with pytest.raises(InputError, match=r"loss 3 is -1"):
        fit_surface(CHINCHILLA, conditions, np.where(np.arange(6) == 2, -1, losses))
    with pytest.raises(InputError, match=r'"alhpa" is no parameter.*did you mean "alpha"'):
        fit_surface(CHINCHILLA, conditions, losses, fixed={"alhpa": 0.3})
    with pytest.raises(InputError, match='"unique_tokens" is not known'):
        fit_surface(DATA_CONSTRAINED, Conditions(1e9, conditions.tokens), losses)
    with pytest.raises(InputError, match="delta is 0"):
        fit_surface(CHINCHILLA, conditions, losses, delta=0)
    with pytest.raises(InputError, match='a start lacks "b"'):
        fit_surface(CHINCHILLA, conditions, losses, starts=[{"e": 0.5, "a": 6.0}])
    with pytest.raises(InputError, match="differ in length"):
        Conditions([1e9, 2e9], [1e9, 2e9, 3e9])
    with pytest.raises(InputError, match='"share" is 30'):
        Conditions(share=[0.2, 30])
    with pytest.raises(InputError, match="more unique tokens"):
        Conditions(1e9, 1e9, 2e9)


def val_bpb() -> SurfaceFit:
    """A validation loss of 2.5 + 0.05 / (share + 0.02)^0.6, whatever size and tokens."""
    given = {"E": 2.5, "A": 0.0, "B": 0.0, "C": 0.05, "alpha": 1.0, "beta": 0.0, "eta": 1.0, "gamma": 0.6}
    return fit_surface(MIXTURE, Conditions(1, 1, share=[0.1, 0.5]), [2.7, 2.6], fixed=given | {"epsilon": 0.02})


def test_bad_shares_of_a_mixture_are_refused() -> None:
    with pytest.raises(InputError, match=r'"share" is 1\.5'):
        val_bpb().predict(Conditions(1, 1, share=1.5))


def test_the_tolerated_share_is_where_the_loss_passes_the_limit() -> None:
    fit = val_bpb()
    found = tolerated_share(fit, 2.65)
    assert found.share == pytest.approx((0.05 / 0.15) ** (1 / 0.6) - 0.02)
    assert tolerated_share(fit, 9.0).share == 0
    none = tolerated_share(fit, 2.5)
    assert none.share is None and "even at a share of 1" in none.reason


def test_a_fit_of_shares_over_tokens_returns_the_published_coefficients() -> None:
    conditions = Conditions(tokens=np.geomspace(2e9, 6e10, 12))
    truth = TRUTHS["critical share by tokens"]
    fit = fit_surface(CRITICAL_SHARE, conditions, CRITICAL_SHARE.loss(truth, conditions), on="linear")
    assert fit.theta == pytest.approx(truth, rel=1e-4)
    assert SHARE_CURVE.needs == ("share",)


def table(folder: Path, text: str) -> Path:
    path = folder / "losses.csv"
    path.write_text(text)
    return path


def test_losses_are_read_under_usual_names_and_epochs_give_unique_tokens(tmp_path: Path) -> None:
    path = table(tmp_path, "Params,D,epochs,Val Loss,set\n10M,1e9,4,3.5,a\n1.3B,2e10,1,2.5,b\n")
    conditions, loss = read_losses(path)
    assert conditions.column("size").tolist() == [1e7, 1.3e9]
    assert conditions.column("unique_tokens").tolist() == [2.5e8, 2e10]
    assert conditions.share is None
    assert loss.tolist() == [3.5, 2.5]
    assert read_losses(path, where=["set = b"])[1].tolist() == [2.5]


def test_columns_may_be_named_by_the_reader(tmp_path: Path) -> None:
    path = table(tmp_path, "r_d,val_bpb,domain_loss\n25%,2.9,1.7\n0.5,3.1,1.6\n")
    with pytest.raises(InputError, match=r'"val_bpb" and "domain_loss" may both be loss; choose: --column loss='):
        read_losses(path, share="r_d")
    both = table(tmp_path, "N,loss,val_loss\n1e7,2.9,3.1\n")
    assert read_losses(both, "loss")[1].tolist() == [2.9] and read_losses(both, "val_loss")[1].tolist() == [3.1]
    path = table(tmp_path, "r_d,val_bpb,domain_loss\n25%,2.9,1.7\n0.5,3.1,1.6\n")
    conditions, loss = read_losses(path, "domain_loss", share="r_d")
    assert conditions.column("share").tolist() == [0.25, 0.5]
    assert loss.tolist() == [1.7, 1.6]


@pytest.mark.parametrize(
    ("loss", "share", "taken"),
    [
        ("general_loss", "domain_share", False),
        ("val_bpb", "share", False),
        ("val_loss", "r", False),
        ("loss", "domain_share", False),
        ("loss", "infusion_ratio", False),
        ("loss", "share", True),
        ("domain_loss", "domain_share", True),
    ],
)
def test_a_share_that_may_be_of_another_text_is_not_taken_in_silence(tmp_path, loss, share, taken) -> None:
    path = table(tmp_path, f"{share},{loss}\n0.25,2.9\n")
    if not taken:
        with pytest.raises(InputError, match=rf'"{share}" may be the share of domain text .* loss_share={share}'):
            read_losses(path)
    named = {} if taken else {"loss_share": share}
    assert read_losses(path, **named)[0].column("share").tolist() == [0.25]


def test_a_share_of_zero_is_fitted_or_refused_with_what_to_do() -> None:
    share = np.array([0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9])
    loss = 1.7 + 0.1 / (share + 0.05) ** 0.3
    with pytest.raises(InputError, match=r'run 1 has a share of 0.*or fit the surface "d-cpt"'):
        fit_surface(SHARE_CURVE, Conditions(share=share), loss)
    assert fit_surface(SHARE_CURVE, Conditions(share=share), 2 - share, fixed={"s": 1.0}).theta["alpha"] < -0.9
    given = {"A": 0.0, "B": 0.0, "alpha": 1.0, "beta": 1.0, "eta": 1.0}
    fit = fit_surface(MIXTURE, Conditions(1e9, 1e9, share=share), loss, fixed=given)
    assert fit.predict(Conditions(1e9, 1e9, share=0.0))[0] == pytest.approx(loss[0], rel=0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("N,D,loss\n1e7,1e9,3.5\n1e7,,3.4\n", r'losses.csv, row 3: "D" is empty; fill it in or remove the row'),
        ("N,D,loss\n1e7,1e9,high\n", r"row 2: \"loss\" is 'high', which is not a number"),
        ("N,D,loss\n1e7,1e9,-2\n", r'row 2: "loss" is -2, which must be above 0'),
        ("N,D,loss\n1e7,1e9,1e300\n", r'row 2: "loss" is 1e\+300; a loss lies between 1e-06 and 1e\+06'),
        ("N,D,loss\n-1,1e9,3\n", r"row 2: .*above 0"),
        ("N,D,epochs,loss\n1e7,1e9,0.5,3\n", r"row 2: epochs is 0.5, which must be 1 or more"),
        ("N,D,U,loss\n1e7,1e9,1e9,3\n1e7,1e9,2e9,3\n", r"row 3: there are more unique tokens than tokens"),
        (
            "N,D,U,epochs,loss\n1e7,1e9,5e8,4,3\n",
            r"row 2: 4 epochs of 1e\+09 tokens are 2.5e\+08 unique tokens and not",
        ),
        ("N,D,lss\n1e7,1e9,3\n", r"loss is missing, perhaps \"lss\"; .*--column loss=lss"),
        ("name,loss\na,3\n", r"no column is known as size, tokens, unique tokens or share"),
        ("N,D,loss\n", r"no rows below the first"),
    ],
)
def test_bad_tables_are_told_with_row_and_mend(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_losses(table(tmp_path, text))


def test_a_wrong_rename_or_filter_is_named(tmp_path: Path) -> None:
    path = table(tmp_path, "N,D,loss\n1e7,1e9,3\n")
    with pytest.raises(InputError, match=r'there is no column "Tokens"; '):
        read_losses(path, tokens="Tokens")
    with pytest.raises(InputError, match=r'"recall" is no column that is read here'):
        read_losses(path, recall="D")
    with pytest.raises(InputError, match='no column "set"'):
        read_losses(path, where=["set = a"])
