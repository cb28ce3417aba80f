"""Candidate laws: where a point lies, x, as a function of size N, token count D and number of facts S.

Each is a frozen dataclass with its formula, gradient, inverse, priors (the bounds of what is believed) and source.
Logs are to base 10; N0, D0, S0 are the geometric means of the points it is fitted to, only to keep numbers small.
Either sign of every exponent is as welcome as the other. An exponent whose covariate did not vary keeps its prior: a
prediction then is as uncertain as that.

A form of your own: one file with such a class and, in its package, an entry point

    [project.entry-points."infusionlaw.forms"]
    mine = "my_package.my_module:MyForm"
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from infusionlaw.errors import InputError
from infusionlaw.law.covariates import distinct, geometric_mean
from infusionlaw.law.dose import Array, log_odds
from infusionlaw.law.scaling.places import Places as Places
from infusionlaw.law.scaling.places import places as places

# Known exponents lie between -1 and 1.3 (tokens in Hubble, `rules`): 90 % of the prior is within 1.2.
INTERCEPT, EXPONENT = (0.0, 10.0), (0.0, 0.75)
# Whether a change of the exponent goes on beyond the fitted tokens: 0 it stops, 1 it goes on.
PRODUCT, CONTINUES = (0.0, 0.45), (0.6, 0.45)
TOLD = 0.05  # what the other covariates leave of a term (dex^2) for points to tell it
# A share this near 1 leaves no general text to speak of; forms in exposures may ask for more than there is room for.
FULL = 1 - 1e-4


class Form(Protocol):
    """What a candidate law is. theta is always (M, p): M sets of parameters."""

    name: ClassVar[str]
    formula: ClassVar[str]
    source: ClassVar[str]

    @classmethod
    def around(cls, at: Places) -> Self | None:
        """The form for points at these conditions; None where they cannot tell it from a simpler one."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the p parameters."""

    @property
    def prior(self) -> tuple[tuple[float, float], ...]:
        """Normal prior (mean, deviation) of each parameter."""

    def x(self, theta: Array, at: Places) -> Array:
        """x (M, n)."""

    def gradient(self, theta: Array, at: Places) -> Array:
        """Derivatives of x by theta: (M, n, p)."""


class Linear(ABC):
    """x = sum of theta times covariates, where the covariates are logs of N, D, S."""

    @abstractmethod
    def covariates(self, at: Places) -> Array:
        """What theta multiplies (n, p)."""

    def offset(self, at: Places) -> Array:
        return np.zeros(len(at.size))

    def x(self, theta: Array, at: Places) -> Array:
        return np.asarray(theta @ self.covariates(at).T + self.offset(at))

    def gradient(self, theta: Array, at: Places) -> Array:
        covariates = self.covariates(at)
        return np.broadcast_to(covariates, (len(theta), *covariates.shape))


@dataclass(frozen=True)
class PowerLaw(Linear):
    """A power of size, of token count and, where it varied, of the number of facts."""

    size0: float
    tokens0: float
    facts0: float
    facts_varied: bool = False
    name: ClassVar[str] = "power law in size and token count"
    formula: ClassVar[str] = "x = alpha + beta log(N/N0) + gamma log(D/D0) [+ delta log(S/S0)]"
    source: ClassVar[str] = "the usual form of scaling laws, 2001.08361; as a critical point in size, 2509.19371"

    @classmethod
    def around(cls, at: Places) -> Self:
        return cls(geometric_mean(at.size), geometric_mean(at.tokens), geometric_mean(at.facts), at.varied("facts"))

    @property
    def parameters(self) -> tuple[str, ...]:
        return ("intercept", "size", "tokens", *(("facts",) if self.facts_varied else ()))

    @property
    def prior(self) -> tuple[tuple[float, float], ...]:
        return (INTERCEPT, *[EXPONENT] * (len(self.parameters) - 1))

    def covariates(self, at: Places) -> Array:
        logs = [np.log10(at.size / self.size0), np.log10(at.tokens / self.tokens0)]
        logs += [np.log10(at.facts / self.facts0)] if self.facts_varied else []
        return np.stack([np.ones(len(at.size)), *logs], axis=-1)


