"""Do the 90 % intervals hold what they say? Simulated studies with a known truth, ours beside baselines, counted.

python -m benchmarks.calibration --studies 50 --processes 2 --keep runs/calibration.jsonl --out docs/calibration.md
python -m benchmarks.calibration --merge a.jsonl b.jsonl --out docs/calibration.md
"""

import argparse
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from pydantic import TypeAdapter

import infusionlaw
from benchmarks.claims import Outcome, Task, study
from benchmarks.page import Source, page, tables
from benchmarks.worlds import KINDS
from infusionlaw.errors import InputError
from infusionlaw.files import write_text

PLACES = {kind.name: i for i, kind in enumerate(KINDS)}


def outcomes(tasks: Sequence[Task], processes: int) -> Iterator[Outcome]:
    """The outcome of every task, as they come; in this process when one is enough."""
    if processes == 1:
        yield from map(study, tasks)
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read by the workers, which are processes of their own
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(study, task) for task in tasks]):
            yield future.result()


@dataclass(frozen=True)
class Head:
    """The first line of a kept file: what decides its results, and with what they were computed."""

    seed: int
    code: str
    versions: str

    def matches(self, other: "Head") -> bool:
        """Whether results of both may stand in one table."""
        return (self.seed, self.code) == (other.seed, other.code)


def head(seed: int) -> Head:
    """The head of what is computed here and now."""
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}"
    return Head(seed, code_hash(), f"infusionlaw {infusionlaw.__version__}, {versions}")


def code_hash() -> str:
    """Twelve hex digits over all code that decides an outcome: results of different code do not mix."""
    ours, here = Path(infusionlaw.__file__).parent, Path(__file__).parent
    own = [here / f"{name}.py" for name in ("baselines", "claims", "worlds")]
    files = [*sorted((ours / "law").rglob("*.py")), ours / "runs" / "record.py", *own]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


HEAD, OUTCOME = TypeAdapter(Head), TypeAdapter(Outcome)


def read_kept(path: Path) -> tuple[Head | None, list[Outcome]]:
    """A kept file's head and outcomes; a last line that a kill cut short is left out. No head: nothing is kept."""
    try:
        lines = path.read_text(encoding="utf8").splitlines(keepends=True)
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        if not whole:
            return None, []
        return HEAD.validate_python(whole[0]), [OUTCOME.validate_python(content) for content in whole[1:]]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as kept results ({error})") from error


class Kept:
    """Outcomes in a file, one JSON line each after the head; no file: in memory only."""

    def __init__(self, path: Path | None, now: Head) -> None:
        self.path = path
        self.outcomes: list[Outcome] = []
        if path is None:
            return
        if path.exists():
            then, self.outcomes = read_kept(path)
            if then is not None and then != now:
                raise InputError(f"{path}: holds results of {then}, not of {now}; name another file or remove it")
        write_text(path, _line(asdict(now)) + "".join(_line(asdict(item)) for item in self.outcomes))

    def add(self, outcome: Outcome) -> None:
        """Keep one more."""
        self.outcomes.append(outcome)
        if self.path is not None:
            with self.path.open("a", encoding="utf8") as handle:
                handle.write(_line(asdict(outcome)))


def _line(content: dict[str, Any]) -> str:
    return json.dumps(content, allow_nan=False) + "\n"


def calibrate(
    numbers: Iterable[int],
    seed: int,
    kinds: Sequence[int] = range(len(KINDS)),
    processes: int = 1,
    keep: Path | None = None,
) -> list[Outcome]:
    """Simulate the studies of these numbers in each kind. Raises InputError when `keep` is another run's file."""
    tasks = [Task(kind, number, seed) for number in numbers for kind in kinds]
    wanted = {(KINDS[task.kind].name, task.number): task for task in tasks}
    kept = Kept(keep, head(seed))
    done = {(outcome.kind, outcome.number) for outcome in kept.outcomes}
    left = [task for key, task in wanted.items() if key not in done]
    for count, outcome in enumerate(outcomes(left, processes), start=len(wanted) - len(left) + 1):
        kept.add(outcome)
        print(f"\r{count} of {len(wanted)} studies", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return in_order(o for o in kept.outcomes if (o.kind, o.number) in wanted)


def merge(paths: Sequence[Path]) -> tuple[list[Head], list[Outcome]]:
    """Put kept files together, a study that several hold once. Raises InputError for files that do not match."""
    heads: list[Head] = []
    found: list[Outcome] = []
    for path in paths:
        own, outcomes = read_kept(path)
        if own is None:
            raise InputError(f"{path}: is empty")
        if heads and not own.matches(heads[0]):
            raise InputError(f"{path}: holds results of {own}, while {paths[0]} holds results of {heads[0]}")
        if unknown := {o.kind for o in outcomes} - set(PLACES):
            raise InputError(f"{path}: has kinds that are no longer known: {', '.join(sorted(unknown))}")
        heads.append(own)
        found += outcomes
    if heads[0].code != code_hash():
        print(
            f"The code has changed since these results were computed: {heads[0].code}, now {code_hash()}.",
            file=sys.stderr,
        )
    return heads, in_order(found)


def in_order(some: Iterable[Outcome]) -> list[Outcome]:
    """By kind and number, each study once."""
    by_key = {(PLACES[o.kind], o.number): o for o in some}
    return [by_key[key] for key in sorted(by_key)]


def command(some: Sequence[Outcome], seed: int) -> str:
    """The command that computes these studies in one go (and what lies between, where numbers have gaps)."""
    numbers, kinds = {o.number for o in some}, sorted({PLACES[o.kind] for o in some})
    first = min(numbers)
    parts = [f"python -m benchmarks.calibration --studies {max(numbers) - first + 1} --seed {seed}"]
    parts += [f"--first {first}"] * (first > 0)
    parts += [f"--kinds {','.join(map(str, kinds))}"] * (len(kinds) < len(KINDS))
    return " ".join(parts)


def kinds_of(text: str) -> list[int]:
    """Places in KINDS from a text such as "0,3,5-8"."""
    places: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or not (last or first).isdigit() or int(last or first) >= len(KINDS):
            raise argparse.ArgumentTypeError(f'"{part}" names no kinds; they are numbered 0 to {len(KINDS) - 1}')
        places += range(int(first), int(last or first) + 1)
    return places


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=50, help=f"studies of each of the {len(KINDS)} kinds")
    parser.add_argument("--first", type=int, default=0, help="number of the first study, to split a run over machines")
    parser.add_argument("--kinds", type=kinds_of, default=list(range(len(KINDS))), help='as in "0,3,5-8"; default: all')
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a file of results, from which a stopped run goes on")
    parser.add_argument("--merge", type=Path, nargs="+", metavar="KEPT", help="simulate nothing, read these kept files")
    parser.add_argument("--out", type=Path, help="write the page here")
    options = parser.parse_args(arguments)
    try:
        if options.merge:
            heads, found = merge(options.merge)
        else:
            numbers = range(options.first, options.first + options.studies)
            heads = [head(options.seed)]
            found = calibrate(numbers, options.seed, options.kinds, options.processes, options.keep)
    except InputError as error:
        sys.exit(str(error))
    print(tables(found))
    if options.out:
        write_text(options.out, page(found, source(heads, found)))


def source(heads: Sequence[Head], found: Sequence[Outcome]) -> Source:
    """What the page says of where its results come from."""
    seed, versions = heads[0].seed, tuple(dict.fromkeys(head.versions for head in heads))
    return Source(seed, heads[0].code, command(found, seed), f"{datetime.now(UTC):%Y-%m-%d}", versions)


if __name__ == "__main__":
    main()
