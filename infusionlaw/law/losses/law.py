"""The law of one loss: surfaces over size, tokens and share, weighed, and what they say at a target.

Draws mix over surfaces by weight and over the bootstrap refits of each (`surfaces.bootstrap`). A change is counted from
the start, or from the loss at dose 0 that the same draw gives.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BeforeValidator, PlainSerializer

from infusionlaw.law.dose import Array, Interval, log_odds, share_of
from infusionlaw.law.losses.measured import GENERAL, Since, title_of
from infusionlaw.law.points.point import Point
from infusionlaw.law.surfaces.bootstrap import losses_at
from infusionlaw.law.surfaces.conditions import Conditions
from infusionlaw.law.surfaces.forms import Surface
from infusionlaw.law.surfaces.known import known_surfaces
from infusionlaw.law.uncertainty import interval_of

# Shares that a limit is looked for at, evenly in share and, near both ends, in its odds.
LARGEST_SHARE = 0.97  # the largest share that is ever advised: beyond it next to no general text is left
SHARES = np.unique([0.0, *np.linspace(0.0, LARGEST_SHARE, 98), *share_of(np.linspace(-4, log_odds(LARGEST_SHARE), 60))])


def _surface_json(surface: Surface) -> str:
    return surface.name


def _surface_from(content: Any) -> Any:
    if isinstance(content, Surface):
        return content
    if content not in known_surfaces():
        raise ValueError(f'the surface "{content}" is not installed; install the package that has it')
    return known_surfaces()[content]


SurfaceOnDisk = Annotated[Any, PlainSerializer(_surface_json), BeforeValidator(_surface_from)]


@dataclass(frozen=True)
class FittedSurface:
    """One surface fitted: its weight, its parameters by name, draws of them in rows, and a remark.

    stretch: how much further than its row each draw lies from theta (`surfaces.bootstrap`).
    """

    surface: SurfaceOnDisk
    weight: float
    theta: dict[str, float]
    remark: str
    draws: tuple[tuple[float, ...], ...] = field(repr=False)
    stretch: tuple[float, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class LossAnswer:
    """What a law of a loss says at a target.

    largest: the largest share of domain text that keeps the loss within the tolerance; change: of the loss at the share
    `at`; each with its 90 % interval. inside: whether both lie within what was tried; reason: why a number is None.
    """

    loss: str
    unit: str
    since: Since
    tolerance: float | None
    largest: Interval
    at: float | None
    change: Interval
    inside: bool
    reason: str = ""

    @property
    def title(self) -> str:
        """The loss in words."""
        return title_of(self.loss)

    @property
    def general(self) -> bool:
        """Whether it is of general text, or of a source of it."""
        return self.loss.partition(":")[0] == GENERAL


@dataclass(frozen=True)
class LossLaw:
    """The law of one loss; no surfaces where `reason` says why.

    displaced: whether domain text takes the place of the text that the loss is of; since: what a change is counted
    from, "" where the table has neither a start nor dose 0; base: the loss of an average start; points: the largest
    share within the tolerance at each size and token count; notes: a sentence each without its full stop; turn: where
    a loss of domain text is lowest, as the end of a sentence, where it rises again beyond; lowest: the most infused
    tokens at which it is.
    """

    loss: str
    unit: str
    displaced: bool
    since: Since
    base: float
    sizes: tuple[float, ...]
    token_counts: tuple[float, ...]
    shares: tuple[float, float]
    surfaces: tuple[FittedSurface, ...]
    points: tuple[Point, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()
    turn: str = ""
    lowest: float | None = None

    @property
    def title(self) -> str:
        """The loss in words."""
        return title_of(self.loss)

    def losses_at(self, size: float, tokens: float, share: ArrayLike) -> Array:
        """Draws of the loss (M, n) at n shares of domain text; with a start, of the loss from an average start."""
        share = np.atleast_1d(np.asarray(share, dtype=float))
        at = Conditions(size, tokens, share=1 - share if self.displaced else share)
        found = []
        for fitted in self.surfaces:
            if len(fitted.draws):
                columns = np.array(fitted.draws).T
                drawn = losses_at(fitted.surface, dict(zip(fitted.theta, columns, strict=True)), at)
                middle = fitted.surface.loss(fitted.theta, at)
                found.append(middle + np.array(fitted.stretch)[:, None] * (drawn - middle))
        return np.concatenate(found) if found else np.empty((0, len(share)))

    def change(self, size: float, tokens: float, share: ArrayLike) -> Array:
        """Draws of the change of the loss (M, n) at n shares of domain text."""
        shares = np.concatenate([[0.0], np.atleast_1d(np.asarray(share, dtype=float))])
        found = self.losses_at(size, tokens, shares)
        return found[:, 1:] - (self.base if self.since == "the start" else found[:, :1])

    def allowed(self, tolerance: float, size: float, tokens: float) -> Array:
        """Draws (M,) of x of the largest share that keeps the change within a tolerance; -inf for none, inf for all."""
        above = (excess := self.change(size, tokens, SHARES) - tolerance) > 0
        first = np.where(above.any(axis=1), above.argmax(axis=1), len(SHARES))
        rows = np.arange(len(excess))
        right, left = np.minimum(first, len(SHARES) - 1), np.maximum(first - 1, 0)
        low, high = excess[rows, left], excess[rows, right]
        part = np.clip(-low / np.where(high > low, high - low, 1.0), 0, 1)
        x = log_odds(SHARES[left] + part * (SHARES[right] - SHARES[left]))
        return np.where(first == 0, -np.inf, np.where(first == len(SHARES), np.inf, x))

    def answer(self, tolerance: float | None, size: float, tokens: float, at: float | None = None) -> LossAnswer:
        """What the law says at a target: of the largest share within the tolerance, and of the change at a share.

        at: that share; where none is given, the largest share that the tolerance allows.
        """
        largest, reason = Interval(), self.reason or ("" if self.since else NO_REFERENCE)
        if not reason and self.displaced and tolerance is not None:
            largest = interval_of(self.allowed(tolerance, size, tokens)).map(lambda end: float(share_of(end)))
            reason = "" if largest.value is not None else _nowhere(self, tolerance, size, tokens)
            at = largest.value if at is None else at
        change = Interval()
        if at is not None and self.surfaces and self.since:
            change = interval_of(self.change(size, tokens, at)[:, 0])
        inside = all(
            min(tried) / NEAR <= value <= max(tried) * NEAR
            for value, tried in ((size, self.sizes), (tokens, self.token_counts))
        ) and (at is None or at <= self.shares[1] * NEAR)
        return LossAnswer(self.loss, self.unit, self.since, tolerance, largest, at, change, inside, reason)

    @property
    def gist(self) -> str:
        """The surfaces by weight, or why there is none."""
        if not self.surfaces:
            return f"none: {self.reason}"
        believed = sorted((s for s in self.surfaces if s.weight > 0), key=lambda s: -s.weight)
        return ", ".join(f"{s.surface.name} ({100 * s.weight:.0f} %)" for s in believed)


NEAR = 1.01
NO_REFERENCE = "the table has neither the loss of the start nor dose 0, so a change cannot be told; add one"


def _nowhere(law: LossLaw, tolerance: float, size: float, tokens: float) -> str:
    """Why no share can be named: all stay within the tolerance, or none does."""
    most = f"{tolerance:g} {law.unit} of {law.since}"
    if np.median(law.allowed(tolerance, size, tokens)) > 0:
        return f"{law.title} stays within {most} at every share up to {LARGEST_SHARE:g}"
    return f"{law.title} is beyond {most} at every share"
