"""What a law says at one target, computed once.

A plan asks a hundred times where a point lies at its target. The draws are made once a kind of point and kept; a target
that differs in facts, length of a rendering, risk or tolerance alone shares them.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from infusionlaw.law.dose import Array, Scale
from infusionlaw.law.points.point import Kind
from infusionlaw.law.scaling.law import Law, Prediction
from infusionlaw.law.scores.plateaus import Plateaus, widths
from infusionlaw.runs.outcomes import COLLAPSE, kind_named


@dataclass(frozen=True)
class Target:
    """What is asked for, and what is held against a dose. tolerance: bits per byte, None for any rise."""

    size: float
    tokens: float
    facts: float | None
    tokens_per_fact: float | None
    risk: float
    tolerance: float | None


class AtTarget:
    """A law at a target.

    base: a law at the same target that says the same of all kinds of points that this one has no rule for. under: the
    same target under published rules, as far as they were asked for (`rules.ruled_at`).
    """

    def __init__(self, law: Law, target: Target, base: "AtTarget | None" = None) -> None:
        self.law, self.target, self._base = law, target, base
        self.under: dict[Hashable, AtTarget] = {}
        self._own: dict[Kind, Array] = {}
        self._draws: dict[Kind, Array] = {}

    def but(self, **changes: Any) -> Self:
        """The same law at a target that differs in these."""
        other = type(self)(self.law, replace(self.target, **changes))
        if (other.target.size, other.target.tokens) == (self.target.size, self.target.tokens):
            own = {kind: x for kind, x in self._own.items() if "facts" not in self.law.of(kind).varied}
            other._own.update(own if "facts" in changes else self._own)
        return other

    def points(self, kind: Kind) -> Array:
        """Predictive draws of x of a point (M,); M = 0 when its law is not fitted."""
        if kind not in self._draws:
            if self._base and not self.law.moves(kind):
                self._draws[kind] = self._base.points(kind)
            else:
                self._draws[kind] = self._drawn(kind)
        return self._draws[kind]

    def _drawn(self, kind: Kind) -> Array:
        law, target = self.law, self.target
        if law.moves(kind):
            return np.asarray(law.draws_at(kind, target.size, target.tokens, target.facts, target.tokens_per_fact)[0])
        if kind not in self._own:
            self._own[kind] = law.own_draws(kind, target.size, target.tokens, target.facts)[0]
        return law.carried_over(kind, self._own[kind], target.facts, target.tokens_per_fact)

    def draws(self, kind: Kind) -> Array:
        """Predictive draws of x (M,) where a plan looks at a point.

        Of what is learned that is where it leaves guessing, whichever part of the way up the points are
        (`Point.level`).
        """
        drawn, level = self.points(kind), self.law.of(kind).level
        if not level or kind_named(kind).change != "learned":
            return drawn
        return np.asarray(drawn - level * widths(self.recall.rise if self.recall else None, 6, len(drawn)))

    def prediction(self, kind: Kind) -> Prediction:
        """The point with its 90 % interval."""
        target = self.target
        return self.law.prediction_of(self.points(kind), kind, target.size, target.tokens, target.facts)

    @property
    def recall(self) -> Plateaus | None:
        """The plateaus of recall."""
        return self.law.plateaus.get(COLLAPSE.name)

    @cached_property
    def scale(self) -> Scale:
        """How x reads as share and exposures here."""
        return self.law.scale(self.target.tokens, self.target.facts)

    def text_of(self, x: float) -> float:
        """x of the dose with as much infused text for the table's own facts: what crowds out the rest."""
        law, target = self.law, self.target
        if law.unit == "share":
            return x
        pairs = ((target.facts, law.facts), (target.tokens_per_fact, law.tokens_per_fact))
        return x + float(sum(np.log10(mine / own) for mine, own in pairs if mine and own))
