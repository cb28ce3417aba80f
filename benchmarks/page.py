"""The page of the calibration: the answer, the tables, how worlds are made, how to run it."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import isinf

from benchmarks import worlds
from benchmarks.baselines import DROP
from benchmarks.claims import BASELINES, METHODS, OURS, Outcome
from benchmarks.markdown import table
from benchmarks.tallies import (
    BARS,
    FALSE,
    LEAST,
    MISS,
    MOST,
    NARROWER,
    NEARER,
    NOT_FALSE,
    POINTS_HOLD,
    PREDICTIONS_HOLD,
    UNBIASED,
    Bar,
    Rate,
    Tally,
    tally,
)
from benchmarks.worlds import KINDS, Kind, Range
from infusionlaw.report.numbers import number

REGULAR = "all regular kinds"
CHOOSING = 100  # seeds below this are for choosing defaults, and the page is to report another
Cell = str | None


@dataclass(frozen=True)
class Source:
    """Where outcomes come from. versions: of Python and libraries, one text for each machine that differs."""

    seed: int
    code: str
    command: str
    date: str
    versions: tuple[str, ...]


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def _range(ends: Range) -> str:
    return f"{ends[0]:,g} to {ends[1]:,g}"


def _listed(values: Sequence[float]) -> str:
    return f"{', '.join(map(number, values[:-1]))} and {number(values[-1])}"


def page(outcomes: Sequence[Outcome], source: Source) -> str:
    """The whole of docs/calibration.md."""
    tallies = by_kind(outcomes)
    return f"""# Calibration

## Can I believe the intervals?
{answer(outcomes, tallies)}

{bars_table(tallies)}

{_source_words(len(outcomes), source)}

{tables(outcomes)}

## How are the worlds made?
{_worlds_words()}

## How do I run it?
```sh
{source.command} --processes 2 --keep runs/calibration.jsonl --out docs/calibration.md
```
A run that was stopped goes on from its `--keep` file. To split it over machines, give each its own `--first` (number of
the first study) or `--kinds`, and put the kept files together:

```sh
python -m benchmarks.calibration --merge a.jsonl b.jsonl --out docs/calibration.md
```
Study `number` of kind `kind` draws from `numpy.random.default_rng([seed, kind, number])`, so it is the same on every
machine and in any order. Files of another seed or of other code are refused.
"""


def by_kind(outcomes: Sequence[Outcome]) -> dict[str, Tally]:
    """Tallies by the kind's name, in the order of KINDS; kinds with no study are left out."""
    own = {kind.name: [o for o in outcomes if o.kind == kind.name] for kind in KINDS}
    return {name: tally(some) for name, some in own.items() if some}


def tables(outcomes: Sequence[Outcome]) -> str:
    """The tables by kind, with a heading and a word on how to read each."""
    tallies = by_kind(outcomes)
    regular = _regular(outcomes)
    with_all = tallies | ({REGULAR: tally(regular)} if regular else {})
    return "\n\n".join(
        [
            f"## How good are the points?\n{POINTS_WORDS}\n\n{_points_table(with_all)}",
            f"## How far off are predictions?\n{ERRORS_WORDS}\n\n{_errors_table(with_all)}",
            f"## Are their intervals honest and narrow?\n{INTERVALS_WORDS}\n\n{_intervals_table(with_all)}",
            f"## Is a collapse found where there is none?\n{NEVER_WORDS}\n\n{_never_table(tallies)}",
        ]
    )


def _regular(outcomes: Sequence[Outcome]) -> list[Outcome]:
    names = {kind.name for kind in KINDS if kind.regular}
    return [o for o in outcomes if o.kind in names]


def answer(outcomes: Sequence[Outcome], tallies: Mapping[str, Tally]) -> str:
    """The answer in a few sentences: about the regular kinds, or without these about what there is."""
    regular = _regular(outcomes)
    count = tally(regular or outcomes)
    ours = count.targets.by.get(OURS)
    where = "regular worlds" if regular else "these worlds"
    failing = sum(POINTS_HOLD.met(own) is False or PREDICTIONS_HOLD.met(own) is False for own in tallies.values())
    lines = (
        _believed("Points", "a point's", where, count.points.coverage, count.points.intervals),
        _believed("Predictions", "a prediction's", where, ours.coverage if ours else None, count.targets.compared),
        f"In {failing} of {len(tallies)} kinds of world one of the two lies outside {_percent(LEAST)} to "
        f"{_percent(MOST)}, so look up the kind that is like your study.",
    )
    return "\n\n".join(textwrap.fill(line, 120) for line in lines)


