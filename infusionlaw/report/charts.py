"""The figures of a page as Plotly specs: plain JSON that `assets/page.js` draws in the colours of the page.

A colour is "--name" or "--name/0.2", a colour of the page's stylesheet and its opacity, so that a figure follows a dark
scheme. Every text is escaped, because Plotly reads tags. Doses lie at their law coordinate and dose 0 at the left edge.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from infusionlaw.law.dose import SAME_DOSE, Interval, Scale
from infusionlaw.law.numbers import DOSE_WORDS, amount, bracket, listed, number, stated
from infusionlaw.law.planning.compare import ComparedPoint, Comparison
from infusionlaw.law.plot import DoseAxis, coordinate, dose_axis
from infusionlaw.law.points.point import Kind, Point
from infusionlaw.law.scaling.law import Law, law_band
from infusionlaw.report.plotdata import Mark, Panel, Series, by_tokens, spread_out
from infusionlaw.runs.outcomes import Outcome, kind_named, outcome_of
from infusionlaw.runs.record import DoseUnit

Spec = dict[str, Any]
# Blue to orange at one lightness: told apart on white and on black, and by readers with any colour vision.
RAMP = ((74, 127, 214), (38, 160, 152), (140, 165, 60), (217, 130, 42))
ROW, ROOM, LEGEND_LINE = 210, 90, 22  # pixels: a row of panels, room for axis and title, a line of the legend
BAND_SIZES, MOST_BANDS, SPAN = 24, 3, 1.5
MOST_SETS = 6  # token counts with figures of their own
DASHED, ASIDE = "dash", 1.04


@dataclass(frozen=True)
class Chart:
    """A figure: its Plotly data and layout, its height in pixels, and what its marks mean."""

    spec: Spec
    height: int
    caption: str


def plain(text: str) -> str:
    """Text as Plotly shows it letter by letter."""
    return escape(text, quote=False)


def shades(count: int) -> list[str]:
    """Colours for things in an order, such as sizes."""
    at = np.linspace(0, len(RAMP) - 1, count) if count > 1 else np.zeros(count)
    mixed = [np.interp(at, range(len(RAMP)), [colour[i] for colour in RAMP]).round().astype(int) for i in range(3)]
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in zip(*mixed, strict=True)]


def dose_response_charts(panels: Sequence[Panel]) -> list[Chart]:
    """The scores from 0 to 1 by dose: a figure a token count, a row an outcome, a colour a size."""
    scored = [outcome for outcome in _outcomes(panels) if outcome.scale == "proportion"]
    return [
        _rows_by_dose(members, measured, tokens, _size_colours(panels))
        for members, tokens in _sets(panels)
        if (measured := [o for o in scored if any(panel.scores[o.name].x for panel in members)])
    ]


def loss_charts(panels: Sequence[Panel]) -> list[Chart]:
    """The losses by dose: a figure a token count, a row a loss, a colour a size."""
    losses = [outcome for outcome in _outcomes(panels) if outcome.scale != "proportion"]
    return [
        _rows_by_dose(members, measured, tokens, _size_colours(panels))
        for members, tokens in _sets(panels)
        if (measured := [o for o in losses if any(panel.scores[o.name].x for panel in members)])
    ]


def _outcomes(panels: Sequence[Panel]) -> tuple[Outcome, ...]:
    return panels[0].outcomes if panels else ()


def _sets(panels: Sequence[Panel]) -> Iterator[tuple[list[Panel], str]]:
    """Panels of one token count each, at most MOST_SETS of them, and which count that is, in words."""
    sets = by_tokens(panels)
    most = min(MOST_SETS, len(sets))
    chosen: list[int] = np.unique(np.linspace(0, len(sets) - 1, most).round().astype(int)).tolist()
    some = "" if len(sets) == len(chosen) else f" ({len(chosen)} of {len(sets)} are shown)"
    for i in chosen:
        yield sets[i], f" Token count: {number(sets[i][0].tokens)}{some}." if len(sets) > 1 else ""


def _rows_by_dose(
    members: Sequence[Panel], measured: Sequence[Outcome], tokens: str, colours: dict[float, str]
) -> Chart:
    """The curves of some outcomes over the dose, each in a row of its own."""
    drawn = spread_out(members)
    axis = dose_axis([x for panel in drawn for o in measured for x in panel.scores[o.name].x], drawn[0].unit, 0.09)
    data: list[Spec] = []
    layout: Spec = {"xaxis": _dose_ticks(axis, f"y{len(measured)}" if len(measured) > 1 else "y"), "shapes": []}
    for i, outcome in enumerate(measured):
        where = "y" if i == 0 else f"y{i + 1}"
        own = [trace for panel in drawn for trace in _curve(panel, outcome, axis, colours[panel.size], legend=i == 0)]
        data += [trace | {"yaxis": where} for trace in own]
        layout[f"yaxis{where[1:]}"] = _row_axis(outcome, i, len(measured), drawn[0].loss_unit)
    if axis.zero is not None:
        middle = (axis.zero + axis.low) / 2
        layout["shapes"] = [_vertical(middle, "--quiet", dash="dot")]
    if any(outcome.scale != "proportion" for outcome in measured):
        layout["margin"] = {"l": 78}  # for titles of two lines
    height = ROW * len(measured) + ROOM + LEGEND_LINE * -(-len(drawn) // 4)
    return Chart({"data": data, "layout": layout}, height, _caption(members, drawn, measured, tokens))


def _caption(members: Sequence[Panel], drawn: Sequence[Panel], measured: Sequence[Outcome], tokens: str) -> str:
    names = listed([outcome.title for outcome in measured])
    which = "" if len(drawn) == len(members) else f", {len(drawn)} of {len(members)} sizes, spread out"
    parts = [f"{names[0].upper()}{names[1:]} by dose, one colour for each size{which}.{tokens}"]
    known = any(half for panel in drawn for outcome in measured for half in panel.scores[outcome.name].half)
    parts += [f" Dots are means over seeds{', with 90 % intervals' if known else ''}."]
    parts += [" Lines of recall are the fitted shapes."] * any(panel.line[0] for panel in drawn)
    found = {mark.kind for panel in drawn for mark in panel.marks if mark.x.value is not None}
    kinds = [kind_named(kind).title for o in measured for kind in (p.name for p in o.points) if kind in found]
    parts += [f" Diamonds: {listed(kinds)}, with 90 % intervals."] * bool(kinds)
    parts += [" Dashed: held out."] * any(panel.held_out for panel in drawn)
    parts += [" Dose 0 stands left of the dotted line."] * any(-np.inf in s.x for p in drawn for s in p.scores.values())
    return "".join(parts)


def _row_axis(outcome: Outcome, row: int, rows: int, loss_unit: str) -> Spec:
    top = 1 - row / rows
    bottom = 1 - (row + 1) / rows + (0.05 if row < rows - 1 else 0)
    title = plain(outcome.title)
    if outcome.scale != "proportion":
        title = f"{title}<br>{plain(loss_unit)}"
    spec: Spec = {"domain": [bottom, top], "title": {"text": title}}
    return spec | ({"range": [-0.03, 1.03], "dtick": 0.2} if outcome.scale == "proportion" else {})


def _curve(panel: Panel, outcome: Outcome, axis: DoseAxis, colour: str, legend: bool) -> Iterator[Spec]:
    """The traces of one size: means with intervals, the fitted shape, seeds, and the points on it."""
    series = panel.scores[outcome.name]
    name = number(panel.size) + (" (held out)" if panel.held_out else "")
    base: Spec = {"legendgroup": name, "name": name, "showlegend": False}
    dash = DASHED if panel.held_out else "solid"
    shape = panel.line if outcome.name == "recall" and panel.line[0] else None
    if outcome.name == "recall" and len(panel.seeds) > len(series.x):
        x, y = axis.place([x for x, _ in panel.seeds]), [y for _, y in panel.seeds]
        yield _dots(base, x, y, f"{colour}59", 4) | {"hoverinfo": "skip"}
    if shape:
        line = {"color": colour, "width": 2, "dash": dash}
        yield base | _xy(*shape) | {"mode": "lines", "line": line, "hoverinfo": "skip"}
    if not series.x:
        if legend:  # so that the size can be switched off in the other rows
            yield base | _xy([None], [None]) | {"mode": "lines", "line": {"color": colour}, "showlegend": True}
        return
    x = axis.place(series.x)
    told = [
        plain(f"{name}, {_dose_text(at, axis.unit)}: {outcome.title} {mean:.3g}")
        for at, mean in zip(series.x, series.mean, strict=True)
    ]
    line = {"color": colour, "width": 1.5, "dash": dash}
    yield {
        **base,
        **_xy(_broken(x, series), _broken(series.mean, series)),
        "mode": "markers" if shape else "lines+markers",
        "line": line,
        "marker": {"color": colour, "size": 6, "symbol": "circle-open" if panel.held_out else "circle"},
        "error_y": {"array": _rounded(_broken(series.half, series)), "color": colour, "thickness": 1, "width": 0},
        "text": _broken(told, series),
        "hoverinfo": "text",
        "showlegend": legend,
    }
    yield from _marks_on(panel, outcome, series, axis, colour, base)


def _broken(values: Sequence[Any], series: Series) -> list[Any]:
    """Values of a series with a gap behind dose 0, so that no line joins it to the rest."""
    apart = sum(x == -np.inf for x in series.x)
    return [*values[:apart], *([None] if apart else []), *values[apart:]]


def _marks_on(
    panel: Panel, outcome: Outcome, series: Series, axis: DoseAxis, colour: str, base: Spec
) -> Iterator[Spec]:
    """The located points of an outcome's curve, as diamonds on it."""
    above = [(x, y) for x, y in zip(series.x, series.mean, strict=True) if np.isfinite(x)]
    for kind in (point.name for point in outcome.points):
        mark = panel.mark(kind)
        if mark is None or mark.x.value is None or not above:
            continue
        line = panel.line if outcome.name == "recall" and panel.line[0] else tuple(zip(*above, strict=True))
        y = float(np.interp(mark.x.value, *line))
        where = bracket(mark.x, lambda x: _dose_text(x, axis.unit))
        text = plain(f"{kind_named(kind).title} at {number(panel.size)}: {where}")
        yield {
            **base,
            **_xy([mark.x.value], [y]),
            "mode": "markers",
            "marker": {"color": "--paper", "size": 9, "symbol": "diamond", "line": {"color": colour, "width": 2}},
            "error_x": _bars([mark.x], axis, colour),
            "text": [text],
            "hoverinfo": "text",
        }


