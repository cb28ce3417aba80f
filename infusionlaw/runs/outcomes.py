"""Outcomes: what is measured of a run, and the points that its curve over the dose can have.

An outcome is one entry of `OUTCOMES`. Tables, points, laws, plans, reports and figures iterate over the entries, so a
new outcome, such as the accuracy of a multiple-choice file, is one more entry and nothing else:

    OUTCOMES["medqa"] = Outcome("medqa", "MedQA accuracy", points=(PointKind("medqa", "lost", "collapse of MedQA"),))

Packages add theirs by the entry point group `infusionlaw.outcomes`, each an `Outcome`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Literal

from infusionlaw.errors import InputError

Change = Literal["learned", "lost", "risen"]


@dataclass(frozen=True)
class PointKind:
    """A kind of point on the curve of an outcome.

    name: as in points.json. change: `learned`, where a score rises from guessing; `lost`, where it falls from its
    plateau; `risen`, where a loss lies a tolerance above dose 0. title: the point in words. sentence: what happens at
    the point, to be followed by a dose; below, beyond: what a dose short of the point, and one beyond it, would do.
    """

    name: str
    change: Change
    title: str
    sentence: str = ""
    below: str = ""
    beyond: str = ""


@dataclass(frozen=True)
class Outcome:
    """What is measured of a run: the column `name` of a table, and `name` + "_se" for its standard error.

    scale: `proportion`, a score from 0 to 1, or `bits per byte`. guessing: the level of a model that knows nothing;
    "stated": the table's `unseen_recall` or `chance`; None: unknown. questions_from_facts: whether it is asked of the
    infused facts, so that the table's `facts` say how many questions there are. colour: its name in a figure's palette.
    """

    name: str
    title: str
    scale: Literal["proportion", "bits per byte"] = "proportion"
    guessing: Literal["stated"] | float | None = None
    points: tuple[PointKind, ...] = ()
    questions_from_facts: bool = False
    colour: str = "other"

    def point(self, change: Change) -> PointKind | None:
        """The kind of point of a change; None where the outcome has none."""
        return next((kind for kind in self.points if kind.change == change), None)


ACQUISITION = PointKind(
    "acquisition",
    "learned",
    "acquisition of recall",
    "the facts are learned from",
    "the facts would not be learned",
    "the facts would be learned",
)
COLLAPSE = PointKind(
    "collapse",
    "lost",
    "collapse of recall",
    "recall collapses beyond",
    "recall would not collapse",
    "recall would collapse",
)
RETENTION = PointKind(
    "retention",
    "lost",
    "collapse of retention",
    "prior facts are lost beyond",
    "prior facts would not be lost",
    "prior facts would be lost",
)
TOLERANCE = PointKind(
    "tolerance",
    "risen",
    "rise of validation loss",
    "validation loss has risen by the tolerance at",
    "validation loss would stay within the tolerance",
    "validation loss would rise beyond the tolerance",
)
OUTCOMES: dict[str, Outcome] = {
    outcome.name: outcome
    for outcome in (
        Outcome(
            "recall",
            "recall",
            guessing="stated",
            points=(ACQUISITION, COLLAPSE),
            questions_from_facts=True,
            colour="recall",
        ),
        Outcome("retention", "retention", guessing="stated", points=(RETENTION,), colour="retention"),
        Outcome("val_bpb", "validation loss", "bits per byte", points=(TOLERANCE,), colour="ink"),
        Outcome("verbatim_recall", "verbatim recall", colour="surface"),
    )
}


# Losses beside the one of general text. That of one source of text is NAME:SOURCE, as in val_bpb:wiki.
LOSSES = ("domain_loss", "answer_loss")
# Scores of one file of questions, as in accuracy:medqa: accuracy, and accuracy by likelihood per byte.
ACCURACIES = ("accuracy", "accuracy_norm")


@cache
def _from_packages() -> dict[str, Outcome]:
    """The outcomes that installed packages bring. Raises InputError where one takes a name that is taken."""
    names, points = set(OUTCOMES), {kind.name for outcome in OUTCOMES.values() for kind in outcome.points}
    found: dict[str, Outcome] = {}
    for entry in entry_points(group="infusionlaw.outcomes"):
        outcome: Outcome = entry.load()
        own = {kind.name for kind in outcome.points}
        if outcome.name in names or own & points:
            raise InputError(
                f'the outcome "{outcome.name}" of {entry.value} has the name of another, or a point of it; '
                "rename it, or uninstall its package"
            )
        names, points = names | {outcome.name}, points | own
        found[outcome.name] = outcome
    return found


def outcomes() -> Iterator[Outcome]:
    """Every outcome, those of this package first."""
    yield from OUTCOMES.values()
    yield from _from_packages().values()


def outcome_named(name: str) -> Outcome:
    """The outcome of a column. Raises KeyError where there is none."""
    return OUTCOMES[name] if name in OUTCOMES else _from_packages()[name]


def scale_of(name: str) -> str | None:
    """The scale of the outcome of that name; None where there is none."""
    outcome = OUTCOMES.get(name) or _from_packages().get(name)
    return outcome.scale if outcome else None


def outcomes_with_points() -> list[Outcome]:
    """The outcomes that can have points."""
    return [outcome for outcome in outcomes() if outcome.points]


def kinds() -> tuple[str, ...]:
    """The names of all kinds of points, in the order in which they are shown."""
    return tuple(kind.name for outcome in outcomes() for kind in outcome.points)


def outcome_of(kind: str) -> Outcome:
    """The outcome that has a kind of point. Raises KeyError for a kind there is none of."""
    for outcome in outcomes():
        if any(point.name == kind for point in outcome.points):
            return outcome
    raise KeyError(kind)


def kind_named(name: str) -> PointKind:
    """A kind of point by its name. Raises KeyError for a kind there is none of."""
    return next(kind for kind in outcome_of(name).points if kind.name == name)


def measure_of(column: str) -> str:
    """What a column measures: recall of `start_recall`, val_bpb of `val_bpb:wiki_se`."""
    return column.removesuffix("_se").removeprefix("start_").partition(":")[0]


def is_loss(column: str) -> bool:
    """Whether a column holds a loss, of a run or of its start, or the standard error of one."""
    measure = measure_of(column)
    return measure in LOSSES or scale_of(measure) == "bits per byte"