def _believed(what: str, whose: str, where: str, coverage: Rate | None, count: int) -> str:
    if coverage is None:
        return f"**{what}: these studies cannot tell.** They give nothing to judge by."
    held, verdict = coverage[0], "yes"
    if held < LEAST:
        verdict = "no, the intervals are too narrow"
    elif held > MOST:
        verdict = "yes, but the intervals are wider than they need be"
    return (
        f"**{what}: {verdict}.** In {where} {whose} 90 % interval holds the truth in {_percent(held, 1)} of {count:,} "
        "cases."
    )


def bars_table(tallies: Mapping[str, Tally]) -> str:
    """How many kinds meet each bar: regular ones, and those that break what the methods assume."""
    regular = {kind.name for kind in KINDS if kind.regular}
    groups = [[own for name, own in tallies.items() if (name in regular) == wanted] for wanted in (True, False)]
    rows = [[bar.words, *(_met_of(bar, group) for group in groups)] for bar in BARS]
    return table(["what we ask of each kind", "regular kinds", "hard kinds"], rows)


def _met_of(bar: Bar, group: Sequence[Tally]) -> str:
    judged = [met for own in group if (met := bar.met(own)) is not None]
    return f"{sum(judged)} of {len(judged)}" if judged else "–"


def _source_words(studies: int, source: Source) -> str:
    chosen = (
        f"Seeds below {CHOOSING} are for choosing the defaults of the law half. Seed {source.seed} is one of them, so "
        "these figures may flatter."
        if source.seed < CHOOSING
        else f"The defaults of the law half were chosen on seeds below {CHOOSING}, not on this one."
    )
    return f"""Regular kinds are worlds as the methods assume them, with falls of any shape. Hard kinds break an
assumption. A kind that has nothing to judge a bar by is not counted. Below, ✓ marks a bar that is met, and ✗ one that
is not met.

Measured on {studies:,} simulated studies on {source.date} by

    {source.command}

The seed is {source.seed}. The hash of the code is {source.code}; versions: {"; ".join(source.versions)}.
{chosen}"""


POINTS_WORDS = f"""\
Points are the collapses of recall and of retention at every size and token count. Distances are in dex: 0.3 is a factor
of 2 in odds of the share, or in exposures.
- **intervals**: points that have one. A point without an interval says nothing and is not counted. Curves that never
  collapse have a table of their own, the last.
- **hold**: how often the interval holds the truth, with its standard error; asked: {LEAST:.2f} to {MOST:.2f}.
- **found**: of collapses between the first dose and the last, the share that get a value.
- **signed**: median of value minus truth. **distance**: its median size. **late**: share of values above the truth."""

ERRORS_WORDS = f"""\
The collapse of recall and of retention is predicted at {worlds.MORE_SIZE:g} times the largest size, and at
{worlds.MORE_TOKENS:g} times the most tokens where several token counts were tried. A ladder goes on with its tokens a
parameter, and the paper's setting to {number(worlds.PAPER_TARGET)}. Two baselines carry their own points to the same
target by least squares. **trapezoid** is where a fitted trapezoid begins to fall, and **drop** is the dose where the
score first lies {_percent(DROP)} below its best.
- **refused**: our law gives no closed interval. **no baseline**: it does, and a baseline does not.
- **compared**: all three give an interval; the other columns count these.
- **distance**: median distance from the truth; asked: no larger than the better baseline's. **signed**: the median of
  value minus truth."""

INTERVALS_WORDS = f"""\
These are the predictions compared above.
- **hold**: how often the 90 % interval holds the truth; asked of ours: {LEAST:.2f} to {MOST:.2f}.
- **score**: mean interval score, the width plus {MISS:.0f} times the distance of a miss; asked: ours is the lowest.
- **width**: median, in dex."""

NEVER_WORDS = f"""\
In some kinds a score stays up at every dose, everywhere or at some sizes.
- **found**: such curves where a collapse is named all the same; asked: at most {_percent(FALSE)}.
- **predicted**: studies whose law predicts a collapse of recall or of retention where that never happens."""