@dataclass(frozen=True)
class InteractionLaw:
    """A power law whose exponent of size changes with tokens.

    low, high: log10 of the fewest and most tokens of the points over D0. Beyond them nothing tells whether the exponent
    goes on changing, so the part of the change that goes on is a parameter that keeps its prior.
    """

    size0: float
    tokens0: float
    facts0: float
    low: float
    high: float
    facts_varied: bool = False
    name: ClassVar[str] = "power law whose exponent of size changes with tokens"
    formula: ClassVar[str] = (
        "x = alpha + beta n + gamma d + eta n e [+ delta log(S/S0)],  n = log(N/N0), d = log(D/D0), "
        "e = d within the fitted tokens; beyond their end d1 it is d1 + continues (d - d1)"
    )
    source: ClassVar[str] = "the product of the covariates, as in any test for an interaction"

    @classmethod
    def around(cls, at: Places) -> Self | None:
        if not (at.varied("size") and at.varied("tokens")):
            return None
        main = PowerLaw.around(at)
        covariates = main.covariates(at)
        n, d = covariates[:, 1], covariates[:, 2]
        if (
            np.linalg.matrix_rank(covariates, tol=1e-3) < covariates.shape[1]
            or left_over(n * d, covariates).std() < TOLD
        ):
            return None
        ends = (round(float(d.min()), 6), round(float(d.max()), 6))
        return cls(main.size0, main.tokens0, main.facts0, *ends, main.facts_varied)

    @property
    def main(self) -> PowerLaw:
        """The same law without the product."""
        return PowerLaw(self.size0, self.tokens0, self.facts0, self.facts_varied)

    @property
    def parameters(self) -> tuple[str, ...]:
        return (*self.main.parameters, "product", "continues")

    @property
    def prior(self) -> tuple[tuple[float, float], ...]:
        return (*self.main.prior, PRODUCT, CONTINUES)

    def x(self, theta: Array, at: Places) -> Array:
        n, inside, beyond = self._product(at)
        return np.asarray(self.main.x(theta[:, :-2], at) + theta[:, -2:-1] * n * (inside + theta[:, -1:] * beyond))

    def gradient(self, theta: Array, at: Places) -> Array:
        n, inside, beyond = self._product(at)
        product, goes_on = n * (inside + theta[:, -1:] * beyond), theta[:, -2:-1] * n * beyond
        return np.concatenate([self.main.gradient(theta[:, :-2], at), product[..., None], goes_on[..., None]], axis=-1)

    def _product(self, at: Places) -> tuple[Array, Array, Array]:
        """n, and d split into what lies within the fitted tokens and beyond them (n,)."""
        covariates = self.main.covariates(at)
        n, d = covariates[:, 1], covariates[:, 2]
        inside = np.clip(d, self.low, self.high)
        return n, inside, d - inside


def left_over(term: Array, covariates: Array) -> Array:
    """What causes (n, p) leave of a term (n,) by least squares."""
    return np.asarray(term - covariates @ np.linalg.lstsq(covariates, term, rcond=1e-6)[0])


@dataclass(frozen=True)
class _OneCause(Linear):
    """A power of one amount. origin: its geometric mean over the points."""

    origin: float
    prior: ClassVar[tuple[tuple[float, float], ...]] = (INTERCEPT, EXPONENT)

    @staticmethod
    @abstractmethod
    def amount(at: Places) -> Array:
        """The covariate (n,)."""

    def covariates(self, at: Places) -> Array:
        return np.stack([np.ones(len(at.size)), np.log10(self.amount(at) / self.origin)], axis=-1)


@dataclass(frozen=True)
class SizeLaw(_OneCause):
    """A power of size alone."""

    name: ClassVar[str] = "power law in size"
    formula: ClassVar[str] = "x = alpha + beta log(N/N0)"
    source: ClassVar[str] = "2509.19371, as its readers state it"
    parameters: ClassVar[tuple[str, ...]] = ("intercept", "size")

    @classmethod
    def around(cls, at: Places) -> Self | None:
        return cls(geometric_mean(cls.amount(at))) if at.varied("size") and at.varied("tokens") else None

    @staticmethod
    def amount(at: Places) -> Array:
        return at.size


