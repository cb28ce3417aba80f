"""Pace the sources of a stream: how many tokens each may have given by a position.

With an even schedule the infused tokens are `share` of any prefix. With a tilted one their odds rise or fall over the
run, the share of the whole staying what it is: with t = position / D, r the share and b the tilt,

    infused tokens by t = D (softplus(a + b (t - 1/2)) - softplus(a - b / 2)) / b,
    e^a = (e^(b r) - 1) / (e^(b / 2) - e^(b r - b / 2))

the integral of a logistic curve, whose log odds go from a - b/2 to a + b/2. What is not infused is split between prior
facts and general text at one rate throughout.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.integer]
Tokens = NDArray[np.floating]
# By how much the log odds of infused tokens rise over a run: early begins at 100 times the odds that it ends at.
TILTS = {"even": 0.0, "early": -math.log(100), "late": math.log(100)}


@dataclass(frozen=True)
class Pacing:
    """How infused and other tokens are spread over a run.

    share: infused tokens / D; prior_share: prior facts' part of the rest; tokens: D, which only a tilt needs.
    """

    share: float
    prior_share: float
    tilt: float = 0.0
    tokens: int = 0

    def by(self, positions: Positions) -> tuple[Tokens, Tokens, Tokens]:
        """Return the tokens of domain facts, prior facts and general text by each position; they add up to it."""
        if not self.tilt or self.share in (0, 1):  # there is nothing to move
            kept = 1 - self.share
            rates = self.share, kept * self.prior_share, kept * (1 - self.prior_share)
            return rates[0] * positions, rates[1] * positions, rates[2] * positions
        infused = self._infused(positions)
        rest = positions - infused
        return infused, rest * self.prior_share, rest * (1 - self.prior_share)

    def _infused(self, positions: Positions) -> Tokens:
        b, grown = self.tilt, math.exp(self.tilt * self.share)
        a = math.log((grown - 1) / (math.exp(b / 2) - grown * math.exp(-b / 2)))
        softplus = np.logaddexp(0, a + b * (positions / self.tokens - 0.5)) - np.logaddexp(0, a - b / 2)
        return np.asarray(self.tokens * softplus / b)
