"""A lab that measures a simulated world instead of training: quick, deterministic, and able to die on demand."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from infusionlaw.corpus.head import Head
from infusionlaw.files import write_json
from infusionlaw.law.design.simulate import World, simulate
from infusionlaw.runs.record import Estimate, Progress, RunRecord, RunSpec
from infusionlaw.settings import StudyFile, write_template

COUNTS = {
    "facts_available": 900,
    "facts_left_out": {"the answer shows in the subject": 12},
    "documents_that_state_a_domain_fact": 37,
    "training_documents": 5000,
    "training_tokens": 4_000_000,
}
KNOWLEDGE = {
    "facts": {"domain": [{"subject": "<b>Lyon</b>", "relation": "in", "object": "France", "subject_type": "city"}]},
    "templates": {
        "in": {
            "relation": "in",
            "statements": ["{subject} is in {object}."],
            "questions": ["Where is {subject}? {object}."],
        }
    },
}


class Died(Exception):
    """The machine was switched off."""


class FakeLab:
    """A lab of a simulated world.

    `dies_after`: runs before it dies; `diverges`: doses whose runs diverge; `diverging`: how many of the first runs
    diverge; `share_known`: whether records tell share and facts, or exposures only; `log`: what was executed.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        dies_after: int | None = None,
        diverges: Sequence[float] = (),
        diverging: int = 0,
        share_known: bool = True,
    ) -> None:
        self.share_known = share_known
        self.world, self.dies_after, self.diverges, self.diverging = world or World(), dies_after, diverges, diverging
        self.log: list[RunSpec] = []

    def prepare(self, study: StudyFile, folder: Path) -> str:
        write_json(folder / "corpus" / "corpus.json", asdict(Head("", {}, {}, "abc", "", COUNTS)))
        write_json(folder / "corpus" / "knowledge.json", KNOWLEDGE)
        return "abc"

    def check(self, folder: Path, specs: Sequence[RunSpec]) -> list[tuple[int, int]]:
        return [(spec.size, spec.tokens) for spec in specs]

    def estimate(self, study: StudyFile, folder: Path, specs: Sequence[RunSpec]) -> list[Estimate]:
        return [
            Estimate(s.id, s.size, s.size, s.tokens, s.dose, 1.0, s.seed, s.held_out, 10, 2**20, 60.0, 2, 0.5)
            for s in specs
        ]

    def execute(
        self,
        study: StudyFile,
        folder: Path,
        specs: Sequence[RunSpec],
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> Iterator[RunRecord]:
        for spec in specs:
            if self.dies_after is not None and len(self.log) >= self.dies_after:
                raise Died
            record = self._measure(spec)
            on_progress(Progress(spec.id, 10, 10))
            write_json(folder / "runs" / spec.id / "spec.json", asdict(spec))
            write_json(folder / "runs" / spec.id / "ledger.json", ledger(record))
            write_json(folder / "runs" / spec.id / "record.json", asdict(record))
            self.log.append(spec)
            yield record

    def _measure(self, spec: RunSpec) -> RunRecord:
        once = self.world.facts * self.world.tokens_per_fact
        share = spec.dose if spec.unit == "share" else spec.dose * once / spec.tokens
        rng = np.random.default_rng([spec.size, spec.tokens, spec.seed, int(1e4 * share)])
        (row,), _ = simulate(self.world, [spec.size], [spec.tokens], [share], 1, rng)
        row = replace(row, run=spec.id, seed=spec.seed, verbatim_recall=1.0, held_out=spec.held_out)
        if not self.share_known:
            row = replace(row, share=None, facts=None, tokens_per_fact=None)
        if spec.dose in self.diverges or len(self.log) < self.diverging:
            return replace(row, status="diverged", recall=None, retention=None, val_bpb=None)
        return row


def ledger(record: RunRecord) -> dict[str, object]:
    """A ledger that fits a record."""
    domain = int(record.tokens * (record.share or 0))
    tokens = {"all": int(record.tokens), "domain": domain, "prior": 100, "general": int(record.tokens) - domain - 100}
    stated = [{"subject": "<b>Lyon</b>", "relation": "in", "exposures": int(record.exposures or 0) + i} for i in (0, 1)]
    source = {"exposures": stated, "templates": {"in": {"{subject} is in {object}.": 1}}}
    passes = {"general_passes": 0.5, "passes_by_source": {}}
    return {"tokens": tokens, **passes, "domain": source, "prior": source, "documents": None}


def small_study(path: Path) -> Path:
    """The template with fewer sizes, doses, seeds and draws: 24 runs to fit, 6 held out."""
    text = write_template(path).read_text()
    fewer = {"sizes": "[14_000, 28_000]", "shares": "[0.1, 0.35, 0.75, 0.9, 0.97]", "seeds": "[1, 2]", "draws": "100"}
    for key, value in fewer.items():
        text = re.sub(rf"(?m)^{key} = .*", f"{key} = {value}", text, count=1)
    path.write_text(text)
    return path
