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
from infusionlaw.law.numbers import number

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
    judged = [own for own in tallies.values() if POINTS_HOLD.met(own) is not None]
    failing = sum(POINTS_HOLD.met(own) is False or PREDICTIONS_HOLD.met(own) is False for own in judged)
    never = next((own for kind in KINDS if kind.law == "half" and (own := tallies.get(kind.name))), None)
    lines = (
        _believed("Points", "points", where, count.points.coverage, count.points.intervals),
        _believed(
            "Predictions",
            "predictions for which our law and every baseline give an interval",
            where,
            ours.coverage if ours else None,
            count.targets.compared,
        ),
        f"In {failing} of {len(judged)} kinds of world, the intervals of points or of predictions hold the truth in "
        f"less than {_percent(LEAST)} or more than {_percent(MOST)}. Look up the kind that is like your study.",
        *([_carried_on(never)] if never and never.never.predicted else []),
        "These are simulated worlds. How the intervals did on our own runs is in [real runs](real-runs.md).",
    )
    return "\n\n".join(textwrap.fill(line, 120) for line in lines)


def _carried_on(own: Tally) -> str:
    return (
        f"**A law does not see that larger models stop collapsing.** Where sizes above the middle never collapse, it "
        f"still gives a place, or a bound, in {own.never.predicted} of {own.never.studies} studies."
    )


