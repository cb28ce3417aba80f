"""The power of a study's or a table's design, and the runs to add to a table, as plain text for the terminal."""

from collections.abc import Sequence

from infusionlaw.law.design.bought import Bought
from infusionlaw.law.design.next_runs import NextRun
from infusionlaw.law.design.power import Power, TruePlace, power
from infusionlaw.law.numbers import DOSE_WORDS, aligned, amount, number, stated
from infusionlaw.runs.record import UNSTATED, Estimate
from infusionlaw.settings import StudyFile
from infusionlaw.study.design import grid, held_out
from infusionlaw.study.search import most_runs, opening


def study_power(file: StudyFile, estimates: Sequence[Estimate] = ()) -> Power:
    """The power of a study file's design. `estimates` (of a dry run) tell the shares of a design in exposures.

    A domain subject is taken to have one fact of each relation that the file lists, and one when it lists none. Of a
    search it is the power of the grid that spreads the most runs of a curve evenly over the doses it starts from.
    """
    file = evenly(file) if file.design.design == "search" else file
    runs = [*grid(file, ""), *held_out(file, "")]  # no corpus is needed for this
    facts = file.facts.domain * max(1, len(file.facts.relations))
    lengths = [run.share * run.tokens / (run.exposures * facts) for run in estimates if run.exposures]
    return power(runs, facts, lengths[0] if lengths else None)


def evenly(file: StudyFile) -> StudyFile:
    """A search as the grid of its first doses that takes as many runs of a curve as the search may, or a few fewer."""
    doses = {0.0, *file.design.shares, *file.design.exposures}
    seeds = tuple(range(1, 1 + most_runs(file) // len(doses)))
    return file.model_copy(update={"design": file.design.model_copy(update={"design": "grid", "seeds": seeds})})


def search_text(file: StudyFile) -> str:
    """What a search takes: it cannot know before it is run."""
    start = len(opening(file, "")) // len(file.design.places)
    return (
        f"A search: every curve (one size and token count) starts with {start} runs or fewer and takes "
        f"{most_runs(file)} at most; it is over when its collapse is known to {file.search.width:g} dex either way, "
        "or is not in range. What follows is for those most runs spread evenly over the doses it starts from, which a "
        "search improves on."
    )


def most_minutes(file: StudyFile, estimates: Sequence[Estimate]) -> float:
    """Minutes of a search whose every curve takes the most runs, by the estimates of a dry run; held-out runs too."""
    fitted, held = ([run for run in estimates if run.held_out is is_held] for is_held in (False, True))
    share = most_runs(file) * len({(run.size, run.tokens) for run in fitted}) / len(fitted)
    seconds = (sum(run.seconds / run.processes for run in runs) for runs in (fitted, held))
    return (share * next(seconds) + next(seconds)) / 60


def power_text(power: Power) -> str:
    """A row for each place, what the law would say, and the warnings, one a line."""
    header = (power.unit, "found", "half-width", "error")
    rows = [header, *(_cells(place, power) for place in power.places)]
    lines = [
        "Power, by simulation: if recall collapsed at a dose, in how many curves would that be found, how precisely?",
        "It is assumed that models of these sizes learn the domain at these token counts.",
        aligned(rows),
        f"Where nothing collapses, a collapse is claimed in {_of(power.claimed, power)}.",
    ]
    if power.exponent is not None:
        lines.append(f"The exponent of the size is expected to have a 90 % interval {power.exponent:.2f} wide.")
    for reach in power.reaches:
        if reach.width is not None:
            target = f"{number(reach.size)} parameters{stated(reach.tokens, ' and {} tokens')}"
            lines.append(f"The collapse predicted at {target} is expected to be {_dex(reach.width)} wide.")
    return "\n".join([*lines, *(f"Warning: {warning}." for warning in power.warnings)])


def _cells(place: TruePlace, power: Power) -> tuple[str, ...]:
    dose = DOSE_WORDS[power.unit].show(place.dose)
    half_width = "open" if place.half_width is None and place.found else _dex(place.half_width)
    return (dose, _of(place.found, power), half_width, _dex(place.error))


def _of(part: float, power: Power) -> str:
    return f"{round(part * power.curves)} of {power.curves}"


def _dex(width: float | None) -> str:
    return "-" if width is None else f"{width:.2f} dex"


def bought_text(designs: Sequence[Bought]) -> str:
    """What a table's design can tell as it is and with more runs, a row each."""
    place = designs[0].power.places[0]
    at = amount(place.dose, designs[0].power.unit)
    targets = [f"{number(reach.size)}{stated(reach.tokens, ' at {}')}" for reach in designs[0].power.reaches]
    head = ("design", "runs", "FLOPs", "found", "half-width", "error", *(f"width at {target}" for target in targets))
    rows = [
        (
            each.name,
            str(each.runs),
            _flops(each.flops, each.tokens),
            *_cells(each.power.places[0], each.power)[1:],
            *(_dex(reach.width) for reach in each.power.reaches),
        )
        for each in designs
    ]
    return "\n".join(
        [
            f"By simulation, with collapses at {at}, where this table's lie: in how many curves would they be found?",
            aligned([head, *rows]),
            "half-width: of a point's 90 % interval; width: of the whole interval predicted for a larger model",
        ]
    )


def _flops(flops: float, tokens: float) -> str:
    """Floating-point operations; "-" where nobody states the token count that they are for."""
    return "-" if tokens == UNSTATED else f"{flops:.2g}"


def next_text(runs: Sequence[NextRun]) -> str:
    """The runs to add to a table, a row each, those that save most first."""
    if not runs:
        return "No run to add: no curve has a score, such as recall or retention, that falls or could (not a loss)."
    head = ("point", "size", "tokens", "dose", "error now", "with it", "FLOPs", "saved", "why")
    rows = [
        (
            run.kind,
            number(run.size),
            stated(run.tokens) or "-",
            amount(run.dose, run.unit),
            f"{run.sd[0]:.2f} dex",
            f"{run.sd[1]:.2f} dex",
            _flops(run.flops, run.tokens),
            _flops(run.saved, run.tokens) if run.saved else "-",
            run.why,
        )
        for run in runs
    ]
    return "\n".join(
        [
            "Runs to add, those that save most first:",
            aligned([head, *rows]),
            "saved: FLOPs beyond these that runs spread over the table's own doses would take to tell as much",
        ]
    )
