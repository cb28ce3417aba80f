"""What is said of the checkpoints that a study's runs begin from: which law follows, and what a dose changes of them.

Two baselines count: the start, and dose 0, which is trained on the general text alone.
"""

from collections.abc import Sequence

from infusionlaw.law.dose import Interval, Scale
from infusionlaw.law.losses.measured import title_of
from infusionlaw.law.numbers import DOSE_WORDS, listed, number, share
from infusionlaw.law.planning.forecast import ADVISED, Forecast
from infusionlaw.law.planning.plan import Plan
from infusionlaw.report.plotdata import Panel
from infusionlaw.runs.outcomes import LOSSES, is_loss, measure_of, outcome_named
from infusionlaw.settings import StudyFile

HEAD = "change since the start"


def start_text(file: StudyFile) -> str:
    """Which law the runs of a study from checkpoints lead to; "" where they begin from scratch."""
    if file.start is None:
        return ""
    sizes = [number(size) for size in sorted(file.design.sizes)]
    counts = [number(tokens) for tokens in sorted(set(file.design.tokens))]
    held = file.held_out.checkpoint if file.held_out else None
    beyond = f"; the runs from {held} are predicted first" if held else ""
    if len(sizes) > 1:
        return f"The law is over sizes: a family of {len(sizes)} starts ({listed(sizes)} parameters){beyond}."
    if len(counts) > 1:
        return (
            f"The law is over tokens: one start ({sizes[0]} parameters) and {len(counts)} token counts "
            f"({listed(counts)}){beyond}. It says nothing of other sizes; for that, give [[start.family]]."
        )
    return (
        f"One start ({sizes[0]} parameters) and one token count{beyond}: the points are of this place alone. Add token "
        "counts in [design], or starts in [[start.family]], for a law."
    )


def change_sentences(plan: Plan) -> list[str]:
    """What the advised dose changes against the start, and what general text alone does; none without a start."""
    found = {forecast.name: forecast for forecast in plan.forecast}
    advised, without = found.get(ADVISED), found.get("no dose")
    alone = "The general text alone (dose 0) does this: {}."
    if advised is None or not advised.changes:
        return [alone.format(_both_sides(without))] if without and without.changes else []
    unit = next(unit for unit in plan.units if advised.in_unit(unit) is not None)
    dose = DOSE_WORDS[unit].said.format(DOSE_WORDS[unit].show(advised.in_unit(unit) or 0.0))
    said = [f"Give {dose}: against the checkpoint that training starts from, {_both_sides(advised)}."]
    if without is not None and without.changes:
        said.append(alone.format(_both_sides(without)))
    return said


def _both_sides(forecast: Forecast) -> str:
    """`recall rises by 0.12, while retention falls by 0.02`: the domain first. Single files are left to tables."""
    known = {name: x.value for name, x in forecast.changes.items() if x.value is not None}
    known = {name: value for name, value in known.items() if ":" not in name} or known
    sides = [[_moved(name, value) for name, value in known.items() if _of_domain(name) is of] for of in (True, False)]
    return ", while ".join(listed(side) for side in sides if side)


def _of_domain(name: str) -> bool:
    """Whether an outcome or a loss is of what the dose teaches."""
    return measure_of(name) in LOSSES if is_loss(name) else outcome_named(name).point("learned") is not None


def _moved(name: str, change: float) -> str:
    shown = _form(name).format(change)
    if not float(shown):
        return f"{_title(name)} stays as it is"
    return f"{_title(name)} {'rises' if change > 0 else 'falls'} by {shown[1:]}"


def changes_text(plan: Plan, of_domain: bool) -> str:
    """How the outcomes and losses of the domain, or those of general text, change at the advised dose; "" without a
    start."""
    advised = next((forecast for forecast in plan.forecast if forecast.name == ADVISED), None)
    known = advised.changes if advised else {}
    told = [
        f"{_title(name)} {_signed(name, change)}"
        for name, change in known.items()
        if change.value is not None and _of_domain(name) is of_domain
    ]
    return f"Against the start: {', '.join(told)}." if told else ""


def _title(name: str) -> str:
    return title_of(name) if is_loss(name) else outcome_named(name).title


def _form(name: str) -> str:
    return "{:+.3f}" if is_loss(name) else "{:+.2f}"


def change_table(plan: Plan) -> list[tuple[str, ...]]:
    """A head and a row a dose: how each outcome changes against the start, with 90 % intervals; none without one."""
    told = [forecast for forecast in plan.forecast if forecast.changes]
    names = list(dict.fromkeys(name for forecast in told for name in forecast.changes))
    rows = [
        (
            forecast.name,
            "-" if forecast.share is None else share(forecast.share),
            *(_signed(name, forecast.changes.get(name, Interval())) for name in names),
        )
        for forecast in told
    ]
    return [(HEAD, "share", *map(_title, names)), *rows] if rows else []


def _signed(name: str, change: Interval) -> str:
    if change.value is None:
        return "-"
    value, low, high = (
        "open" if end is None else _form(name).format(end) for end in (change.value, change.low, change.high)
    )
    return f"{value} [{low}, {high}]"


def measured_changes(panels: Sequence[Panel]) -> list[tuple[str, ...]]:
    """A head and a row a size, token count and dose: what the runs there changed against their start, in the mean."""
    told = [panel for panel in panels if panel.starts]
    names = list(dict.fromkeys(name for panel in told for name in panel.starts if panel.scores[name].x))
    rows = [
        (
            f"{number(panel.size)}{' (held out)' if panel.held_out else ''}",
            number(panel.tokens),
            DOSE_WORDS[panel.unit].show(float(Scale(panel.unit).dose(x))),
            *(_mean_change(panel, name, x) for name in names),
        )
        for panel in told
        for x in sorted({x for name in names for x in panel.scores[name].x})
    ]
    return [("start", "tokens", "dose", *map(_title, names)), *rows] if rows else []


def _mean_change(panel: Panel, name: str, x: float) -> str:
    series, start = panel.scores[name], panel.starts.get(name)
    if start is None or x not in series.x:
        return "-"
    return _form(name).format(series.mean[series.x.index(x)] - start)
