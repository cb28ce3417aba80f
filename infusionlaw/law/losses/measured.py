"""The losses that a table holds, each as columns: conditions, values, and what a change is counted from.

A change of a loss is counted from the checkpoint that the run began from, where the table has its loss; else from dose
0, where there is one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from infusionlaw.law.covariates import distinct
from infusionlaw.law.dose import Array
from infusionlaw.runs.outcomes import LOSSES as OTHERS
from infusionlaw.runs.outcomes import is_of_all
from infusionlaw.runs.record import RunRecord

Since = Literal["the start", "dose 0", ""]
GENERAL = "val_bpb"
LOSSES = (GENERAL, *OTHERS)
OF_DOMAIN = ("domain_loss", "answer_loss")  # without a name behind
TITLES = {GENERAL: "validation loss", "domain_loss": "domain loss", "answer_loss": "answer loss"}
BITS = "bits per byte"


def title_of(loss: str) -> str:
    """A loss in words: `validation loss on wiki` of val_bpb:wiki."""
    name, _, source = loss.partition(":")
    return TITLES.get(name, name) + (f" on {source}" if source else "")


def losses_of(rows: Sequence[RunRecord]) -> list[str]:
    """The losses that some run has, validation loss first."""
    names = dict.fromkeys(name for row in rows for name, _ in row.more if not name.endswith("_se"))
    found = [name for name in names if name.partition(":")[0] in LOSSES and name != GENERAL]
    found = [name for name in found if not is_of_all(rows, name)]
    found = [GENERAL] * any(row.val_bpb is not None for row in rows) + found
    return sorted(found, key=lambda name: LOSSES.index(name.partition(":")[0]))


def loss_unit(rows: Sequence[RunRecord]) -> str:
    """The unit of the table's losses."""
    return next((row.loss_unit for row in rows if row.loss_unit), BITS)


@dataclass(frozen=True)
class Measured:
    """One loss of n runs. share: of domain text; start: nan where unknown; curves: as in `RunRecord`."""

    name: str
    size: Array
    tokens: Array
    share: Array
    loss: Array
    start: Array
    curves: tuple[str | None, ...]

    def last(self) -> "Measured":
        """The last checkpoint of each curve; the same where no curve has several."""
        rows = list(zip(self.curves, self.tokens.tolist(), strict=True))
        latest: dict[str | None, float] = {}
        for curve, tokens in rows:
            latest[curve] = max(tokens, latest.get(curve, tokens))
        kept = np.array([curve is None or tokens == latest[curve] for curve, tokens in rows])
        if kept.all():
            return self
        return replace(
            self,
            size=self.size[kept],
            tokens=self.tokens[kept],
            share=self.share[kept],
            loss=self.loss[kept],
            start=self.start[kept],
            curves=tuple(curve for curve, keep in zip(self.curves, kept, strict=True) if keep),
        )

    @property
    def since(self) -> Since:
        """What changes are counted from."""
        if np.isfinite(self.start).all():
            return "the start"
        return "dose 0" if (self.share == 0).any() else ""

    @property
    def base(self) -> float:
        """The loss of an average start, which every run is moved to; 0 without starts."""
        return float(self.start.mean()) if self.since == "the start" else 0.0

    @property
    def moved(self) -> Array:
        """The losses as they would be from one common start, (n,): only changes tell of a share."""
        return self.loss - self.start + self.base if self.since == "the start" else self.loss

    @cached_property
    def places(self) -> NDArray[np.intp]:
        """The number of the size and token count of each run, (n,)."""
        return np.asarray(np.unique(np.stack([self.size, self.tokens]), axis=1, return_inverse=True)[1].ravel())

    @cached_property
    def displaced(self) -> bool:
        """Whether domain text takes the place of the text that this loss is of: the loss is higher at large shares.

        A loss of domain text never is, though it too rises where documents are read too often.
        """
        rises = [each[-1] - each[0] for each in (means for _, means in self.by_share())]
        return self.name not in OF_DOMAIN and sum(rises) > 0

    def by_share(self) -> Iterator[tuple[Array, Array]]:
        """Yield the shares of each size and token count, in order, and the mean of the moved losses at each."""
        for place in range(self.places.max() + 1):
            here = self.places == place
            shares, which = np.unique(self.share[here], return_inverse=True)
            yield shares, np.bincount(which, self.moved[here]) / np.bincount(which)

    @property
    def noise(self) -> float:
        """The standard deviation of runs at one share, size and token count; nan where none has two runs."""
        _, which = np.unique(np.stack([self.places, self.share]), axis=1, return_inverse=True)
        count = np.bincount(which.ravel())
        means = np.bincount(which.ravel(), self.moved) / count
        free = int((count - 1).sum())
        return float(np.sqrt(((self.moved - means[which.ravel()]) ** 2).sum() / free)) if free else np.nan

    @property
    def sizes(self) -> int:
        """How many sizes there are."""
        return distinct(self.size)

    @property
    def token_counts(self) -> int:
        """How many token counts there are."""
        return distinct(self.tokens)


def measured(rows: Sequence[RunRecord], loss: str) -> Measured | None:
    """One loss of the rows that have it and a share; None where no two shares do."""
    used = [row for row in rows if row.share is not None and np.isfinite(row.score(loss) or np.nan)]
    if len({row.share for row in used}) < 2:
        return None

    def column(values: Sequence[float | None]) -> Array:
        return np.array([np.nan if value is None else value for value in values], dtype=float)

    return Measured(
        loss,
        column([row.size for row in used]),
        column([row.tokens for row in used]),
        column([row.share for row in used]),
        column([row.score(loss) for row in used]),
        column([row.start(loss) for row in used]),
        tuple(row.curve for row in used),
    )
