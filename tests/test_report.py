"""The report of whole studies made by a lab that simulates instead of training."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from infusionlaw.chain import run_study
from infusionlaw.files import write_json
from infusionlaw.law.simulate import TrueLaw, World, simulate
from infusionlaw.records import Estimate, Prepared, Progress, RunRecord, RunSpec
from infusionlaw.studyfile import StudyFile

STUDY = """
name = "cities <script>alert(1)</script>"
[design]
sizes = {sizes}
budgets = {budgets}
{doses}
seeds = [1, 2]
{held_out}
[law]
draws = 60
"""
SHARES = "shares = [0.1, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98]"


class SimulatedLab:
    """A lab whose runs come from a simulated world; some of them can diverge."""

    def __init__(self, world: World, diverging: int = 0) -> None:
        self.world, self.diverging = world, diverging

    def prepare(self, study: StudyFile, folder: Path) -> Prepared:
        counts = {
            "facts_available": 900,
            "facts_left_out": {"the answer shows in the subject": 12},
            "domain_facts": self.world.facts,
            "documents_that_state_a_domain_fact": 37,
            "training_documents": 5000,
            "training_tokens": 4_000_000,
        }
        write_json(folder / "corpus" / "corpus.json", {"id": "abc", "counts": counts})
        fact = {"subject": "<b>Lyon</b>", "relation": "in", "object": "France", "subject_type": "city"}
        forms = {"name": "in", "statements": ["{subject} is in {object}."], "questions": ["Where is {subject}? {object}."]}
        write_json(folder / "corpus" / "knowledge.json", {"facts": {"domain": [fact]}, "templates": {"in": forms}})
        return Prepared("abc", self.world.facts, self.world.tokens_per_fact, counts)

    def check(self, folder: Path, specs: Sequence[RunSpec]) -> list[tuple[int, int]]:
        return [(spec.size, spec.tokens) for spec in specs]

    def estimate(self, study: StudyFile, folder: Path, specs: Sequence[RunSpec]) -> list[Estimate]:
        return []

    def execute(
        self,
        study: StudyFile,
        folder: Path,
        specs: Sequence[RunSpec],
        on_progress: Callable[[Progress], None],
    ) -> Iterator[RunRecord]:
        for number, spec in enumerate(specs):
            once = self.world.facts * self.world.tokens_per_fact
            share = spec.dose if spec.unit == "share" else spec.dose * once / spec.tokens
            rng = np.random.default_rng([spec.size, spec.tokens, spec.seed, int(1e4 * share)])
            (row,), _ = simulate(self.world, [spec.size], [spec.tokens], [share], 1, rng)
            row = replace(row, run=spec.id, seed=spec.seed, surface_recall=1.0, held_out=spec.held_out)
            if number < self.diverging:
                row = replace(row, status="diverged", recall=None, retention=None, general_loss=None)
            domain = int(spec.tokens * share)
            tokens = {"all": spec.tokens, "domain": domain, "prior": 100, "general": spec.tokens - domain - 100}
            stated = [{"subject": "<b>Lyon</b>", "relation": "in", "exposures": int(row.exposures or 0) + i} for i in (0, 1)]
            ledger = {"tokens": tokens, "general_passes": 0.5, "domain": {"exposures": stated}}
            write_json(folder / "runs" / spec.id / "ledger.json", ledger)
            write_json(folder / "runs" / spec.id / "record.json", asdict(row))
            yield row


def make_study(
    folder: Path,
    world: World | None = None,
    *,
    sizes: Sequence[int] = (14_000, 28_000, 55_000),
    budgets: Sequence[int] = (1_500_000,),
    doses: str = SHARES,
    held_out: Sequence[int] = (110_000,),
    diverging: int = 0,
) -> Path:
    """A finished study of a simulated world, by the real chain."""
    held = f"[held_out]\nsizes = {list(held_out)}" if held_out else ""
    text = STUDY.format(sizes=list(sizes), budgets=list(budgets), doses=doses, held_out=held)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "source.toml").write_text(text)
    run_study(folder / "source.toml", folder, SimulatedLab(world or World(), diverging))
    return folder
