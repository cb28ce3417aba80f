"""How long a table takes: `infusionlaw fit` on simulated runs, and `infusionlaw --help`; seconds and peak memory.

The first table has 5 sizes x 3 token counts x 10 doses x 3 seeds. The second has 500 sizes x 1 token count x 6 doses x
1 seed: what do many places cost? The law has 1000 draws. Each command runs as a process of its own, several times; the
least time is what it costs on an idle machine.

    python -m benchmarks.fit_speed
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from infusionlaw.law.design.simulate import TrueLaw, World, simulate
from infusionlaw.runs.table import write_table

SIZES, BUDGETS = (1e4, 2.5e4, 6e4, 1.5e5, 4e5), (1e6, 2e6, 4e6)
SHARES = (0, 0.05, 0.15, 0.3, 0.45, 0.6, 0.75, 0.85, 0.92, 0.97)
MANY_SIZES, FEW_SHARES = tuple(np.geomspace(1e4, 1e9, 500).round()), (0, 0.1, 0.4, 0.7, 0.9, 0.97)


def measured(command: Sequence[str]) -> tuple[float, float]:
    """Seconds and peak memory (MB) of one command."""
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", "infusionlaw.cli", *command], stdout=subprocess.DEVNULL) as process:
        _, code, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode:
        raise SystemExit(f"infusionlaw {' '.join(command)} failed")
    return time.perf_counter() - start, used.ru_maxrss / 1024


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fit_speed", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args(arguments).repeats
    world = World(collapse=TrueLaw(0.4, 0.2, 0.1), difficulty=0.5, facts=200)
    tables: tuple[tuple[Sequence[float], Sequence[float], Sequence[float], int], ...] = (
        (SIZES, BUDGETS, SHARES, 3),
        (MANY_SIZES, BUDGETS[:1], FEW_SHARES, 1),
    )
    with tempfile.TemporaryDirectory() as folder:
        print(f"{os.cpu_count()} cores, least of {repeats}")
        for sizes, token_counts, shares, seeds in tables:
            table, law = Path(folder) / "table.csv", Path(folder) / "law.json"
            rows, _ = simulate(world, sizes, token_counts, shares, seeds, np.random.default_rng(1))
            write_table(table, rows)
            name = f"fit, {len(rows)} runs at {len(sizes) * len(token_counts)} places"
            _report(name, ["fit", str(table), "--out", str(law)], repeats)
        _report("--help", ["--help"], repeats)


def _report(name: str, command: Sequence[str], repeats: int) -> None:
    seconds, memory = zip(*(measured(command) for _ in range(repeats)), strict=True)
    print(f"infusionlaw {name:31} {min(seconds):6.2f} s, {max(memory):5.0f} MB at most", flush=True)


if __name__ == "__main__":
    main()
