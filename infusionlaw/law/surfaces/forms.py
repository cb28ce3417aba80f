"""Loss surfaces: published forms of a loss as a function of size, tokens, repetition and share.

Every surface is a sum of terms, each a coefficient times an exponential of something in the shape parameters:

    loss(theta) = sum_k  c_k * exp(l_k(theta, conditions))        d loss = sum_k  (d c_k + c_k d l_k) exp(l_k)

so that a form states its exponents l_k and their derivatives, and the loss, its gradient and the linear problem left
when the shapes are given (variable projection) follow. C is training compute, 6 N D, and M tokens per parameter, D / N.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from infusionlaw.law.dose import Array
from infusionlaw.law.surfaces.conditions import Conditions

# Of one parameter set, or of many: then an array of one value for each of the conditions.
Theta = Mapping[str, float | Array]
Exponents = tuple[list[Array], dict[str, list[Array | float]]]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a surface: its bounds, and where a search starts from (nothing for a linear coefficient)."""

    name: str
    low: float
    high: float
    grid: tuple[float, ...] = ()


@dataclass(frozen=True)
class Surface(ABC):
    """A form. coefficients: one a term, in the order of the terms; logged: theta holds their logarithms.

    within: the lowest and highest value that can be.
    """

    name: str
    formula: str
    source: str
    needs: tuple[str, ...]
    coefficients: tuple[Parameter, ...]
    shapes: tuple[Parameter, ...]
    logged: bool = False
    within: tuple[float, float] = (-np.inf, np.inf)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of theta in order: coefficients, then shapes."""
        return tuple(parameter.name for parameter in (*self.coefficients, *self.shapes))

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each parameter."""
        return {parameter.name: (parameter.low, parameter.high) for parameter in (*self.coefficients, *self.shapes)}

    @abstractmethod
    def exponents(self, theta: Theta, conditions: Conditions) -> Exponents:
        """The l_k, and for each parameter that moves them d l_k / d parameter; one entry a term."""

    def terms(self, theta: Theta, conditions: Conditions) -> Array:
        """What the coefficients multiply, (n, terms)."""
        exponents, _ = self.exponents(theta, conditions)
        return np.exp(np.stack(exponents, axis=1))

    def loss(self, theta: Theta, conditions: Conditions) -> Array:
        """The loss at each of the conditions, (n,)."""
        return np.asarray((self.terms(theta, conditions) * self._amounts(theta)).sum(axis=1))

    def gradient(self, theta: Theta, conditions: Conditions) -> Array:
        """d loss / d theta, (n, parameters), in the order of `parameters`."""
        _, slopes = self.exponents(theta, conditions)
        terms = self.terms(theta, conditions)
        parts = terms * self._amounts(theta)
        columns = {name: np.zeros(len(terms)) for name in self.parameters}
        for coefficient, own in zip(self.coefficients, (parts if self.logged else terms).T, strict=True):
            columns[coefficient.name] += own
        for name, slope in slopes.items():
            columns[name] += sum(part * along for part, along in zip(parts.T, slope, strict=True))
        return np.stack(list(columns.values()), axis=1)

    def _amounts(self, theta: Theta) -> Array:
        """The coefficients, (terms,); of many parameter sets (n, terms)."""
        values = np.stack(np.broadcast_arrays(*(theta[coefficient.name] for coefficient in self.coefficients)), axis=-1)
        return np.exp(values) if self.logged else values


_LOG_COEFFICIENTS = (Parameter("e", -12.0, 5.0), Parameter("a", -12.0, 40.0), Parameter("b", -12.0, 40.0))
# Logs of ratios beyond this are as good as infinite, and their exponentials still numbers.
FARTHEST = 300.0
_EXPONENT_GRID = (0.1, 0.2, 0.3, 0.4, 0.55, 0.75)


@dataclass(frozen=True)
class Chinchilla(Surface):
    """Hoffmann et al.: a floor, what a finite model lacks and what finite data lack."""

    name: str = "chinchilla"
    formula: str = "L = E + A / N^alpha + B / D^beta, with E = exp(e), A = exp(a), B = exp(b)"
    source: str = "arXiv 2203.15556"
    needs: tuple[str, ...] = ("size", "tokens")
    coefficients: tuple[Parameter, ...] = _LOG_COEFFICIENTS
    shapes: tuple[Parameter, ...] = (
        Parameter("alpha", 0.01, 3.0, _EXPONENT_GRID),
        Parameter("beta", 0.01, 3.0, _EXPONENT_GRID),
    )
    logged: bool = True

    def exponents(self, theta: Theta, conditions: Conditions) -> Exponents:
        size, tokens = np.log(conditions.column("size")), np.log(conditions.column("tokens"))
        zero = np.zeros_like(size)
        return (
            [zero, -theta["alpha"] * size, -theta["beta"] * tokens],
            {"alpha": [0.0, -size, 0.0], "beta": [0.0, 0.0, -tokens]},
        )


