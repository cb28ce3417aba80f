"""Numbers, doses and tables as text for people."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infusionlaw.law.dose import Interval
from infusionlaw.runs.record import UNSTATED, DoseUnit


def number(value: float) -> str:
    """A count for people: 28 000 is "28k", 1 500 000 "1.5M"."""
    value = float(f"{value:.3g}")
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def stated(tokens: float, form: str = "{}") -> str:
    """A token count for people, in a form of words; "" where nobody states it."""
    return "" if tokens == UNSTATED else form.format(number(tokens))


def share(value: float) -> str:
    """A share with two decimals, more only where it is near 0 or 1: 0.87, 0.975, 0.0034, 2e-08."""
    edge = min(value, 1 - value)
    if edge <= 0:
        return f"{value:.0f}"
    if edge < 1e-6:
        return f"{value:.2g}" if value < 0.5 else f"1 - {edge:.2g}"
    decimals = 2 if edge >= 0.05 else min(6, 1 - math.floor(math.log10(edge)))
    text = f"{value:.{decimals}f}"
    return text if decimals == 2 else text.rstrip("0").ljust(4, "0")


def count(value: float) -> str:
    """Exposures or facts to three digits, written out: 340, 2,170, 4.2."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def bracket(interval: Interval, show: Callable[[float], str]) -> str:
    """`value [low, high]`; "above" or "below" for a bound, "open" for an end the data do not set, "-" for nothing."""
    if interval.value is None:
        if interval.low is not None:
            return f"above {show(interval.low)}"
        return f"below {show(interval.high)}" if interval.high is not None else "-"
    low, high = ("open" if end is None else show(end) for end in (interval.low, interval.high))
    return f"{show(interval.value)} [{low}, {high}]"


@dataclass(frozen=True)
class DoseWords:
    """How a dose of one unit is told. show: its number; said: a number in a sentence; given: the same as advice;
    varies: what an exponent multiplies; axis: what an axis of it is called."""

    show: Callable[[float], str]
    said: str
    given: str
    varies: str
    axis: str


DOSE_WORDS: dict[DoseUnit, DoseWords] = {
    "share": DoseWords(share, "a share of {}", "a share of {}", "odds of the share", "share of training tokens"),
    "exposures": DoseWords(count, "{} exposures", "{} exposures of each fact", "exposures", "exposures of each fact"),
    "facts": DoseWords(count, "{} facts", "{} facts", "number of facts", "number of facts"),
}


def amount(value: float, unit: DoseUnit) -> str:
    """A dose without an interval: "a share of 0.87", "340 exposures", "12,000 facts"."""
    words = DOSE_WORDS[unit]
    return words.said.format(words.show(value))


def dose(interval: Interval, unit: DoseUnit) -> str:
    """A dose with its interval in its unit: "a share of 0.87 [0.80, 0.91]", "340 [210, 520] exposures"."""
    words = DOSE_WORDS[unit]
    said = words.said.format(bracket(interval, words.show))
    return said.replace(" of ", " ", 1) if interval.value is None else said  # "a share above 0.9"


def ends(values: Sequence[float]) -> str:
    """The range of some counts: `14k to 56k`, or `14k` where there is one."""
    return " to ".join(dict.fromkeys(number(end) for end in (min(values), max(values))))


def tokens_range(counts: Sequence[float]) -> str:
    """The range of token counts, to follow sizes: `, 1.5M to 6M tokens`; "" where nobody states them."""
    return "" if max(counts) == UNSTATED else f", {ends(counts)} tokens"


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def when(stamp: str) -> str:
    """An ISO time stamp for people."""
    return stamp.replace("T", " ").replace("+00:00", " UTC")


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as left-aligned columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
