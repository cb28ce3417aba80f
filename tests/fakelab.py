"""A lab that measures a simulated world instead of training: quick, deterministic, and able to die on demand."""

from dataclasses import asdict, replace

import numpy as np

from infusionlaw.files import write_json
from infusionlaw.law.simulate import World, simulate
from infusionlaw.records import Estimate, Prepared, Progress


class Died(Exception):
    """The machine was switched off."""


class FakeLab:
    """`dies_after`: runs before it dies; `diverges`: doses whose runs diverge; `log` remembers what was executed."""

    def __init__(self, world=None, dies_after=None, diverges=()):
        self.world, self.dies_after, self.diverges = world or World(), dies_after, diverges
        self.log = []

    def prepare(self, study, folder):
        return Prepared("corpus-id", self.world.facts, self.world.tokens_per_fact, {})

    def check(self, folder, specs):
        return [(spec.size, spec.tokens) for spec in specs]

    def estimate(self, study, folder, specs):
        return [
            Estimate(s.id, s.size, s.size, s.tokens, s.dose, 1.0, s.seed, s.held_out, 10, 2**20, 60.0, 2) for s in specs
        ]

    def execute(self, study, folder, specs, on_progress=lambda progress: None):
        for spec in specs:
            if self.dies_after is not None and len(self.log) >= self.dies_after:
                raise Died
            rng = np.random.default_rng(int(spec.id, 16))
            (row,), _ = simulate(self.world, [spec.size], [spec.tokens], [spec.dose], 1, rng)
            record = replace(row, seed=spec.seed, run=spec.id, held_out=spec.held_out)
            if spec.dose in self.diverges:
                record = replace(record, status="diverged", recall=None, retention=None, general_loss=None)
            on_progress(Progress(spec.id, 10, 10))
            write_json(folder / "runs" / spec.id / "record.json", asdict(record))
            self.log.append(spec)
            yield record
