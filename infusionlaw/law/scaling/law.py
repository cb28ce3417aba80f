"""A law: for each kind of point, the forms that were fitted with their weights, and what they predict.

A predictive distribution mixes over forms, parameters and scatter:

    x(N, D, S) = form(theta)(N, D, S) + sigma * standard normal,  (form, theta, sigma) drawn by weight

Where the number of facts did not vary, acquisition is taken to carry over to another number in exposures (each fact
needs as many statements), and collapse, retention and tolerance in share (what crowds out the rest is the text).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BeforeValidator, PlainSerializer, TypeAdapter, ValidationError
from scipy.special import ndtri

from infusionlaw.errors import InputError
from infusionlaw.files import read_typed, write_typed
from infusionlaw.law.dose import COORDINATES, LEVEL, Array, Interval, Scale, exposures_per_share, log_odds, share_of
from infusionlaw.law.losses.law import LossLaw
from infusionlaw.law.numbers import DOSE_WORDS, bracket, ends, listed, tokens_range
from infusionlaw.law.plot import Curve, Panel, Spot, by_size
from infusionlaw.law.points.point import Kind, Point
from infusionlaw.law.scaling.forms import EXPONENT, Places, known_forms, places
from infusionlaw.law.scaling.ladder import Ladder, along_text, flag_off, ladder_of
from infusionlaw.law.scores.cost import Cost
from infusionlaw.law.scores.plateaus import Plateaus
from infusionlaw.law.scores.since_start import Changes
from infusionlaw.law.scores.zero_dose import ZeroDose
from infusionlaw.law.uncertainty import interval_of
from infusionlaw.recognise import refuse_others
from infusionlaw.runs.frames import frame_of
from infusionlaw.runs.outcomes import Outcome, kind_named, outcome_of
from infusionlaw.runs.record import DoseUnit

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

NO_ROOM = "the training tokens have no room to state the facts often enough"
HALF_WIDTH = float(ndtri((1 + LEVEL) / 2))
# Scatter enters a prediction at equally likely quantiles, not at random: the same law always says the same.
SCATTER_QUANTILES = ndtri((np.arange(25) + 0.5) / 25)


def _form_json(form: Any) -> dict[str, Any]:
    return {"name": form.name, "formula": form.formula, "source": form.source, "constants": asdict(form)}


def _form_from(content: Any) -> Any:
    """A form from its JSON, or itself."""
    known = known_forms()
    if type(content) in known.values():
        return content
    name, constants = (content.get(key) if isinstance(content, dict) else None for key in ("name", "constants"))
    if not isinstance(name, str) or not isinstance(constants, dict):
        raise ValueError("a form is an object with a name and constants")
    if name not in known:
        raise ValueError(f'the form "{name}" is not installed; install the package that has it')
    try:
        return TypeAdapter(known[name]).validate_python(constants)
    except ValidationError as error:
        raise ValueError(f'the constants of the form "{name}" are others') from error


FormOnDisk = Annotated[Any, PlainSerializer(_form_json), BeforeValidator(_form_from)]


@dataclass(frozen=True)
class FittedForm:
    """One form fitted: its weight, 90 % intervals of its parameters and scatter, and draws of them in rows."""

    form: FormOnDisk
    weight: float
    coefficients: dict[str, Interval]
    draws: tuple[tuple[float, ...], ...] = field(repr=False)


@dataclass(frozen=True)
class KindLaw:
    """The law of one kind of point: its forms, the power law first if it is among them; none when `not fitted`.

    points: all of the kind; varied: which of size, tokens, facts took more than one value among the points used; facts,
    tokens_per_fact: what these points have, None where they do not all say, and for facts where they varied. notes:
    what makes its predictions doubtful, a sentence each without its full stop.
    """

    kind: Kind
    status: str
    reason: str
    forms: tuple[FittedForm, ...]
    points: tuple[Point, ...]
    varied: tuple[str, ...] = ()
    facts: float | None = None
    tokens_per_fact: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def level(self) -> float | None:
        """What the points were taken to be, as in `Point`."""
        return self.points[0].level if self.points else None

    @property
    def coefficients(self) -> dict[str, Interval]:
        """Median and 90 % interval of the power law's exponents and scatter; all None where not identified."""
        if not self.forms:
            return {}
        covariates = {"size", "tokens", "facts"} - set(self.varied)
        return {name: Interval() if name in covariates else x for name, x in self.forms[0].coefficients.items()}

    @property
    def ladder(self) -> Ladder | None:
        """The line that sizes and token counts lie on where they rose together; else None."""
        return ladder_of([(p.size, p.tokens) for p in self.points if p.in_law and p.x.value is not None])

    @property
    def along(self) -> tuple[Ladder, Interval] | None:
        """That line, and the exponent of size along it with its 90 % interval; None where they did not."""
        if not (ladder := self.ladder) or not self.forms:
            return None
        sizes = sorted(p.size for p in self.points if p.in_law and p.x.value is not None)
        ends = np.array([sizes[0], sizes[-1]])
        at = places(self.points[0].unit, ends, ladder.tokens(ends), self.facts, self.tokens_per_fact)
        drawn = [form.form.x(np.array(form.draws)[:, :-1], at) for form in self.forms if form.draws]
        low, high = np.concatenate(drawn).T
        return ladder, interval_of((high - low) / np.log10(ends[1] / ends[0]))

    @property
    def summary(self) -> str:
        """The forms by weight, exponents and scatter with 90 % intervals; or why there is no law."""
        if not self.forms:
            return f"none: {self.reason}"
        believed = sorted((form for form in self.forms if form.weight > 0), key=lambda form: -form.weight)
        weights = listed([f"{form.form.name} ({100 * form.weight:.0f} %)" for form in believed])
        along = self.along
        found = [along_text(*along)] if along else []
        found += [
            f"{_COEFFICIENTS[name]} {bracket(x, '{:.2f}'.format)}"
            for name, x in self.coefficients.items()
            if name in _COEFFICIENTS and x.value is not None and not (along and name in ("size", "tokens"))
        ]
        return f"{weights}; {listed(found)}" if found else weights

    def __repr__(self) -> str:
        return f"<law of {self.kind} from {len(self.points)} points: {self.gist}>"

    @property
    def gist(self) -> str:
        """The likeliest form, and the exponents of the power law; or why there is no law."""
        if not self.forms:
            return f"none: {self.reason}"
        best = max(self.forms, key=lambda form: form.weight)
        if along := self.along:
            return f"{best.form.name} ({100 * best.weight:.0f} %), {along_text(*along)}"
        powers = [
            f"{name}^{bracket(x, '{:.2f}'.format)}"
            for name, x in self.coefficients.items()
            if name in ("size", "tokens", "facts") and x.value is not None
        ]
        return ", ".join([f"{best.form.name} ({100 * best.weight:.0f} %)", *powers])