@dataclass(frozen=True)
class DataConstrained(Surface):
    """Muennighoff et al.: repeated tokens and surplus parameters are worth ever less.

    U_N is the size that U unique tokens are compute-optimal for, or N if that is smaller. An infinite decay means that
    repetition costs nothing: fixed={"rn_star": inf, "rd_star": inf} is the law without decay.
    """

    name: str = "data-constrained"
    formula: str = (
        "L = E + A / N'^alpha + B / D'^beta, D' = U (1 + rd_star (1 - exp(-(D/U - 1) / rd_star))), "
        "N' = U_N (1 + rn_star (1 - exp(-(N/U_N - 1) / rn_star))), U_N = min(N, (alpha A / (beta B))^(1/alpha) "
        "U^(beta/alpha)), with E = exp(e), A = exp(a), B = exp(b)"
    )
    source: str = "arXiv 2305.16264"
    needs: tuple[str, ...] = ("size", "tokens", "unique_tokens")
    coefficients: tuple[Parameter, ...] = _LOG_COEFFICIENTS
    shapes: tuple[Parameter, ...] = (
        Parameter("alpha", 0.01, 3.0, (0.2, 0.35, 0.55)),
        Parameter("beta", 0.01, 3.0, (0.2, 0.35, 0.55)),
        Parameter("rn_star", 1e-3, 1e5, (0.7, 2.0, 6.0, 30.0)),
        Parameter("rd_star", 1e-3, 1e5, (2.0, 6.0, 15.0, 45.0, 150.0)),
    )
    logged: bool = True

    def exponents(self, theta: Theta, conditions: Conditions) -> Exponents:
        alpha, beta = theta["alpha"], theta["beta"]
        size, unique = np.log(conditions.column("size")), np.log(conditions.column("unique_tokens"))
        ratio = np.log(alpha / beta) + theta["a"] - theta["b"]
        best = (ratio + beta * unique) / alpha
        surplus = best < size
        used = np.where(surplus, best, size)
        over = np.minimum(size - used, FARTHEST)
        n_gain, n_slope, n_decay = _decayed(np.expm1(over), theta["rn_star"])
        d_gain, _, d_decay = _decayed(conditions.column("tokens") / np.exp(unique) - 1, theta["rd_star"])
        worth, data = used + n_gain, unique + d_gain
        # d l / d log U_N: more parameters are counted in full, and fewer as surplus.
        pull = -alpha * np.where(surplus, 1 - np.exp(over) * n_slope, 0.0)
        return (
            [np.zeros_like(size), -alpha * worth, -beta * data],
            {
                "a": [0.0, pull / alpha, 0.0],
                "b": [0.0, -pull / alpha, 0.0],
                "alpha": [0.0, -worth + pull * (1 / alpha - best) / alpha, 0.0],
                "beta": [0.0, pull * (unique - 1 / beta) / alpha, -data],
                "rn_star": [0.0, -alpha * n_decay, 0.0],
                "rd_star": [0.0, 0.0, -beta * d_decay],
            },
        )


def _decayed(repeats: Array, star: float | Array) -> tuple[Array, Array, Array]:
    """g = log(1 + star (1 - exp(-repeats / star))), log(1 + repeats) at inf, and its slopes in repeats and star."""
    if np.all(np.isinf(star)):
        return np.log1p(repeats), 1 / (1 + repeats), np.zeros_like(repeats)
    left = np.exp(-repeats / star)
    worth = 1 + star * (1 - left)
    return np.log(worth), left / worth, (1 - left - repeats / star * left) / worth


