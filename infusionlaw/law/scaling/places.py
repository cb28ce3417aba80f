"""Where a law is asked for: sizes, token counts, facts and how long a statement is."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infusionlaw.law.covariates import SAME
from infusionlaw.law.dose import Array
from infusionlaw.runs.record import DoseUnit


@dataclass(frozen=True)
class Places:
    """Where a law is asked for: arrays (n,) of sizes, token counts, facts and statement lengths (1 where unknown)."""

    unit: DoseUnit
    size: Array
    tokens: Array
    facts: Array
    tokens_per_fact: Array

    @property
    def log_per_share(self) -> Array:
        """log10 of the exposures at a share of 1: D / (S * tokens_per_fact)."""
        return np.asarray(np.log10(self.tokens / (self.facts * self.tokens_per_fact)))

    def take(self, keep: NDArray[np.bool_]) -> "Places":
        """Those that a mask (n,) keeps."""
        columns = (self.size, self.tokens, self.facts, self.tokens_per_fact)
        return Places(self.unit, *(column[keep] for column in columns))

    def varied(self, name: str) -> bool:
        """Whether a covariate takes more than one value (`covariates.SAME`)."""
        values = getattr(self, name)
        return bool(values.max() > SAME * values.min())


def places(unit: DoseUnit, size: Any, tokens: Any, facts: Any = None, tokens_per_fact: Any = None) -> Places:
    """Places from numbers or sequences of one length; None is unknown."""
    known = [np.asarray(1.0 if v is None else v, dtype=float) for v in (size, tokens, facts, tokens_per_fact)]
    return Places(unit, *(np.atleast_1d(value).astype(float) for value in np.broadcast_arrays(*known)))
