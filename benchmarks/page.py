"""The tables of the calibration, and the page around them: how it was made, how to read it."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import isinf
from typing import get_args

import numpy as np
import scipy

import infusionlaw
from benchmarks import studies as drawn
from benchmarks.claims import Claim, Rate, Tally, tally
from benchmarks.markdown import table
from benchmarks.studies import DESIGNS, FARTHER, Range
from infusionlaw.law.points.point import KINDS
from infusionlaw.law.points.shapes import Detector

Claims = Mapping[str, Sequence[Claim]]
NUMBERS = ("claims", "held", "within", "error", "width")
POINT_STATUSES = ("found", "not reached", "before the grid", "ambiguous", "no effect")
PREDICTION_STATUSES = ("fitted", "flagged", "not fitted")
FALLS = ("collapse", "retention")


def tables(claims: Claims, default: Detector) -> str:
    """All tables in Markdown: points, predictions, detectors."""
    return "\n\n".join([_points(claims, default), _predictions(claims), _detectors(claims)])


def _points(claims: Claims, default: Detector) -> str:
    rows = [
        [name, kind, *_numbers(count), *_statuses(count, POINT_STATUSES), str(count.claims - count.judged)]
        for kind in KINDS
        for name, count in _by_design(claims, (kind,), default)
    ]
    title = f"### 1 · points (detector: {default})"
    return f"{title}\n{table(['studies', 'point', *NUMBERS, *POINT_STATUSES, 'no interval'], rows)}"


def _predictions(claims: Claims) -> str:
    rows = [
        [name, target, *_numbers(count), *_statuses(count, PREDICTION_STATUSES)]
        for target in FARTHER
        for name, count in _by_design(claims, (target,))
    ]
    lines = table(["studies", "at", *NUMBERS, *PREDICTION_STATUSES], rows)
    return f"### 2 · predictions of the collapse of recall\n{lines}"


def _detectors(claims: Claims) -> str:
    detectors: tuple[Detector, ...] = get_args(Detector)
    rows = [
        [name, " and ".join(kinds), detector, *_numbers(count), _false(count)]
        for kinds in (("acquisition",), FALLS)
        for detector in detectors
        for name, count in _by_design(claims, kinds, detector)
    ]
    rows.sort(key=lambda row: (row[1], row[0]))  # detectors side by side
    lines = table(["studies", "points", "detector", *NUMBERS, "false collapses"], rows)
    return f"### 3 · detectors on the same studies\n{lines}"


def _by_design(claims: Claims, what: Sequence[str], detector: Detector | None = None) -> Iterator[tuple[str, Tally]]:
    """Tallies of all studies in which something collapses, then of each design."""
    wanted = {
        letter: [c for c in own if c.what in what and detector in (None, c.detector)] for letter, own in claims.items()
    }
    collapsing = [design.letter for design in DESIGNS if design.where != "nowhere"]
    yield f"{collapsing[0]} to {collapsing[-1]}", tally([c for letter in collapsing for c in wanted[letter]])
    for design in DESIGNS:
        yield f"{design.letter}: {design.words}", tally(wanted[design.letter])


def _numbers(count: Tally) -> list[str]:
    return [str(count.claims), _rate(count.coverage), _rate(count.within), _dex(count.error), _dex(count.width)]


def _rate(rate: Rate | None) -> str:
    return "–" if rate is None else f"{rate[0]:.3f} ± {rate[1]:.3f}"


def _dex(value: float | None) -> str:
    return "–" if value is None else "open" if isinf(value) else f"{value:.2f}"


def _statuses(count: Tally, names: Sequence[str]) -> list[str]:
    return [str(count.statuses[name]) for name in names]


def _false(count: Tally) -> str:
    return f"{count.false_places} of {count.never}" if count.never else "–"


def page(claims: Claims, default: Detector, command: str, studies: int, seed: int, code: str) -> str:
    """The whole of docs/calibration.md."""
    count = len(DESIGNS)
    return f"""# Calibration
