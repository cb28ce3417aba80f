"""Estimate a study for GPUs that are not here: how fast each kind trains, and what it can hold.

Nothing is timed. A step takes its FLOPs over the kind's peak, times the part of the peak that was reached on an H200
(docs/speed.md). The part depends on the size, and on the tokens of a step of all models that train together: of 32
models of 0.2 to 5 M, one alone reaches about 32^(-1/3) of what they reach together. Above 124 M nothing was measured,
and the part is taken to stay; below 0.2 M the time of a token is.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infusionlaw.errors import InputError
from infusionlaw.law.numbers import number
from infusionlaw.runners import lab
from infusionlaw.runners.lab import Machine, OnProgress, Pace, Part, Sort, Workers
from infusionlaw.runners.schedule import MOST
from infusionlaw.runs.record import Estimate, RunSpec
from infusionlaw.settings import Run, StudyFile
from infusionlaw.training.recipe import Recipe


@dataclass(frozen=True)
class Kind:
    """A kind of GPU. peak: FLOP/s of dense bf16 products by its data sheet; memory: bytes."""

    name: str
    peak: float
    memory: int


# NVIDIA's data sheets and, of the RTX, the architecture papers (products summed in fp32). H100 and H200: SXM.
KINDS = [
    Kind("A10", 125e12, 24 * 10**9),
    Kind("A100", 312e12, 80 * 10**9),
    Kind("B200", 2250e12, 180 * 10**9),
    Kind("H100", 989e12, 80 * 10**9),
    Kind("H200", 989e12, 141 * 10**9),
    Kind("L4", 121e12, 24 * 10**9),
    Kind("L40S", 362e12, 48 * 10**9),
    Kind("RTX 3090", 71e12, 24 * 10**9),
    Kind("RTX 4090", 165e12, 24 * 10**9),
]
# On an H200, docs/speed.md: parameters, tokens of a step of all models, FLOP/s reached. 32 models to 5 M, then one.
MEASURED = (
    (198_320, 73_728, 0.020 * 678e12),
    (996_624, 73_728, 0.091 * 678e12),
    (5_004_544, 73_728, 0.181 * 678e12),
    (25_040_384, 16_384, 0.424 * 679e12),
    (123_958_912, 16_384, 0.495 * 674e12),
)
MEASURED_ON = next(kind for kind in KINDS if kind.name == "H200")
HOST = 8  # GPUs of a machine, which can train one run together
FEWER = 1 / 3  # exponent of the tokens of a step, where they are fewer than was measured


def part_of_peak(recipe: Recipe, members: int = 1) -> float:
    """Return the part of a GPU's peak that training is expected to reach. members: models that train together."""
    sizes, tokens, reached = np.log(MEASURED).T
    size = math.log(recipe.shape.size)
    known = math.exp(np.interp(size, sizes, reached)) * min(1.0, math.exp(size - sizes[0]))
    fewer = members * recipe.batch * recipe.block / math.exp(np.interp(size, sizes, tokens))
    return float(known / MEASURED_ON.peak * min(1.0, fewer) ** FEWER)


def read_devices(text: str) -> tuple[int, Kind | None]:
    """Read `8 H100`: a count and a kind, None where only a count is given. InputError for anything else."""
    count, _, name = text.strip().partition(" ")
    if not count.isdecimal() or not int(count):
        raise InputError(f'--devices "{text}": write a count of at least 1, a space and a kind, as in "8 H100"')
    if not name.strip():
        return int(count), None
    for kind in KINDS:
        if _plain(name) == _plain(kind.name):
            return int(count), kind
    known = ", ".join(kind.name for kind in KINDS)
    raise InputError(f'--devices "{text}": "{name.strip()}" is no kind of GPU that is known here; known are {known}')


def _plain(name: str) -> str:
    return name.upper().replace("NVIDIA", "").replace(" ", "").replace("-", "")


class Lab(lab.Lab):
    """Estimates a study for GPUs of a kind; it trains nothing."""

    def __init__(self, count: int, kind: Kind) -> None:
        super().__init__()
        self.count, self.kind = count, kind

    def prepare(self, study: StudyFile, folder: Path) -> str:
        """The id of the study's corpus, prepared as for any runner."""
        return super().prepare(self._for_these(study), folder)

    def machine(self, recipes: Sequence[Recipe]) -> Machine:
        """Return these GPUs."""
        memory = self.kind.memory
        host = min(self.count, HOST)
        return Machine(True, self.count, memory, room=MOST * memory, together=host, name=self.kind.name)

    def workers(
        self, folder: Path, part: Part, count: int, on_progress: OnProgress = lambda progress: None
    ) -> AbstractContextManager[Workers]:
        """InputError: these GPUs are not here."""
        raise InputError(f"{self.count} {self.kind.name} are only named, and train nothing; leave --devices out")

    def estimate(self, study: StudyFile, folder: Path, specs: Sequence[RunSpec]) -> list[Estimate]:
        """What each run will hold and take on these GPUs, whatever the study file says of devices."""
        return super().estimate(self._for_these(study), folder, specs)

    def _for_these(self, study: StudyFile) -> StudyFile:
        return study.model_copy(update={"run": Run(devices=self.count)})

    def paces(self, folder: Path, sorts: Mapping[Hashable, Sort], part: Part) -> dict[Hashable, Pace]:
        """Seconds from FLOPs; how long probing takes is not known."""
        peak = part.gpus * self.kind.peak
        return {
            kind: Pace(sort.flops / (peak * part_of_peak(sort.recipe, sort.members)), probing=0.0, timed=False)
            for kind, sort in sorts.items()
        }

    @property
    def basis(self) -> str:
        """Say what the minutes come from."""
        parts = [f"{reached / MEASURED_ON.peak:.0%} at {number(size)}" for size, _, reached in MEASURED]
        return (
            f"Nothing is timed. Minutes are FLOPs over a part of the {self.kind.peak / 1e12:,.0f} TFLOP/s (bf16) of "
            f"one {self.kind.name}: {', '.join(parts)} parameters and more, as measured on an H200, and less where "
            "steps are short. Probing is left out. GPUs that train one run together are taken to lose no time to each "
            "other; only those of one machine can."
        )