def trade_off_charts(panels: Sequence[Panel]) -> list[Chart]:
    """What is gained against what is forgotten, a figure a token count, a colour a size, a dot a dose."""
    found = []
    for members, tokens in _sets(panels):
        drawn = spread_out(members)
        colours, data, names = _size_colours(panels), [], ("", "")
        for panel in drawn:
            if (points := _trade_off(panel)) is None:
                continue
            names, x, y, doses = points
            name = number(panel.size) + (" (held out)" if panel.held_out else "")
            told = [
                plain(f"{name}, {_dose_text(at, panel.unit)}: {names[1]} {b:.3g}, {names[0]} {a:.3g}")
                for at, a, b in zip(doses, x, y, strict=True)
            ]
            line = {"color": colours[panel.size], "width": 1.5, "dash": DASHED if panel.held_out else "solid"}
            marker = {"color": colours[panel.size], "size": 6}
            data.append(
                _xy(x, y)
                | {"mode": "lines+markers", "name": name, "line": line, "marker": marker}
                | {"text": told, "hoverinfo": "text"}
            )
        if not data:
            continue
        layout = {"xaxis": {"title": {"text": plain(names[0])}}, "yaxis": {"title": {"text": plain(names[1])}}}
        caption = (
            "What each dose buys and what it costs: one line for each size and one dot for each dose, from dose 0 at "
            f"the left. A dot higher up has learned more, a dot further right has forgotten more.{tokens}"
        )
        height = 320 + LEGEND_LINE * -(-len(data) // 4)
        found.append(Chart({"data": data, "layout": layout}, height, caption))
    return found


def _trade_off(panel: Panel) -> tuple[tuple[str, str], list[float], list[float], list[float]] | None:
    """The names of loss and gain, both by dose, and the doses; None where one of them was not measured.

    What is forgotten is the rise of a loss over dose 0, else the fall of a score that can be lost.
    """
    known = [outcome for outcome in panel.outcomes if panel.scores[outcome.name].x]
    gained = next((o for o in known if o.point("learned")), None)
    lost = next((o for o in known if o.point("risen")), None)
    lost = lost or next((o for o in known if o.point("lost") and o is not gained), None)
    if gained is None or lost is None:
        return None
    gain, loss = panel.scores[gained.name], panel.scores[lost.name]
    if loss.x[0] != -np.inf:
        return None
    pairs = [
        (x, a, b)
        for x, b in zip(gain.x, gain.mean, strict=True)
        for at, a in zip(loss.x, loss.mean, strict=True)
        if x == at or abs(x - at) <= SAME_DOSE
    ]
    if len(pairs) < 2:
        return None
    sign, word = (1, "rise") if lost.point("risen") else (-1, "fall")
    unit = "" if lost.scale == "proportion" else f", {panel.loss_unit}"
    doses, forgotten, learned = zip(*((x, sign * (a - loss.mean[0]), b) for x, a, b in pairs), strict=True)
    return (f"{word} of {lost.title} over dose 0{unit}", gained.title), [*forgotten], [*learned], [*doses]


def law_charts(law: Law, points: Sequence[Point], comparison: Comparison | None = None) -> list[Chart]:
    """Points against size with the law's band, a figure a kind of point, a colour a token count."""
    charts = []
    for kind in law.kind_names:
        compared = comparison.of(kind) if comparison else []
        mine = [point for point in points if point.kind == kind and not point.held_out and point.x != Interval()]
        if mine:
            charts.append(_law_chart(law, kind, mine, compared))
    return charts


def _law_chart(law: Law, kind: Kind, points: Sequence[Point], compared: Sequence[ComparedPoint]) -> Chart:
    counts = sorted({p.tokens for p in points} | {row.tokens for row in compared})
    colours = dict(zip(counts, shades(len(counts)), strict=True))
    fitted = bool(law.of(kind).forms)
    shown = sorted({law.token_counts[i] for i in (0, len(law.token_counts) // 2, -1)}) if fitted else []
    sizes = [*law.sizes, *(row.size for row in compared)]
    band_sizes = np.geomspace(min(sizes) / 1.25, max(sizes) * 1.25, BAND_SIZES)
    data: list[Spec] = []
    ends = _all_ends([*(p.x for p in points), *(_in_x(row, side) for row in compared for side in (True, False))])
    for tokens in [*shown, *(t for t in counts if fitted and len(shown) < MOST_BANDS and t not in shown)]:
        band = law_band(law, kind, tokens, band_sizes)
        if band:
            colour = colours.get(tokens, "--quiet")
            low, median, high = (coordinate(end, law.unit) for end in (band.low, band.median, band.high))
            ends += [median[0], median[-1]]
            group: Spec = {"legendgroup": str(tokens), "showlegend": False, "hoverinfo": "skip", "mode": "lines"}
            tint = f"{colour}2e" if colour.startswith("#") else f"{colour}/0.18"
            around = _xy([*band.sizes, *band.sizes[::-1]], [*low, *high[::-1]])
            data.append(group | around | {"fill": "toself", "fillcolor": tint, "line": {"width": 0}})
            data.append(group | _xy(band.sizes, median) | {"line": {"color": colour, "width": 2}})
    axis = _axis_of(ends, law.unit)
    for tokens in counts:
        mine = [Mark(kind, p.size, p.x, p.status) for p in points if p.tokens == tokens]
        group = {"legendgroup": str(tokens), "name": stated(tokens, "{} tokens") or "points"}
        data += _spots(mine, axis, colours[tokens], "circle", "", group)
        held = [row for row in compared if row.tokens == tokens]
        predicted = [Mark(kind, row.size / ASIDE, _in_x(row, predicted=True), "found") for row in held]
        observed = [Mark(kind, row.size * ASIDE, _in_x(row, predicted=False), row.status) for row in held]
        for what, marks, symbol, colour in (
            ("predicted", predicted, "line-ew-open", colours[tokens]),
            ("observed, held out", observed, "diamond", "--ink"),
        ):
            look = {"legendgroup": str(tokens), "name": f"{what}{stated(tokens, ', {} tokens')}"}
            data += _spots(marks, axis, colour, symbol, what, look)
    title = kind_named(kind).title
    layout = {
        "title": {"text": plain(title if fitted else f"{title}: no law")},
        "xaxis": {"type": "log", "title": {"text": "size, non-embedding parameters"}} | _size_ticks(sizes),
        "yaxis": _ticks(axis) | {"title": {"text": DOSE_WORDS[law.unit].axis}, "range": [axis.low, axis.high]},
    }
    parts = [f"{title[0].upper()}{title[1:]} against size, one colour for each token count, with 90 % intervals."]
    parts += [" Lines are the law's medians, bands its 90 % intervals for a new model."] * fitted
    parts += [" Triangles are bounds: the point lies somewhere that way."] * any(p.x.value is None for p in points)
    parts += [" Flat marks were predicted, diamonds are what the held-out models showed."] * bool(compared)
    return Chart({"data": data, "layout": layout}, 340 + 2 * LEGEND_LINE * bool(compared), "".join(parts))


def _in_x(row: ComparedPoint, predicted: bool) -> Interval:
    where = row.predicted if predicted else row.observed
    return where.map(lambda dose: coordinate(dose, row.unit)[0])


def _all_ends(places: Sequence[Interval]) -> list[float]:
    return [end for x in places for end in (x.value, x.low, x.high) if end is not None]


def _axis_of(ends: Sequence[float], unit: DoseUnit) -> DoseAxis:
    """An axis that holds the ends, but no further than SPAN dex beyond the middle half of them."""
    low, high = np.quantile(ends, [0.25, 0.75])
    kept = [float(np.clip(end, low - SPAN, high + SPAN)) for end in ends]
    middle = (min(kept) + max(kept)) / 2
    return dose_axis([*kept, middle - 0.3, middle + 0.3], unit, 0.08)


def _spots(marks: Sequence[Mark], axis: DoseAxis, colour: str, symbol: str, what: str, group: Spec) -> list[Spec]:
    """Marks by size with their intervals; those without a value are triangles that point to where it lies."""
    traces = []
    located = [mark for mark in marks if mark.x.value is not None]
    if located:
        error = _bars([mark.x for mark in located], axis, colour)
        text = [_spot_text(mark, axis.unit, what) for mark in located]
        marker = {"color": colour, "size": 8, "symbol": symbol, "line": {"color": colour, "width": 2}}
        traces.append(
            group
            | _xy([mark.size for mark in located], [mark.x.value for mark in located])
            | {"mode": "markers", "marker": marker, "error_y": error, "text": text, "hoverinfo": "text"}
        )
    bounds = [(mark, end) for mark in marks if mark.x.value is None and (end := _end(mark.x)) is not None]
    if bounds:
        shapes = [f"triangle-{'up' if mark.x.low is not None else 'down'}-open" for mark, _ in bounds]
        at = _xy([mark.size for mark, _ in bounds], [min(max(end, axis.low), axis.high) for _, end in bounds])
        text = [_spot_text(mark, axis.unit, what) for mark, _ in bounds]
        look = {"marker": {"color": colour, "size": 9, "symbol": shapes}, "showlegend": not located}
        traces.append(group | at | look | {"mode": "markers", "text": text, "hoverinfo": "text"})
    return traces


def _end(x: Interval) -> float | None:
    """The end of a place without a value that the data set."""
    return x.low if x.low is not None else x.high


def _spot_text(mark: Mark, unit: DoseUnit, what: str) -> str:
    where = bracket(mark.x, lambda x: _dose_text(x, unit))
    return plain(f"{number(mark.size)}{f', {what}' if what else ''}: {where}")


def prediction_chart(comparison: Comparison) -> Chart | None:
    """Predicted against observed points of the held-out runs; None where none has both."""
    rows = [row for row in comparison.points if row.predicted.value is not None and row.observed.value is not None]
    if not rows:
        return None
    unit = rows[0].unit
    both = [(_in_x(row, True), _in_x(row, False)) for row in rows]
    axis = _axis_of(_all_ends([x for pair in both for x in pair]), unit)
    data: list[Spec] = [
        _xy([axis.low, axis.high], [axis.low, axis.high])
        | {"mode": "lines", "line": {"color": "--quiet", "dash": "dot"}, "hoverinfo": "skip", "showlegend": False}
    ]
    for kind in dict.fromkeys(row.kind for row in rows):
        mine = [(row, *pair) for row, pair in zip(rows, both, strict=True) if row.kind == kind]
        colour = f"--{outcome_of(kind).colour}" if kind_named(kind).change != "learned" else "--quiet"
        text = [
            plain(f"{number(row.size)}{stated(row.tokens, ' at {} tokens')}: {_held(row, True)}, {_held(row, False)}")
            for row, _, _ in mine
        ]
        data.append(
            _xy([x.value for _, x, _ in mine], [y.value for _, _, y in mine])
            | {"mode": "markers", "name": plain(kind_named(kind).title), "text": text, "hoverinfo": "text"}
            | {"marker": {"color": colour, "size": 8}}
            | {"error_x": _bars([x for _, x, _ in mine], axis, colour)}
            | {"error_y": _bars([y for _, _, y in mine], axis, colour)}
        )
    ticks = _ticks(axis) | {"range": [axis.low, axis.high]}
    layout = {
        "xaxis": ticks | {"title": {"text": f"predicted {unit}"}},
        "yaxis": ticks | {"title": {"text": f"observed {unit}"}},
    }
    caption = "Held-out points: observed against predicted, with 90 % intervals. On the dotted line they are the same."
    return Chart({"data": data, "layout": layout}, 400, caption)


def _held(row: ComparedPoint, predicted: bool) -> str:
    show = DOSE_WORDS[row.unit].show
    return f"{'predicted' if predicted else 'observed'} {bracket(row.predicted if predicted else row.observed, show)}"


def _size_colours(panels: Sequence[Panel]) -> dict[float, str]:
    sizes = sorted({panel.size for panel in panels})
    return dict(zip(sizes, shades(len(sizes)), strict=True))


def _size_ticks(sizes: Sequence[float]) -> Spec:
    ticks: list[float] = []
    apart = np.log(max(sizes) / min(sizes)) / 6
    for size in sorted(set(sizes)):
        ticks += [size] if not ticks or np.log(size / ticks[-1]) >= apart else []
    return {"tickvals": ticks, "ticktext": [number(size) for size in ticks]}


def _ticks(axis: DoseAxis) -> Spec:
    return {"tickvals": [round(x, 4) for x, _ in axis.ticks], "ticktext": [text for _, text in axis.ticks]}


def _dose_ticks(axis: DoseAxis, anchor: str) -> Spec:
    spec = _ticks(axis) | {"title": {"text": f"{DOSE_WORDS[axis.unit].axis} (log scale)"}, "anchor": anchor}
    if axis.zero is None:
        return spec | {"range": [axis.low, axis.high]}
    room = 0.06 * (axis.high - axis.low)
    spec["tickvals"], spec["ticktext"] = [round(axis.zero, 4), *spec["tickvals"]], ["0", *spec["ticktext"]]
    return spec | {"range": [axis.zero - room, axis.high]}


def _dose_text(x: float, unit: DoseUnit) -> str:
    """A dose in words: "a share of 0.30"."""
    return "dose 0" if x == -np.inf else amount(float(Scale(unit).dose(x)), unit)


def _bars(places: Sequence[Interval], axis: DoseAxis, colour: str) -> Spec:
    """Error bars of places; an open end runs to the edge of the axis."""
    above = [max((axis.high if x.high is None else min(x.high, axis.high)) - (x.value or 0.0), 0.0) for x in places]
    below = [max((x.value or 0.0) - (axis.low if x.low is None else max(x.low, axis.low)), 0.0) for x in places]
    look: Spec = {"color": colour, "thickness": 1.5, "width": 0, "symmetric": False}
    return look | {"array": _rounded(above), "arrayminus": _rounded(below)}


def _dots(base: Spec, x: Sequence[float], y: Sequence[float], colour: str, size: int) -> Spec:
    return base | _xy(x, y) | {"mode": "markers", "marker": {"color": colour, "size": size}}


def _vertical(x: float, colour: str, dash: str = "solid") -> Spec:
    line = {"color": colour, "width": 1, "dash": dash}
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _xy(x: Sequence[Any] | Any, y: Sequence[Any] | Any) -> Spec:
    return {"x": _rounded(x), "y": _rounded(y)}


def _rounded(values: Sequence[Any]) -> list[Any]:
    """To what a picture shows, which keeps pages small; nothing for what is not finite."""
    return [None if value is None or not np.isfinite(value) else float(f"{value:.5g}") for value in values]