def _points_table(tallies: Mapping[str, Tally]) -> str:
    def row(own: Tally) -> list[str]:
        p = own.points
        return [
            str(own.studies),
            str(p.intervals),
            _mark(_rate(p.coverage), POINTS_HOLD.met(own)),
            _number(p.found),
            _mark(_dex(p.signed, sign=True), UNBIASED.met(own)),
            _dex(p.error),
            _number(p.late),
            _dex(p.width),
        ]

    headings = ["studies", "intervals", "hold", "found", "signed", "distance", "late", "width"]
    return _kinds_table(headings, tallies, row)


def _errors_table(tallies: Mapping[str, Tally]) -> str:
    def row(own: Tally) -> list[str]:
        t = own.targets
        errors = [_dex(t.by[name].error) if t.by else "–" for name in METHODS]
        signed = [_dex(t.by[name].signed, sign=True) if t.by else "–" for name in METHODS]
        errors[0] = _mark(errors[0], NEARER.met(own))
        return [*map(str, (t.asked, t.refused, t.alone, t.compared)), *errors, *signed]

    return _kinds_table(
        ["predictions", "refused", "no baseline", "compared", *_of_each("distance"), *_of_each("signed")], tallies, row
    )


def _intervals_table(tallies: Mapping[str, Tally]) -> str:
    def row(own: Tally) -> list[str]:
        by = own.targets.by
        if not by:
            return ["0", *["–"] * 3 * len(METHODS)]
        held = [_mark(_rate(by[OURS].coverage), PREDICTIONS_HOLD.met(own))]
        held += [f"{by[name].coverage[0]:.2f}" for name in BASELINES]
        scores = [f"{by[name].score:.2f}" for name in METHODS]
        scores[0] = _mark(scores[0], NARROWER.met(own))
        return [str(own.targets.compared), *held, *scores, *(_dex(by[name].width) for name in METHODS)]

    return _kinds_table(["compared", *_of_each("hold"), *_of_each("score"), *_of_each("width")], tallies, row)


def _never_table(tallies: Mapping[str, Tally]) -> str:
    def row(own: Tally) -> list[str]:
        n = own.never
        return [
            str(n.curves),
            _mark(f"{n.found} ({_percent(n.share or 0, 1)})", NOT_FALSE.met(own)),
            f"{n.predicted} of {n.studies}",
        ]

    never = {name: own for name, own in tallies.items() if own.never.curves}
    return _kinds_table(["curves", "found", "predicted"], never, row) if never else "These studies have no such kind."


def _kinds_table(headings: Sequence[str], tallies: Mapping[str, Tally], row: Callable[[Tally], list[str]]) -> str:
    numbers = {kind.name: f"{i} · {kind.name}" for i, kind in enumerate(KINDS)}
    return table(["kind", *headings], [[numbers.get(name, name), *row(own)] for name, own in tallies.items()])


def _of_each(what: str) -> list[str]:
    return [f"{what}: {name}" for name in METHODS]


def _mark(text: str, met: bool | None) -> str:
    return text if met is None else f"{text} {'✓' if met else '✗'}"


def _rate(rate: Rate | None) -> str:
    if rate is None:
        return "–"
    return f"{rate[0]:.3f}" + ("" if isinf(rate[1]) else f" ± {rate[1]:.3f}")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _dex(value: float | None, sign: bool = False) -> str:
    return "–" if value is None else "open" if isinf(value) else f"{value:+.3f}" if sign else f"{value:.2f}"


PAPER = (
    f"The paper's setting has sizes of {_listed(worlds.PAPER_SIZES)} parameters, {number(worlds.PAPER_TOKENS)} tokens, "
    f"and exposures of {_listed(worlds.PAPER_EXPOSURES)}; the target is {number(worlds.PAPER_TARGET)} parameters. Its "
    f"plateaus are at {_range(worlds.PAPER_PLATEAU)}, its floors at {_range(worlds.PAPER_FLOOR)}, its falls "
    f"{_range(worlds.PAPER_FALL)} dex wide. It asks {_range(worlds.PAPER_PROBES)} questions a run. Seeds deviate by "
    f"{_range(worlds.PAPER_SPREAD)}."
)