_COEFFICIENTS = {
    "size": "exponent of size",
    "tokens": "exponent of token count",
    "facts": "exponent of facts",
    "scatter": "scatter in dex",
}


@dataclass(frozen=True)
class Prediction:
    """A point predicted at (size, tokens): 90 % interval in x, share and exposures; flags in words; why it is None.

    level: what the point was taken to be, as in `Point`; facts: the interval where the number of facts is the dose.
    """

    kind: Kind
    size: float
    tokens: float
    x: Interval
    share: Interval
    exposures: Interval
    flags: tuple[str, ...] = ()
    reason: str = ""
    level: float | None = None
    facts: Interval = field(default_factory=Interval)

    def in_unit(self, unit: DoseUnit) -> Interval:
        """The point in a unit; all None where that is not known."""
        found: Interval = getattr(self, unit)
        return found


@dataclass(frozen=True)
class Law:
    """All kinds of points of one table, and its support. doses: smallest and largest above 0, in `unit`.

    plateaus: of outcomes, by the kind of point where they fall; cost: the rise of validation loss; zero_dose: scores
    and validation loss at dose 0. notes: remarks on the table, such as copies that were left out. losses: the laws of
    losses over size, tokens and share; loss_unit: the unit of every loss here. changes: of outcomes against the start.
    """

    unit: DoseUnit
    kinds: tuple[KindLaw, ...]
    sizes: tuple[float, ...]
    token_counts: tuple[float, ...]
    doses: tuple[float, float]
    facts: float | None
    tokens_per_fact: float | None
    table: str
    plateaus: dict[Kind, Plateaus] = field(default_factory=dict)
    cost: Cost | None = None
    zero_dose: ZeroDose | None = None
    notes: tuple[str, ...] = ()
    losses: tuple[LossLaw, ...] = ()
    loss_unit: str = "bits per byte"
    changes: dict[str, Changes] = field(default_factory=dict)

    @classmethod
    def load(cls, path: str | Path) -> "Law":
        """Read law.json; InputError when it is none."""
        return read_law(path)

    def save(self, path: str | Path) -> None:
        """Write law.json."""
        write_law(path, self)

    def to_frame(self) -> "DataFrame":
        """Return a pandas data frame with one row a kind of point, form and coefficient, the likeliest form first.

        Beside each coefficient is its 90 % interval. A kind without a law is one row, with the reason. Exponents that
        the table cannot tell are missing.
        """
        return frame_of(COLUMNS, (row for kind in self.kinds for row in _rows(kind)))

    def plot(self) -> "Figure":
        """Draw points and law against size, a panel a kind and a colour a token count. Returns a matplotlib figure.

        Bars and bands are 90 % intervals, triangles bounds; bands are for the smallest, middle and largest token count.
        """
        counts = sorted(self.token_counts)
        shown = sorted({counts[0], counts[len(counts) // 2], counts[-1]})
        sizes = np.geomspace(min(self.sizes) / 1.25, max(self.sizes) * 1.25, 40)
        panels = []
        for law in self.kinds:
            bands = [(tokens, law_band(self, law.kind, tokens, sizes)) for tokens in shown]
            curves = [Curve(tokens, sizes, band.low, band.median, band.high) for tokens, band in bands if band]
            panels.append(
                Panel(kind_named(law.kind).title, [Spot(p.size, p.tokens, p.dose) for p in law.points], curves)
            )
        return by_size(panels, self.unit)

    def __repr__(self) -> str:
        show = DOSE_WORDS[self.unit].show
        swept = f"{self.unit} {show(self.doses[0])} to {show(self.doses[1])}"
        head = f"<Law: {ends(self.sizes)} parameters{tokens_range(self.token_counts)}, {swept}"
        laws = [*((kind.kind, kind.gist) for kind in self.kinds), *((loss.title, loss.gist) for loss in self.losses)]
        return "\n".join([head, *(f" {name}: {gist}" for name, gist in laws)]) + ">"

    def of(self, kind: Kind) -> KindLaw:
        """The law of one kind; InputError for a kind there is none of."""
        for law in self.kinds:
            if law.kind == kind:
                return law
        raise InputError(f'"{kind}" is no kind of point; known: {", ".join(law.kind for law in self.kinds)}')

    @property
    def kind_names(self) -> tuple[Kind, ...]:
        """The kinds of points that there are laws of, fitted or not."""
        return tuple(law.kind for law in self.kinds)

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes that have these kinds of points."""
        return list({outcome.name: outcome for outcome in map(outcome_of, self.kind_names)}.values())

    def moves(self, kind: Kind) -> bool:
        """Whether a published rule moves this kind of point, in place of the law; see `LawUnderRule`."""
        return False

    def scale(self, tokens: float, facts: float | None = None) -> Scale:
        """How x reads as share and exposures at a token count, for `facts` (default: the table's)."""
        if self.unit == "facts":
            return Scale(self.unit)
        return Scale(self.unit, exposures_per_share(tokens, facts or self.facts, self.tokens_per_fact))

    def draws_at(
        self,
        kind: Kind,
        size: ArrayLike,
        tokens: ArrayLike,
        facts: float | None = None,
        tokens_per_fact: float | None = None,
    ) -> Array:
        """Predictive draws of x (n, draws) at n sizes and token counts, scatter included; draws = 0 when not fitted.

        facts, tokens_per_fact: the target's, where not the table's. inf: more than a share of 1 would have room for.
        """
        return self.carried_over(kind, self.own_draws(kind, size, tokens, facts), facts, tokens_per_fact)

    def own_draws(self, kind: Kind, size: ArrayLike, tokens: ArrayLike, facts: float | None = None) -> Array:
        """Predictive draws of x (n, draws) for as many facts as the points had; where these varied, for `facts`."""
        law = self.of(kind)
        at = places(self.unit, size, tokens, facts if "facts" in law.varied else law.facts, law.tokens_per_fact)
        found = [_predictive(fitted, at) for fitted in law.forms]
        return np.concatenate(found, axis=1) if found else np.empty((len(at.size), 0))

    def carried_over(
        self, kind: Kind, x: Array, facts: float | None = None, tokens_per_fact: float | None = None
    ) -> Array:
        """x of `own_draws` for another number of facts, and another length of what states one."""
        law = self.of(kind)
        factor = facts / law.facts if facts and law.facts and "facts" not in law.varied else 1.0
        # A statement twice as long takes as much text as two: doses carry over as for twice the facts.
        if tokens_per_fact and self.tokens_per_fact:
            factor *= tokens_per_fact / self.tokens_per_fact
        return _carried_over(x, kind, self.unit, factor)

    def predict_point(self, kind: Kind, size: float, tokens: float, facts: float | None = None) -> Prediction:
        """The point at (size, tokens) with its predictive 90 % interval; None with a reason when not fitted."""
        return self.prediction_of(self.draws_at(kind, size, tokens, facts)[0], kind, size, tokens, facts)

    def prediction_of(
        self, draws: Array, kind: Kind, size: float, tokens: float, facts: float | None = None
    ) -> Prediction:
        """The prediction that predictive draws (M,) of a point at (size, tokens) make."""
        law = self.of(kind)
        if not law.forms:
            return Prediction(kind, size, tokens, Interval(), Interval(), Interval(), (), law.reason)
        x, scale = interval_of(draws), self.scale(tokens, facts)
        flags = self._flags(law, size, tokens)
        reason = "" if x.value is not None else NO_ROOM
        doses = scale.share(x), scale.exposures(x)
        return Prediction(kind, size, tokens, x, *doses, flags, reason, law.level, scale.facts(x))

    def _flags(self, law: KindLaw, size: float, tokens: float) -> tuple[str, ...]:
        flags, reach = list(law.notes), HALF_WIDTH * EXPONENT[1]
        for covariate, word, target, tried in (
            ("size", "size", size, [p.size for p in law.points]),
            ("tokens", "token count", tokens, [p.tokens for p in law.points]),
        ):
            if covariate not in law.varied and abs(np.log10(target / np.median(tried))) > 0.005:
                flags.append(
                    f"only one {word} was tried, so its effect on {law.kind} is unknown; the interval allows "
                    f"for exponents of about -{reach:.1f} to {reach:.1f}"
                )
        if (ladder := law.ladder) and (off := flag_off(ladder, size, tokens)):
            flags.append(off)
        return tuple(flags)


def _predictive(fitted: FittedForm, at: Places) -> Array:
    draws = np.array(fitted.draws)
    if not len(draws):
        return np.empty((len(at.size), 0))
    x = fitted.form.x(draws[:, :-1], at).T[..., None] + draws[:, -1, None] * SCATTER_QUANTILES
    return np.asarray(x.reshape(len(at.size), -1))


def _carried_over(x: Array, kind: Kind, unit: DoseUnit, factor: float) -> Array:
    """x for `factor` times as many facts: exposures carry over for acquisition, the share for the rest."""
    if factor == 1 or (kind_named(kind).change == "learned") == (unit == "exposures"):
        return x
    if unit == "exposures":
        return np.asarray(x - np.log10(factor))
    share = share_of(x) * factor
    return np.where(share < 1, log_odds(np.minimum(share, 1 - 1e-12)), np.inf)


COLUMNS = ("kind", "status", "form", "weight", "coefficient", "value", "low", "high", "reason")


def _rows(law: KindLaw) -> Iterator[dict[str, object]]:
    told: dict[str, object] = {"kind": law.kind, "status": law.status, "reason": law.reason}
    if not law.forms:
        yield told
    for fitted in sorted(law.forms, key=lambda form: -form.weight):
        own = law.coefficients if fitted is law.forms[0] else fitted.coefficients
        for name, x in own.items():
            yield {**told, "form": fitted.form.name, "weight": fitted.weight, "coefficient": name, **x.as_dict()}


@dataclass(frozen=True)
class Band:
    """A law to draw: sizes (n,), and median, low and high (n,) of the dose in `unit` at one token count."""

    unit: DoseUnit
    sizes: Array
    median: Array
    low: Array
    high: Array


def law_band(law: Law, kind: Kind, tokens: float, sizes: ArrayLike) -> Band | None:
    """Median and 90 % predictive band of a point over sizes at a token count; None when its law is not fitted."""
    if not law.of(kind).forms:
        return None
    sizes = np.asarray(sizes, dtype=float)
    ends = np.quantile(law.draws_at(kind, sizes, tokens), [0.5, (1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=-1)
    scale = law.scale(tokens)
    return Band(law.unit, sizes, *(scale.dose(end) for end in ends))


def located(points: Sequence[Point]) -> int:
    """How many points have a value."""
    return sum(point.x.value is not None for point in points)


def write_law(path: str | Path, law: Law) -> None:
    """Write law.json atomically."""
    write_typed(path, law, Law, "law", level=LEVEL, coordinate=COORDINATES[law.unit])


def read_law(path: str | Path) -> Law:
    """Read law.json. Raises InputError when it is not one that we wrote, or needs a form that is not installed.

    The law that is read gives the same predictions to the last digit.
    """
    try:
        return read_typed(path, Law, "a law file", "fit it again from its table", "law")
    except InputError:
        refuse_others(path, "law")
        raise
