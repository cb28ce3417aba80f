"""What of a study's time is neither training nor probing: preparing, starting processes, fitting, the report.

Runs a study in a new folder. A run is in progress from the writing of its spec.json to that of its record.json;
overhead is the time in which no run is. Beside it, how much of all processes' time runs were in progress, from the
first run to the last, and the memory of the main process. With --ray the study runs on so many workers of a Ray cluster
of this machine, which should be the [run] devices of the study.

    python -m benchmarks.overhead examples/demo/study.toml FOLDER [--ray 8]
"""

import argparse
import resource
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from infusionlaw.lab import Watch
from infusionlaw.pipeline import run_study
from infusionlaw.processes import cores
from infusionlaw.runners import local
from infusionlaw.runners.lab import Lab

Span = tuple[float, float]


def covered(spans: Iterable[Span]) -> float:
    """Length of the union of spans."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def runs(folder: Path) -> list[Span]:
    """When each run of a study began and ended, seconds since the epoch."""
    return [
        ((record.parent / "spec.json").stat().st_mtime, record.stat().st_mtime)
        for record in folder.glob("runs/*/record.json")
    ]


class Stages(Watch):
    """Tells when each stage began."""

    def __init__(self) -> None:
        self._began = time.time()

    def stage(self, text: str) -> None:
        print(f"{time.time() - self._began:7.1f} s  {text}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ray", type=int, metavar="WORKERS", help="run on a Ray cluster of so many workers")
    given = parser.parse_args(arguments)
    if given.folder.exists():
        parser.error(f"{given.folder} exists already; name a new folder, a study done in part tells nothing")
    lab: Lab = _on_ray(given.ray) if given.ray else local.Lab()
    began = time.time()
    study = run_study(given.study, given.folder, lab, Stages())
    wall, spans, at_once = time.time() - began, runs(given.folder), given.ray or study.file.run.devices or cores()
    busy, over = sum(end - start for start, end in spans), wall - covered(spans)
    training = max(end for _, end in spans) - min(start for start, _ in spans)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"\n{len(spans)} runs in {wall:.0f} s; overhead {over:.0f} s, {over / wall:.1%};")
    print(f"{at_once} processes trained or probed for {busy / at_once / wall:.1%} of it,")
    print(f"and for {busy / at_once / training:.1%} of the {training:.0f} s from the first run to the last;")
    print(f"the main process held {held / 1e3:.0f} MB at most.")


def _on_ray(workers: int) -> Lab:
    import ray

    from infusionlaw.runners.ray import Lab

    ray.init("local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
    return Lab()


if __name__ == "__main__":
    main()