def _worlds_words() -> str:
    """How worlds are drawn, from the very numbers that they are drawn with."""
    kinds = "\n".join(f"{_kind_line(i, kind)}" for i, kind in enumerate(KINDS))
    usual = "; ".join(_says(Kind(""), field.name) for field in fields(Kind) if field.name not in ("name", "regular"))
    shares = "\n".join(f"  - {', '.join(f'{share:g}' for share in grid)}" for grid in worlds.SHARES)
    return f"""Each study is one world of one kind. Its runs are simulated: the expected score at a dose, the seed's own
deviation, then each question right or wrong. The truth is where the tangent at half height of a fall meets the level
before it (of a bump: its top). Unless its line says otherwise, a kind has:

{textwrap.fill(usual, 120)}.

{kinds}

Every other number is drawn evenly (the number of questions on a log scale):
- sizes: from {worlds.SMALLEST:,.0f} parameters, each {_range(worlds.STEPS)} times the one before; token counts: from
  {worlds.FEWEST:,.0f}, likewise
- doses: 0 and one of these grids of shares
{shares}
- collapses at the middle size and token count, in log odds: from {_percent(worlds.FROM_START)} of the way through the
  doses to {worlds.FROM_END:g} dex before the last; recall and retention each have their own
- exponents of size and of tokens: {_range(worlds.EXPONENTS)}; where they interact, the product's:
  {_range(worlds.TURN)}, of either sign
- widths of rise and of fall: {_range(worlds.WIDTHS)} dex (of a step: {worlds.STEP_WIDTH:g}); plateau between them:
  {_range(worlds.GAP)} dex
- height of the plateau: {_range(worlds.PLATEAU)}; guessing: {_range(worlds.GUESSING)}; a floor, where there is one:
  {_range(worlds.FLOOR)} of the way from guessing to the plateau
- deviation of difficulty between questions, in standard normal deviates: {_range(worlds.DIFFICULTY)}

{textwrap.fill(PAPER, 120)}

A world is drawn again when a collapse lies outside the doses (or, where the kind asks for it, when none or all do)."""


def _kind_line(i: int, kind: Kind) -> str:
    usual = Kind("")
    paper = ("seeds", "grid", "sizes", "budgets", "chance")
    changed = [
        field.name
        for field in fields(Kind)
        if field.name not in ("name", "regular")
        and getattr(kind, field.name) != getattr(usual, field.name)
        and (kind.grid != "paper" or field.name in paper)
    ]
    words = "; ".join(_says(kind, name) for name in changed) or "as above"
    return f"- {i} · **{kind.name}**{'' if kind.regular else ' (hard)'}: {words}"


LAWS = {
    "power": "collapses follow a power law of size and tokens",
    "product": "the exponent of size changes with the log of the tokens",
    "turns": "the exponent of size is negative at some token counts and positive at others",
    "none": "nothing ever collapses",
    "half": "sizes above the middle never collapse",
}
GRIDS = {
    "even": "every size at every token count, with the same doses",
    "uneven": "each size has its own token counts and its own doses",
    "ladder": f"each size has {worlds.LADDER} tokens a parameter",
    "paper": "the paper's setting",
}


SHAPES: dict[worlds.Shape, str] = {
    "trapezoid": "a trapezoid's",
    "logistic": "a logistic curve",
    "gompertz": "a Gompertz curve",
    "step": "a step",
    "error function": "the error function",
    "bump": "one side of a normal density, of which the rise of recall is the other",
}


def _says(kind: Kind, name: str) -> str:
    """What one field of a kind says, in words."""
    texts = {
        "shape": f"a fall shaped like {SHAPES[kind.shape]}",
        "sizes": f"{kind.sizes} sizes",
        "budgets": _count(kind.budgets, "token count"),
        "seeds": _count(kind.seeds, "seed"),
        "probes": f"{f'{kind.probes:,}' if kind.probes else _range(worlds.PROBES)} questions a run",
        "law": LAWS[kind.law],
        "late": f"recall may collapse up to {kind.late:g} dex beyond the doses"
        if kind.late
        else "every collapse within the doses",
        "spread": f"seeds deviate by {_range(kind.spread)}",
        "knots": f"each seed moves the collapse by {kind.knots:g} dex"
        if kind.knots
        else "seeds do not move the collapse",
        "scatter": f"collapses scatter about the law by {kind.scatter:g} dex"
        if kind.scatter
        else "no scatter about the law",
        "floors": "falls end above guessing" if kind.floors else "falls end at guessing",
        "gap": f"a plateau of {_range(worlds.GAP) if kind.gap is None else f'{kind.gap:g}'} dex",
        "bimodal": "each run collapses wholly or not at all" if kind.bimodal else "runs of one dose fall alike",
        "chance": "the table says what guessing gives" if kind.chance else "the table does not say what guessing gives",
        "grid": GRIDS[kind.grid],
    }
    return texts[name]


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
