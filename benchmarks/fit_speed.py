"""How long a table takes: `infusionlaw fit` on simulated runs, and `infusionlaw --help`; CPU seconds and peak memory.

Three tables: 450 runs at 15 places (10 doses, 3 seeds), 5,250 at 50 (35 doses, 3 seeds) and 50,000 at 500 (25 doses, 4
seeds). A place is a size with a token count. The law has 1000 draws. Each command runs on one thread as a process of
its own, several times, the largest table once; the least time is what it costs on an idle machine.

    python -m benchmarks.fit_speed
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from infusionlaw.law.design.simulate import TrueLaw, World, simulate
from infusionlaw.runs.table import write_table

SIZES, MANY_SIZES = (1e4, 2.5e4, 6e4, 1.5e5, 4e5), tuple(np.geomspace(1e4, 1e9, 50).round())
TOKENS, MANY_TOKENS = (1e6, 2e6, 4e6), tuple(np.geomspace(5e5, 5e7, 10).round())
SHARES = (0, 0.05, 0.15, 0.3, 0.45, 0.6, 0.75, 0.85, 0.92, 0.97)


def even_shares(count: int) -> tuple[float, ...]:
    """Dose 0 and shares whose odds are evenly apart."""
    odds = np.geomspace(0.01, 50, count - 1)
    return (0.0, *(odds / (1 + odds)).round(4).tolist())


def measured(command: Sequence[str]) -> tuple[float, float]:
    """CPU seconds and peak memory (MB) of one command, on one thread."""
    program = [sys.executable, "-m", "infusionlaw.cli", *command]
    one_thread = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, env=one_thread) as process:
        _, code, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode:
        raise SystemExit(f"infusionlaw {' '.join(command)} failed")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fit_speed", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args(arguments).repeats
    world = World(collapse=TrueLaw(0.4, 0.2, 0.1), difficulty=0.5, facts=200)
    tables: tuple[tuple[Sequence[float], Sequence[float], Sequence[float], int, int], ...] = (
        (SIZES, TOKENS, SHARES, 3, repeats),
        (SIZES, MANY_TOKENS, even_shares(35), 3, repeats),
        (MANY_SIZES, MANY_TOKENS, even_shares(25), 4, 1),
    )
    with tempfile.TemporaryDirectory() as folder:
        print(f"{os.cpu_count()} cores, least of {repeats}")
        for sizes, token_counts, shares, seeds, times in tables:
            table, law = Path(folder) / "table.csv", Path(folder) / "law.json"
            rows, _ = simulate(world, sizes, token_counts, shares, seeds, np.random.default_rng(1))
            write_table(table, rows)
            name = f"fit, {len(rows)} runs at {len(sizes) * len(token_counts)} places"
            _report(name, ["fit", str(table), "--out", str(law)], times)
        _report("--help", ["--help"], repeats)


def _report(name: str, command: Sequence[str], repeats: int) -> None:
    seconds, memory = zip(*(measured(command) for _ in range(repeats)), strict=True)
    print(f"infusionlaw {name:31} {min(seconds):6.2f} s, {max(memory):5.0f} MB at most", flush=True)


if __name__ == "__main__":
    main()
