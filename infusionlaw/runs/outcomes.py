"""Outcomes: what is measured of a run, and the points that its curve over the dose can have.

An outcome is one entry of `OUTCOMES`. Tables, points, laws, plans, reports and figures iterate over the entries, so a
new outcome, such as the accuracy of a multiple-choice file, is one more entry and nothing else:

    OUTCOMES["medqa"] = Outcome("medqa", "MedQA accuracy", points=(PointKind("medqa", "lost", "collapse of MedQA"),))

Packages add theirs by the entry point group `infusionlaw.outcomes`, each an `Outcome`.

A score of one file of questions is named NAME:FILE, as in `recall:medqa` and `retention:quiz`. It is an outcome like
NAME, with points of its own (`collapse:medqa`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from typing import Literal

from infusionlaw.errors import InputError
from infusionlaw.runs.record import RunRecord

Change = Literal["learned", "lost", "risen", "fallen"]


@dataclass(frozen=True)
class PointKind:
    """A kind of point on the curve of an outcome.

    name: as in points.json. change: `learned`, where a score rises from guessing; `lost`, where it falls from its
    plateau; `risen`, where a loss lies a tolerance above the start or dose 0; `fallen`, where a score lies a tolerance
    below the start. title: the point in words. sentence: what happens at the point, to be followed by a dose; below,
    beyond: what a dose short of the point, and one beyond it, would do.
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
    "recall leaves guessing from",
    "recall would stay at guessing",
    "recall would leave guessing",
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
    "retention collapses beyond",
    "retention would not collapse",
    "retention would collapse",
)
FORGETTING = PointKind(
    "forgetting",
    "fallen",
    "fall of retention below the start",
    "retention has fallen below the start by the tolerance at",
    "retention would stay within the tolerance of the start",
    "retention would fall below the start by more than the tolerance",
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
        Outcome("retention", "retention", guessing="stated", points=(RETENTION, FORGETTING), colour="retention"),
        Outcome("val_bpb", "validation loss", "bits per byte", points=(TOLERANCE,), colour="ink"),
        Outcome("verbatim_recall", "verbatim recall", colour="surface"),
    )
}


# Losses beside the one of general text. That of one source of text is NAME:SOURCE, as in val_bpb:wiki.
LOSSES = ("domain_loss", "answer_loss")
ACCURACY_OF = {"domain": "recall", "general": "retention"}  # what accuracy on a file of questions is, by its role
# Other scores of one file of questions, which have no points: accuracy of a role that nobody states, as in
# accuracy:medqa, and accuracy by likelihood per byte.
BY_BYTE = "accuracy_norm"
ACCURACIES = ("accuracy", BY_BYTE)


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
    """The outcome of a column, which may be one of a file of questions. Raises KeyError where there is none."""
    whole, colon, file = name.partition(":")
    outcome = OUTCOMES[whole] if whole in OUTCOMES else _from_packages()[whole]
    return _of_file(outcome, file) if colon else outcome


def _of_file(outcome: Outcome, file: str) -> Outcome:
    """The same outcome, of one file of questions."""
    title = f"{outcome.title} on {file}"

    def own(text: str) -> str:
        return text.replace(outcome.title, title)

    kinds = (
        PointKind(f"{kind.name}:{file}", kind.change, *map(own, (kind.title, kind.sentence, kind.below, kind.beyond)))
        for kind in outcome.points
    )
    return replace(outcome, name=f"{outcome.name}:{file}", title=title, points=tuple(kinds), questions_from_facts=False)


def scale_of(name: str) -> str | None:
    """The scale of the outcome of that name; None where there is none."""
    outcome = OUTCOMES.get(name) or _from_packages().get(name)
    return outcome.scale if outcome else None


def outcomes_of(rows: Sequence[RunRecord]) -> list[Outcome]:
    """The outcomes of a table: all that have a name, then the scores of single files of questions.

    A file that is the only one of all, so that its score is that of all, is none.
    """
    measured = dict.fromkeys(name for row in rows for name, _ in row.more if not name.endswith("_se"))
    of_files = [name for name in measured if scale_of(name.partition(":")[0]) == "proportion" and ":" in name]
    return [*outcomes(), *(outcome_named(name) for name in of_files if not is_of_all(rows, name))]


def is_of_all(rows: Sequence[RunRecord], column: str) -> bool:
    """Whether a column is of the only source, or file, of all: in every row the same as the one without its name."""
    whole, colon, _ = column.partition(":")
    return bool(colon) and all(row.score(column) == row.score(whole) for row in rows)


def outcomes_with_points(rows: Sequence[RunRecord]) -> list[Outcome]:
    """The outcomes of a table that can have points."""
    return [outcome for outcome in outcomes_of(rows) if outcome.points]


def kinds() -> tuple[str, ...]:
    """The names of all kinds of points, in the order in which they are shown: those against a start last."""
    every = [kind for outcome in outcomes() for kind in outcome.points]
    return tuple(kind.name for kind in sorted(every, key=lambda kind: kind.change == "fallen"))


def kinds_of(rows: Sequence[RunRecord]) -> list[str]:
    """The kinds of points that a table can have, in order; against a start only where the table has its scores."""
    found = [
        kind.name
        for outcome in outcomes_with_points(rows)
        for kind in outcome.points
        if kind.change != "fallen" or any(row.start(outcome.name) is not None for row in rows)
    ]
    return sorted(found, key=order_of)


def order_of(kind: str) -> tuple[str, int]:
    """What kinds of points are sorted by: those of single files of questions last."""
    whole, _, file = kind.partition(":")
    return file, kinds().index(whole)


def outcome_of(kind: str) -> Outcome:
    """The outcome that has a kind of point. Raises KeyError for a kind there is none of."""
    whole, colon, file = kind.partition(":")
    for outcome in outcomes():
        if any(point.name == whole for point in outcome.points):
            return _of_file(outcome, file) if colon else outcome
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
