"""How far the validation loss of one run lies from the mean over seeds.

A seed decides in what order the text is read, and that shifts validation loss much alike at every size and token count
(docs/results/other-seeds.md). Runs of three seeds at thirty places therefore tell of three shifts, not of ninety. A run
of another seed lies beside the mean over m seeds, the most that a place has, by

    s sqrt(1 + 1 / m) t,   s^2 = (SHIFT_DOF s0^2 + (m - 1) v) / (SHIFT_DOF + m - 1)

with v the variance between seeds, pooled over places, and t a Student t of SHIFT_DOF + m - 1 degrees of freedom; s0 is
what is believed beforehand, SHIFT_PART of the loss: measured here, .7 % of it for the demonstration, 1.5 % for the main
grid and 2.1 % for the second family. In bits per byte, since that is what stays alike from size to size. Where every
place has one run, of whatever seeds, that belief is all there is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infusionlaw.law.dose import Array

SHIFT_PART, SHIFT_DOF = 0.015, 3.0


@dataclass(frozen=True)
class Shift:
    """The shift of one run: a Student t around 0 of a scale (bits per byte) and degrees of freedom."""

    scale: float
    dof: float

    def draws(self, count: int, seed: int) -> Array:
        """Draws (count,) in bits per byte."""
        return self.scale * np.random.default_rng(seed).standard_t(self.dof, count)


def fit_shift(losses: Sequence[Sequence[float]]) -> Shift:
    """From runs of one dose: the losses (bits per byte) of the seeds of each place, of one place and seed at least."""
    groups = [np.array(own) for own in losses]
    seeds = max(map(len, groups))
    free = sum(len(group) - 1 for group in groups)
    between = sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / free if free else 0.0
    believed = SHIFT_PART * float(np.mean(np.concatenate(groups)))
    dof = SHIFT_DOF + seeds - 1
    squared = (SHIFT_DOF * believed**2 + (seeds - 1) * between) / dof
    return Shift(round(float(np.sqrt(squared * (1 + 1 / seeds))), 6), dof)
