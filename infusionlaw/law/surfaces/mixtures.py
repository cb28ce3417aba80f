"""Surfaces of mixtures: the loss on a text whose share q of the training tokens is varied.

    L = E + A / N^alpha + B / D^beta + a term in q

q is the share of the text that the loss is of, or of text like it. How much q matters may itself change as a power of
size and of tokens: (N / N0)^p (D / D0)^s, with N0 = 1e8 and D0 = 1e9 only to keep numbers small.
"""

from dataclasses import dataclass

import numpy as np

from infusionlaw.law.dose import Array
from infusionlaw.law.surfaces.conditions import Conditions
from infusionlaw.law.surfaces.forms import Exponents, Parameter, Surface, Theta

SIZE0, TOKENS0 = 1e8, 1e9
TINY = 1e-300
_SUM = (Parameter("E", 0.0, 100.0), Parameter("A", 0.0, 1e15), Parameter("B", 0.0, 1e15))
_ALPHA, _BETA = Parameter("alpha", 0.01, 3.0, (0.2, 0.5)), Parameter("beta", 0.01, 3.0, (0.2, 0.5))
_POWERS = (Parameter("p", -1.5, 1.5, (0.0,)), Parameter("s", -1.5, 1.5, (0.0, 0.4)))


@dataclass(frozen=True)
class ExponentialMixing(Surface):
    """Ye et al.: the loss falls exponentially in the share."""

    name: str = "exponential mixing"
    formula: str = "L = E + A / N^alpha + B / D^beta + K (N / 1e8)^p (D / 1e9)^s exp(-t q)"
    source: str = "arXiv 2403.16952"
    needs: tuple[str, ...] = ("size", "tokens", "share")
    coefficients: tuple[Parameter, ...] = (*_SUM, Parameter("K", 0.0, 1e6))
    shapes: tuple[Parameter, ...] = (_ALPHA, _BETA, Parameter("t", 0.05, 300.0, (1.0, 3.0, 9.0, 30.0)), *_POWERS)

    def exponents(self, theta: Theta, conditions: Conditions) -> Exponents:
        share = conditions.column("share")
        return _with_term(theta, conditions, -theta["t"] * share, {"t": -share})


@dataclass(frozen=True)
class PowerMixing(Surface):
    """The CMR paper's curve in the share, at all sizes and token counts: the loss falls as a power of the share."""

    name: str = "power mixing"
    formula: str = "L = E + A / N^alpha + B / D^beta + K (N / 1e8)^p (D / 1e9)^s (1 - q^g)"
    source: str = "arXiv 2407.17467"
    needs: tuple[str, ...] = ("size", "tokens", "share")
    coefficients: tuple[Parameter, ...] = (*_SUM, Parameter("K", 0.0, 1e6))
    shapes: tuple[Parameter, ...] = (_ALPHA, _BETA, Parameter("g", 0.02, 5.0, (0.05, 0.2, 0.5, 1.0)), *_POWERS)

    def exponents(self, theta: Theta, conditions: Conditions) -> Exponents:
        log_share = np.log(np.maximum(conditions.column("share"), TINY))
        grown = np.exp(theta["g"] * log_share)
        left = np.maximum(1 - grown, TINY)
        return _with_term(theta, conditions, np.log(left), {"g": -log_share * grown / left})


@dataclass(frozen=True)
class OwnTokens(Surface):
    """Chinchilla's law of the text's own tokens; a token of other text is worth `transfer` of one (2102.01293)."""

    name: str = "own tokens"
    formula: str = "L = E + A / N^alpha + B / (D (q + transfer (1 - q)))^beta"
    source: str = "arXiv 2203.15556, with the transfer of arXiv 2102.01293"
    needs: tuple[str, ...] = ("size", "tokens", "share")
    coefficients: tuple[Parameter, ...] = _SUM
    shapes: tuple[Parameter, ...] = (_ALPHA, _BETA, Parameter("transfer", 1e-5, 1.0, (0.001, 0.03, 0.3)))

    def exponents(self, theta: Theta, conditions: Conditions) -> Exponents:
        size, share = np.log(conditions.column("size")), conditions.column("share")
        worth = share + theta["transfer"] * (1 - share)
        own = np.log(conditions.column("tokens")) + np.log(worth)
        return (
            [np.zeros_like(size), -theta["alpha"] * size, -theta["beta"] * own],
            {
                "alpha": [0.0, -size, 0.0],
                "beta": [0.0, 0.0, -own],
                "transfer": [0.0, 0.0, -theta["beta"] * (1 - share) / worth],
            },
        )


def _with_term(theta: Theta, conditions: Conditions, log_term: Array, slopes: dict[str, Array]) -> Exponents:
    """Floor, size and tokens, and a term in the share that grows as powers of both."""
    size, tokens = np.log(conditions.column("size")), np.log(conditions.column("tokens"))
    by_size, by_tokens = size - np.log(SIZE0), tokens - np.log(TOKENS0)
    zero = np.zeros_like(size)
    exponents = [zero, -theta["alpha"] * size, -theta["beta"] * tokens]
    moved: dict[str, list[Array | float]] = {
        "alpha": [0.0, -size, 0.0, 0.0],
        "beta": [0.0, 0.0, -tokens, 0.0],
        "p": [0.0, 0.0, 0.0, by_size],
        "s": [0.0, 0.0, 0.0, by_tokens],
        **{name: [0.0, 0.0, 0.0, slope] for name, slope in slopes.items()},
    }
    return [*exponents, log_term + theta["p"] * by_size + theta["s"] * by_tokens], moved


EXPONENTIAL_MIXING, POWER_MIXING, OWN_TOKENS = ExponentialMixing(), PowerMixing(), OwnTokens()