@dataclass(frozen=True)
class BudgetLaw(_OneCause):
    """A power of the token count alone."""

    name: ClassVar[str] = "power law in token count"
    formula: ClassVar[str] = "x = alpha + gamma log(D/D0)"
    source: ClassVar[str] = "2407.17467 writes its critical mixture ratio so"
    parameters: ClassVar[tuple[str, ...]] = ("intercept", "tokens")

    @classmethod
    def around(cls, at: Places) -> Self | None:
        return cls(geometric_mean(cls.amount(at))) if at.varied("tokens") else None

    @staticmethod
    def amount(at: Places) -> Array:
        return at.tokens


@dataclass(frozen=True)
class ComputeLaw(_OneCause):
    """A power of compute, 6 N D."""

    name: ClassVar[str] = "power law in compute"
    formula: ClassVar[str] = "x = alpha + beta log(N D / (N0 D0))"
    source: ClassVar[str] = "compute as the one covariate, as in 2001.08361 and 2403.08540"
    parameters: ClassVar[tuple[str, ...]] = ("intercept", "compute")

    @classmethod
    def around(cls, at: Places) -> Self | None:
        return cls(geometric_mean(cls.amount(at))) if at.varied("size") and at.varied("tokens") else None

    @staticmethod
    def amount(at: Places) -> Array:
        return np.asarray(at.size * at.tokens)


@dataclass(frozen=True)
class ShiftedPowerLaw:
    """A power of size that levels off at an asymptote, from above or from below; and a power of the token count."""

    size0: float
    tokens0: float
    tokens_varied: bool = False
    name: ClassVar[str] = "power law in size with an asymptote"
    formula: ClassVar[str] = "x = asymptote + gap (N/N0)^-kappa [+ gamma log(D/D0)],  kappa = 10^log_rate"
    source: ClassVar[str] = "the shifted power law of loss curves, 2203.15556, in the dose coordinate"

    @classmethod
    def around(cls, at: Places) -> Self | None:
        if distinct(at.size) < 4:
            return None
        return cls(geometric_mean(at.size), geometric_mean(at.tokens), at.varied("tokens"))

    @property
    def parameters(self) -> tuple[str, ...]:
        return ("asymptote", "gap", "log_rate", *(("tokens",) if self.tokens_varied else ()))

    @property
    def prior(self) -> tuple[tuple[float, float], ...]:
        return (INTERCEPT, (0.0, 1.0), (-0.5, 0.3), *((EXPONENT,) if self.tokens_varied else ()))

    def _decay(self, theta: Array, at: Places) -> Array:
        log_decay = -(10.0 ** np.minimum(theta[:, 2:3], 2.0)) * np.log10(at.size / self.size0)
        return np.asarray(10.0 ** np.minimum(log_decay, 10.0))

    def _level(self, theta: Array, at: Places) -> Array:
        """What is left of x without the gap (M, n)."""
        level = theta[:, :1]
        return np.asarray(level + theta[:, 3:4] * np.log10(at.tokens / self.tokens0) if self.tokens_varied else level)

    def x(self, theta: Array, at: Places) -> Array:
        return np.asarray(self._level(theta, at) + theta[:, 1:2] * self._decay(theta, at))

    def gradient(self, theta: Array, at: Places) -> Array:
        decay, rate = self._decay(theta, at), 10.0 ** theta[:, 2:3]
        by_rate = -theta[:, 1:2] * decay * rate * np.log(at.size / self.size0) * np.log(10)
        by_tokens = [np.broadcast_to(np.log10(at.tokens / self.tokens0), decay.shape)] if self.tokens_varied else []
        return np.stack([np.ones_like(decay), decay, by_rate, *by_tokens], axis=-1)


