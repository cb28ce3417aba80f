"""A folder of many finished runs: how long `status` takes, and the same `run` command once more, beside their table.

Makes a study whose runs are simulated instead of trained, on 5 sizes, 2 token counts, 20 doses and as many seeds as
give the runs asked for, all by the code of a real study. Then it times, each in a process of its own: `status`, `run`
again by its steps, and `fit` of the table.csv of the same runs. CPU seconds are of the process, with what it imports.

    python -m benchmarks.many_runs FOLDER            # 10,000 runs
    python -m benchmarks.many_runs FOLDER --runs 1000
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import numpy as np

from benchmarks.markdown import head, line
from infusionlaw.corpus.head import Head
from infusionlaw.files import write_json
from infusionlaw.lab import Watch
from infusionlaw.law.design.simulate import World, simulate
from infusionlaw.pipeline import run_study
from infusionlaw.runs.record import Estimate, Progress, RunRecord, RunSpec
from infusionlaw.settings import StudyFile, write_template

SIZES, TOKENS, DOSES = (14_000, 28_000, 55_000, 110_000, 220_000), (1_500_000, 3_000_000), 20
FACTS = 64


class Simulated:
    """A lab that simulates what a run would score, and writes the files that a run leaves."""

    def prepare(self, study: StudyFile, folder: Path) -> str:
        """Write a corpus.json, and nothing behind it."""
        head = Head("", {}, {}, "simulated", "", {"training_documents": 5000, "training_tokens": 4_000_000})
        write_json(folder / "corpus" / "corpus.json", asdict(head))
        write_json(folder / "corpus" / "knowledge.json", {"facts": {"domain": []}, "templates": {}})
        return "simulated"

    def check(self, folder: Path, specs: Sequence[RunSpec]) -> list[tuple[int, int]]:
        """What was asked for."""
        return [(spec.size, spec.tokens) for spec in specs]

    def estimate(self, study: StudyFile, folder: Path, specs: Sequence[RunSpec]) -> list[Estimate]:
        """Nothing."""
        return []

    def execute(
        self,
        study: StudyFile,
        folder: Path,
        specs: Sequence[RunSpec],
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> Iterator[RunRecord]:
        """Simulate each run by itself."""
        for spec in specs:
            rng = np.random.default_rng([spec.size, spec.tokens, spec.seed, int(1e4 * spec.dose)])
            (row,), _ = simulate(World(), [spec.size], [spec.tokens], [spec.dose], 1, rng)
            record = replace(row, run=spec.id, seed=spec.seed, verbatim_recall=1.0, held_out=spec.held_out)
            run = folder / "runs" / spec.id
            run.mkdir(parents=True)
            files: dict[str, object] = {"spec": asdict(spec), "ledger": _ledger(spec), "record": asdict(record)}
            for name, content in files.items():
                (run / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf8")
                if name != "record":  # it is written last, and training takes its time
                    os.utime(run / f"{name}.json", (time.time() - 60,) * 2)
            yield record


def _ledger(spec: RunSpec) -> dict[str, object]:
    """A ledger of as many facts as a small study has."""
    domain = int(spec.tokens * spec.dose)
    stated = [{"subject": f"Place {fact}", "relation": "in", "exposures": fact} for fact in range(FACTS)]
    source = {"exposures": stated, "templates": {"in": {"{subject} is in {object}.": FACTS}}}
    tokens = {"all": spec.tokens, "domain": domain, "prior": 0, "general": spec.tokens - domain}
    passes = {"general_passes": 0.5, "passes_by_source": {}}
    return {"tokens": tokens, **passes, "domain": source, "prior": source, "documents": None}


def study_file(path: Path, runs: int) -> Path:
    """Write a study file that asks for so many runs."""
    seeds = max(1, round(runs / (len(SIZES) * len(TOKENS) * DOSES)))
    shares = [round(float(share), 4) for share in np.linspace(0.05, 0.98, DOSES - 1)]
    text = re.sub(r"(?ms)^\[held_out\].*?(?=^\[|\Z)", "", write_template(path).read_text(encoding="utf8"))
    for key, value in (
        ("sizes", list(SIZES)),
        ("tokens", list(TOKENS)),
        ("shares", shares),
        ("seeds", list(range(1, seeds + 1))),
        ("draws", 100),
    ):
        text = re.sub(rf"(?m)^{key} = .*", f"{key} = {value}", text, count=1)
    path.write_text(text, encoding="utf8")
    return path


class Stages(Watch):
    """Keeps the CPU seconds at which each stage began."""

    def __init__(self) -> None:
        self.began: list[tuple[str, float]] = []

    def stage(self, text: str) -> None:
        """Take the time."""
        self.began.append((text, time.process_time()))

    @property
    def took(self) -> list[tuple[str, float]]:
        """Seconds of each stage."""
        ends = [*(at for _, at in self.began[1:]), time.process_time()]
        return [(text, end - at) for (text, at), end in zip(self.began, ends, strict=True)]


def timed(*command: str) -> tuple[float, float]:
    """Run a command of ours; its seconds, and those of CPU."""
    before, begun = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "infusionlaw", *command], check=True, stdout=subprocess.DEVNULL)
    after = getrusage(RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, cpu


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_runs", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a new folder, or one that this has made")
    parser.add_argument("--runs", type=int, default=10_000)
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    path, folder = given.folder / "study.toml", given.folder / "out"
    if not (folder / "report.html").exists():
        run_study(path if path.exists() else study_file(path, given.runs), folder, Simulated(), watch := Stages())
        print("\n".join(f"first run, {text}: {seconds:.1f} s of CPU" for text, seconds in watch.took), flush=True)
    rows = [("status", *timed("status", str(folder)))]
    rows.append(("fit table.csv", *timed("fit", str(folder / "table.csv"), "--out", str(given.folder / "law.json"))))
    begun, wall = time.process_time(), time.perf_counter()
    run_study(path, folder, Simulated(), watch := Stages())
    rows.append(("run, all done", time.perf_counter() - wall, time.process_time() - begun))
    print(f"\n{len(list(folder.glob('runs/*/record.json'))):,} runs\n\n{head(['command', 'seconds', 'CPU, s'])}")
    print("\n".join(line([name, f"{seconds:.1f}", f"{cpu:.1f}"]) for name, seconds, cpu in rows))
    print("\n".join(f"run, all done, {text}: {seconds:.1f} s of CPU" for text, seconds in watch.took))


if __name__ == "__main__":
    main()
