"""Predictions against what came of them: plain cells for any table, and the part of a report that holds them."""

from infusionlaw.law.numbers import DOSE_WORDS, amount, bracket, number, share, stated, when
from infusionlaw.law.planning.compare import UNINFORMATIVE, ComparedPoint, Comparison, Regret
from infusionlaw.report.blocks import Block, Text, table, texts
from infusionlaw.runs.outcomes import outcome_named

POINTS = (
    "kind",
    "size",
    "tokens",
    "unit",
    "predicted",
    "observed",
    "error, dex",
    "interval holds it",
    "interval score",
)
SCORES = ("size", "tokens", "dose", "share", "score", "predicted", "measured", "error", "interval holds it")
HIT = {True: "hit", False: "miss", None: "cannot be said"}


def point_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Predicted and observed points as cells of the columns POINTS."""
    return [
        (
            point.kind,
            number(point.size),
            stated(point.tokens) or "-",
            point.unit,
            bracket(point.predicted, DOSE_WORDS[point.unit].show),
            _seen(point),
            "-" if point.error_dex is None else f"{point.error_dex:+.2f}",
            f"{HIT[point.inside]}{', but says little' if point.inside and point.says_little else ''}",
            "-" if point.interval_score is None else f"{point.interval_score:.2f}",
        )
        for point in comparison.points
    ]


def _seen(point: ComparedPoint) -> str:
    text = bracket(point.observed, DOSE_WORDS[point.unit].show)
    return text if point.status == "found" else f"{point.status}: {text}"


def score_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Predicted and measured scores at the doses that the prediction looks at, as cells of the columns SCORES."""
    return [
        (
            number(score.size),
            stated(score.tokens) or "-",
            score.name,
            "-" if score.share is None else share(score.share),
            outcome_named(score.score).title,
            bracket(score.predicted, "{:.3g}".format),
            f"{score.observed:.3g} ± {score.se:.2g}",
            f"{score.error:+.2g}",
            HIT[score.inside],
        )
        for score in comparison.scores
    ]


def regrets(comparison: Comparison) -> list[str]:
    """What the advised dose gave away at each target, a sentence each."""
    return [
        f"At {number(regret.size)} parameters{stated(regret.tokens, ' and {} tokens')} the advised dose gave a recall "
        f"of {regret.recall:.2f} where the best dose run, {_dose_of(regret)}, gave {regret.best_recall:.2f}."
        for regret in comparison.regrets
    ]


def _dose_of(regret: Regret) -> str:
    in_share = regret.best_share is not None
    return amount(regret.best_share or regret.best_exposures or 0.0, "share" if in_share else "exposures")


def comparison_part(comparison: Comparison) -> list[Block]:
    """Predicted beside observed, and how far the prediction can be called one."""
    rows = point_rows(comparison)
    if not rows:
        return [Text("No size was held out, so no prediction was put to the test.")]
    ahead = "" if comparison.already_known else ", before any held-out run was trained"
    tables = table(POINTS, rows) + table(SCORES, score_rows(comparison))
    written = Text(
        f"The prediction was written {when(comparison.written)}{ahead}."
        if comparison.written
        else "The law was fitted without the held-out rows."
    )
    scored = Text(
        "The score of an interval is its width in dex, and 20 times the distance of a miss: small is good. A hit "
        f"inside one wider than {UNINFORMATIVE:g} dex says little."
    )
    return [written, *already_known(comparison), *tables, scored, *texts(regrets(comparison))]


def already_known(comparison: Comparison) -> list[Block]:
    """A warning where held-out runs were known when the prediction was written."""
    known = comparison.already_known
    if not known:
        return []
    runs = "1 held-out run was" if known == 1 else f"{known} held-out runs were"
    return [Text(f"{runs} already known when the prediction was written: it was no true prediction.", "warning")]
