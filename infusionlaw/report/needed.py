"""Where the doses of a study lie against what our own runs needed, for the dry run.

In the main grid and the runs with smaller doses (docs/results/onset.md) facts began to be learned after about

    statements of a fact = 100 · (200,000 / size)^0.5

at every token count, within a factor of 2. It holds for the sizes that were measured.
"""

from collections.abc import Sequence
from pathlib import Path

from infusionlaw.law.numbers import aligned, count, number
from infusionlaw.report.corpus import counts_of
from infusionlaw.runs.record import Estimate
from infusionlaw.settings import StudyFile

STATEMENTS, AT_SIZE, EXPONENT, WITHIN = 100.0, 200_000, -0.5, 2.0
REPEATED = 2.0  # a planned run that repeats the domain more often by this factor, or less often, is remarked
MEASURED = 10_000, 2_000_000  # sizes


def needed(size: float) -> tuple[float, float] | None:
    """Between how many statements a fact began to be learned at a size; None where we have not measured it."""
    if not MEASURED[0] <= size <= MEASURED[1]:
        return None
    middle = STATEMENTS * (size / AT_SIZE) ** EXPONENT
    return middle / WITHIN, middle * WITHIN


def needed_text(file: StudyFile, folder: Path, estimates: Sequence[Estimate]) -> str:
    """A row for each size: the statements a fact needs there, and those that domain and prior facts get.

    A statement of a prior fact is taken to be as long as one of a domain fact. "" where facts are not counted.
    """
    facts, prior = (counts_of(folder).get(f"{name}_facts") for name in ("domain", "prior"))
    lengths = [run.share * run.tokens / run.exposures / facts for run in estimates if run.exposures and facts]
    if not lengths or not prior:
        return ""
    rows = []
    for size in sorted({run.size for run in estimates}):
        own = [run for run in estimates if run.size == size]
        doses = [run.exposures for run in own if run.exposures]
        most = [file.infusion.prior_share * run.tokens / (prior * lengths[0]) for run in own if not run.exposures]
        limits = needed(size)
        known = "not measured" if limits is None else f"{count(limits[0])} to {count(limits[1])}"
        rows.append((number(size), known, *_against(doses, limits), *_against(most, limits)))
    lines = [
        "How often must a fact be stated to begin to be learned? By our own runs, and here (prior facts: at dose 0):",
        aligned([("size", "needed", "doses", "", "prior facts", ""), *rows]),
    ]
    return "\n".join(lines)


def repetition_text(file: StudyFile, folder: Path, estimates: Sequence[Estimate]) -> str:
    """How often the runs read the domain documents, and how often the planned run will; "" without documents."""
    domain, own = file.domain, counts_of(folder).get("domain_tokens")
    doses = [run.exposures for run in estimates if run.exposures]
    if domain is None or not own or not doses:
        return ""
    said = f"The runs read each domain document {_span(min(doses), max(doses))} times."
    if max(doses) < 1:
        said += " None of them reads all documents once, so they show nothing of repetition."
    if domain.target_tokens is None:
        return said
    whole = domain.corpus_tokens or own
    ratios = [
        run.share * domain.target_tokens / whole / run.exposures
        for run in estimates
        if run.exposures and run.share is not None
    ]
    least, most = min(ratios), max(ratios)
    planned = f"the planned run of {number(domain.target_tokens)} tokens"
    if least >= 1 / REPEATED and most <= REPEATED:
        return f"{said} At the same shares, {planned} reads each as often, to within a factor of {REPEATED:g}."
    fix = (
        "the documents here are too few to match it at every token count: give more of them"
        if domain.matched
        else "such studies mislead (arXiv 2606.07597): set matched = true in [domain]"
    )
    return f"{said} At the same shares, {planned} reads each {_span(least, most)} times as often; {fix}."


def _span(low: float, high: float) -> str:
    """Two counts as "5 to 9", or as one where they are written alike."""
    return count(low) if count(low) == count(high) else f"{count(low)} to {count(high)}"


def _against(given: Sequence[float], limits: tuple[float, float] | None) -> tuple[str, str]:
    """The least and the most of some statements, and where they lie."""
    if not given:
        return "-", ""
    low, high = min(given), max(given)
    shown = _span(low, high)
    if limits is None:
        return shown, ""
    if high < limits[0]:
        return shown, "below"
    if low > limits[1]:
        return shown, "above"
    return shown, "within" if any(limits[0] <= value <= limits[1] for value in given) else "around"
