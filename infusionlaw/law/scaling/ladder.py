"""Sizes and token counts that rose together, as with 20 tokens a parameter: their exponents cannot be told apart.

What such runs do tell is the exponent along the ladder, d x / d log10(N) where D rises with N as it did in the runs:

    log10 D = log10 D0 + slope log10(N / N0)        by least squares over the points
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from infusionlaw.law.covariates import distinct, geometric_mean
from infusionlaw.law.dose import Array, Interval
from infusionlaw.law.numbers import bracket, number

OFF, LEAST_SLOPE = 0.05, 0.2  # dex that a point may lie off the line; a flatter line is no ladder


@dataclass(frozen=True)
class Ladder:
    """The line that the sizes and token counts of a law's points lie on."""

    size0: float
    tokens0: float
    slope: float

    def tokens(self, size: ArrayLike) -> Array:
        """The token counts of sizes on the line."""
        return np.asarray(self.tokens0 * (np.asarray(size) / self.size0) ** self.slope)

    def off(self, size: float, tokens: float) -> float:
        """The factor by which a token count lies above (or, below 1, under) the line."""
        return float(tokens / self.tokens(size))

    @property
    def rule(self) -> str:
        """The line in words."""
        if abs(self.slope - 1) < OFF:
            return f"{number(self.tokens0 / self.size0)} tokens a parameter"
        return f"tokens as size^{self.slope:.2f}"


def ladder_of(places: Sequence[tuple[float, float]]) -> Ladder | None:
    """The ladder of sizes and token counts; None where there are fewer than two, or one varied without the other."""
    if not places:
        return None
    size, tokens = (np.array(values) for values in zip(*places, strict=True))
    if distinct(size) < 2 or distinct(tokens) < 2:
        return None
    size0, tokens0 = geometric_mean(size), geometric_mean(tokens)
    n, d = np.log10(size / size0), np.log10(tokens / tokens0)
    slope = float((n * d).sum() / (n**2).sum())
    if slope < LEAST_SLOPE or np.abs(d - slope * n).max() > OFF:
        return None
    return Ladder(size0, tokens0, round(slope, 4))


def along_text(ladder: Ladder, exponent: Interval) -> str:
    """The exponent along the ladder in words."""
    return f"exponent of size along the ladder of {ladder.rule} {bracket(exponent, '{:.2f}'.format)}"


def flag_off(ladder: Ladder, size: float, tokens: float) -> str:
    """What makes a target off the ladder doubtful; "" for one on it."""
    off = ladder.off(size, tokens)
    if abs(np.log10(off)) <= OFF:
        return ""
    way = f"{off:.3g} times above" if off > 1 else f"{1 / off:.3g} times below"
    return (
        f"sizes and token counts rose together ({ladder.rule}), and the target's token count lies {way} that line: how "
        "far size and tokens matter alone is not known there, so the interval rests on what exponents are believed"
    )
