"""Where recall leaves guessing in models that have left it at the main grid's smallest dose."""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.markdown import table
from benchmarks.results.grid import Grid, cell
from infusionlaw.law.dose import Interval, log_odds
from infusionlaw.law.numbers import bracket, number, share
from infusionlaw.law.planning.compare import ComparedPoint
from infusionlaw.law.planning.rules import HUBBLE
from infusionlaw.law.points.find import find_points
from infusionlaw.law.points.point import Point
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.runs.record import RunRecord

HEAD = """The larger models have left guessing at the main grid's smallest dose, so that the acquisition of most was
only bounded. These are runs at smaller ones, up to {largest:g} (`studies/onset.toml`; one seed, on a CPU), beside what
the main grid's law says of the same places. Of the {bounded} that it knew by a bound alone {found} were found: {inside}
within its interval, {below} below it, {above} above; with the error of what was found combined, {agreeing} agree."""

LAW = """With these points the odds of the share at acquisition go as size to the power of {size} and token count to the
power of {tokens} by the power law in size and token count (before: {size_before} and {tokens_before}). A token count
to the power of -1 is the same number of statements of a fact at every token count.

Published models say something else. In those of Hubble (1B and 8B parameters, 100B to 500B tokens, arXiv 2510.19811)
the statements that a fact needs grow as tokens to the power of {published:.2f}; our own fit of its table says 0.95
([other people's measurements](external.md)). Between 10^7 and 10^12 tokens the two answers differ by {orders:.1f}
orders of magnitude. No study has measured both regimes. A plan beyond 4 times the tokens of these runs therefore
always [states both](concepts.md#published-rules-beside-the-law)."""

DECADES = 5  # from 10^7 to 10^12 tokens
COLUMNS = ("size", "tokens", "main grid", "its law says", "with smaller doses", "statements of a fact there")


def onset(rows: Sequence[RunRecord], main: Grid) -> str:
    """The points of acquisition with `rows` added to those of the main grid; "" without any."""
    if not rows:
        return ""
    places = {(row.size, row.tokens) for row in rows}
    before = {(p.size, p.tokens): p for p in main.fitted if p.kind == "acquisition"}
    now = {(p.size, p.tokens): p for p in _acquisition([*main.fitted_rows, *rows], places)}
    lines, bounded, sides, agreeing = [], 0, [], 0
    for place in sorted(places & before.keys() & now.keys()):
        said, point = main.law.predict_point("acquisition", *place).share, now[place]
        lines.append([*map(number, place), cell(before[place]), bracket(said, share), cell(point), _statements(point)])
        if before[place].status != "found":
            bounded += 1
            sides += _sides(said, point)
            agreeing += _agrees(said, point)
    counts = {side: sides.count(side) for side in ("inside", "below", "above")}
    largest = max(row.share or 0.0 for row in rows)
    head = HEAD.format(largest=largest, bounded=bounded, found=len(sides), agreeing=agreeing, **counts)
    parts = ("## Where facts begin to be learned", head, table(COLUMNS, lines), _law(main, before | now))
    return "\n\n".join(part for part in parts if part)


def _acquisition(rows: Sequence[RunRecord], places: set[tuple[float, float]]) -> list[Point]:
    here = [_recall(row) for row in rows if (row.size, row.tokens) in places]
    return [point for point in find_points(here) if point.kind == "acquisition"]


def _recall(row: RunRecord) -> RunRecord:
    return replace(row, retention=None, val_bpb=None)


def _statements(point: Point) -> str:
    return bracket(point.exposures, number) if point.status == "found" else "–"


def _sides(said: Interval, point: Point) -> list[str]:
    """Where a point's best value lies beside an interval, whatever its own is; nothing where it was not found."""
    value = point.share.value
    if point.status != "found" or value is None:
        return []
    if value < (said.low or 0.0):
        return ["below"]
    return ["above"] if said.high is not None and value > said.high else ["inside"]


def _agrees(said: Interval, point: Point) -> bool:
    """Whether the errors of both together account for the difference; no where it was not found."""
    if point.status != "found" or point.share.value is None or said.value is None:
        return False
    error = float(log_odds(point.share.value) - log_odds(said.value))
    place = (point.kind, point.size, point.tokens)
    return bool(ComparedPoint(*place, "share", said, point.share, point.status, error, None).agrees)


def _law(main: Grid, points: dict[tuple[float, float], Point]) -> str:
    """What its exponents are with these points in place of the grid's own; "" without them."""
    now = fit_law([_recall(row) for row in main.fitted_rows], list(points.values())).of("acquisition")
    exponents: dict[str, str] = {}
    published = HUBBLE.tokens or 0.0
    for name, law in (("", now), ("_before", main.law.of("acquisition"))):
        form = next((each for each in law.forms if each.form.name == "power law in size and token count"), None)
        if form is None:
            return ""
        exponents |= {f"{what}{name}": bracket(form.coefficients[what], "{:.2f}".format) for what in ("size", "tokens")}
    own = now.coefficients["tokens"].value or 0.0  # of the odds of a share; statements go as tokens to one power more
    return LAW.format(**exponents, published=published, orders=DECADES * (published - 1 - own))
