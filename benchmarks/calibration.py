"""Do the 90 % intervals hold what they say? Simulated studies with a known truth, points and predictions, counted.

Each study is drawn from `default_rng([seed, kind, number])`, its points are found with every detector, a law is fitted
to those of the default one, and the law predicts the collapse of recall at sizes and budgets far beyond the study's.

    python -m benchmarks.calibration --studies 50 --processes 2 --keep runs/calibration.jsonl --out docs/calibration.md
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

import numpy as np

import infusionlaw
from benchmarks.claims import Claim
from benchmarks.page import page, tables
from benchmarks.studies import DESIGNS, FARTHER, Study, draw
from infusionlaw.errors import InputError
from infusionlaw.files import write_text
from infusionlaw.law.dose import Interval
from infusionlaw.law.fit import fit_law
from infusionlaw.law.law import Law
from infusionlaw.law.points.find import find_points
from infusionlaw.law.points.point import Point
from infusionlaw.law.points.shapes import Detector
from infusionlaw.law.simulate import simulate, true_x
from infusionlaw.records import RunRecord

# The detector that is used when none is named: predictions and the first tables are its.
DEFAULT: Detector = (find_points.__kwdefaults__ or {})["detector"]


@dataclass(frozen=True)
class Task:
    """One study: which kind (its place in DESIGNS), its number within the kind, and the benchmark's seed."""

    kind: int
    number: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What was claimed in one study. kind: the design's letter."""

    kind: str
    number: int
    claims: tuple[Claim, ...]


def run(task: Task) -> Outcome:
    """Simulate one study and collect what is claimed of it."""
    design, rng = DESIGNS[task.kind], np.random.default_rng([task.seed, task.kind, task.number])
    study = draw(design, rng)
    rows, truth = simulate(study.world, study.sizes, study.budgets, study.shares, design.seeds, rng)
    points = {name: find_points(rows, detector=name) for name in get_args(Detector)}
    claims = [
        _claim(study, p.kind, p.status, p.x, truth[p.kind, p.size, p.tokens], name)
        for name in points
        for p in points[name]
    ]
    return Outcome(design.letter, task.number, (*claims, *_predictions(study, rows, points[DEFAULT], rng)))


def _predictions(
    study: Study, rows: Sequence[RunRecord], points: Sequence[Point], rng: np.random.Generator
) -> Iterator[Claim]:
    """The collapse of recall at each of FARTHER, against a truth that has its own scatter."""
    law = fit_law(rows, points)
    for what, (more_size, more_tokens) in FARTHER.items():
        size, tokens = more_size * study.sizes[-1], more_tokens * study.budgets[-1]
        x = law.predict_point("collapse", size, tokens).x
        truth = true_x(study.world.collapse, study.world, size, tokens, rng)
        yield _claim(study, what, _status(law, x, size, tokens, study.budgets[-1]), x, truth, DEFAULT)


def _claim(study: Study, what: str, status: str, x: Interval, truth: float | None, detector: str) -> Claim:
    low, high = study.span
    return Claim(what, status, x, truth, truth is not None and low <= truth <= high, detector)


def _status(law: Law, x: Interval, size: float, tokens: float, tried: float) -> str:
    """`flagged`: the law says of this budget what it does not say of the one that was tried."""
    if x == Interval():
        return "not fitted"
    here, there = (set(law.predict_point("collapse", size, budget).flags) for budget in (tried, tokens))
    return "flagged" if there - here else "fitted"


def outcomes(tasks: Sequence[Task], processes: int) -> Iterator[Outcome]:
    """The outcome of every task, as they come; in this process when one is enough."""
    if processes == 1:
        yield from map(run, tasks)
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read by the workers, which are processes of their own
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(run, task) for task in tasks]):
            yield future.result()


def code_hash() -> str:
    """Twelve hex digits over the law half, what a run's record is, and this benchmark: results of different code do not
    mix."""
    ours, here = Path(infusionlaw.__file__).parent, Path(__file__).parent
    own = [here / f"{name}.py" for name in ("calibration", "claims", "studies")]
    files = [*sorted((ours / "law").rglob("*.py")), ours / "records.py", *own]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


class Kept:
    """Outcomes in a file, one JSON line each after a line that says of which seed and code; no file: in memory only."""

    def __init__(self, path: Path | None, seed: int) -> None:
        self.path, self.head = path, {"seed": seed, "code": code_hash()}
        self.outcomes: list[Outcome] = []
        if path is None:
            return
        if path.exists():
            self.outcomes = self._read(path)
        write_text(path, "".join(_line(item) for item in (self.head, *map(asdict, self.outcomes))))

    def _read(self, path: Path) -> list[Outcome]:
        """What is there; a last line that a kill cut short is left out."""
        lines = path.read_text(encoding="utf8").splitlines(keepends=True)
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        if whole and whole[0] != self.head:
            raise InputError(f"{path}: holds results of {whole[0]}, not of {self.head}; name another file or remove it")
        return [_outcome(content) for content in whole[1:]]

    def add(self, outcome: Outcome) -> None:
        """Keep one more."""
        self.outcomes.append(outcome)
        if self.path is not None:
            with self.path.open("a", encoding="utf8") as handle:
                handle.write(_line(asdict(outcome)))


def _line(content: dict[str, Any]) -> str:
    return json.dumps(content, allow_nan=False) + "\n"


def _outcome(content: dict[str, Any]) -> Outcome:
    claims = tuple(Claim(**{**claim, "x": Interval(**claim["x"])}) for claim in content["claims"])
    return Outcome(content["kind"], content["number"], claims)


def calibrate(studies: int, seed: int, processes: int = 1, keep: Path | None = None) -> dict[str, list[Claim]]:
    """The claims of `studies` studies of every kind, by the kind's letter; InputError when `keep` is another run's."""
    kept = Kept(keep, seed)
    done = {(outcome.kind, outcome.number) for outcome in kept.outcomes}
    tasks = [Task(kind, number, seed) for number in range(studies) for kind in range(len(DESIGNS))]
    left = [task for task in tasks if (DESIGNS[task.kind].letter, task.number) not in done]
    for count, outcome in enumerate(outcomes(left, processes), start=len(tasks) - len(left) + 1):
        kept.add(outcome)
        print(f"\r{count} of {len(tasks)} studies", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    ordered = sorted(kept.outcomes, key=lambda outcome: outcome.number)
    return {
        design.letter: [c for o in ordered if o.kind == design.letter and o.number < studies for c in o.claims]
        for design in DESIGNS
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=50, help=f"studies of each of the {len(DESIGNS)} kinds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a file of results, from which a killed run goes on")
    parser.add_argument("--out", type=Path, help="write the page here")
    options = parser.parse_args(arguments)
    try:
        claims = calibrate(options.studies, options.seed, options.processes, options.keep)
    except InputError as error:
        sys.exit(str(error))
    print(tables(claims, DEFAULT))
    if options.out:
        command = f"python -m benchmarks.calibration --studies {options.studies} --seed {options.seed}"
        write_text(options.out, page(claims, DEFAULT, command, options.studies, options.seed, code_hash()))


if __name__ == "__main__":
    main()
