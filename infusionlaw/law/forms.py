"""Candidate laws: what x of a point does as size and budget grow. Each is a frozen dataclass, linear in its numbers.

The power law in size and budget,  dose = A * (N / N0)^beta * (D / D0)^gamma,  is a plane in the dose coordinate:

    x = alpha + beta * log10(N / N0) + gamma * log10(D / D0)

(in odds of the share, or in exposures). Either sign of either exponent is as welcome as the other. An exponent whose
cause did not vary in the table is not identified: it is held at 0, and `varies` says so.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from infusionlaw.law.dose import Array

COEFFICIENTS = ("intercept", "size", "tokens")


@dataclass(frozen=True)
class PowerLaw:
    """The power law around (size0, tokens0), which are only where the intercept is read."""

    size0: float
    tokens0: float
    size_varied: bool
    tokens_varied: bool
    name: str = "power law in size and budget"

    @property
    def varies(self) -> tuple[bool, bool, bool]:
        """Which of COEFFICIENTS the table identifies."""
        return True, self.size_varied, self.tokens_varied

    def design(self, size: ArrayLike, tokens: ArrayLike) -> Array:
        """Columns (n, 3) that the coefficients multiply."""
        size, tokens = np.broadcast_arrays(np.asarray(size, dtype=float), np.asarray(tokens, dtype=float))
        columns = [np.ones(size.shape), np.log10(size / self.size0), np.log10(tokens / self.tokens0)]
        return np.stack(columns, axis=-1)


def power_law(sizes: ArrayLike, tokens: ArrayLike) -> PowerLaw:
    """The power law centred on the geometric means of the points' sizes and budgets."""
    sizes, tokens = np.asarray(sizes, dtype=float), np.asarray(tokens, dtype=float)
    size0, tokens0 = (float(f"{10 ** np.log10(values).mean():.6g}") for values in (sizes, tokens))
    return PowerLaw(size0, tokens0, size_varied=len(np.unique(sizes)) > 1, tokens_varied=len(np.unique(tokens)) > 1)