def _believed(what: str, whose: str, where: str, coverage: Rate | None, count: int) -> str:
    if coverage is None:
        return f"**{what}: these studies cannot tell.** They give nothing to judge by."
    held, verdict = coverage[0], "yes"
    if held < LEAST:
        verdict = "no, the intervals are too narrow"
    elif held > MOST:
        verdict = "yes, but the intervals are wider than they need be"
    return (
        f"**{what}: {verdict}.** In {where} the 90 % intervals hold the truth in {_percent(held, 1)} of {count:,} "
        f"{whose}."
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
    return f"""Regular kinds are smooth falls from a plateau, whose collapses follow a power law.
Hard kinds are unlikely by what the method believes at the outset, or impossible. A row
leaves out kinds without such points or predictions. Below, ✓ marks a goal that is met, and ✗ one that is missed.

Measured on {studies:,} simulated studies on {source.date} by

    {source.command}

The benchmark's seed is {source.seed}. The hash of the law half and of the simulated worlds is {source.code}.
Versions: {"; ".join(source.versions)}.
{chosen}"""


POINTS_WORDS = f"""\
Points are the collapses of recall and of retention at every size and token count ([words](concepts.md#words)).
Distances are in dex: 0.3 is a factor of 2 in the odds of the share, or in exposures.
- **intervals**: points with at least one end; a missing end reaches to infinity. Curves that never collapse have a
  table of their own, the last.
- **hold**: how often the interval holds the truth, with its standard error. Goal: {LEAST:.2f} to {MOST:.2f}.
- **valued**: of collapses between the first dose and the last, the share that get a value.
- **bias**: median of value minus truth. **distance**: median of |value − truth|. **late**: share of values above the
  truth. These three count every point with a value.
- **width**: median width of the interval, in dex; `open` where the typical interval lacks an end."""

ERRORS_WORDS = f"""\
There is one target a study: a model {worlds.MORE_SIZE:g} times the largest, trained on {worlds.MORE_TOKENS:g} times the
most tokens. Where one token count was tried, the tokens stay the same. A ladder keeps its tokens a parameter. The
paper's setting goes to {number(worlds.PAPER_TARGET)}. Three baselines find points of their own and carry them to the
same target by least squares. **trapezoid** is where a fitted trapezoid begins to fall. **drop** is the dose where the
score first lies {_percent(DROP)} below its best, which is a later place on the curve. **argmax** is the dose of the
best score, which is an earlier one: the dose that a person would take from the table.
- **refused**: our law gives no closed interval. **no baseline**: it does, and a baseline does not.
- **compared**: our law and every baseline give an interval. The other columns count these.
- **distance**: median of |value − truth|. Goal: no larger than the best baseline's. **bias**: median of value minus
  truth."""

INTERVALS_WORDS = f"""\
These are the predictions compared above.
- **hold**: how often the 90 % interval holds the truth. Goal for ours: {LEAST:.2f} to {MOST:.2f}.
- **score**: mean interval score, the width plus {MISS:.0f} times the distance of a miss. Goal: ours is the lowest.
- **width**: median, in dex."""

NEVER_WORDS = f"""\
In some kinds a score stays up at every dose, everywhere or at some sizes.
- **false finds**: such curves where a collapse is found all the same. Goal: at most {_percent(FALSE)}.
- **predicted**: studies whose law gives an interval, or one end of one, for a collapse that never happens. No goal."""


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

    headings = ["studies", "intervals", "hold", "valued", "bias", "distance", "late", "width"]
    return _kinds_table(headings, tallies, row)


def _errors_table(tallies: Mapping[str, Tally]) -> str:
    def row(own: Tally) -> list[str]:
        t = own.targets
        errors = [_dex(t.by[name].error) if t.by else "–" for name in METHODS]
        signed = [_dex(t.by[name].signed, sign=True) if t.by else "–" for name in METHODS]
        errors[0] = _mark(errors[0], NEARER.met(own))
        return [*map(str, (t.asked, t.refused, t.alone, t.compared)), *errors, *signed]

    return _kinds_table(
        ["predictions", "refused", "no baseline", "compared", *_of_each("distance"), *_of_each("bias")], tallies, row
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
    return (
        _kinds_table(["curves", "false finds", "predicted"], never, row)
        if never
        else "These studies have no such kind."
    )


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
    f"The paper's setting follows arXiv 2509.19371, whose scores are not public, so that the scores here are ours. It "
    f"has sizes of {_listed(worlds.PAPER_SIZES)} parameters, {number(worlds.PAPER_TOKENS)} tokens, "
    f"and exposures of {_listed(worlds.PAPER_EXPOSURES)}; the target is {number(worlds.PAPER_TARGET)} parameters. Its "
    f"plateaus are at {_range(worlds.PAPER_PLATEAU)}, its floors at {_range(worlds.PAPER_FLOOR)}, its falls "
    f"{_range(worlds.PAPER_FALL)} dex wide. It asks {_range(worlds.PAPER_PROBES)} questions a run. The "
    f"standard deviation between seeds is {_range(worlds.PAPER_SPREAD)}."
)


def _worlds_words() -> str:
    """How worlds are drawn, from the very numbers that they are drawn with."""
    kinds = "\n".join(f"{_kind_line(i, kind)}" for i, kind in enumerate(KINDS))
    usual = "; ".join(_says(Kind(""), field.name) for field in fields(Kind) if field.name not in ("name", "regular"))
    shares = "\n".join(f"  - {', '.join(f'{share:g}' for share in grid)}" for grid in worlds.SHARES)
    late = next(i for i, kind in enumerate(KINDS) if kind.late)
    turns = next(i for i, kind in enumerate(KINDS) if kind.law == "turns")
    return f"""Each study is one world of one kind. Its runs are simulated: the expected score at a dose, the seed's own
deviation, then each question right or wrong. The truth is where a fall begins: where its tangent at half height meets
the plateau, or the height of a bump's top. Unless its line says otherwise, a kind has:

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
- spread of difficulty between questions, in probit units: {_range(worlds.DIFFICULTY)}

{textwrap.fill(PAPER, 120)}

A world is drawn again when a collapse lies outside the doses or near their ends. Kind {late}: when none or all
collapses of recall lie beyond them. Kind {turns}: unless the exponent goes from below −0.2 to above 0.2."""


def _kind_line(i: int, kind: Kind) -> str:
    usual = Kind("")
    paper = ("seeds", "grid", "sizes", "token_counts", "chance")
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
    "paper": "the paper's setting, and all that is said of it below",
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
        "token_counts": _count(kind.token_counts, "token count"),
        "seeds": _count(kind.seeds, "seed"),
        "probes": f"{f'{kind.probes:,}' if kind.probes else _range(worlds.PROBES)} questions a run",
        "law": LAWS[kind.law],
        "late": f"recall may collapse up to {kind.late:g} dex beyond the doses"
        if kind.late
        else "every collapse within the doses",
        "spread": f"a standard deviation between seeds of {_range(kind.spread)}",
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
