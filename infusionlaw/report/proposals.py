"""The runs of a study to train next, and what became of results, as plain text for the terminal."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from infusionlaw.law.design.next_runs import next_runs
from infusionlaw.law.numbers import aligned, amount, number
from infusionlaw.report.power import next_text
from infusionlaw.study.proposals import Proposal, Proposals
from infusionlaw.study.study import Study
from infusionlaw.study.telling import Told

SHOWN = 12  # ids of runs that are named


def proposals_text(study: Study, found: Proposals) -> str:
    """A row for each run to train next, those of a grid that are not worth it, or what else to do."""
    again = f"infusionlaw run {study.folder / 'study.toml'} --out {study.folder}"
    if found.predict_first:
        return f"The held-out runs come next, when their prediction is written; write it: {again}"
    if not found.runs and not found.left:
        rows = study.table
        more = f"\n{next_text(next_runs(rows))}" if rows else ""
        return f"Every run of the study has its result; go on: {again}{more}"
    lines = []
    if found.runs:
        head = ("run", "size", "tokens", "dose", "seed", "FLOPs", "why")
        lines += ["Runs to train next, the cheapest first:", aligned([head, *map(_cells, found.runs)])]
    if found.left:
        whys = Counter(proposal.why for proposal in found.left)
        reasons = ", ".join(f"{count} {why}" for why, count in whys.items())
        lines.append(
            f"Not worth their {sum(each.flops for each in found.left):.2g} FLOPs now: {len(found.left)} more runs of "
            f"the grid ({reasons}). `run` waits for them all the same; to fit without them: infusionlaw table "
            f"{study.folder} runs.csv, then infusionlaw fit runs.csv"
        )
    return "\n".join(lines)


def _cells(proposal: Proposal) -> tuple[str, ...]:
    spec = proposal.spec
    dose = amount(spec.dose, spec.unit) if spec.dose else "none"
    counts = number(spec.size), number(spec.tokens)
    return spec.id, *counts, dose, str(spec.seed), f"{proposal.flops:.2g}", proposal.why


def told_text(folder: Path, told: Told) -> str:
    """What was written of results, and which runs still have none."""
    parts = [
        f"{count} {what}"
        for count, what in (
            (len(told.new), "new"),
            (len(told.more), "changed or completed"),
            (len(told.same), "as they were told before"),
        )
        if count
    ]
    lines = [f"results of {len(told.new) + len(told.more) + len(told.same)} runs: {', '.join(parts) or 'none'}"]
    if told.missing:
        lines.append(f"{_count(told.missing)} still without a result: {_listed(told.missing)}")
    lines.append(f"next: infusionlaw ask {folder}")
    return "\n".join(lines)


def _count(runs: Sequence[str]) -> str:
    return "1 run is" if len(runs) == 1 else f"{len(runs)} runs are"


def _listed(runs: Sequence[str]) -> str:
    return ", ".join(runs[:SHOWN]) + (f" and {len(runs) - SHOWN} more" if len(runs) > SHOWN else "")
