"""Size and token count as the covariates of a line: logarithms about their geometric means, which keeps the numbers
small."""

import numpy as np
from numpy.typing import ArrayLike

from infusionlaw.law.dose import Array

SAME = 1.01  # sizes or token counts within this factor are one


def geometric_mean(values: ArrayLike) -> float:
    """To six digits, so that a law on disk is the law in memory."""
    return float(f"{10 ** np.log10(values).mean():.6g}")


def distinct(values: ArrayLike) -> int:
    """How many sizes or token counts these are: rounding to whole steps or layers makes no new one."""
    ascending = np.sort(np.asarray(values, dtype=float))
    return 1 + int((ascending[1:] > SAME * ascending[:-1]).sum()) if len(ascending) else 0


def log_rows(size: ArrayLike, tokens: ArrayLike, size0: float, tokens0: float) -> Array:
    """(1, log10 N / N0, log10 D / D0) of each place, (..., 3)."""
    size, tokens = np.log10(np.asarray(size) / size0), np.log10(np.asarray(tokens) / tokens0)
    return np.stack([np.ones_like(size), size, tokens], axis=-1)
