"""The conditions a loss was measured under: what every loss surface is a function of.

Columns of one length, one row a run: size N and tokens D of training, unique tokens U among them (D / U epochs), and
the share r of the corpus that the loss is measured on. A surface of a score may need a loss L instead. A table that
lacks a column has None there, and a surface that needs it says so.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

from infusionlaw.errors import InputError
from infusionlaw.law.dose import Array


@dataclass(frozen=True)
class Conditions:
    """Conditions of n runs. size: parameters; tokens, unique_tokens: counts; share: 0..1; loss: any; None: unknown.

    A single number stands for every run. Raises InputError for unequal lengths and for values that cannot be.
    """

    size: ArrayLike | None = None
    tokens: ArrayLike | None = None
    unique_tokens: ArrayLike | None = None
    share: ArrayLike | None = None
    loss: ArrayLike | None = None

    def __post_init__(self) -> None:
        known = {f.name: np.array(v, float) for f in fields(self) if (v := getattr(self, f.name)) is not None}
        if not known:
            raise InputError("no condition is given; give at least one of size, tokens, unique_tokens, share and loss")
        lengths = {name: column.size for name, column in known.items() if column.ndim}
        if any(column.ndim > 1 for column in known.values()) or len(set(lengths.values())) > 1:
            raise InputError(f"the conditions differ in length ({lengths}); give one value a run, or one for all runs")
        for name, column in known.items():
            _check(name, column)
            object.__setattr__(self, name, np.broadcast_to(column, (max(lengths.values(), default=1),)))
        if {"tokens", "unique_tokens"} <= set(known) and np.any(self.column("unique_tokens") > self.column("tokens")):
            raise InputError("there are more unique tokens than tokens; a run cannot see more than it trains on")

    def __len__(self) -> int:
        return next(len(np.asarray(v)) for f in fields(self) if (v := getattr(self, f.name)) is not None)

    def column(self, name: str) -> Array:
        """One column (n,); InputError when it is not known."""
        if getattr(self, name) is None:
            raise InputError(f'"{name}" is not known of these runs and the surface needs it; add that column')
        return np.asarray(getattr(self, name), dtype=float)

    def take(self, rows: ArrayLike) -> "Conditions":
        """The conditions of some runs, by index or mask."""
        known = {f.name: self.column(f.name) for f in fields(self) if getattr(self, f.name) is not None}
        return Conditions(**{name: column[np.asarray(rows)] for name, column in known.items()})


def _check(name: str, column: Array) -> None:
    high = 1.0 if name == "share" else np.inf
    good = np.isfinite(column) & (column <= high) & ((column >= 0) if name == "share" else (column > 0))
    if not good.all():
        wrong = np.atleast_1d(column)[~np.atleast_1d(good)][0]
        raise InputError(f'"{name}" is {wrong:g}, which must {"lie in 0..1" if name == "share" else "be above 0"}')