class _Amount(ABC):
    """One number: a log amount that fixes the dose, here in exposures. Where the number of facts is the dose, each is
    stated equally often, so it is the number of facts in some unit."""

    parameters: ClassVar[tuple[str, ...]] = ("intercept",)
    prior: ClassVar[tuple[tuple[float, float], ...]] = (INTERCEPT,)

    @abstractmethod
    def log_exposures(self, theta: Array, at: Places) -> Array:
        """log10 of the exposures at the point (M, n)."""

    def x(self, theta: Array, at: Places) -> Array:
        exposures = self.log_exposures(theta, at)
        if at.unit != "share":
            return exposures
        return log_odds(np.minimum(10.0 ** np.minimum(exposures - at.log_per_share, 0.0), FULL))

    def gradient(self, theta: Array, at: Places) -> Array:
        if at.unit != "share":
            return np.ones((len(theta), len(at.size), 1))
        share = 10.0 ** np.minimum(self.log_exposures(theta, at) - at.log_per_share, 0.0)
        return np.where(share < FULL, 1 / (1 - np.minimum(share, FULL)), 0.0)[..., None]


@dataclass(frozen=True)
class ConstantExposures(_Amount):
    """The point is a number of exposures, whatever the size and the token count."""

    name: ClassVar[str] = "constant exposures"
    formula: ClassVar[str] = "k = 10^alpha"
    source: ClassVar[str] = "the simplest reading of a critical infusion frequency, 2509.19371"

    @classmethod
    def around(cls, at: Places) -> Self | None:
        if at.unit == "facts":
            return None
        return cls() if at.unit == "exposures" or at.varied("tokens") or at.varied("facts") else None

    def log_exposures(self, theta: Array, at: Places) -> Array:
        return np.broadcast_to(theta[:, :1], (len(theta), len(at.size)))


@dataclass(frozen=True)
class ConstantShare(Linear):
    """The point is a share, whatever the size and the token count."""

    name: ClassVar[str] = "constant share"
    formula: ClassVar[str] = "x = alpha in log odds; k = r D / (S t) with odds of r = 10^alpha"
    source: ClassVar[str] = "rules of thumb for replay, 2403.08763"
    parameters: ClassVar[tuple[str, ...]] = ("intercept",)
    prior: ClassVar[tuple[tuple[float, float], ...]] = (INTERCEPT,)

    @classmethod
    def around(cls, at: Places) -> Self | None:
        return None if at.unit == "facts" else cls()

    def covariates(self, at: Places) -> Array:
        return np.ones((len(at.size), 1))

    def offset(self, at: Places) -> Array:
        return at.log_per_share if at.unit == "exposures" else np.zeros(len(at.size))


@dataclass(frozen=True)
class CapacityBound(_Amount):
    """Room for so many statements: (bits per parameter * N) / bits per statement; S k of them are stated."""

    name: ClassVar[str] = "capacity bound"
    formula: ClassVar[str] = "S k = 10^alpha N,  10^alpha = bits per parameter / bits per statement"
    source: ClassVar[str] = "two bits a parameter, 2404.05405"

    @classmethod
    def around(cls, at: Places) -> Self | None:
        return cls() if at.varied("size") else None

    def log_exposures(self, theta: Array, at: Places) -> Array:
        return np.asarray(theta[:, :1] + np.log10(at.size / at.facts))


BUILT_IN: tuple[type[Any], ...] = (
    PowerLaw,
    InteractionLaw,
    SizeLaw,
    BudgetLaw,
    ComputeLaw,
    ShiftedPowerLaw,
    ConstantExposures,
    ConstantShare,
    CapacityBound,
)


@cache
def known_forms() -> dict[str, type[Any]]:
    """All forms by name: the built-in ones, and those of installed packages (entry points `infusionlaw.forms`).

    Raises InputError where a form takes the name of another.
    """
    forms: dict[str, type[Any]] = {form.name: form for form in BUILT_IN}
    for entry in entry_points(group="infusionlaw.forms"):
        form = entry.load()
        if form.name in forms:
            raise InputError(
                f'the form "{form.name}" of {entry.value} has the name of another; rename it, or uninstall its package'
            )
        forms[form.name] = form
    return forms


def candidates(at: Places, names: Sequence[str] | None = None) -> Iterator[Form]:
    """The forms that points at these conditions can be fitted with, the power law first."""
    for name, form in known_forms().items():
        if names is None or name in names:
            found = form.around(at)
            if found is not None:
                yield found