@dataclass(frozen=True)
class OverTraining(Surface):
    """Gadre et al.: loss by compute and tokens per parameter, whose exponents are one and the same."""

    name: str = "over-training"
    formula: str = "L = E + (a M^eta + b M^-eta) C^-eta, C = 6 N D, M = D / N"
    source: str = "arXiv 2403.08540"
    needs: tuple[str, ...] = ("size", "tokens")
    coefficients: tuple[Parameter, ...] = (
        Parameter("E", 0.0, 100.0),
        Parameter("a", 0.0, 1e15),
        Parameter("b", 0.0, 1e15),
    )
    shapes: tuple[Parameter, ...] = (Parameter("eta", 0.005, 1.5, (0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.45)),)

    def exponents(self, theta: Theta, conditions: Conditions) -> Exponents:
        size, tokens = np.log(conditions.column("size")), np.log(conditions.column("tokens"))
        compute, multiplier = np.log(6) + size + tokens, tokens - size
        slopes: list[Array | float] = [0.0, multiplier - compute, -multiplier - compute]
        return [theta["eta"] * slope + np.zeros_like(size) for slope in slopes], {"eta": slopes}


@dataclass(frozen=True)
class MixtureLaw(Surface):
    """The D-CPT law: loss on a corpus that is a share r of the training tokens (general or domain alike)."""

    name: str = "d-cpt"
    formula: str = "L = E + A / N^alpha + B r^eta / D^beta + C / (r + epsilon)^gamma"
    source: str = "arXiv 2406.01375"
    needs: tuple[str, ...] = ("size", "tokens", "share")
    coefficients: tuple[Parameter, ...] = (
        Parameter("E", 0.0, 100.0),
        Parameter("A", 0.0, 1e15),
        Parameter("B", 0.0, 1e15),
        Parameter("C", 0.0, 1e3),
    )
    shapes: tuple[Parameter, ...] = (
        Parameter("alpha", 0.01, 3.0, (0.15, 0.3, 0.5)),
        Parameter("beta", 0.01, 3.0, (0.15, 0.3, 0.5)),
        Parameter("eta", 0.01, 5.0, (0.1, 0.4, 1.0)),
        Parameter("gamma", 0.01, 5.0, (0.1, 0.4, 1.0)),
        Parameter("epsilon", 1e-6, 1.0, (0.003, 0.03, 0.3)),
    )

    def exponents(self, theta: Theta, conditions: Conditions) -> Exponents:
        size, tokens = np.log(conditions.column("size")), np.log(conditions.column("tokens"))
        share, padded = conditions.column("share"), conditions.column("share") + theta["epsilon"]
        # A share of 0 takes the whole term with it, so the floor under its logarithm is never seen.
        log_share = np.log(np.maximum(share, 1e-300))
        growth = theta["eta"] * log_share - theta["beta"] * tokens
        return (
            [np.zeros_like(size), -theta["alpha"] * size, growth, -theta["gamma"] * np.log(padded)],
            {
                "alpha": [0.0, -size, 0.0, 0.0],
                "beta": [0.0, 0.0, -tokens, 0.0],
                "eta": [0.0, 0.0, log_share, 0.0],
                "gamma": [0.0, 0.0, 0.0, -np.log(padded)],
                "epsilon": [0.0, 0.0, 0.0, -theta["gamma"] / padded],
            },
        )


@dataclass(frozen=True)
class PowerCurve(Surface):
    """One condition alone, as the CMR paper uses it: loss over share, or the critical mixture ratio over tokens.

    condition: which column v is; unit: what v is counted in. The critical mixture ratio is a tolerance share: the
    largest domain share that keeps the validation loss within a tolerance, here as a function of tokens.
    """

    name: str = "power curve"
    formula: str = "y = alpha (v / unit)^s + beta"
    source: str = "arXiv 2407.17467"
    needs: tuple[str, ...] = ("share",)
    coefficients: tuple[Parameter, ...] = (Parameter("alpha", -1e6, 1e6), Parameter("beta", -1e6, 1e6))
    shapes: tuple[Parameter, ...] = (
        Parameter("s", -5.0, 5.0, (-2.0, -1.0, -0.5, -0.25, -0.1, 0.1, 0.25, 0.5, 1.0, 2.0)),
    )
    unit: float = 1.0

    def exponents(self, theta: Theta, conditions: Conditions) -> Exponents:
        log = np.log(np.maximum(conditions.column(self.needs[0]) / self.unit, 1e-300))
        return [theta["s"] * log, np.zeros_like(log)], {"s": [log, 0.0]}


CHINCHILLA, DATA_CONSTRAINED, OVER_TRAINING, MIXTURE = Chinchilla(), DataConstrained(), OverTraining(), MixtureLaw()
SHARE_CURVE = PowerCurve(name="loss by share")
CRITICAL_SHARE = PowerCurve(name="critical share by tokens", needs=("tokens",), unit=2e8)