Do the 90 % intervals hold what they say? {studies * count} simulated studies whose truth is known, {studies} of each of
{count} kinds.

Made by `{command}` (seed {seed}) on {datetime.now(UTC):%Y-%m-%d} with
infusionlaw {infusionlaw.__version__} (hash of the law half and the benchmark: {code}),
Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}.

## The studies
{_studies_text()}

## How to read the tables
{READING}

## The tables
{tables(claims, default)}
"""


READING = """\
- **held**: how often the interval held the truth, with its binomial standard error; it should be .90. The points of
  one study share facts and noise, so the true error of the figure is somewhat larger. **within**: the same, of those
  whose truth lies within the doses of the study.
- **error**: median distance of the value from the truth; **width**: median width of the interval; both in dex of odds.
  An interval with an open end is infinitely wide; `open` means that half of them were.
- A truth that never happens lies beyond every dose: only an interval that is open upwards holds it.
- Claims without an interval (`no effect`, `not fitted`, and others that bound nothing) are counted among the **claims**
  and by status, and are neither held nor missed.
- A prediction is **flagged** when the law says of its budget what it does not say of the budget tried: that it does not
  know what a budget does. Where one budget was tried, every prediction at 4 D ought to be flagged, and its row shows
  what such a prediction is worth. The truth at a target has its own scatter.
- **False collapses**: places that were named for a collapse which never happens (kind l). The tolerance point has its
  own detector and is not in table 3."""


def _studies_text() -> str:
    """How the worlds are drawn, from the very numbers that they are drawn with."""
    kinds = "\n".join(f"- **{design.letter}**: {design.words}" for design in DESIGNS)
    grids = "\n".join(f"  - {', '.join(f'{share:g}' for share in grid)}" for grid in drawn.GRIDS)
    return f"""Unless its line says otherwise a kind is a trapezoid of 3 sizes, 1 budget and 2 seeds.

{kinds}

Every other number is drawn evenly, on a log scale for facts and in log odds for shares:
- sizes and budgets: a factor of {drawn.STEP:g} apart around {drawn.MIDDLE_SIZE:,.0f} parameters and
  {drawn.MIDDLE_BUDGET:,.0f} tokens
- shares: 0 and one of these grids
{grids}
- collapse of recall and collapse of retention, each by its own law: at shares {_range(drawn.COLLAPSE)} at the middle
  size and budget; in kind i within {drawn.BEYOND[1]:g} dex of an end of the doses, two in three times the upper one
- tolerance point: at shares {_range(drawn.TOLERANCE)}
- exponents of size and of budget, for each kind of point: {_range(drawn.EXPONENTS)}
- widths of rise and of fall: {_range(drawn.WIDTHS)} dex
- plateaus of recall and of retention: {_range(drawn.PLATEAU)}; guessing: {_range(drawn.GUESSING)}
- floor, in kind d: {_range(drawn.FLOOR)} of the way from guessing to the plateau
- deviation between seeds: {_range(drawn.SPREAD)}; of general loss: {_range(drawn.LOSS_SPREAD)} bits per byte
- deviation of difficulty between facts, in standard normal deviates: {_range(drawn.DIFFICULTY)}
- facts: {_range(drawn.FACTS)}
- acquisition: before the collapse by the rise and a plateau, which is half as long as the wider of rise and fall is
  wide, at least {drawn.LEAST_PLATEAU:g} dex, and {_range(drawn.EXTRA_PLATEAU)} dex more; in kind l at shares
  {_range(drawn.ACQUISITION)}

A world in which some size or budget has a shorter plateau is drawn again (so the exponents of acquisition and collapse
are not quite independent), and in kind i one in which no collapse or every collapse lies beyond the doses. In every
shape the true point is where the tangent at half height meets the level that is left."""


def _range(ends: Range) -> str:
    return f"{ends[0]:g} to {ends[1]:g}"
